// Ops that change the shape and keep the row-major elements: Reshape, Flatten, Squeeze, Unsqueeze.
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

// The shape that ONNX's Reshape gives: 0 copies the operand's dimension (is 0 itself with allowzero), one −1 takes the
// rest.
Result<Types> infer_reshape(const InferContext& c) {
  const std::vector<Dim> wanted = CUPEL_TRY(known_dims(c, 1, "the shape"));
  const Shape& shape = c.shape(0);
  const bool allow_zero = attr_int(c.attributes, "allowzero", 0) != 0;
  const std::string remedy = "correct the model's shapes";
  const Dim elements = CUPEL_TRY(shape_elements(shape));
  Shape result = wanted;
  Dim known = 1;
  std::optional<size_t> rest;
  bool zero = false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == Dim(-1)) {
      if (rest) return bad_input("", fmt::format("the wanted shape {} has more than one -1", to_text(wanted)), remedy);
      rest = i;
      continue;
    }
    if (wanted[i].factor < 0)
      return bad_input(
          "", fmt::format("the wanted shape {} has the negative dimension {}", to_text(wanted), to_text(wanted[i])),
          remedy);
    if (wanted[i] == Dim(0) && !allow_zero) {
      if (i >= shape.size())
        return bad_input("",
                         fmt::format("the wanted shape {} copies dimension {} of an operand of shape {}",
                                     to_text(wanted), i, to_text(shape)),
                         remedy);
      result[i] = shape[i];
    }
    zero = zero || result[i] == Dim(0);
    known = CUPEL_TRY(dim_mul(known, result[i]));
  }
  const auto misfit = [&] {
    return bad_input(
        "",
        fmt::format("{} elements of shape {} do not fit shape {}", to_text(elements), to_text(shape), to_text(wanted)),
        elements.is_constant() ? remedy
                               : "export the model with a symbolic batch in all its shapes, or with a constant one");
  };
  if (rest) {
    if (zero) return bad_input("", fmt::format("the wanted shape {} has both 0 and -1", to_text(wanted)), remedy);
    const auto quotient = dim_div_exact(elements, known);
    if (!quotient) return misfit();
    result[*rest] = *quotient;
  } else if (!(known == elements)) {
    return misfit();
  }
  return Types{CUPEL_TRY(moved_type(c, 0, std::move(result)))};
}

Result<Types> infer_flatten(const InferContext& c) {
  const Shape& shape = c.shape(0);
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = attr_int(c.attributes, "axis", 1);
  if (axis != rank) axis = CUPEL_TRY(normalize_axis(axis, rank));
  const auto split = shape.begin() + axis;
  return Types{CUPEL_TRY(moved_type(
      c, 0,
      {CUPEL_TRY(shape_elements(Shape(shape.begin(), split))), CUPEL_TRY(shape_elements(Shape(split, shape.end())))}))};
}

// Marks of the axes (operand 1) of a tensor of `rank`; each at most once.
Result<std::vector<bool>> marked_axes(const InferContext& c, const std::vector<int64_t>& axes, int64_t rank) {
  std::vector<bool> marks(static_cast<size_t>(rank), false);
  for (int64_t axis : axes) {
    const auto k = static_cast<size_t>(CUPEL_TRY(normalize_axis(axis, rank)));
    if (marks[k]) return bad_input("", fmt::format("axis {} is given twice", axis), "export the model again");
    marks[k] = true;
  }
  CUPEL_TRY(expect_integers(c, 1, "axes", true));
  return marks;
}

Result<Types> infer_squeeze(const InferContext& c) {
  const Shape& shape = c.shape(0);
  Shape result;
  if (!c.has(1)) {
    for (const Dim& d : shape) {
      if (d.factor == 1 && !d.is_constant())
        return unsupported("",
                           fmt::format("whether the symbolic dimension {} is removed depends on its value", to_text(d)),
                           "export the model with the axes to squeeze");
      if (!(d == Dim(1))) result.push_back(d);
    }
  } else {
    const auto marks =
        CUPEL_TRY(marked_axes(c, CUPEL_TRY(known_integers(c, 1, "axes")), static_cast<int64_t>(shape.size())));
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!marks[i]) {
        result.push_back(shape[i]);
      } else if (!shape[i].is_constant()) {
        return unsupported(
            "", fmt::format("the symbolic dimension {} of shape {} is squeezed", to_text(shape[i]), to_text(shape)),
            "export the model with that dimension constant");
      } else if (shape[i].factor != 1) {
        return bad_input(
            "", fmt::format("dimension {} of shape {} is {}, expected 1", i, to_text(shape), to_text(shape[i])),
            "correct the model's shapes");
      }
    }
  }
  return Types{CUPEL_TRY(moved_type(c, 0, std::move(result)))};
}

Result<Types> infer_unsqueeze(const InferContext& c) {
  const Shape& shape = c.shape(0);
  const auto axes = CUPEL_TRY(known_integers(c, 1, "axes"));
  const auto rank = static_cast<int64_t>(shape.size() + axes.size());
  if (rank > kMaxRank)
    return unsupported("", fmt::format("rank {} exceeds {}", rank, kMaxRank), "reshape the tensor to fewer dimensions");
  const auto marks = CUPEL_TRY(marked_axes(c, axes, rank));
  Shape result;
  auto next = shape.begin();
  for (bool inserted : marks) result.push_back(inserted ? Dim(1) : *next++);
  return Types{CUPEL_TRY(moved_type(c, 0, std::move(result)))};
}

}  // namespace

namespace ops {
const OpDef kReshape{.name = "Reshape",
                     .min_inputs = 2,
                     .max_inputs = 2,
                     .attributes = {{"allowzero", AttributeKind::integer}},
                     .quant_rule = QuantRule::same,
                     .codes_since_opset = 5,
                     .elements = Elements::reshaped,
                     .parameters_from = 1,
                     .infer = infer_reshape,
                     .fold_contents = same_contents,
                     .reference = share_elements,
                     .cost = no_cost,
                     .samples = {R"(graph "reshape" stage imported opset 17 {
  input %x : f32[batch,3,4,5]
  constant %shape : s64[3] = [0, -1, 10]
  %y = Reshape(%x, %shape)
  output %y
})",
                                 R"(graph "reshape_rest_first" stage imported opset 17 {
  input %x : f32[batch,6,7]
  constant %shape : s64[2] = [-1, 7]
  %y = Reshape(%x, %shape)
  output %y
})",
                                 R"(graph "reshape_empty" stage imported opset 17 {
  input %x : f32[0,3]
  constant %shape : s64[2] = [5, 0]
  %y = Reshape(%x, %shape) {allowzero=1}
  output %y
})",
                                 R"(graph "reshape_codes" stage integer opset 17 {
  input %x : u8[batch,6] quant(scale=[0x1p-7], zero_point=[128])
  constant %shape : s64[3] = [-1, 2, 3]
  %y = Reshape(%x, %shape)
  output %y
})"}};

const OpDef kFlatten{.name = "Flatten",
                     .attributes = {{"axis", AttributeKind::integer}},
                     .quant_rule = QuantRule::same,
                     .codes_since_opset = 9,
                     .elements = Elements::reshaped,
                     .infer = infer_flatten,
                     .fold_contents = same_contents,
                     .reference = share_elements,
                     .cost = no_cost,
                     .samples = {R"(graph "flatten" stage imported opset 17 {
  input %x : f32[batch,3,4,5]
  %y = Flatten(%x)
  output %y
})",
                                 R"(graph "flatten_axis" stage imported opset 17 {
  input %x : f32[batch,3,4,5]
  %y = Flatten(%x) {axis=-1}
  output %y
})",
                                 R"(graph "flatten_codes" stage integer opset 17 {
  input %x : s8[batch,3,2] quant(scale=[0x1p-7], zero_point=[-3])
  %y = Flatten(%x) {axis=3}
  output %y
})"}};

const OpDef kSqueeze{.name = "Squeeze",
                     .max_inputs = 2,
                     .quant_rule = QuantRule::same,
                     .codes_since_opset = 1,
                     .elements = Elements::reshaped,
                     .parameters_from = 1,
                     .infer = infer_squeeze,
                     .fold_contents = same_contents,
                     .reference = share_elements,
                     .cost = no_cost,
                     .samples = {R"(graph "squeeze" stage imported opset 17 {
  input %x : f32[batch,1,5,1]
  constant %axes : s64[2] = [1, -1]
  %y = Squeeze(%x, %axes)
  output %y
})",
                                 R"(graph "squeeze_all" stage imported opset 17 {
  input %x : f32[1,3,1,5]
  %y = Squeeze(%x)
  output %y
})",
                                 R"(graph "squeeze_codes" stage integer opset 17 {
  input %x : u8[batch,1,3] quant(scale=[0x1p-7], zero_point=[128])
  constant %axes : s64[1] = [1]
  %y = Squeeze(%x, %axes)
  output %y
})"}};

const OpDef kUnsqueeze{.name = "Unsqueeze",
                       .min_inputs = 2,
                       .max_inputs = 2,
                       .quant_rule = QuantRule::same,
                       .codes_since_opset = 1,
                       .elements = Elements::reshaped,
                       .parameters_from = 1,
                       .infer = infer_unsqueeze,
                       .fold_contents = same_contents,
                       .reference = share_elements,
                       .cost = no_cost,
                       .samples = {R"(graph "unsqueeze" stage imported opset 17 {
  input %x : f32[batch,3,5]
  constant %axes : s64[2] = [-1, 1]
  %y = Unsqueeze(%x, %axes)
  output %y
})",
                                   R"(graph "unsqueeze_codes" stage integer opset 17 {
  input %x : u8[batch,3] quant(scale=[0x1p-7], zero_point=[128])
  constant %axes : s64[1] = [2]
  %y = Unsqueeze(%x, %axes)
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
