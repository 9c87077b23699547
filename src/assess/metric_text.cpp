#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assess/metric.h"
#include "assess/sentences.h"

namespace cupel {

std::string metric_text(const MetricDef& metric, double value, int64_t samples) {
  if (std::isnan(value)) return "no value";
  if (std::isinf(value)) return metric.unit == "dB" && value > 0 ? "identical" : value > 0 ? "infinite" : "-infinite";
  if (metric.unit == "%") return percent_text(value, samples);
  if (metric.unit == "dB") return fmt::format("{:.1f} dB", value);
  // Close to 1 what lacks is of interest.
  std::string number = fmt::format("{:.4g}", value);
  if (value >= 0.9 && value < 1)
    number = fmt::format("{:.{}f}", value, std::clamp(static_cast<int>(std::ceil(-std::log10(1 - value))) + 2, 4, 9));
  return metric.unit.empty() ? number : fmt::format("{} {}", number, metric.unit);
}

std::string metric_text(const MetricDef& metric, const MetricValue& value) {
  std::string text = metric_text(metric, value.value, value.samples);
  if (!value.interval || std::isinf(value.value)) return text;
  const auto bare = [&](double x) {
    std::string end = metric_text(metric, x, value.samples);
    if (end.ends_with(metric.unit)) end.resize(end.size() - metric.unit.size());
    while (end.ends_with(' ')) end.pop_back();
    return end;
  };
  return fmt::format("{} [{}, {}]", text, bare(value.interval->lower), bare(value.interval->upper));
}

}  // namespace cupel
