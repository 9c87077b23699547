// Spearman's rank correlation of one prediction and one label for each sample; equal ones share their mean rank. The
// prediction is an output of one number, or the cosine of the two rows of an output [2, n] (two embeddings).
#include <algorithm>
#include <cmath>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

bool is_pair(const OutputForm& form) { return form.dims.size() == 2 && form.dims[0] == 2 && form.dims[1] > 1; }

std::string refuses(const OutputForm& output, const OutputForm& label) {
  if (elements_of(label) != 1) return "a label is not one number";
  return elements_of(output) == 1 || is_pair(output) ? "" : "a sample has neither one number nor two rows";
}

void measure(const OutputForm& form, const Item& label, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  double prediction = item.numbers[0];
  if (is_pair(form)) {
    const auto n = static_cast<size_t>(form.dims[1]);
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; ++i) {
      const double x = item.numbers[i], y = item.numbers[n + i];
      xx += x * x;
      yy += y * y;
      xy += x * y;
    }
    prediction = xy / std::sqrt(xx * yy);
  }
  if (std::isfinite(prediction) && std::isfinite(label.numbers[0]))
    parts.insert(parts.end(), {prediction, label.numbers[0]});
}

struct Ranked {
  double value, weight;
  size_t sample;
};

// Mean ranks of samples that count weight times, from 0.
void rank(std::vector<Ranked>& values, std::vector<double>& ranks) {
  std::ranges::sort(values, {}, &Ranked::value);
  double before = 0;
  for (size_t begin = 0; begin < values.size();) {
    size_t end = begin;
    double weight = 0;
    while (end < values.size() && values[end].value == values[begin].value) weight += values[end++].weight;
    for (size_t i = begin; i < end; ++i) ranks[values[i].sample] = before + (weight - 1) / 2;
    before += weight;
    begin = end;
  }
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  const auto samples = static_cast<size_t>(parts.samples());
  std::vector<double> ranks[2] = {std::vector<double>(samples), std::vector<double>(samples)};
  std::vector<Ranked> values;
  for (size_t side = 0; side < 2; ++side) {
    values.clear();
    for (size_t i = 0; i < samples; ++i) {
      const auto row = parts[static_cast<int64_t>(i)];
      if (!row.empty() && weights[i] > 0) values.push_back({row[side], static_cast<double>(weights[i]), i});
    }
    rank(values, ranks[side]);
  }
  double count = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  for (const Ranked& v : values) count += v.weight;
  const double middle = (count - 1) / 2;  // the mean rank
  for (const Ranked& v : values) {
    x = ranks[0][v.sample] - middle;
    y = ranks[1][v.sample] - middle;
    xx += v.weight * x * x;
    yy += v.weight * y * y;
    xy += v.weight * x * y;
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

extern const MetricDef kSpearman{.name = "spearman",
                                 .title = "Spearman correlation",
                                 .unit = "",
                                 .meaning = "correlation of the ranks of predictions and labels",
                                 .judge = Judge::labels,
                                 .refuses = refuses,
                                 .measure = measure,
                                 .figure = figure};

}  // namespace cupel::metrics
