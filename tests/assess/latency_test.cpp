#include "assess/latency.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace cupel {
namespace {

// The same numbers on every machine: the engine is the standard's, the rest is written here.
class Noise {
 public:
  explicit Noise(uint32_t seed) : engine_(seed) {}
  double uniform() { return (static_cast<double>(engine_()) + 0.5) * 0x1p-32; }
  // Run times as machines have them: a floor, a long tail, and now and then an interruption.
  double time(double typical) {
    const double tail = -std::log(uniform());
    return typical * (1 + 0.01 * tail * tail + (uniform() < 0.02 ? 1 + uniform() : 0));
  }

 private:
  std::mt19937 engine_;
};

// Value of the distribution of Noise::time(1) below which a share of `probability` lies, from many samples.
double true_quantile(double probability) {
  Noise noise(1);
  std::vector<double> samples(400'000);
  for (double& s : samples) s = noise.time(1);
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(probability * static_cast<double>(samples.size()));
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

TimedRounds rounds_of(std::vector<double> medians) {
  std::vector<double> sorted = medians;
  std::sort(sorted.begin(), sorted.end());
  const Interval median = estimate_quantile(sorted, 0.5)->interval;
  return {std::move(medians), median};
}

TEST(Latency, SummaryOfKnownSamples) {
  std::vector<double> samples;
  for (int i = 1000; i >= 1; --i) samples.push_back(i);
  const LatencySummary s = *summarize_latency(samples);
  EXPECT_EQ(s.runs, 1000);
  EXPECT_DOUBLE_EQ(s.mean, 500.5);
  EXPECT_DOUBLE_EQ(s.median.value, 500.5);
  EXPECT_DOUBLE_EQ(s.p90.value, 900.1);
  EXPECT_DOUBLE_EQ(s.p95.value, 950.05);
  EXPECT_DOUBLE_EQ(s.p99.value, 990.01);
  // Binomial(1000, 1/2): P(X ≤ 468) ≤ 0.025 < P(X ≤ 469).
  EXPECT_EQ(s.median.interval, (Interval{469, 532}));
  EXPECT_GE(s.p99.coverage, 0.95);
  EXPECT_LT(s.p99.interval.lower, 990);
  EXPECT_GT(s.p99.interval.upper, 991);
}

TEST(Latency, FewRunsSayThatP99IsUncertain) {
  const LatencySummary s = *summarize_latency(std::vector<double>(100, 1.0));
  // The slowest of 100 runs lies above p99 with 1 − 0.99^100; the lower end takes up to α/2 of that.
  const double above = 1 - std::pow(0.99, 100);
  EXPECT_LE(s.p99.coverage, above);
  EXPECT_GE(s.p99.coverage, above - 0.025);
  EXPECT_GE(s.p90.coverage, 0.95);
  EXPECT_FALSE(summarize_latency({}));
  EXPECT_FALSE(summarize_latency({1, NAN}));
}

TEST(Latency, IntervalsCoverTheirLevelWhateverTheDistribution) {
  constexpr int kTrials = 1500, kRuns = 700;
  struct Row {
    double probability;
    QuantileEstimate LatencySummary::* estimate;
    int covered = 0;
  };
  std::vector<Row> rows = {{0.5, &LatencySummary::median},
                           {0.9, &LatencySummary::p90},
                           {0.95, &LatencySummary::p95},
                           {0.99, &LatencySummary::p99}};
  std::map<double, double> truth;
  for (const Row& row : rows) truth[row.probability] = true_quantile(row.probability);
  Noise noise(2);
  std::vector<double> samples(kRuns);
  for (int trial = 0; trial < kTrials; ++trial) {
    for (double& s : samples) s = noise.time(1);
    const LatencySummary summary = *summarize_latency(samples);
    for (Row& row : rows) {
      const QuantileEstimate& estimate = summary.*row.estimate;
      EXPECT_GE(estimate.coverage, 0.95);
      row.covered +=
          estimate.interval.lower <= truth[row.probability] && truth[row.probability] <= estimate.interval.upper;
    }
  }
  for (const Row& row : rows) {
    EXPECT_GE(row.covered, kTrials * 935 / 1000) << row.probability;  // 95 % less three standard errors
    EXPECT_LE(row.covered, kTrials * 99 / 100) << row.probability;
  }
}

TEST(Speed, AClearDifferenceIsShown) {
  Noise noise(3);
  std::vector<double> base, candidate;
  for (int round = 0; round < 20; ++round) {
    base.push_back(100 + noise.uniform());
    candidate.push_back(80 + noise.uniform());
  }
  const SpeedComparison faster = *compare_speed(rounds_of(base), rounds_of(candidate));
  EXPECT_EQ(faster.verdict, SpeedVerdict::faster);
  EXPECT_EQ(speed_verdict_name(faster.verdict), "faster");
  EXPECT_EQ(faster.rounds, 20);
  EXPECT_NEAR(faster.ratio, 0.8, 0.01);
  EXPECT_LT(faster.interval.upper, 0.82);
  EXPECT_GE(faster.coverage, 0.95);
  const SpeedComparison slower = *compare_speed(rounds_of(candidate), rounds_of(base));
  EXPECT_EQ(slower.verdict, SpeedVerdict::slower);
  EXPECT_DOUBLE_EQ(slower.ratio, 1 / faster.ratio);
  EXPECT_DOUBLE_EQ(slower.interval.lower, 1 / faster.interval.upper);
}

TEST(Speed, TheIntervalIsThatOfTheSignTest) {
  // Ratios 0.81, 0.82, …, 1.00: of 20 rounds the 6th and the 15th.
  std::vector<double> base(20, 50), candidate;
  for (int i = 20; i >= 1; --i) candidate.push_back(50 * (0.8 + 0.01 * i));
  const SpeedComparison c = *compare_speed(rounds_of(base), rounds_of(candidate));
  EXPECT_NEAR(c.interval.lower, 0.86, 1e-12);
  EXPECT_NEAR(c.interval.upper, 0.95, 1e-12);
  EXPECT_NEAR(c.ratio, std::sqrt(0.9 * 0.91), 1e-12);
  EXPECT_NEAR(c.coverage, 0.9586, 5e-5);
}

TEST(Speed, AnIntervalThatHoldsOneShowsNoDifference) {
  // The candidate is faster in 14 of 20 rounds, by far in most of them: the sign test wants 15.
  std::vector<double> base(20, 100), candidate(20, 60);
  for (size_t i = 0; i < 6; ++i) candidate[i] = 101;
  SpeedComparison c = *compare_speed(rounds_of(base), rounds_of(candidate));
  EXPECT_LT(c.ratio, 1);
  EXPECT_GT(c.interval.upper, 1);
  EXPECT_EQ(c.verdict, SpeedVerdict::no_difference_shown);
  EXPECT_EQ(speed_verdict_name(c.verdict), "no difference shown");
  candidate[0] = 60;
  c = *compare_speed(rounds_of(base), rounds_of(candidate));
  EXPECT_LT(c.interval.upper, 1);
  EXPECT_EQ(c.verdict, SpeedVerdict::faster);
}

TEST(Speed, EqualModelsAreEqual) {
  const std::vector<double> times = {5, 6, 7, 5, 6, 7, 8, 9};
  const SpeedComparison c = *compare_speed(rounds_of(times), rounds_of(times));
  EXPECT_EQ(c.ratio, 1);
  EXPECT_EQ(c.interval, (Interval{1, 1}));
  EXPECT_EQ(c.verdict, SpeedVerdict::no_difference_shown);
}

TEST(Speed, OverlappingLatencyIntervalsShowNoDifference) {
  // Every pair says 1 % faster, yet the latencies, which wander by far more, overlap.
  std::vector<double> base, candidate;
  for (int i = 0; i < 20; ++i) {
    base.push_back(100 + 3 * i);
    candidate.push_back(0.99 * base.back());
  }
  TimedRounds a = rounds_of(base), b = rounds_of(candidate);
  const SpeedComparison c = *compare_speed(a, b);
  EXPECT_LT(c.interval.upper, 1);
  EXPECT_LT(a.median.lower, b.median.upper);
  EXPECT_EQ(c.verdict, SpeedVerdict::no_difference_shown);
  EXPECT_EQ(compare_speed(b, a)->verdict, SpeedVerdict::no_difference_shown);
  // Ends that touch overlap.
  a.median = {50, 60};
  b.median = {40, 50};
  EXPECT_EQ(compare_speed(a, b)->verdict, SpeedVerdict::no_difference_shown);
  EXPECT_EQ(compare_speed(b, a)->verdict, SpeedVerdict::no_difference_shown);
  b.median = {40, 49.99};
  EXPECT_EQ(compare_speed(a, b)->verdict, SpeedVerdict::faster);
  EXPECT_EQ(compare_speed(b, a)->verdict, SpeedVerdict::slower);
  // Latencies that contradict the pairs: neither.
  std::swap(a.median, b.median);
  EXPECT_EQ(compare_speed(a, b)->verdict, SpeedVerdict::no_difference_shown);
}

TEST(Speed, FewRoundsShowNoDifference) {
  for (size_t rounds = 1; rounds <= 8; ++rounds) {
    const TimedRounds base{std::vector<double>(rounds, 100), {99, 101}},
        half{std::vector<double>(rounds, 50), {49, 51}};
    const SpeedComparison c = *compare_speed(base, half);
    EXPECT_DOUBLE_EQ(c.ratio, 0.5);
    EXPECT_EQ(c.verdict, rounds < 6 ? SpeedVerdict::no_difference_shown : SpeedVerdict::faster) << rounds;
  }
}

TEST(Speed, SlowRoundsCancelInPairs) {
  Noise noise(4);
  std::vector<double> base, candidate;
  for (int round = 0; round < 40; ++round) {
    const double machine = round % 2 == 0 ? 1 : 1.8;  // a neighbour in every other round
    base.push_back(100 * machine * (1 + 0.002 * noise.uniform()));
    candidate.push_back(95 * machine * (1 + 0.002 * noise.uniform()));
  }
  const SpeedComparison c = *compare_speed(rounds_of(base), rounds_of(candidate));
  EXPECT_NEAR(c.ratio, 0.95, 0.002);
  EXPECT_LT(c.interval.upper - c.interval.lower, 0.003);
}

TEST(Speed, TheRatioIsCoveredAndEqualModelsAreRarelyToldApart) {
  constexpr int kTrials = 4000, kRounds = 24;
  int covered = 0, told_apart = 0;
  Noise noise(5);
  for (int trial = 0; trial < kTrials; ++trial) {
    const double truth = trial % 2 == 0 ? 1 : 1.03;
    std::vector<double> base, candidate;
    for (int round = 0; round < kRounds; ++round) {
      const double machine = noise.time(10);
      base.push_back(machine * noise.time(1));
      candidate.push_back(machine * truth * noise.time(1));
    }
    // Intervals of the latencies that never overlap, so that the ratio alone decides.
    const SpeedComparison c = *compare_speed({base, {1, 1}}, {candidate, {2, 2}});
    const SpeedComparison mirrored = *compare_speed({base, {2, 2}}, {candidate, {1, 1}});
    covered += c.interval.lower <= truth && truth <= c.interval.upper;
    told_apart += truth == 1 && (c.verdict != SpeedVerdict::no_difference_shown ||
                                 mirrored.verdict != SpeedVerdict::no_difference_shown);
  }
  EXPECT_GE(covered, kTrials * 945 / 1000);
  EXPECT_LE(covered, kTrials * 985 / 1000);
  EXPECT_LE(told_apart, kTrials / 2 * 6 / 100);
  EXPECT_GT(told_apart, 0);  // the trial is no trivial one
}

TEST(Speed, RefusesUnusableRounds) {
  EXPECT_EQ(compare_speed({{1, 2}, {}}, {{1}, {}}).error().message(),
            "rounds: found 2 of one model and 1 of the other, expected equally many, at least one\n"
            "  compare models that ran in the same rounds");
  EXPECT_FALSE(compare_speed({}, {}));
  EXPECT_EQ(compare_speed({{1, 0}, {}}, {{1, 1}, {}}).error().message(),
            "rounds: found the time 0 in round 1, expected a number above 0\n"
            "  use a clock that moves between two runs");
  EXPECT_FALSE(compare_speed({{1, NAN}, {}}, {{1, 1}, {}}));
}

TEST(RoundOrder, TwoModelsAlternate) {
  EXPECT_EQ(round_order(2, 0), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(round_order(2, 1), (std::vector<size_t>{1, 0}));
  EXPECT_EQ(round_order(2, 2), (std::vector<size_t>{0, 1}));
  EXPECT_EQ(round_order(1, 7), (std::vector<size_t>{0}));
}

TEST(RoundOrder, PlacesAndNeighboursAreBalanced) {
  for (size_t models = 2; models <= 9; ++models) {
    std::map<std::pair<size_t, size_t>, int> places, neighbours;
    const int64_t cycle = schedule_cycle(models);
    for (int64_t round = 0; round < cycle; ++round) {
      const auto order = round_order(models, round);
      ASSERT_EQ(order.size(), models);
      for (size_t i = 0; i < models; ++i) {
        ++places[{order[i], i}];
        if (i > 0) ++neighbours[{order[i - 1], order[i]}];
      }
    }
    EXPECT_EQ(places.size(), models * models);
    EXPECT_EQ(neighbours.size(), models * (models - 1)) << models;
    const int times = static_cast<int>(cycle) / static_cast<int>(models);
    for (const auto& [place, count] : places) EXPECT_EQ(count, times) << models;
    for (const auto& [pair, count] : neighbours) EXPECT_EQ(count, times) << models;
  }
}

}  // namespace
}  // namespace cupel
