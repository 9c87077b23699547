// max |x − y| over max |x|, both over the elements of all samples; x of the base.
#include <algorithm>
#include <cmath>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& base, const Item& item, const MetricSettings&, std::vector<double>& parts) {
  double error = 0, largest = 0;
  const bool any = for_finite_pairs(base, item, [&](double x, double y) {
    error = std::max(error, std::abs(x - y));
    largest = std::max(largest, std::abs(x));
  });
  if (any) parts.insert(parts.end(), {error, largest});
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  double error = 0, largest = 0;
  bool any = false;
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const auto row = parts[i];
    if (row.empty() || weights[static_cast<size_t>(i)] == 0) continue;
    any = true;
    error = std::max(error, row[0]);
    largest = std::max(largest, row[1]);
  }
  if (!any) return std::numeric_limits<double>::quiet_NaN();
  return error == 0 ? 0 : error / largest;
}

}  // namespace

extern const MetricDef kLargestError{.name = "largest_error",
                                     .title = "largest error",
                                     .unit = "%",
                                     .meaning = "the largest difference of two elements, of the base's largest element",
                                     .better = Better::lower,
                                     .interval = IntervalKind::none,
                                     .refuses = needs_reals,
                                     .measure = measure,
                                     .figure = figure};

}  // namespace cupel::metrics
