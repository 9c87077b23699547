// CumSum and CumProd: sums and products of all elements of an axis so far.
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer_cumulative(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (!(kWideIntegerTypes | DType::f32 | DType::f64).has(t))
    return unsupported("",
                       fmt::format("operand 0 is {}, expected f32, f64 or integers of 32 or 64 bits", dtype_name(t)),
                       "convert the operand");
  if (c.type(0).quant) return unsupported("", "operand 0 is quantized", "dequantize the operand");
  for (const char* key : {"exclusive", "reverse"})
    if (const int64_t flag = attr_int(c.attributes, key, 0); flag != 0 && flag != 1)
      return bad_input("", fmt::format("{} is {}, expected 0 or 1", key, flag), "correct the attribute");
  const auto axis = CUPEL_TRY(known_integers(c, 1, "the axis"));
  if (axis.size() != 1)
    return bad_input("", fmt::format("the axis (operand 1) has {} elements, expected one", axis.size()),
                     "correct the model");
  const Shape& x = c.shape(0);
  const auto d = static_cast<size_t>(CUPEL_TRY(normalize_axis(axis[0], static_cast<int64_t>(x.size()))));
  if (!x[d].is_constant())
    return unsupported("", fmt::format("the symbolic dimension {} is summed along", to_text(x[d])), kGiveSize);
  return Types{plain(t, x)};
}

template <bool product>
Result<RoutineUse> routine_cumulative(const RoutineContext& c) {
  const Dims& x = c.inputs[0]->dims;
  const int64_t axis = CUPEL_TRY(normalize_axis(c.constants[1]->int_at(0), static_cast<int64_t>(x.size())));
  const Dims before(x.begin(), x.begin() + axis);
  const int64_t units = element_count(before);
  return RoutineUse{
      .name = "cumulate",
      .operands = {0},
      .attributes = {axis, attr_int(c.attributes, "exclusive", 0), attr_int(c.attributes, "reverse", 0), product},
      .units = units,
      .grain = std::max<int64_t>(1, 4096 * units / std::max<int64_t>(1, element_count(x))),
      .keeps_items = axis != 0};
}

const std::vector<AttributeSpec> kAttributes = {{"exclusive", AttributeKind::integer},
                                                {"reverse", AttributeKind::integer}};

}  // namespace

namespace ops {
const OpDef kCumSum{.name = "CumSum",
                    .since_opset = 11,
                    .operand_types = {{kFloatTypes | kWideIntegerTypes}, {kIndexTypes}},
                    .min_inputs = 2,
                    .max_inputs = 2,
                    .attributes = kAttributes,
                    .parameters_from = 1,
                    .infer = infer_cumulative,
                    .reference = evaluate_routine,
                    .routine = routine_cumulative<false>,
                    .samples = {R"(graph "cum_sum" stage imported opset 17 {
  input %x : f32[batch,5,3]
  constant %axis : s64[1] = [1]
  %y = CumSum(%x, %axis)
  output %y
})",
                                R"(graph "cum_sum_of_integers" stage imported opset 17 {
  input %x : s64[batch,7]
  constant %axis : s32[1] = [-1]
  %y = CumSum(%x, %axis) {exclusive=1, reverse=1}
  output %y
})",
                                R"(graph "cum_sum_wide_numbers" stage imported opset 17 {
  input %x : f64[batch,4]
  constant %axis : s64[1] = [1]
  %y = CumSum(%x, %axis)
  output %y
})"}};

const OpDef kCumProd{.name = "CumProd",
                     .since_opset = 26,
                     .operand_types = {{kFloatTypes | kWideIntegerTypes}, {kIndexTypes}},
                     .min_inputs = 2,
                     .max_inputs = 2,
                     .attributes = kAttributes,
                     .parameters_from = 1,
                     .infer = infer_cumulative,
                     .reference = evaluate_routine,
                     .routine = routine_cumulative<true>,
                     .samples = {R"(graph "cum_prod" stage imported opset 26 {
  input %x : s32[batch,4,2]
  constant %axis : s64[1] = [1]
  %y = CumProd(%x, %axis) {reverse=1}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
