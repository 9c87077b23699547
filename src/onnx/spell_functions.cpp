// Functions in forms that the op table lacks: bounds of Clip that are computed, and functions of binary64.
#include <fmt/format.h>

#include <algorithm>

#include "onnx/spelling.h"

namespace cupel {
namespace {

constexpr size_t kBounds[] = {1, 2};

}  // namespace

bool is_of_doubles(Importer& importer, const NodeDraft& draft) {
  if (!draft.has_input(0)) return false;
  const auto type = importer.file_type(draft.inputs[0]);
  return type && *type == DType::f64;
}

bool has_computed_bounds(Importer& importer, const NodeDraft& draft) {
  return std::ranges::any_of(
      kBounds, [&](size_t i) { return draft.has_input(i) && importer.constant(draft.inputs[i]) == nullptr; });
}

// Min(upper, Max(lower, x)), in the order in which NaN stays: of bounds that cross, the upper holds.
Status spell_clip(Spelling& s) {
  for (const size_t i : kBounds)
    if (s.has(i) && element_count(CUPEL_TRY(s.dims(s.in(i)))) != 1)
      return bad_input(
          "",
          fmt::format("bound (operand {}) has shape {}, expected one element", i, to_text(CUPEL_TRY(s.shape(s.in(i))))),
          "correct the model's shapes");
  std::string x = s.in(0);
  if (s.has(1)) {
    const std::string lower = CUPEL_TRY(s.reshape("lower", s.in(1), {}));
    if (!s.has(2)) return s.finish("Max", {lower, x});
    x = CUPEL_TRY(s.add("Max", "above", {lower, x}));
  }
  return s.finish("Min", {CUPEL_TRY(s.reshape("upper", s.in(2), {})), x});
}

// d = x − max, e = exp(d), t = sum(e): e / t, of LogSoftmax d − log(t). Below opset 13 one row is all that is behind
// axis.
Status spell_softmax(Spelling& s) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const auto rank = static_cast<int64_t>(shape.size());
  const bool rows = s.opset() < 13;
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", rows ? 1 : -1), rank));
  std::vector<int64_t> axes;
  for (int64_t d = axis; d < (rows ? rank : axis + 1); ++d) axes.push_back(d);
  const std::string over = s.list("axes", axes);
  const std::string greatest = CUPEL_TRY(s.add("ReduceMax", "max", {s.in(0), over}));
  const std::string below = CUPEL_TRY(s.add("Sub", "below", {s.in(0), greatest}));
  const std::string powers = CUPEL_TRY(s.add("Exp", "exp", {below}));
  const std::string total = CUPEL_TRY(s.add("ReduceSum", "sum", {powers, over}));
  if (s.op() == "Softmax") return s.finish("Div", {powers, total});
  return s.finish("Sub", {below, CUPEL_TRY(s.add("Log", "log", {total}))});
}

// 1 / (1 + exp(−x)).
Status spell_sigmoid(Spelling& s) {
  const std::string power = CUPEL_TRY(s.add("Exp", "exp", {CUPEL_TRY(s.add("Neg", "negative", {s.in(0)}))}));
  return s.finish("Reciprocal", {CUPEL_TRY(s.add("Add", "sum", {power, s.real_like(s.in(0), "one", 1.0f)}))});
}

}  // namespace cupel
