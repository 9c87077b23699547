// GatherElements, GatherND, ScatterElements, ScatterND: elements or blocks at places that indices name.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

const char* const kCorrect = "correct the model's shapes";

// Indices of elements: the shape of operand 0 but along the axis, or less where sizes are numbers.
Status expect_element_indices(const InferContext& c) {
  const Shape &x = c.shape(0), &indices = c.shape(1);
  const auto axis =
      static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(x.size()))));
  if (indices.size() != x.size())
    return bad_input("", fmt::format("indices {} for elements of {}", to_text(indices), to_text(x)), kCorrect);
  if (!x[axis].is_constant())
    return unsupported("", fmt::format("the symbolic dimension {} is indexed", to_text(x[axis])), kGiveSize);
  for (size_t d = 0; d < x.size(); ++d) {
    if (d == axis || indices[d] == x[d]) continue;
    if (!indices[d].is_constant() || !x[d].is_constant())
      return unsupported("", fmt::format("indices {} for elements of {}", to_text(indices), to_text(x)), kGiveSize);
    if (indices[d].factor > x[d].factor)
      return bad_input("", fmt::format("indices {} for elements of {}", to_text(indices), to_text(x)), kCorrect);
  }
  return {};
}

// Tuples of indices: how many dimensions they address behind the shared ones.
Result<size_t> tuple_length(const InferContext& c, size_t shared) {
  const Shape &x = c.shape(0), &indices = c.shape(1);
  const auto wrong = [&] {
    return bad_input(
        "", fmt::format("tuples of indices {} for {} with {} shared dimensions", to_text(indices), to_text(x), shared),
        kCorrect);
  };
  if (x.empty() || indices.empty() || shared >= std::min(x.size(), indices.size())) return wrong();
  if (!indices.back().is_constant())
    return unsupported("", fmt::format("indices of symbolic length {}", to_text(indices.back())), kGiveSize);
  const int64_t length = indices.back().factor;
  if (length < 1 || length > static_cast<int64_t>(x.size() - shared)) return wrong();
  for (size_t d = 0; d < shared; ++d)
    if (x[d] != indices[d]) return wrong();
  for (size_t d = shared; d < shared + static_cast<size_t>(length); ++d)
    if (!x[d].is_constant())
      return unsupported("", fmt::format("the symbolic dimension {} is indexed", to_text(x[d])), kGiveSize);
  return static_cast<size_t>(length);
}

Result<TensorType> plain_type(const InferContext& c, Shape shape) {
  if (c.type(0).quant) return unsupported("", "operand 0 is quantized", "dequantize the operand");
  if (dtype_bits(c.type(0).dtype) < 8)
    return unsupported("", fmt::format("operand 0 is {}", dtype_name(c.type(0).dtype)), "convert the operand");
  return plain(c.type(0).dtype, std::move(shape));
}

Result<Types> infer_gather_elements(const InferContext& c) {
  CUPEL_TRY(expect_element_indices(c));
  return Types{CUPEL_TRY(plain_type(c, c.shape(1)))};
}

Result<Types> infer_gather_nd(const InferContext& c) {
  const int64_t shared = attr_int(c.attributes, "batch_dims", 0);
  if (shared < 0) return bad_input("", fmt::format("batch_dims is {}", shared), "correct the attribute");
  const size_t length = CUPEL_TRY(tuple_length(c, static_cast<size_t>(shared)));
  Shape shape(c.shape(1).begin(), c.shape(1).end() - 1);
  shape.insert(shape.end(), c.shape(0).begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(shared) + length),
               c.shape(0).end());
  return Types{CUPEL_TRY(plain_type(c, std::move(shape)))};
}

constexpr std::string_view kReductions[] = {"none", "add", "mul", "max", "min"};

int64_t reduction_of(const Attributes& attributes) {
  const std::string name = attr_text(attributes, "reduction", "none");
  return std::ranges::find(kReductions, name) - std::begin(kReductions);
}

Result<Types> scattered(const InferContext& c, const Shape& updates) {
  const DType t = c.type(0).dtype;
  const int64_t reduction = reduction_of(c.attributes);
  if (reduction == std::ssize(kReductions))
    return bad_input("",
                     fmt::format("reduction is \"{}\", expected none, add, mul, max or min",
                                 printable(attr_text(c.attributes, "reduction", ""))),
                     "correct the attribute");
  if (reduction != 0 && t != DType::f32 && t != DType::s32 && t != DType::s64)
    return unsupported("", fmt::format("a reduction of {}, expected f32, s32 or s64", dtype_name(t)),
                       "convert the operand");
  if (c.type(2).dtype != t || c.type(2).quant)
    return bad_input("", fmt::format("updates of another type than {}", dtype_name(t)), "convert the updates");
  if (c.shape(2) != updates)
    return bad_input("", fmt::format("updates {}, expected {}", to_text(c.shape(2)), to_text(updates)), kCorrect);
  return Types{CUPEL_TRY(plain_type(c, c.shape(0)))};
}

Result<Types> infer_scatter_elements(const InferContext& c) {
  CUPEL_TRY(expect_element_indices(c));
  return scattered(c, c.shape(1));
}

Result<Types> infer_scatter_nd(const InferContext& c) {
  const size_t length = CUPEL_TRY(tuple_length(c, 0));
  Shape updates(c.shape(1).begin(), c.shape(1).end() - 1);
  updates.insert(updates.end(), c.shape(0).begin() + static_cast<std::ptrdiff_t>(length), c.shape(0).end());
  return scattered(c, updates);
}

Result<int64_t> axis_of(const RoutineContext& c) {
  return normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(c.inputs[0]->dims.size()));
}

// Indices of elements stay in their item unless the axis leads; tuples where they share the leading dimension.
Result<RoutineUse> routine_gather_elements(const RoutineContext& c) {
  const int64_t axis = CUPEL_TRY(axis_of(c));
  return RoutineUse{.name = "gather_at",
                    .operands = {0, 1},
                    .attributes = {0, axis},
                    .units = element_count(c.inputs[1]->dims),
                    .grain = 4096,
                    .keeps_items = axis != 0};
}

Result<RoutineUse> routine_gather_nd(const RoutineContext& c) {
  const Dims& indices = c.inputs[1]->dims;
  const int64_t shared = attr_int(c.attributes, "batch_dims", 0),
                units = element_count({indices.begin(), indices.end() - 1});
  const int64_t block = element_count(c.outputs[0]->dims) / std::max<int64_t>(1, units);
  return RoutineUse{.name = "gather_at",
                    .operands = {0, 1},
                    .attributes = {1, shared},
                    .units = units,
                    .grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, block)),
                    .keeps_items = shared > 0};
}

Result<RoutineUse> routine_scatter_elements(const RoutineContext& c) {
  const int64_t axis = CUPEL_TRY(axis_of(c));
  return RoutineUse{.name = "scatter_at",
                    .operands = {0, 1, 2},
                    .attributes = {0, axis, reduction_of(c.attributes)},
                    .keeps_items = axis != 0};
}

Result<RoutineUse> routine_scatter_nd(const RoutineContext& c) {
  return RoutineUse{.name = "scatter_at",
                    .operands = {0, 1, 2},
                    .attributes = {1, 0, reduction_of(c.attributes)},
                    .keeps_items = false};
}

}  // namespace

namespace ops {
const OpDef kGatherElements{.name = "GatherElements",
                            .since_opset = 11,
                            .operand_types = {{kAnyType}, {kIndexTypes}},
                            .min_inputs = 2,
                            .max_inputs = 2,
                            .attributes = {{"axis", AttributeKind::integer}},
                            .infer = infer_gather_elements,
                            .reference = evaluate_routine,
                            .routine = routine_gather_elements,
                            .samples = {R"(graph "gather_elements" stage imported opset 17 {
  input %x : f32[batch,4,3]
  input %indices : s64[batch,5,3]
  %y = GatherElements(%x, %indices) {axis=1}
  output %y
})",
                                        R"(graph "gather_elements_fewer" stage imported opset 17 {
  input %x : s32[3,4]
  constant %indices : s32[2,3] = [0, -1, 2, 2, 1, -3]
  %y = GatherElements(%x, %indices)
  output %y
})"}};
const OpDef kGatherND{.name = "GatherND",
                      .since_opset = 11,
                      .operand_types = {{kAnyType}, {kIndexTypes}},
                      .min_inputs = 2,
                      .max_inputs = 2,
                      .attributes = {{"batch_dims", AttributeKind::integer}},
                      .infer = infer_gather_nd,
                      .reference = evaluate_routine,
                      .routine = routine_gather_nd,
                      .samples = {R"(graph "gather_nd" stage imported opset 17 {
  input %x : f32[batch,4,3,2]
  input %indices : s64[batch,5,2]
  %y = GatherND(%x, %indices) {batch_dims=1}
  output %y
})",
                                  R"(graph "gather_nd_table" stage imported opset 17 {
  input %x : s64[3,4]
  constant %indices : s64[2,2,1] = [0, -1, 2, -3]
  %y = GatherND(%x, %indices)
  output %y
})"}};
const OpDef kScatterElements{.name = "ScatterElements",
                             .since_opset = 11,
                             .operand_types = {{kAnyType}, {kIndexTypes}, {kAnyType}},
                             .min_inputs = 3,
                             .max_inputs = 3,
                             .attributes = {{"axis", AttributeKind::integer}, {"reduction", AttributeKind::text}},
                             .infer = infer_scatter_elements,
                             .reference = evaluate_routine,
                             .routine = routine_scatter_elements,
                             .samples = {R"(graph "scatter_elements" stage imported opset 18 {
  input %x : f32[batch,4,3]
  input %indices : s64[batch,2,3]
  input %updates : f32[batch,2,3]
  %y = ScatterElements(%x, %indices, %updates) {axis=1}
  output %y
})",
                                         R"(graph "scatter_elements_sum" stage imported opset 18 {
  input %x : f32[3,4]
  constant %indices : s32[2,4] = [0, -1, 2, 2, 0, 1, -3, 0]
  input %updates : f32[2,4]
  %y = ScatterElements(%x, %indices, %updates) {axis=0, reduction="add"}
  output %y
})",
                                         R"(graph "scatter_elements_greatest" stage imported opset 18 {
  input %x : s32[batch,4]
  input %indices : s32[batch,6]
  input %updates : s32[batch,6]
  %y = ScatterElements(%x, %indices, %updates) {axis=-1, reduction="max"}
  output %y
})"}};
const OpDef kScatterND{.name = "ScatterND",
                       .since_opset = 11,
                       .operand_types = {{kAnyType}, {kIndexTypes}, {kAnyType}},
                       .min_inputs = 3,
                       .max_inputs = 3,
                       .attributes = {{"reduction", AttributeKind::text}},
                       .infer = infer_scatter_nd,
                       .reference = evaluate_routine,
                       .routine = routine_scatter_nd,
                       .samples = {R"(graph "scatter_nd" stage imported opset 18 {
  input %x : f32[3,4,2]
  constant %indices : s64[5,2] = [0, 1, -1, 3, 2, 3, 1, 0, 0, -3]
  input %updates : f32[5,2]
  %y = ScatterND(%x, %indices, %updates)
  output %y
})",
                                   R"(graph "scatter_nd_product" stage imported opset 18 {
  input %x : s64[4]
  input %indices : s64[3,1]
  input %updates : s64[3]
  %y = ScatterND(%x, %indices, %updates) {reduction="mul"}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
