// How fast a model runs, and whether another is faster. Nothing here assumes a distribution: run times have heavy tails
// and several modes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "assess/statistics.h"

namespace cupel {

// Quantiles of run times, each with the interval of estimate_quantile, which takes the runs for independent. In the
// unit of the samples.
struct LatencySummary {
  int64_t runs = 0;
  double mean = 0;
  QuantileEstimate median, p90, p95, p99;
};

// In any order. bad_input when there is no sample or one is not finite.
Result<LatencySummary> summarize_latency(std::vector<double> samples, double confidence = kDefaultConfidence);

// What was measured of one of several models that ran in turn, round by round.
struct TimedRounds {
  std::vector<double> medians;  // run time of each round
  Interval median;              // of the median of all runs
};

enum class SpeedVerdict { faster, slower, no_difference_shown };
// "faster", "slower", "no difference shown".
std::string_view speed_verdict_name(SpeedVerdict verdict);

// The candidate's time divided by the base's; below 1 the candidate is faster.
struct SpeedComparison {
  int64_t rounds = 0;
  double ratio = 1;   // exp of the median of the logarithms of the rounds' ratios
  Interval interval;  // that of the sign test: between two rounds' ratios, for any distribution of them
  double coverage = 0;
  SpeedVerdict verdict = SpeedVerdict::no_difference_shown;
};

// Rounds are compared in pairs, so that what slows a whole round down (clock, temperature, neighbours) cancels. Faster
// and slower need all of three: an interval that reaches `confidence` (6 rounds for 95 %), that excludes 1, and
// intervals of the two medians that do not overlap. For one pair of equal models the verdict is wrong with a
// probability of at most 1 − confidence. bad_input unless both have the same number of rounds, at least one, with times
// above 0.
Result<SpeedComparison> compare_speed(const TimedRounds& base, const TimedRounds& candidate,
                                      double confidence = kDefaultConfidence);

// Who runs when: `order[i]` of round `round` is the model that runs i-th. Over a whole number of cycles each of
// `models` is at each place equally often and follows each other one equally often (Williams' Latin squares, Australian
// Journal of Scientific Research A 2 (1949) 149-168); a cycle is schedule_cycle(models) rounds.
std::vector<size_t> round_order(size_t models, int64_t round);
int64_t schedule_cycle(size_t models);

}  // namespace cupel
