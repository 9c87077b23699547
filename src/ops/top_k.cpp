// TopK: the k greatest or least elements of an axis and their indices.
#include <fmt/format.h>

#include "ir/graph.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<size_t> axis_of(const Attributes& attributes, size_t rank) {
  return static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(attributes, "axis", -1), static_cast<int64_t>(rank))));
}

Result<Types> infer_top_k(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::f32 && t != DType::s32 && t != DType::s64)
    return unsupported("", fmt::format("operand 0 is {}, expected f32, s32 or s64", dtype_name(t)),
                       "convert the operand");
  if (c.type(0).quant) return unsupported("", "operand 0 is quantized", "dequantize the operand");
  Shape shape = c.shape(0);
  const size_t axis = CUPEL_TRY(axis_of(c.attributes, shape.size()));
  const auto k = CUPEL_TRY(known_integers(c, 1, "the number of elements"));
  if (k.size() != 1)
    return bad_input("", fmt::format("the number of elements (operand 1) has {} elements, expected one", k.size()),
                     "correct the model");
  if (!shape[axis].is_constant())
    return unsupported("", fmt::format("elements of the symbolic dimension {} are chosen", to_text(shape[axis])),
                       kGiveSize);
  if (k[0] < 0 || k[0] > shape[axis].factor)
    return bad_input("", fmt::format("{} elements are chosen of {}", k[0], shape[axis].factor), "correct the model");
  shape[axis] = Dim(k[0]);
  return Types{plain(t, shape), plain(DType::s64, shape)};
}

Result<RoutineUse> routine_top_k(const RoutineContext& c) {
  const Dims& x = c.inputs[0]->dims;
  const size_t axis = CUPEL_TRY(axis_of(c.attributes, x.size()));
  return RoutineUse{.name = "top_k",
                    .operands = {0},
                    .attributes = {static_cast<int64_t>(axis), attr_int(c.attributes, "largest", 1) != 0},
                    .scratch_bytes = x[axis] * 8,
                    .keeps_items = axis != 0};
}

}  // namespace

namespace ops {
const OpDef kTopK{.name = "TopK",
                  .since_opset = 10,
                  .operand_types = {{kNumberTypes}, {kIndexTypes}},
                  .min_inputs = 2,
                  .max_inputs = 2,
                  .min_outputs = 2,
                  .max_outputs = 2,
                  .attributes = {{"axis", AttributeKind::integer},
                                 {"largest", AttributeKind::integer},
                                 {"sorted", AttributeKind::integer}},
                  .parameters_from = 1,
                  .infer = infer_top_k,
                  .reference = evaluate_routine,
                  .routine = routine_top_k,
                  .samples = {R"(graph "top_k" stage imported opset 17 {
  input %x : f32[batch,3,9]
  constant %k : s64[1] = [4]
  %y, %indices = TopK(%x, %k)
  output %y
  output %indices
})",
                              R"(graph "top_k_least" stage imported opset 17 {
  input %x : s32[batch,6,2]
  constant %k : s64[1] = [5]
  %y, %indices = TopK(%x, %k) {axis=1, largest=0}
  output %indices
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
