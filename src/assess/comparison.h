// What models answer on labelled samples, and what one answers differently from another.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "assess/statistics.h"
#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// The answers of one classifier, gathered batch by batch. 12 bytes are kept per sample.
class Predictions {
 public:
  // `model`: the name that messages use ("INT8").
  explicit Predictions(std::string model) : model_(std::move(model)) {}

  // scores [n, classes] of any type of at least 8 bits per element; labels [n], each in [0, classes).
  // The classes are ordered by falling score; of equal scores the lower class index comes first. Infinities are ordered
  // like numbers. After an error nothing of the batch was added:
  // bad_input for NaN, a label out of range, shapes that do not fit; places name the sample, counted from 0 over all
  // batches. unsupported for 4-bit types.
  Status add(const Tensor& scores, std::span<const int64_t> labels);

  const std::string& model() const { return model_; }
  int64_t samples() const { return static_cast<int64_t>(labels_.size()); }
  int64_t classes() const { return classes_; }
  // Per sample: the label given, the class with the highest score, and how many classes stand before the label.
  std::span<const int32_t> labels() const { return labels_; }
  std::span<const int32_t> predicted() const { return predicted_; }
  std::span<const int32_t> label_ranks() const { return label_ranks_; }

 private:
  std::string model_;
  int64_t classes_ = 0;
  std::vector<int32_t> labels_, predicted_, label_ranks_;
};

// Share of samples whose label is among the top_k classes.
struct Accuracy {
  int64_t top_k = 1;
  int64_t samples = 0;
  int64_t right = 0;
  double value = 0;   // right / samples
  Interval interval;  // Wilson
};

// bad_input when there is no sample; usage when top_k is not in [1, classes].
Result<Accuracy> assess_accuracy(const Predictions& predictions, int64_t top_k, double confidence = kDefaultConfidence);

// "right": the label is among the top_k classes.
struct Flips {
  int64_t right_to_wrong = 0;
  int64_t wrong_to_right = 0;
  int64_t wrong_to_other_wrong = 0;  // wrong in both, with another class in first place
  // Samples with another class in first place, right or wrong. For top_k = 1 the sum of the three above.
  int64_t changed_predictions = 0;
};

enum class VerdictKind {
  within,     // the whole interval of the difference lies above −max_drop
  missed,     // the whole interval lies below −max_drop
  undecided,  // the interval holds −max_drop: these samples cannot tell
};
// "within", "missed", "undecided".
std::string_view verdict_name(VerdictKind kind);

struct Verdict {
  VerdictKind kind = VerdictKind::undecided;
  double max_drop_points = 0;  // percentage points of accuracy
  std::string sentence;
};

// The candidate against the base, on the same samples in the same order.
struct Comparison {
  int64_t top_k = 1;
  int64_t samples = 0;
  double confidence = kDefaultConfidence;
  double difference = 0;  // accuracy of the candidate − accuracy of the base, in [−1, 1]
  Interval interval;      // of the difference, Tango
  double mcnemar_p = 1;   // exact, two-sided
  Flips flips;
  std::optional<Verdict> verdict;      // present when a largest drop was given
  std::vector<std::string> sentences;  // the difference, its certainty and the flips in plain words
};

struct CompareOptions {
  int64_t top_k = 1;
  double confidence = kDefaultConfidence;
  std::optional<double> max_drop_points;  // finite, 0 to 100
};

// bad_input when there is no sample, or the two saw different samples (count, labels or classes).
// usage when top_k is not in [1, classes], or max_drop_points is not in [0, 100].
Result<Comparison> compare(const Predictions& base, const Predictions& candidate, const CompareOptions& options = {});

}  // namespace cupel
