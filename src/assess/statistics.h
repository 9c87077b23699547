// Intervals and tests for proportions, paired proportions and quantiles.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"

namespace cupel {

// A closed interval, lower ≤ upper.
struct Interval {
  double lower = 0;
  double upper = 0;
  bool operator==(const Interval&) const = default;
};

// Outcomes of one set of samples judged by two classifiers. Only the discordant pairs are named: `lost` samples are
// right under the first and wrong under the second, `gained` samples the other way round. All counts are ≥ 0 and lost +
// gained ≤ samples; every function below returns bad_input otherwise, or when samples is 0.
struct PairedCounts {
  int64_t samples = 0;
  int64_t lost = 0;
  int64_t gained = 0;
};

inline constexpr double kDefaultConfidence = 0.95;

// Two-sided score interval of a proportion (Wilson 1927), p = successes / trials, z the normal quantile of
// `confidence`:
//   (p + z²/2n ± z·sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n)
// Exactly 0 below when there is no success, exactly 1 above when there is no failure.
// bad_input unless 0 ≤ successes ≤ trials, trials ≥ 1 and 0 < confidence < 1.
Result<Interval> wilson_interval(int64_t successes, int64_t trials, double confidence = kDefaultConfidence);

// Tango's score statistic for a difference δ = P(right under second) − P(right under first), −1 ≤ δ ≤ 1:
//   T(δ) = (g − l − nδ) / sqrt(n·(2q + δ(1−δ)))
// where n = samples, g = gained, l = lost, and q is the maximum-likelihood probability of `lost` under the constraint
// P(gained) − P(lost) = δ:  q = (sqrt(B² − 4AC) − B) / 2A,  A = 2n,  B = −g − l + (2n − g + l)δ,  C = −l·δ(1−δ).
// Source: T. Tango, Statistics in Medicine 17 (1998) 891-908. Falls strictly in δ; 0/0 counts as 0, x/0 as ±infinity.
Result<double> tango_score(const PairedCounts& counts, double difference);

// Tango's interval: all δ in [−1, 1] with |T(δ)| ≤ z. Its ends are found by bisection to the last bit. Holds its level
// where Wald's does not: few or no discordant pairs, small n. With lost = gained = 0 it is ±z²/(n + z²).
Result<Interval> tango_interval(const PairedCounts& counts, double confidence = kDefaultConfidence);

// McNemar's exact test of "both are right equally often": two-sided binomial,
//   p = min(1, 2·P(X ≤ min(lost, gained))),  X ~ Binomial(lost + gained, 1/2).   1 without a discordant pair.
Result<double> mcnemar_exact_p(const PairedCounts& counts);

// The standard normal distribution: z with P(Z ≤ z) = probability, in (0, 1); and P(Z ≤ z).
double normal_quantile_at(double probability);
double normal_probability(double z);
// t with P(T ≤ t) = probability of Student's distribution.
double student_quantile_at(double probability, double degrees_of_freedom);

// A quantile and an interval between two of the samples that covers the true quantile of their distribution, whatever
// that distribution is. `coverage` is the probability that it does; it is below the level asked for only when even
// the smallest and the largest sample do not reach it, and then the interval is from the smallest to the largest.
struct QuantileEstimate {
  double value = 0;
  Interval interval;
  double coverage = 0;
};

// Quantile `probability` of samples sorted ascending, linear between neighbours (NumPy's default, Hyndman and Fan 7).
// The interval takes the order statistics l and u (counted from 1) with P(X < l) ≤ α/2 and P(X ≥ u) ≤ α/2, l largest
// and u smallest, X ~ Binomial(n, probability), α = 1 − confidence (H. A. David, H. N. Nagaraja, Order Statistics, 3rd
// edition, 2003, 7.1; for the median it is the interval of the sign test). bad_input when there is no sample, a sample
// is not finite, or they are not sorted; or unless 0 < probability < 1.
Result<QuantileEstimate> estimate_quantile(std::span<const double> sorted, double probability,
                                           double confidence = kDefaultConfidence);

}  // namespace cupel
