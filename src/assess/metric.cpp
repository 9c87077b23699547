#include "assess/metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "assess/metric_table.h"

namespace cupel {
namespace {

constexpr auto kTable = std::to_array<const MetricDef*>({
#define CUPEL_METRIC(name) &metrics::k##name,
#include "assess/metrics.def"
#undef CUPEL_METRIC
});

constexpr double kSumTolerance = 1e-3;

int64_t product(const Dims& dims, size_t begin, size_t end) {
  int64_t n = 1;
  for (size_t i = begin; i < end; ++i) n *= dims[i];
  return n;
}

// Whether the numbers along form.axis are probabilities at every position, or their logarithms.
bool are_probabilities(const Item& item, const OutputForm& form, bool logarithms) {
  const int64_t classes = form.classes(), stride = form.class_stride();
  for (int64_t p = 0; p < form.positions(); ++p) {
    const double* first = item.numbers.data() + p / stride * stride * classes + p % stride;
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const double x = first[c * stride];
      if (logarithms ? !(x <= kSumTolerance) : !(x >= -kSumTolerance)) return false;
      sum += logarithms ? std::exp(x) : x;
    }
    if (!(std::abs(sum - 1) <= kSumTolerance)) return false;
  }
  return true;
}

// One share of each sample, every one 0 or 1, as a count; nullopt where one is neither.
struct Counts {
  int64_t ones = 0, samples = 0;
};
std::optional<Counts> binary_counts(const SampleParts& parts) {
  Counts counts;
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const auto row = parts[i];
    if (row.empty()) continue;
    if (row[0] != 0 && row[0] != 1) return std::nullopt;
    counts.ones += row[0] == 1;
    ++counts.samples;
  }
  return counts;
}

MetricValue value_of(const MetricDef& metric, const SampleParts& parts, const MetricSettings& settings) {
  const std::vector<uint32_t> once(static_cast<size_t>(parts.samples()), 1);
  MetricValue value;
  value.left_out = parts.without_value();
  value.samples = parts.samples() - value.left_out;
  value.value = value.samples > 0 ? metric.figure(parts, once, settings) : std::numeric_limits<double>::quiet_NaN();
  return value;
}

}  // namespace

int64_t OutputForm::positions() const { return product(dims, 0, dims.size()) / std::max<int64_t>(classes(), 1); }
int64_t OutputForm::classes() const { return axis < 0 ? 1 : dims[static_cast<size_t>(axis)]; }
int64_t OutputForm::class_stride() const {
  return axis < 0 ? 1 : product(dims, static_cast<size_t>(axis) + 1, dims.size());
}

Item item_of(Tensor tensor) {
  Item item{std::move(tensor), {}};
  const Tensor& t = item.tensor;
  item.numbers.resize(static_cast<size_t>(t.size()));
  if (t.dtype() == DType::f32) {
    std::ranges::copy(t.data<float>(), item.numbers.begin());
  } else {
    for (int64_t i = 0; i < t.size(); ++i) item.numbers[static_cast<size_t>(i)] = t.at(i);
  }
  return item;
}

OutputForm form_of(const Item& item) {
  OutputForm form{item.tensor.dtype(), item.tensor.dims(), Scores::none, -1};
  if (!is_float(form.dtype) || item.numbers.empty()) return form;
  std::vector<int64_t> wide;  // axes of more than one element
  for (size_t d = 0; d < form.dims.size(); ++d)
    if (form.dims[d] > 1) wide.push_back(static_cast<int64_t>(d));
  std::vector<int64_t> axes = wide;
  if (wide.size() > 1) axes = {static_cast<int64_t>(form.dims.size()) - 1, 0};
  for (const int64_t axis : axes) {
    if (form.dims[static_cast<size_t>(axis)] < 2) continue;
    OutputForm found = form;
    found.axis = axis;
    for (const Scores scores : {Scores::probabilities, Scores::log_probabilities})
      if (are_probabilities(item, found, scores == Scores::log_probabilities)) {
        found.scores = scores;
        return found;
      }
  }
  if (wide.size() == 1) {
    form.axis = wide[0];
    form.scores = Scores::scores;
  }
  return form;
}

void SampleParts::add(std::span<const double> parts) {
  parts_.insert(parts_.end(), parts.begin(), parts.end());
  ends_.push_back(parts_.size());
}

std::span<const double> SampleParts::operator[](int64_t sample) const {
  const auto i = static_cast<size_t>(sample);
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::span(parts_).subspan(begin, ends_[i] - begin);
}

int64_t SampleParts::without_value() const {
  int64_t count = 0;
  for (int64_t i = 0; i < samples(); ++i) count += (*this)[i].empty();
  return count;
}

SampleParts SampleParts::where(const SampleParts& other) const {
  SampleParts result;
  for (int64_t i = 0; i < samples(); ++i) result.add(other[i].empty() ? std::span<const double>() : (*this)[i]);
  return result;
}

std::span<const MetricDef* const> all_metrics() { return kTable; }

const MetricDef* find_metric(std::string_view name) {
  const auto row = std::ranges::find(kTable, name, &MetricDef::name);
  return row == kTable.end() ? nullptr : *row;
}

std::string label_metric_names() {
  std::string names;
  for (const MetricDef* m : kTable)
    if (m->judge != Judge::base) names += (names.empty() ? "" : ", ") + std::string(m->name);
  return names;
}

MetricResult summarize(const MetricDef& metric, std::span<const SampleParts> parts, const MetricSettings& settings,
                       const BootstrapOptions& options) {
  MetricResult result;
  std::vector<SampleParts> first, second;  // of the differences, on the samples that both have
  for (const SampleParts& p : parts) result.models.push_back(value_of(metric, p, settings));
  for (size_t i = 1; i < parts.size(); ++i) {
    first.push_back(parts[0].where(parts[i]));
    second.push_back(parts[i].where(parts[0]));
    const MetricValue a = value_of(metric, first.back(), settings), b = value_of(metric, second.back(), settings);
    result.differences.push_back({a.value == b.value ? 0 : b.value - a.value, std::nullopt, a.samples});
  }
  if (metric.interval == IntervalKind::none) return result;
  std::vector<Figure> figures;
  const auto figure_of = [&](const SampleParts& p) {
    return [&](std::span<const uint32_t> weights) { return metric.figure(p, weights, settings); };
  };
  for (const SampleParts& p : parts) figures.emplace_back(figure_of(p));
  for (size_t i = 0; i < first.size(); ++i)
    figures.emplace_back([a = figure_of(first[i]), b = figure_of(second[i])](std::span<const uint32_t> weights) {
      const double x = a(weights), y = b(weights);
      return x == y ? 0 : y - x;
    });
  const auto intervals = bootstrap(figures, parts.empty() ? 0 : parts[0].samples(), options);
  for (size_t i = 0; i < parts.size(); ++i) {
    MetricValue& value = result.models[i];
    if (const auto counts = binary_counts(parts[i]);
        metric.interval == IntervalKind::share && counts && counts->samples > 0) {
      value.interval = wilson_interval(counts->ones, counts->samples, options.confidence).value();
      value.interval_method = "Wilson score";
    } else if (intervals[i]) {
      value.interval = intervals[i];
      value.interval_method = "BCa bootstrap";
    }
  }
  for (size_t i = 0; i < first.size(); ++i) result.differences[i].interval = intervals[parts.size() + i];
  return result;
}

WeightedSum weighted_sum(const SampleParts& parts, std::span<const uint32_t> weights, size_t index) {
  WeightedSum sum;
  for (int64_t i = 0; i < parts.samples(); ++i) {
    const auto row = parts[i];
    if (row.empty()) continue;
    const double weight = weights[static_cast<size_t>(i)];
    if (weight == 0) continue;
    sum.sum += weight * row[index];
    sum.weight += weight;
  }
  return sum;
}

double mean_figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  const WeightedSum s = weighted_sum(parts, weights);
  return s.sum / s.weight;
}

bool all_finite(const Item& item) {
  return std::ranges::all_of(item.numbers, [](double x) { return std::isfinite(x); });
}

Dims without_ones(const Dims& dims) {
  Dims wide;
  std::ranges::copy_if(dims, std::back_inserter(wide), [](int64_t d) { return d != 1; });
  return wide;
}

int64_t elements_of(const OutputForm& form) { return product(form.dims, 0, form.dims.size()); }

std::string needs_equal_dims(const OutputForm& output, const OutputForm& label) {
  if (without_ones(output.dims) == without_ones(label.dims) && elements_of(output) > 0) return "";
  return fmt::format("an item is {} and a label {}", to_text(output.dims), to_text(label.dims));
}

std::string needs_binary_labels(const OutputForm& output, const OutputForm& label) {
  return is_float(label.dtype) ? "the labels are no integers" : needs_equal_dims(output, label);
}

std::string needs_reals(const OutputForm& output, const OutputForm&) {
  return is_float(output.dtype) ? "" : "it holds integers";
}

std::optional<bool> same_non_finite(double x, double y) {
  const bool x_finite = std::isfinite(x), y_finite = std::isfinite(y);
  if (x_finite && y_finite) return false;
  if (x == y || (std::isnan(x) && std::isnan(y))) return true;
  return std::nullopt;
}

int64_t arg_max(const double* first, int64_t count, int64_t stride) {
  int64_t best = 0;
  for (int64_t c = 0; c < count; ++c) {
    if (std::isnan(first[c * stride])) return c;
    if (first[c * stride] > first[best * stride]) best = c;
  }
  return best;
}

}  // namespace cupel
