#include "assess/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>

namespace cupel {
namespace {

namespace policies = boost::math::policies;
// Errors come back as NaN or infinity, never as exceptions; arguments are checked before.
using Quiet = policies::policy<
    policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
    policies::overflow_error<policies::ignore_error>, policies::underflow_error<policies::ignore_error>,
    policies::denorm_error<policies::ignore_error>, policies::evaluation_error<policies::ignore_error>,
    policies::rounding_error<policies::ignore_error>, policies::indeterminate_result_error<policies::ignore_error>>;
using Normal = boost::math::normal_distribution<double, Quiet>;
using Binomial = boost::math::binomial_distribution<double, Quiet>;

Status check_confidence(double confidence) {
  // Written so that NaN fails as well; 1 - confidence must be more than rounding error.
  if (!(confidence > 0 && confidence <= 1 - 1e-15))
    return bad_input("confidence", fmt::format("found {}, expected a number between 0 and 1", confidence),
                     "use 0.95 for a 95 % interval");
  return {};
}

Status check_counts(const PairedCounts& c) {
  // gained ≤ samples − lost instead of a sum, which could overflow.
  if (c.samples < 1 || c.lost < 0 || c.gained < 0 || c.lost > c.samples || c.gained > c.samples - c.lost)
    return bad_input("paired counts",
                     fmt::format("found {} lost and {} gained of {} samples, expected counts of at least 0 that add up "
                                 "to at most the samples, and at least one sample",
                                 c.lost, c.gained, c.samples),
                     "compare two models on the same samples");
  return {};
}

// z with P(|Z| ≤ z) = confidence.
double normal_quantile(double confidence) {
  return boost::math::quantile(boost::math::complement(Normal(), (1 - confidence) / 2));
}

// n·(2q + δ(1−δ)), the variance under the score statistic times n². Requires 0 ≤ δ ≤ 1, where both terms are ≥ 0 and
// nothing cancels; a negative δ is met by swapping the two models.
double scaled_variance(double n, double lost, double gained, double difference) {
  const double spread = difference * (1 - difference);
  const double a = 2 * n;
  const double b = -gained - lost + (2 * n - gained + lost) * difference;
  const double minus_c = lost * spread;
  const double root = std::sqrt(b * b + 4 * a * minus_c);
  // The root of a·q² + b·q + c that is ≥ 0, in the form that does not subtract nearly equal numbers.
  double q = 0;
  if (b <= 0) {
    q = (root - b) / (2 * a);
  } else {
    q = 2 * minus_c / (b + root);
  }
  return n * (2 * q + spread);
}

double score(double n, double lost, double gained, double difference) {
  if (difference < 0) return -score(n, gained, lost, -difference);
  const double distance = gained - lost - n * difference;
  if (distance == 0) return 0;
  return distance / std::sqrt(scaled_variance(n, lost, gained, difference));
}

// The largest δ in [estimate, 1] with T(δ) ≥ −z.
double upper_end(double n, double lost, double gained, double z) {
  if (lost == 0 && gained == 0) return z * z / (n + z * z);
  double inside = (gained - lost) / n;
  double outside = 1;
  if (inside >= 1) return 1;
  // T falls strictly, is 0 at the estimate and −infinity at 1.
  for (;;) {
    const double middle = inside + (outside - inside) / 2;
    if (middle <= inside || middle >= outside) return inside;
    (score(n, lost, gained, middle) >= -z ? inside : outside) = middle;
  }
}

}  // namespace

double normal_quantile_at(double probability) { return boost::math::quantile(Normal(), probability); }
double normal_probability(double z) { return boost::math::cdf(Normal(), z); }

double student_quantile_at(double probability, double degrees_of_freedom) {
  return boost::math::quantile(boost::math::students_t_distribution<double, Quiet>(degrees_of_freedom), probability);
}

Result<Interval> wilson_interval(int64_t successes, int64_t trials, double confidence) {
  CUPEL_TRY(check_confidence(confidence));
  if (trials < 1 || successes < 0 || successes > trials)
    return bad_input("proportion",
                     fmt::format("found {} successes in {} trials, expected at least one trial and no more successes "
                                 "than trials",
                                 successes, trials),
                     "evaluate on at least one sample");
  const double n = static_cast<double>(trials);
  const double p = static_cast<double>(successes) / n;
  const double z = normal_quantile(confidence);
  const double z2n = z * z / n;
  const double center = p + z2n / 2;
  const double half = z * std::sqrt(p * (1 - p) / n + z2n / (4 * n));
  Interval interval{(center - half) / (1 + z2n), (center + half) / (1 + z2n)};
  if (successes == 0) interval.lower = 0;
  if (successes == trials) interval.upper = 1;
  return interval;
}

Result<double> tango_score(const PairedCounts& counts, double difference) {
  CUPEL_TRY(check_counts(counts));
  if (!(difference >= -1 && difference <= 1))
    return bad_input("difference", fmt::format("found {}, expected a number from -1 to 1", difference),
                     "give a difference of two proportions");
  return score(static_cast<double>(counts.samples), static_cast<double>(counts.lost),
               static_cast<double>(counts.gained), difference);
}

Result<Interval> tango_interval(const PairedCounts& counts, double confidence) {
  CUPEL_TRY(check_counts(counts));
  CUPEL_TRY(check_confidence(confidence));
  const double n = static_cast<double>(counts.samples);
  const double lost = static_cast<double>(counts.lost);
  const double gained = static_cast<double>(counts.gained);
  const double z = normal_quantile(confidence);
  return Interval{0.0 - upper_end(n, gained, lost, z), upper_end(n, lost, gained, z)};
}

Result<double> mcnemar_exact_p(const PairedCounts& counts) {
  CUPEL_TRY(check_counts(counts));
  const int64_t discordant = counts.lost + counts.gained;
  if (discordant == 0) return 1.0;
  const double tail = boost::math::cdf(Binomial(static_cast<double>(discordant), 0.5),
                                       static_cast<double>(std::min(counts.lost, counts.gained)));
  return std::min(1.0, 2 * tail);
}

Result<QuantileEstimate> estimate_quantile(std::span<const double> sorted, double probability, double confidence) {
  CUPEL_TRY(check_confidence(confidence));
  if (!(probability > 0 && probability < 1))
    return bad_input("quantile", fmt::format("found probability {}, expected a number between 0 and 1", probability),
                     "use 0.5 for the median");
  if (sorted.empty()) return bad_input("quantile", "found no sample, expected at least one", "measure at least once");
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (!std::isfinite(sorted[i]))
      return bad_input("quantile", fmt::format("found {} as sample {}, expected a finite number", sorted[i], i),
                       "remove it and say so");
    if (i > 0 && sorted[i] < sorted[i - 1])
      return bad_input(
          "quantile",
          fmt::format("found {} after {} as sample {}, expected ascending order", sorted[i], sorted[i - 1], i),
          "sort the samples");
  }
  const size_t n = sorted.size();
  const double position = probability * static_cast<double>(n - 1);
  const size_t below = std::min(static_cast<size_t>(position), n - 1);
  const size_t above = std::min(below + 1, n - 1);
  const double share = position - static_cast<double>(below);
  QuantileEstimate estimate;
  estimate.value = sorted[below] + share * (sorted[above] - sorted[below]);

  const Binomial count(static_cast<double>(n), probability);
  const double tail = (1 - confidence) / 2;
  // at_most(k) = P(X ≤ k), more_than(k) = P(X > k) for k from −1.
  auto at_most = [&](int64_t k) { return k < 0 ? 0.0 : boost::math::cdf(count, static_cast<double>(k)); };
  auto more_than = [&](int64_t k) {
    return k < 0 ? 1.0 : boost::math::cdf(boost::math::complement(count, static_cast<double>(k)));
  };
  const int64_t samples = static_cast<int64_t>(n);
  // Bisection for the largest l in [0, n] with at_most(l − 1) ≤ tail; 0 stands for "none".
  int64_t l = 0;
  for (int64_t beyond = samples + 1; beyond - l > 1;) {
    const int64_t middle = l + (beyond - l) / 2;
    (at_most(middle - 1) <= tail ? l : beyond) = middle;
  }
  // The smallest u in [1, n + 1] with more_than(u − 1) ≤ tail; n + 1 stands for "none".
  int64_t u = samples + 1;
  for (int64_t beyond = 0; u - beyond > 1;) {
    const int64_t middle = beyond + (u - beyond) / 2;
    (more_than(middle - 1) <= tail ? u : beyond) = middle;
  }
  l = std::max<int64_t>(l, 1);
  u = std::min(u, samples);
  estimate.interval = {sorted[static_cast<size_t>(l - 1)], sorted[static_cast<size_t>(u - 1)]};
  estimate.coverage = 1 - at_most(l - 1) - more_than(u - 1);
  return estimate;
}

}  // namespace cupel
