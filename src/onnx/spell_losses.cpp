// Losses of classification, NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, in the ops of the table.
#include <fmt/format.h>

#include <limits>
#include <numeric>

#include "base/file.h"
#include "onnx/spelling.h"

namespace cupel {
namespace {

const char* const kCorrect = "correct the model's shapes";

// What each class counts where it is the label, and 0 elsewhere: [1 or batch, classes, …].
struct Picked {
  std::string mask;     // whether the class is the label, and not the one that is ignored
  std::string weights;  // of the classes, [1, classes, 1…]; empty where all count 1
};

Result<Picked> pick_labels(Spelling& s, const Shape& scores) {
  const int64_t classes = scores[1].factor;
  Dims along(scores.size() - 1, 1);
  along[0] = classes;
  Tensor range(DType::s64, along);
  std::iota(range.mutable_data<int64_t>().begin(), range.mutable_data<int64_t>().end(), int64_t{0});
  const std::string wide = CUPEL_TRY(s.add("Cast", "labels", {s.in(1)}, {{"to", int64_t{7}}}));  // TensorProto.INT64
  const std::string column = CUPEL_TRY(s.add("Unsqueeze", "label_column", {wide, s.list("class_axis", {1})}));
  Picked picked{.mask = CUPEL_TRY(s.add("Equal", "is_label", {column, s.constant("classes", std::move(range))}))};
  if (const auto ignored = s.attributes().find("ignore_index"); ignored != s.attributes().end()) {
    const std::string index = s.constant("ignored", Tensor::scalar<int64_t>(std::get<int64_t>(ignored->second)));
    const std::string same = CUPEL_TRY(s.add("Equal", "is_ignored", {column, index}));
    const std::string other = CUPEL_TRY(s.add("Not", "is_counted", {same}));
    picked.mask = CUPEL_TRY(s.add("And", "counted", {picked.mask, other}));
  }
  if (s.has(2)) {
    const Shape weights = CUPEL_TRY(s.shape(s.in(2)));
    if (weights != Shape{classes})
      return bad_input("", fmt::format("weights of shape {} for {} classes", to_text(weights), classes), kCorrect);
    picked.weights = CUPEL_TRY(s.reshape("class_weights", s.in(2), to_shape(along)));
  }
  return picked;
}

// Of logarithms of probabilities, [batch, classes, …], and labels [batch, …].
Status finish_loss(Spelling& s, const std::string& logs) {
  const Shape scores = CUPEL_TRY(s.shape(logs)), labels = CUPEL_TRY(s.shape(s.in(1)));
  Shape expected = scores;
  if (scores.size() >= 2) expected.erase(expected.begin() + 1);
  if (scores.size() < 2 || expected != labels)
    return bad_input("", fmt::format("scores {} and labels {}", to_text(scores), to_text(labels)), kCorrect);
  if (!scores[1].is_constant())
    return unsupported("", fmt::format("the number of classes, {}, is not known", to_text(scores[1])), kGiveSize);
  const std::string reduction = attr_text(s.attributes(), "reduction", "mean");
  if (reduction != "none" && reduction != "sum" && reduction != "mean")
    return bad_input("",
                     fmt::format("reduction is \"{}\", expected \"none\", \"sum\" or \"mean\"", printable(reduction)),
                     "correct the attribute");
  const Picked picked = CUPEL_TRY(pick_labels(s, scores));
  const std::string zero = s.real_like(logs, "zero", 0), negative = CUPEL_TRY(s.add("Neg", "negative", {logs}));
  const std::string weighted =
      picked.weights.empty() ? negative : CUPEL_TRY(s.add("Mul", "weighted", {negative, picked.weights}));
  const std::string chosen = CUPEL_TRY(s.add("Where", "chosen", {picked.mask, weighted, zero}));
  const std::string axis = s.list("classes_axis", {1});
  const Attributes flat = {{"keepdims", int64_t{0}}};
  if (reduction == "none") return s.finish("ReduceSum", {chosen, axis}, flat);
  const std::string loss = CUPEL_TRY(s.add("ReduceSum", "loss", {chosen, axis}, flat));
  if (reduction == "sum") return s.finish("ReduceSum", {loss}, flat);
  const std::string one = picked.weights.empty() ? s.real_like(logs, "one", 1) : picked.weights;
  const std::string counts = CUPEL_TRY(s.add("Where", "counts", {picked.mask, one, zero}));
  const std::string sum = CUPEL_TRY(s.add("ReduceSum", "sum", {loss}, flat));
  return s.finish("Div", {sum, CUPEL_TRY(s.add("ReduceSum", "count", {counts}, flat))});
}

}  // namespace

Status spell_negative_log_likelihood(Spelling& s) { return finish_loss(s, s.in(0)); }

// Result 1 are the logarithms of the probabilities.
Status spell_softmax_cross_entropy(Spelling& s) {
  const std::string logs = CUPEL_TRY(s.add("LogSoftmax", "logs", {s.in(0)}, {{"axis", int64_t{1}}}));
  if (s.gives(1)) CUPEL_TRY(s.give(1, "Identity", {logs}));
  return finish_loss(s, logs);
}

}  // namespace cupel
