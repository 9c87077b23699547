#include "assess/statistics.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace cupel {
namespace {

using nlohmann::json;

// Small, fast and the same on every machine (SplitMix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  double uniform() {  // [0, 1)
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
  }

 private:
  uint64_t state_;
};

constexpr int kTrials = 2000;

TEST(Wilson, KnownValues) {
  // Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
  const auto interval = wilson_interval(81, 263);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->lower, 0.2553, 5e-5);
  EXPECT_NEAR(interval->upper, 0.3662, 5e-5);
  EXPECT_EQ(wilson_interval(0, 20)->lower, 0);
  EXPECT_NEAR(wilson_interval(0, 20)->upper, 0.1611, 5e-5);
  EXPECT_NEAR(wilson_interval(1, 29)->lower, 0.0061, 5e-5);
  EXPECT_NEAR(wilson_interval(1, 29)->upper, 0.1718, 5e-5);
  EXPECT_EQ(wilson_interval(29, 29)->upper, 1);
}

TEST(Wilson, RefusesImpossibleCounts) {
  EXPECT_EQ(wilson_interval(5, 3).error().message(),
            "proportion: found 5 successes in 3 trials, expected at least one trial and no more successes than trials\n"
            "  evaluate on at least one sample");
  EXPECT_FALSE(wilson_interval(0, 0));
  EXPECT_FALSE(wilson_interval(-1, 3));
  EXPECT_EQ(wilson_interval(1, 3, 95).error().message(),
            "confidence: found 95, expected a number between 0 and 1\n  use 0.95 for a 95 % interval");
  EXPECT_FALSE(wilson_interval(1, 3, 0));
  EXPECT_FALSE(wilson_interval(1, 3, 1));
  EXPECT_FALSE(wilson_interval(1, 3, std::nan("")));
}

TEST(Wilson, CoversItsLevel) {
  struct Setting {
    int n;
    double p;
  };
  for (const auto& [n, p] : {Setting{100, 0.3}, {500, 0.9}, {1000, 0.5}, {2000, 0.97}, {10000, 0.93}, {10000, 0.993}}) {
    Random random(7);
    int covered = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      int64_t successes = 0;
      for (int i = 0; i < n; ++i) successes += random.uniform() < p;
      const Interval interval = *wilson_interval(successes, n);
      covered += interval.lower <= p && p <= interval.upper;
    }
    EXPECT_GE(covered, kTrials * 93 / 100) << "n " << n << " p " << p;
    EXPECT_LE(covered, kTrials * 97 / 100) << "n " << n << " p " << p;
  }
}

TEST(Tango, WithoutDiscordantPairs) {
  const double z2 = std::pow(1.959963984540054, 2);
  for (int64_t n : {1, 10, 10'000, 1'000'000'000}) {
    const Interval interval = *tango_interval({n, 0, 0});
    EXPECT_NEAR(interval.upper, z2 / (static_cast<double>(n) + z2), 1e-15);
    EXPECT_EQ(interval.lower, -interval.upper);
  }
}

TEST(Tango, EveryPairDiscordant) {
  const Interval lost = *tango_interval({10, 10, 0});
  EXPECT_EQ(lost.lower, -1);
  // All lost: T(δ) = z where q = −δ's constrained estimate; the mirrored end of the Wilson-like bound.
  EXPECT_GT(lost.upper, -1);
  EXPECT_LT(lost.upper, 0);
  const Interval gained = *tango_interval({10, 0, 10});
  EXPECT_EQ(gained.upper, 1);
  EXPECT_EQ(gained.lower, -lost.upper);
}

TEST(Tango, RefusesImpossibleCounts) {
  EXPECT_EQ(tango_interval({10, 8, 3}).error().message(),
            "paired counts: found 8 lost and 3 gained of 10 samples, expected counts of at least 0 that add up to at "
            "most the samples, and at least one sample\n  compare two models on the same samples");
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(tango_interval({kHuge, kHuge, kHuge}));
  EXPECT_FALSE(tango_interval({0, 0, 0}));
  EXPECT_FALSE(tango_interval({10, -1, 0}));
  EXPECT_FALSE(tango_interval({10, 1, 1}, 1.0));
  EXPECT_FALSE(mcnemar_exact_p({10, 8, 3}));
  EXPECT_EQ(tango_score({10, 1, 1}, 1.5).error().message(),
            "difference: found 1.5, expected a number from -1 to 1\n  give a difference of two proportions");
}

RC_GTEST_PROP(Tango, IsTheSetWhereTheScoreIsSmall, ()) {
  const int64_t n = *rc::gen::inRange<int64_t>(1, *rc::gen::element<int64_t>(5, 50, 20'000));
  const int64_t lost = *rc::gen::inRange<int64_t>(0, n + 1);
  const int64_t gained = *rc::gen::inRange<int64_t>(0, n - lost + 1);
  const PairedCounts counts{n, lost, gained};
  const Interval interval = *tango_interval(counts);
  const double estimate = static_cast<double>(gained - lost) / static_cast<double>(n);
  RC_ASSERT(-1 <= interval.lower && interval.lower <= estimate && estimate <= interval.upper && interval.upper <= 1);
  const Interval mirrored = *tango_interval({n, gained, lost});
  RC_ASSERT(mirrored.lower == -interval.upper && mirrored.upper == -interval.lower);
  const Interval wider = *tango_interval(counts, 0.99);
  RC_ASSERT(wider.lower <= interval.lower && interval.upper <= wider.upper);
  const double z = 1.959963984540054;
  if (interval.upper < 1) RC_ASSERT(std::abs(*tango_score(counts, interval.upper) + z) < 1e-6);
  if (interval.lower > -1) RC_ASSERT(std::abs(*tango_score(counts, interval.lower) - z) < 1e-6);
}

TEST(Tango, CoversItsLevel) {
  struct Setting {
    int n;
    double lost, gained;
  };
  for (const auto& [n, lost, gained] : {Setting{60, 0.15, 0.1},
                                        {100, 0.2, 0.05},
                                        {500, 0.03, 0.02},
                                        {500, 0.0, 0.05},
                                        {2000, 0.012, 0.008},
                                        {10000, 0.006, 0.004},
                                        {10000, 0.002, 0.0005}}) {
    Random random(11);
    int covered = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      PairedCounts counts{n, 0, 0};
      for (int i = 0; i < n; ++i) {
        const double u = random.uniform();
        counts.lost += u < lost;
        counts.gained += u >= lost && u < lost + gained;
      }
      const Interval interval = *tango_interval(counts);
      covered += interval.lower <= gained - lost && gained - lost <= interval.upper;
    }
    EXPECT_GE(covered, kTrials * 93 / 100) << "n " << n << " lost " << lost << " gained " << gained;
    EXPECT_LE(covered, kTrials * 97 / 100) << "n " << n << " lost " << lost << " gained " << gained;
  }
}

TEST(McNemar, KnownValues) {
  EXPECT_EQ(*mcnemar_exact_p({10, 0, 0}), 1);
  EXPECT_EQ(*mcnemar_exact_p({10, 3, 3}), 1);
  EXPECT_EQ(*mcnemar_exact_p({10, 4, 3}), 1);
  EXPECT_DOUBLE_EQ(*mcnemar_exact_p({10, 5, 0}), 2.0 / 32);
  EXPECT_DOUBLE_EQ(*mcnemar_exact_p({100, 1, 9}), 2.0 * 11 / 1024);
  EXPECT_EQ(*mcnemar_exact_p({10'000, 17, 40}), *mcnemar_exact_p({10'000, 40, 17}));
}

TEST(Quantile, MedianOfEvenCount) {
  const std::vector<double> samples = {1, 2, 3, 10};
  const QuantileEstimate median = *estimate_quantile(samples, 0.5);
  EXPECT_EQ(median.value, 2.5);
  // Four samples cannot reach 95 %: from the smallest to the largest, 1 − 2/16.
  EXPECT_EQ(median.interval, (Interval{1, 10}));
  EXPECT_DOUBLE_EQ(median.coverage, 0.875);
}

TEST(Quantile, OneSample) {
  const std::vector<double> one = {7};
  const QuantileEstimate median = *estimate_quantile(one, 0.99);
  EXPECT_EQ(median.value, 7);
  EXPECT_EQ(median.interval, (Interval{7, 7}));
  EXPECT_NEAR(median.coverage, 0, 1e-15);
}

TEST(Quantile, CoversItsLevel) {
  Random random(3);
  const double truth = 0.5;
  int covered = 0;
  std::vector<double> samples(301);
  for (int trial = 0; trial < kTrials; ++trial) {
    for (double& x : samples) x = random.uniform();
    std::sort(samples.begin(), samples.end());
    const Interval interval = estimate_quantile(samples, 0.5)->interval;
    covered += interval.lower <= truth && truth <= interval.upper;
  }
  EXPECT_GE(covered, kTrials * 93 / 100);
  EXPECT_LE(covered, kTrials * 97 / 100);
}

TEST(Quantile, RefusesUnusableSamples) {
  const std::vector<double> unsorted = {1, 3, 2};
  EXPECT_EQ(estimate_quantile(unsorted, 0.5).error().message(),
            "quantile: found 2 after 3 as sample 2, expected ascending order\n  sort the samples");
  const std::vector<double> infinite = {1, INFINITY};
  EXPECT_EQ(estimate_quantile(infinite, 0.5).error().message(),
            "quantile: found inf as sample 1, expected a finite number\n  remove it and say so");
  EXPECT_EQ(estimate_quantile({}, 0.5).error().message(),
            "quantile: found no sample, expected at least one\n  measure at least once");
  EXPECT_EQ(estimate_quantile(unsorted, 1).error().message(),
            "quantile: found probability 1, expected a number between 0 and 1\n  use 0.5 for the median");
}

// Everything that check_statistics.py compares with SciPy.
json statistics_table() {
  json table;
  for (const auto& [lost, gained] : std::vector<std::pair<int64_t, int64_t>>{{0, 0},
                                                                             {1, 0},
                                                                             {0, 1},
                                                                             {1, 1},
                                                                             {2, 1},
                                                                             {5, 0},
                                                                             {3, 9},
                                                                             {10, 10},
                                                                             {11, 10},
                                                                             {25, 40},
                                                                             {60, 31},
                                                                             {17, 140},
                                                                             {0, 900},
                                                                             {500, 500},
                                                                             {501, 640},
                                                                             {5000, 5200},
                                                                             {40'000, 41'000},
                                                                             {100'000, 99'000},
                                                                             {2000, 3000}})
    table["mcnemar"].push_back(
        {{"lost", lost}, {"gained", gained}, {"p", *mcnemar_exact_p({lost + gained + 1, lost, gained})}});
  for (int64_t n : {1, 2, 7, 30, 500, 10'000, 1'000'000})
    for (double share : {0.0, 0.01, 0.3, 0.5, 0.93, 1.0})
      for (double confidence : {0.8, 0.95, 0.999}) {
        const auto successes = static_cast<int64_t>(std::lround(share * static_cast<double>(n)));
        const Interval i = *wilson_interval(successes, n, confidence);
        table["wilson"].push_back({{"successes", successes},
                                   {"trials", n},
                                   {"confidence", confidence},
                                   {"lower", i.lower},
                                   {"upper", i.upper}});
      }
  struct Pairs {
    int64_t n, lost, gained;
  };
  for (const auto& [n, lost, gained] : std::vector<Pairs>{{1, 0, 0},
                                                          {1, 1, 0},
                                                          {1, 0, 1},
                                                          {2, 1, 1},
                                                          {3, 1, 0},
                                                          {5, 0, 5},
                                                          {10, 0, 0},
                                                          {10, 1, 0},
                                                          {10, 0, 3},
                                                          {10, 5, 5},
                                                          {10, 9, 1},
                                                          {10, 10, 0},
                                                          {44, 0, 1},
                                                          {44, 5, 0},
                                                          {50, 3, 9},
                                                          {100, 0, 0},
                                                          {500, 9, 4},
                                                          {500, 250, 250},
                                                          {1000, 0, 999},
                                                          {2000, 31, 12},
                                                          {10'000, 0, 0},
                                                          {10'000, 1, 0},
                                                          {10'000, 40, 27},
                                                          {10'000, 180, 90},
                                                          {10'000, 4000, 5000},
                                                          {1'000'000, 812, 790},
                                                          {1'000'000, 0, 2}})
    for (double confidence : {0.8, 0.95, 0.999}) {
      const Interval i = *tango_interval({n, lost, gained}, confidence);
      table["tango"].push_back({{"samples", n},
                                {"lost", lost},
                                {"gained", gained},
                                {"confidence", confidence},
                                {"lower", i.lower},
                                {"upper", i.upper}});
    }
  Random random(5);
  for (size_t n : {1, 2, 5, 6, 40, 333, 1000}) {
    std::vector<double> samples(n);
    for (double& x : samples) x = 100 + 20 * random.uniform();
    std::sort(samples.begin(), samples.end());
    for (double probability : {0.05, 0.5, 0.9, 0.99}) {
      const QuantileEstimate q = *estimate_quantile(samples, probability);
      table["quantile"].push_back({{"samples", samples},
                                   {"probability", probability},
                                   {"confidence", 0.95},
                                   {"value", q.value},
                                   {"lower", q.interval.lower},
                                   {"upper", q.interval.upper},
                                   {"coverage", q.coverage}});
    }
  }
  return table;
}

// CUPEL_ORACLE_PYTHON: a Python with SciPy and NumPy.
TEST(Statistics, AgreesWithSciPy) {
  const char* python = std::getenv("CUPEL_ORACLE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "set CUPEL_ORACLE_PYTHON to a Python with SciPy to compare with SciPy";
  const std::filesystem::path table =
      std::filesystem::path(testing::TempDir()) / ("cupel_statistics_" + std::to_string(getpid()) + ".json");
  std::ofstream(table) << statistics_table().dump();
  const std::string command = std::string("\"") + python + "\" \"" + CUPEL_SOURCE_DIR +
                              "/tests/assess/check_statistics.py\" \"" + table.string() + "\" 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, count);
  const int status = pclose(pipe);
  std::filesystem::remove(table);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << output;
  std::fputs(output.c_str(), stdout);
}

}  // namespace
}  // namespace cupel
