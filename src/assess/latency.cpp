#include "assess/latency.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cupel {

Result<LatencySummary> summarize_latency(std::vector<double> samples, double confidence) {
  std::sort(samples.begin(), samples.end());
  LatencySummary summary;
  summary.runs = static_cast<int64_t>(samples.size());
  summary.median = CUPEL_TRY(estimate_quantile(samples, 0.5, confidence));
  summary.p90 = CUPEL_TRY(estimate_quantile(samples, 0.9, confidence));
  summary.p95 = CUPEL_TRY(estimate_quantile(samples, 0.95, confidence));
  summary.p99 = CUPEL_TRY(estimate_quantile(samples, 0.99, confidence));
  summary.mean = std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
  return summary;
}

std::string_view speed_verdict_name(SpeedVerdict verdict) {
  switch (verdict) {
    case SpeedVerdict::faster: return "faster";
    case SpeedVerdict::slower: return "slower";
    case SpeedVerdict::no_difference_shown: break;
  }
  return "no difference shown";
}

Result<SpeedComparison> compare_speed(const TimedRounds& base, const TimedRounds& candidate, double confidence) {
  if (base.medians.size() != candidate.medians.size() || base.medians.empty())
    return bad_input("rounds",
                     fmt::format("found {} of one model and {} of the other, expected equally many, at least one",
                                 base.medians.size(), candidate.medians.size()),
                     "compare models that ran in the same rounds");
  std::vector<double> logarithms;
  for (size_t i = 0; i < base.medians.size(); ++i) {
    for (double time : {base.medians[i], candidate.medians[i]})
      if (!(time > 0) || !std::isfinite(time))
        return bad_input("rounds", fmt::format("found the time {} in round {}, expected a number above 0", time, i),
                         "use a clock that moves between two runs");
    logarithms.push_back(std::log(candidate.medians[i] / base.medians[i]));
  }
  std::sort(logarithms.begin(), logarithms.end());
  const QuantileEstimate median = CUPEL_TRY(estimate_quantile(logarithms, 0.5, confidence));
  SpeedComparison comparison;
  comparison.rounds = static_cast<int64_t>(logarithms.size());
  comparison.ratio = std::exp(median.value);
  comparison.interval = {std::exp(median.interval.lower), std::exp(median.interval.upper)};
  comparison.coverage = median.coverage;
  if (median.coverage < confidence) return comparison;
  if (median.interval.upper < 0 && candidate.median.upper < base.median.lower)
    comparison.verdict = SpeedVerdict::faster;
  if (median.interval.lower > 0 && base.median.upper < candidate.median.lower)
    comparison.verdict = SpeedVerdict::slower;
  return comparison;
}

int64_t schedule_cycle(size_t models) {
  const auto count = static_cast<int64_t>(models);
  return models > 1 && models % 2 == 1 ? 2 * count : std::max<int64_t>(count, 1);
}

std::vector<size_t> round_order(size_t models, int64_t round) {
  // 0, 1, n−1, 2, n−2, …: neighbours differ by each amount once (n even); for n odd the mirrored square gives the rest.
  std::vector<size_t> order;
  const auto shift = static_cast<size_t>(round % static_cast<int64_t>(models));
  for (size_t i = 0; i < models; ++i) {
    const size_t entry = i % 2 == 1 ? (i + 1) / 2 : (models - i / 2) % models;
    order.push_back((entry + shift) % models);
  }
  if (models % 2 == 1 && round / static_cast<int64_t>(models) % 2 == 1) std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace cupel
