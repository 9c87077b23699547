// Root of the mean square of the difference from the label, over the elements of all samples.
#include <cmath>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& label, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  double squares = 0;
  for (size_t i = 0; i < item.numbers.size(); ++i) {
    const double d = item.numbers[i] - label.numbers[i];
    squares += d * d;
  }
  if (std::isfinite(squares) && !item.numbers.empty())
    parts.insert(parts.end(), {squares, static_cast<double>(item.numbers.size())});
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  return std::sqrt(weighted_sum(parts, weights, 0).sum / weighted_sum(parts, weights, 1).sum);
}

}  // namespace

extern const MetricDef kRmse{.name = "rmse",
                             .title = "RMSE",
                             .unit = "",
                             .meaning = "root of the mean square of the difference from the label",
                             .judge = Judge::labels,
                             .better = Better::lower,
                             .refuses = needs_equal_dims,
                             .measure = measure,
                             .figure = figure};

}  // namespace cupel::metrics
