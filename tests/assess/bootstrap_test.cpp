#include "assess/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

namespace cupel {
namespace {

Figure mean_of(std::vector<double> values) {
  return [values = std::move(values)](std::span<const uint32_t> weights) {
    double sum = 0, count = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      sum += weights[i] * values[i];
      count += weights[i];
    }
    return sum / count;
  };
}

std::vector<double> counted(int n) {
  std::vector<double> values(static_cast<size_t>(n));
  std::iota(values.begin(), values.end(), 1.0);
  return values;
}

TEST(Bootstrap, IntervalOfAMeanIsThatOfTheNormalTheory) {
  // The mean of 1 … 400 is 200.5, its standard error sqrt((400² − 1) / 12 / 400) = 5.774.
  const auto intervals = bootstrap(std::vector<Figure>{mean_of(counted(400))}, 400);
  ASSERT_TRUE(intervals[0]);
  EXPECT_NEAR(intervals[0]->lower, 200.5 - 1.96 * 5.774, 0.8);
  EXPECT_NEAR(intervals[0]->upper, 200.5 + 1.96 * 5.774, 0.8);
}

TEST(Bootstrap, IsTheSameEveryTimeAndDependsOnTheSeed) {
  const std::vector<Figure> figures = {mean_of(counted(50))};
  EXPECT_EQ(bootstrap(figures, 50), bootstrap(figures, 50));
  EXPECT_NE(bootstrap(figures, 50), bootstrap(figures, 50, {.seed = 2}));
}

TEST(Bootstrap, FiguresShareTheirResamples) {
  // Two figures that differ by 3 on every sample: the difference has no spread at all.
  std::vector<double> more = counted(60);
  for (double& x : more) x += 3;
  const Figure a = mean_of(counted(60)), b = mean_of(more);
  const Figure difference = [&](std::span<const uint32_t> w) { return std::round((b(w) - a(w)) * 1e9) / 1e9; };
  const auto intervals = bootstrap(std::vector<Figure>{a, b, difference}, 60);
  EXPECT_EQ(intervals[2], (Interval{3, 3}));
  EXPECT_NEAR(intervals[1]->lower - intervals[0]->lower, 3, 1e-9);
}

TEST(Bootstrap, IsAccelerated) {
  // Squares of 1 … 40: the interval reaches further above the mean than below it.
  std::vector<double> squares = counted(40);
  for (double& x : squares) x *= x * x;
  const Figure mean = mean_of(squares);
  const double value = mean(std::vector<uint32_t>(40, 1));
  const auto interval = bootstrap(std::vector<Figure>{mean}, 40)[0];
  EXPECT_GT((interval->upper - value) / (value - interval->lower), 1.2);
}

TEST(Bootstrap, SaysNothingOfTooFewSamples) {
  EXPECT_FALSE(bootstrap(std::vector<Figure>{mean_of(counted(9))}, 9)[0]);
  EXPECT_TRUE(bootstrap(std::vector<Figure>{mean_of(counted(10))}, 10)[0]);
}

TEST(Bootstrap, InfinityIsANumberAndNanIsNone) {
  const double infinity = std::numeric_limits<double>::infinity();
  const Figure infinite = [&](std::span<const uint32_t>) { return infinity; };
  const Figure none = [](std::span<const uint32_t>) { return std::nan(""); };
  const auto intervals = bootstrap(std::vector<Figure>{infinite, none}, 20);
  EXPECT_EQ(intervals[0], (Interval{infinity, infinity}));
  EXPECT_FALSE(intervals[1]);
}

}  // namespace
}  // namespace cupel
