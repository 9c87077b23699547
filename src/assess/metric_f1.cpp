// F1 = 2·tp / (2·tp + fp + fn) of "the number is at least `threshold`" against labels of 0 and 1, over all samples;
// with several numbers a sample the mean over them (macro); 0 where nothing is found or to be found, as scikit-learn
// has it.
#include <algorithm>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& label, const Item& item, const MetricSettings& settings,
             std::vector<double>& parts) {
  if (!all_finite(item)) return;
  for (size_t i = 0; i < item.numbers.size(); ++i) {
    const bool found = item.numbers[i] >= settings.find("threshold")->second, right = label.numbers[i] == 1;
    parts.insert(parts.end(), {static_cast<double>(found && right), static_cast<double>(found != right)});
  }
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  std::vector<double> sums;  // tp, fp + fn of each number
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const auto row = parts[i];
    const double weight = weights[static_cast<size_t>(i)];
    sums.resize(std::max(sums.size(), row.size()));
    for (size_t k = 0; k < row.size(); ++k) sums[k] += weight * row[k];
  }
  if (sums.empty()) return std::numeric_limits<double>::quiet_NaN();
  double total = 0;
  for (size_t k = 0; k < sums.size(); k += 2)
    if (sums[k] > 0) total += 2 * sums[k] / (2 * sums[k] + sums[k + 1]);
  return total / (static_cast<double>(sums.size()) / 2);
}

}  // namespace

extern const MetricDef kF1{.name = "f1",
                           .title = "F1",
                           .unit = "%",
                           .meaning = "harmonic mean of precision and recall of numbers above the threshold",
                           .judge = Judge::labels,
                           .settings = {{"threshold", 0.5, -1e30, 1e30}},
                           .refuses = needs_binary_labels,
                           .measure = measure,
                           .figure = figure};

}  // namespace cupel::metrics
