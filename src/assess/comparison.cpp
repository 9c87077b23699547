#include "assess/comparison.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "assess/sentences.h"
#include "base/file.h"

namespace cupel {
namespace {

struct Answer {
  int32_t predicted = 0;
  int32_t label_rank = 0;
  int64_t nan_class = -1;  // the first class whose score is NaN; -1: none
};

// score(c) for c in [0, classes).
template <class Score>
Answer judge(int64_t classes, int64_t label, const Score& score) {
  Answer answer;
  const auto own = score(label);
  auto best = score(0);
  for (int64_t c = 0; c < classes; ++c) {
    const auto value = score(c);
    if (std::isnan(static_cast<double>(value))) {
      answer.nan_class = c;
      return answer;
    }
    if (value > best) {
      best = value;
      answer.predicted = static_cast<int32_t>(c);
    }
    if (value > own || (value == own && c < label)) ++answer.label_rank;
  }
  return answer;
}

Status check_top_k(const Predictions& predictions, int64_t top_k) {
  if (predictions.samples() == 0)
    return bad_input(printable(predictions.model()), "found no sample to evaluate, expected at least one",
                     "give a report split with samples");
  if (top_k < 1 || top_k > predictions.classes())
    return usage_error("top_k",
                       fmt::format("found {}, expected 1 to {}, the number of classes", top_k, predictions.classes()),
                       "choose a smaller top_k in the data set's [[metric]]");
  return {};
}

Status check_same_samples(const Predictions& base, const Predictions& candidate) {
  const std::string place = printable(candidate.model());
  const std::string other = printable(base.model());
  const std::string remedy = "compare the models on the same samples in the same order";
  if (base.samples() != candidate.samples())
    return bad_input(place,
                     fmt::format("found {} samples, expected the {} of {}", candidate.samples(), base.samples(), other),
                     remedy);
  if (base.classes() != candidate.classes())
    return bad_input(place,
                     fmt::format("found {} classes, expected the {} of {}", candidate.classes(), base.classes(), other),
                     "compare models that tell the same classes apart");
  for (size_t i = 0; i < base.labels().size(); ++i)
    if (base.labels()[i] != candidate.labels()[i])
      return bad_input(place,
                       fmt::format("found label {} at sample {}, expected {} as for {}", candidate.labels()[i], i,
                                   base.labels()[i], other),
                       remedy);
  return {};
}

}  // namespace

Status Predictions::add(const Tensor& scores, std::span<const int64_t> labels) {
  const std::string place = printable(model_);
  const Dims& dims = scores.dims();
  if (dims.size() != 2 || dims[1] < 1 || dims[1] > std::numeric_limits<int32_t>::max())
    return bad_input(place, fmt::format("found scores of shape {}, expected [samples,classes]", to_text(dims)),
                     "name the output that holds one score per class");
  if (dtype_bits(scores.dtype()) < 8)
    return unsupported(place, fmt::format("found scores of type {}", dtype_name(scores.dtype())),
                       "give scores of a type of at least 8 bits");
  const int64_t count = dims[0];
  const int64_t classes = dims[1];
  if (static_cast<size_t>(count) != labels.size())
    return bad_input(place, fmt::format("found {} labels for {} samples, expected one for each", labels.size(), count),
                     "check the data set's labels");
  if (samples() > 0 && classes != classes_)
    return bad_input(place, fmt::format("found {} classes, expected {} as in the batches before", classes, classes_),
                     "check the model's output shape");
  std::vector<Answer> answers(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = labels[static_cast<size_t>(i)];
    if (label < 0 || label >= classes)
      return bad_input(fmt::format("{}: sample {}", place, samples() + i),
                       fmt::format("found label {}, expected 0 to {}", label, classes - 1),
                       "check the data set's labels, or give a model with as many outputs as there are classes");
    Answer& answer = answers[static_cast<size_t>(i)];
    if (scores.dtype() == DType::f32) {
      const float* row = scores.data<float>().data() + i * classes;
      answer = judge(classes, label, [row](int64_t c) { return row[c]; });
    } else if (is_integer(scores.dtype())) {
      answer = judge(classes, label, [&](int64_t c) { return scores.int_at(i * classes + c); });
    } else {
      answer = judge(classes, label, [&](int64_t c) { return scores.at(i * classes + c); });
    }
    if (answer.nan_class >= 0)
      return bad_input(fmt::format("{}: sample {}", place, samples() + i),
                       fmt::format("found NaN as the score of class {}, expected a number", answer.nan_class),
                       "look for the first node with NaN in its output, or for a broken sample");
  }
  classes_ = classes;
  for (int64_t i = 0; i < count; ++i) {
    labels_.push_back(static_cast<int32_t>(labels[static_cast<size_t>(i)]));
    predicted_.push_back(answers[static_cast<size_t>(i)].predicted);
    label_ranks_.push_back(answers[static_cast<size_t>(i)].label_rank);
  }
  return {};
}

std::string_view verdict_name(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::within: return "within";
    case VerdictKind::missed: return "missed";
    case VerdictKind::undecided: return "undecided";
  }
  return "undecided";
}

Result<Accuracy> assess_accuracy(const Predictions& predictions, int64_t top_k, double confidence) {
  CUPEL_TRY(check_top_k(predictions, top_k));
  Accuracy accuracy;
  accuracy.top_k = top_k;
  accuracy.samples = predictions.samples();
  for (const int32_t rank : predictions.label_ranks()) accuracy.right += rank < top_k;
  accuracy.value = static_cast<double>(accuracy.right) / static_cast<double>(accuracy.samples);
  accuracy.interval = CUPEL_TRY(wilson_interval(accuracy.right, accuracy.samples, confidence));
  return accuracy;
}

Result<Comparison> compare(const Predictions& base, const Predictions& candidate, const CompareOptions& options) {
  CUPEL_TRY(check_top_k(base, options.top_k));
  CUPEL_TRY(check_same_samples(base, candidate));
  if (options.max_drop_points && !(*options.max_drop_points >= 0 && *options.max_drop_points <= 100))
    return usage_error("--max-drop", fmt::format("found {}, expected 0 to 100 points", *options.max_drop_points),
                       "give the largest loss of accuracy you accept, in percentage points");
  Comparison result;
  result.top_k = options.top_k;
  result.samples = base.samples();
  result.confidence = options.confidence;
  Flips& flips = result.flips;
  int64_t base_right = 0;
  for (size_t i = 0; i < base.labels().size(); ++i) {
    const bool right_before = base.label_ranks()[i] < options.top_k;
    const bool right_after = candidate.label_ranks()[i] < options.top_k;
    const bool changed = base.predicted()[i] != candidate.predicted()[i];
    base_right += right_before;
    flips.right_to_wrong += right_before && !right_after;
    flips.wrong_to_right += !right_before && right_after;
    flips.wrong_to_other_wrong += !right_before && !right_after && changed;
    flips.changed_predictions += changed;
  }
  const PairedCounts counts{result.samples, flips.right_to_wrong, flips.wrong_to_right};
  result.difference = static_cast<double>(counts.gained - counts.lost) / static_cast<double>(counts.samples);
  result.interval = CUPEL_TRY(tango_interval(counts, options.confidence));
  result.mcnemar_p = CUPEL_TRY(mcnemar_exact_p(counts));
  if (options.max_drop_points) {
    const double limit = -*options.max_drop_points / 100;
    Verdict& verdict = result.verdict.emplace();
    verdict.max_drop_points = *options.max_drop_points;
    if (result.interval.lower > limit) {
      verdict.kind = VerdictKind::within;
    } else if (result.interval.upper < limit) {
      verdict.kind = VerdictKind::missed;
    }
  }
  const Names names{printable(base.model()), printable(candidate.model())};
  const int64_t candidate_right = base_right - counts.lost + counts.gained;
  result.sentences = describe(result, names, base_right, candidate_right);
  if (result.verdict) result.verdict->sentence = describe_verdict(result, names);
  return result;
}

}  // namespace cupel
