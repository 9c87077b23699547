#include "assess/task_metric.h"

#include <fmt/format.h>

#include <cmath>

#include "assess/sentences.h"

namespace cupel {

Shown shown(const MetricDef& metric, const MetricDifference& difference) {
  if (!difference.interval || (difference.interval->lower <= 0 && difference.interval->upper >= 0))
    return Shown::no_difference;
  return (difference.value > 0) == (metric.better == Better::higher) ? Shown::better : Shown::worse;
}

std::string_view shown_name(Shown s) {
  switch (s) {
    case Shown::worse: return "worse";
    case Shown::better: return "better";
    case Shown::no_difference: break;
  }
  return "no difference shown";
}

std::string difference_text(const MetricDef& metric, double difference, int64_t samples) {
  if (!std::isfinite(difference)) return metric_text(metric, difference, samples);
  const char* sign = difference < 0 ? "-" : "+";
  if (metric.unit == "%") return sign + points_text(difference, samples);
  std::string text = fmt::format("{}{:.3g}", sign, std::abs(difference));
  return metric.unit.empty() ? text : fmt::format("{} {}", text, metric.unit);
}

}  // namespace cupel
