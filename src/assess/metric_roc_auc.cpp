// Area under the ROC curve: the share of pairs of a sample of label 1 and one of label 0 in which the first has the
// higher number, equal ones counting half (Mann and Whitney). With several numbers a sample the mean over those that
// have both labels.
#include <algorithm>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& label, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  if (!all_finite(item)) return;
  for (size_t i = 0; i < item.numbers.size(); ++i)
    parts.insert(parts.end(), {item.numbers[i], label.numbers[i] == 1 ? 1.0 : 0.0});
}

struct Scored {
  double score, positive, negative;
};

double area(std::vector<Scored>& scored) {
  std::ranges::sort(scored, {}, &Scored::score);
  double wins = 0, below = 0, positives = 0;  // below: negatives with a lower score
  for (size_t begin = 0; begin < scored.size();) {
    double positive = 0, negative = 0;
    size_t end = begin;
    for (; end < scored.size() && scored[end].score == scored[begin].score; ++end) {
      positive += scored[end].positive;
      negative += scored[end].negative;
    }
    wins += positive * (below + negative / 2);
    below += negative;
    positives += positive;
    begin = end;
  }
  return wins / (positives * below);  // NaN without both
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  size_t numbers = 0;
  for (int64_t i = 0; i < parts.samples() && numbers == 0; ++i) numbers = parts[i].size() / 2;
  double total = 0, counted = 0;
  std::vector<Scored> scored;
  for (size_t k = 0; k < numbers; ++k) {
    scored.clear();
    for (int64_t i = 0; i < parts.samples(); ++i) {
      const auto row = parts[i];
      const double weight = weights[static_cast<size_t>(i)];
      if (!row.empty() && weight > 0)
        scored.push_back({row[2 * k], weight * row[2 * k + 1], weight * (1 - row[2 * k + 1])});
    }
    const double a = area(scored);
    if (a == a) total += a, counted += 1;
  }
  return counted > 0 ? total / counted : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

extern const MetricDef kRocAuc{
    .name = "auc",
    .title = "ROC AUC",
    .unit = "",
    .meaning = "share of pairs of a positive and a negative sample that the numbers put in order",
    .judge = Judge::labels,
    .refuses = needs_binary_labels,
    .measure = measure,
    .figure = figure};

}  // namespace cupel::metrics
