// The table of metrics. What a metric measures of a sample is a row of numbers, its parts; its figure comes from the
// parts of all samples, each counted any number of times, so that one bootstrap serves every metric.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "assess/bootstrap.h"
#include "assess/statistics.h"
#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// What the numbers along one axis of an output are, as far as its first sample tells.
enum class Scores {
  none,               // nothing is known of them
  scores,             // one number for each class, of any sum
  probabilities,      // at least 0, of sum 1
  log_probabilities,  // of which the exponentials are probabilities
};

// An array of one sample; `numbers` are its elements (integers beyond 2^53 rounded).
struct Item {
  Tensor tensor;
  std::vector<double> numbers;
};
Item item_of(Tensor tensor);

// What an item of an output is: all that the network gives for one sample.
struct OutputForm {
  DType dtype = DType::f32;
  Dims dims;  // without the batch
  Scores scores = Scores::none;
  int64_t axis = -1;  // of `dims`, along which the classes lie; −1 without scores

  // Places with scores of their own, classes at each, and the elements from one class to the next.
  int64_t positions() const;
  int64_t classes() const;
  int64_t class_stride() const;
};

// Decided by the item of the first sample alone, so that it depends on no batch: floats are probabilities, or their
// logarithms, along the last or the first axis of at least 2 elements if at every position they are within 1e-3; an
// item of one axis (of more than one element) holds the scores of classes otherwise. All else has none.
OutputForm form_of(const Item& item);

// The parts of samples, one row for each, of any length. An empty row: the sample has no value.
class SampleParts {
 public:
  void add(std::span<const double> parts);
  int64_t samples() const { return static_cast<int64_t>(ends_.size()); }
  std::span<const double> operator[](int64_t sample) const;
  int64_t without_value() const;
  // The same with empty rows where `other` has one.
  SampleParts where(const SampleParts& other) const;

 private:
  std::vector<double> parts_;
  std::vector<size_t> ends_;
};

// What a data set's [[metric]] says beside the kind: numbers by name.
using MetricSettings = std::map<std::string, double, std::less<>>;
struct MetricSetting {
  std::string_view name;
  double standard = 0;  // NaN: it has to be given
  double least = 0, most = 0;
};

// What an item is judged by.
enum class Judge {
  base,         // the same item of the base model
  labels,       // an array of labels of the data set
  class_label,  // the one class that the data set gives for a sample
};
enum class Better { higher, lower };
enum class IntervalKind {
  bootstrap,
  share,  // parts are one share in [0, 1]: Wilson's interval where every one is 0 or 1, else bootstrap
  none,   // a largest value, of which more samples can only make more
};

struct MetricDef {
  std::string_view name;     // in JSON, [[metric]] and --require
  std::string_view title;    // "cosine similarity"
  std::string_view unit;     // "%": shares, shown times 100; "dB", or empty
  std::string_view meaning;  // one sentence for the report
  Judge judge = Judge::base;
  Better better = Better::higher;
  IntervalKind interval = IntervalKind::bootstrap;
  bool brief = true;  // part of the ten lines of text
  std::vector<MetricSetting> settings = {};
  // Why it does not apply to outputs of this form, judged by labels of that type ([] and dtype of a sample's; unused
  // with Judge::base); empty: it does.
  std::string (*refuses)(const OutputForm& output, const OutputForm& label) = nullptr;
  // The parts of one item, none where there is no number to give (NaN, infinities). `judged_by`: the base's item, of
  // the same type and dims, or the label.
  void (*measure)(const OutputForm& form, const Item& judged_by, const Item& item, const MetricSettings& settings,
                  std::vector<double>& parts) = nullptr;
  // NaN where there is none.
  double (*figure)(const SampleParts& parts, std::span<const uint32_t> weights,
                   const MetricSettings& settings) = nullptr;
};

// In the order of metrics.def.
std::span<const MetricDef* const> all_metrics();
// nullptr for a name that is none.
const MetricDef* find_metric(std::string_view name);
// "agreement, equal, …": those that labels judge.
std::string label_metric_names();

// A metric of one model.
struct MetricValue {
  double value = 0;  // NaN: no sample has one; may be infinite
  std::optional<Interval> interval;
  std::string_view interval_method;  // "Wilson score", "BCa bootstrap"; empty without an interval
  int64_t samples = 0;               // behind the value
  int64_t left_out = 0;              // that have none
};

// The difference of two models, on the samples that have a value for both.
struct MetricDifference {
  double value = 0;  // second − first
  std::optional<Interval> interval;
  int64_t samples = 0;
};

struct MetricResult {
  std::vector<MetricValue> models;
  // models[i + 1] − models[0].
  std::vector<MetricDifference> differences;
};

// A metric's value as people read it: "98.20 %", "34.9 dB", "0.99984", "no value"; "identical" for an infinite ratio in
// dB. ASCII. `samples` decide the digits of shares.
std::string metric_text(const MetricDef& metric, double value, int64_t samples);
// With its interval: "34.9 dB [34.1, 35.6]".
std::string metric_text(const MetricDef& metric, const MetricValue& value);

// Of the same samples by several models, parts[i] those of models[i].
MetricResult summarize(const MetricDef& metric, std::span<const SampleParts> parts, const MetricSettings& settings,
                       const BootstrapOptions& options = {});

// What figures share.
// Σ weight · parts[index] over the samples that have parts, and Σ weight.
struct WeightedSum {
  double sum = 0, weight = 0;
};
WeightedSum weighted_sum(const SampleParts& parts, std::span<const uint32_t> weights, size_t index = 0);
double mean_figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&);
bool all_finite(const Item& item);
// Dimensions other than 1, and the elements of an item.
Dims without_ones(const Dims& dims);
int64_t elements_of(const OutputForm& form);
// `refuses` of metrics that judge numbers one by one: dimensions other than 1 have to be those of the label.
std::string needs_equal_dims(const OutputForm& output, const OutputForm& label);
// The same, with labels that are integers or booleans.
std::string needs_binary_labels(const OutputForm& output, const OutputForm& label);
// `refuses` of metrics of reals.
std::string needs_reals(const OutputForm& output, const OutputForm&);
// Whether two elements are left out of sums because they are the same NaN or infinity; nullopt where just one of them
// is finite, or they are different ones.
std::optional<bool> same_non_finite(double x, double y);
// Calls take(x, y) for the elements of base and item that are not left out. False where there are none, or the item has
// no figure, because some are not finite and not the same.
template <class Take>
bool for_finite_pairs(const Item& base, const Item& item, Take take) {
  bool any = false;
  for (size_t i = 0; i < item.numbers.size(); ++i) {
    const auto same = same_non_finite(base.numbers[i], item.numbers[i]);
    if (!same) return false;
    if (*same) continue;
    any = true;
    take(base.numbers[i], item.numbers[i]);
  }
  return any;
}
// The first of the largest of `count` numbers that lie `stride` apart; of the first NaN where there is one
// (numpy.argmax).
int64_t arg_max(const double* first, int64_t count, int64_t stride);

}  // namespace cupel
