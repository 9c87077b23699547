// Mean intersection over union: for each class, the pixels of all samples that label and prediction both give it over
// those that either gives it; the mean over classes that occur. Labels are integers [height, width]; pixels of the
// label `ignore` do not count. The prediction is such a map, or the class of the largest score along the one axis that
// it has more, first or last.
#include <cmath>
#include <limits>
#include <map>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

// The axis of the scores: −1 for a map of classes, −2 where the dimensions do not fit.
int64_t class_axis(const Dims& output, const Dims& label) {
  const Dims wide = without_ones(output), map = without_ones(label);
  if (wide == map) return -1;
  if (output.size() < 2) return -2;
  if (without_ones(Dims(output.begin() + 1, output.end())) == map) return 0;
  if (without_ones(Dims(output.begin(), output.end() - 1)) == map) return static_cast<int64_t>(output.size()) - 1;
  return -2;
}

std::string refuses(const OutputForm& output, const OutputForm& label) {
  if (is_float(label.dtype)) return "the labels are no integers";
  const int64_t axis = class_axis(output.dims, label.dims);
  if (axis == -2) return "it has neither the dimensions of a label nor one axis more, first or last";
  return axis == -1 && is_float(output.dtype) ? "a map of classes holds integers" : "";
}

void measure(const OutputForm& form, const Item& label, const Item& item, const MetricSettings& settings,
             std::vector<double>& parts) {
  OutputForm scores = form;
  scores.axis = class_axis(form.dims, label.tensor.dims());
  const int64_t classes = scores.classes(), stride = scores.class_stride();
  const double ignored = settings.find("ignore")->second;
  struct Counts {
    double both = 0, either = 0;
  };
  std::map<double, Counts> counts;
  for (int64_t p = 0; p < scores.positions(); ++p) {
    const double wanted = label.numbers[static_cast<size_t>(p)];
    if (wanted == ignored) continue;
    const int64_t first = p / stride * stride * classes + p % stride;
    const double found = scores.axis < 0 ? item.numbers[static_cast<size_t>(p)]
                                         : static_cast<double>(arg_max(item.numbers.data() + first, classes, stride));
    counts[wanted].either += 1;
    if (found == wanted) {
      counts[wanted].both += 1;
    } else {
      counts[found].either += 1;
    }
  }
  for (const auto& [name, count] : counts) parts.insert(parts.end(), {name, count.both, count.either});
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  std::map<double, std::pair<double, double>> sums;  // both, either
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const double weight = weights[static_cast<size_t>(i)];
    if (weight == 0) continue;
    const auto row = parts[i];
    for (size_t k = 0; k + 2 < row.size(); k += 3) {
      auto& sum = sums[row[k]];
      sum.first += weight * row[k + 1];
      sum.second += weight * row[k + 2];
    }
  }
  double total = 0;
  for (const auto& [name, sum] : sums) total += sum.first / sum.second;
  return sums.empty() ? std::numeric_limits<double>::quiet_NaN() : total / static_cast<double>(sums.size());
}

}  // namespace

extern const MetricDef kMeanIou{
    .name = "miou",
    .title = "mean IoU",
    .unit = "%",
    .meaning = "pixels of a class that label and prediction share, over those of either; the mean over classes",
    .judge = Judge::labels,
    .settings = {{"ignore", -1, -1e9, 1e9}},
    .refuses = refuses,
    .measure = measure,
    .figure = figure};

}  // namespace cupel::metrics
