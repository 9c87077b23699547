// ReduceMean, ReduceSum, ReduceMax, ReduceMin, ReduceProd over the axes in operand 1 (all when absent), ArgMax and
// ArgMin.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ir/graph.h"
#include "ops/combine.h"
#include "ops/op_table.h"
#include "ops/reduction.h"
#include "ops/routine.h"
#include "ops/rules.h"
#include "runtime/convert.h"

namespace cupel {
namespace {

using namespace ops;

// Which dimensions a reduction with these axes reduces.
Result<std::vector<bool>> reduced_dims(const Attributes& attributes, size_t rank, const std::vector<int64_t>& axes) {
  const bool all = axes.empty() && attr_int(attributes, "noop_with_empty_axes", 0) == 0;
  std::vector<bool> reduces(rank, all);
  for (int64_t axis : axes) {
    const auto d = static_cast<size_t>(CUPEL_TRY(normalize_axis(axis, static_cast<int64_t>(rank))));
    if (reduces[d]) return bad_input("", fmt::format("axis {} is given twice", axis), "correct the axes");
    reduces[d] = true;
  }
  return reduces;
}

Result<std::vector<bool>> reduced_dims(const InferContext& c) {
  std::vector<int64_t> axes;
  if (c.has(1)) {
    CUPEL_TRY(expect_dtype(c, 1, DType::s64));
    CUPEL_TRY(expect_rank(c, 1, 1));
    axes = CUPEL_TRY(known_integers(c, 1, "axes"));
  }
  return reduced_dims(c.attributes, c.shape(0).size(), axes);
}

Result<std::vector<bool>> reduced_dims(const EvalContext& c) {
  std::vector<int64_t> axes;
  if (c.has(1))
    for (int64_t i = 0; i < c.in(1).size(); ++i) axes.push_back(c.in(1).int_at(i));
  return reduced_dims(c.attributes, c.in(0).dims().size(), axes);
}

Shape reduced_shape(const Shape& x, const std::vector<bool>& reduces, bool keep) {
  Shape shape;
  for (size_t d = 0; d < x.size(); ++d) {
    if (!reduces[d]) {
      shape.push_back(x[d]);
    } else if (keep) {
      shape.emplace_back(1);
    }
  }
  return shape;
}

Result<bool> flag(const Attributes& attributes, std::string_view name, bool fallback) {
  const int64_t value = attr_int(attributes, name, fallback ? 1 : 0);
  if (value != 0 && value != 1)
    return bad_input("", fmt::format("{} is {}, expected 0 or 1", name, value), "correct the attribute");
  return value == 1;
}

Result<std::pair<Shape, std::vector<bool>>> infer_shape(const InferContext& c) {
  const bool keep = CUPEL_TRY(flag(c.attributes, "keepdims", true));
  CUPEL_TRY(flag(c.attributes, "noop_with_empty_axes", false));
  std::vector<bool> reduces = CUPEL_TRY(reduced_dims(c));
  return std::pair(reduced_shape(c.shape(0), reduces, keep), std::move(reduces));
}

Result<Types> infer_mean(const InferContext& c) {
  auto [shape, reduces] = CUPEL_TRY(infer_shape(c));
  if (!c.type(0).quant) {
    if (c.type(0).dtype != DType::f64) CUPEL_TRY(expect_dtype(c, 0, DType::f32));
    return Types{plain(c.type(0).dtype, std::move(shape))};
  }
  CUPEL_TRY(expect_byte_codes(c, 0));
  Dim count = 1;
  for (size_t d = 0; d < reduces.size(); ++d)
    if (reduces[d] && c.shape(0)[d].is_constant()) count = CUPEL_TRY(dim_mul(count, c.shape(0)[d]));
  CUPEL_TRY(expect_exact_sum(count.factor));
  return Types{CUPEL_TRY(declared_byte_codes(c, std::move(shape)))};
}

Status expect_numbers(const InferContext& c) {
  const TensorType& x = c.type(0);
  if (x.quant || (x.dtype != DType::f32 && !has_function(x.dtype, ElementFunction::add)))
    return unsupported("", fmt::format("operand 0 is {}, expected numbers", to_text(x)), "convert the operand");
  return {};
}

Result<Types> infer_sum(const InferContext& c) {
  CUPEL_TRY(expect_numbers(c));
  return Types{plain(c.type(0).dtype, CUPEL_TRY(infer_shape(c)).first)};
}

Result<Types> infer_selection(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::u8 && t != DType::s8 && t != DType::boolean) CUPEL_TRY(expect_numbers(c));
  return Types{CUPEL_TRY(moved_type(c, 0, CUPEL_TRY(infer_shape(c)).first))};
}

// Elements of which kernels have no reductions, and products, are reduced by the runtime's routine (op_reduce.cpp).
enum class Reduction : int64_t { sum, product, greatest, least, mean };

template <Reduction kOf>
Result<RoutineUse> routine_reduce(const RoutineContext& c) {
  const Dims& x = c.inputs[0]->dims;
  std::vector<int64_t> axes;
  if (c.constants.size() > 1 && c.constants[1] != nullptr)
    for (int64_t i = 0; i < c.constants[1]->size(); ++i) axes.push_back(c.constants[1]->int_at(i));
  const std::vector<bool> reduces = CUPEL_TRY(reduced_dims(c.attributes, x.size(), axes));
  const int64_t units = std::max<int64_t>(1, element_count(c.outputs[0]->dims));
  RoutineUse use{.name = "reduce",
                 .operands = {0},
                 .attributes = {static_cast<int64_t>(kOf)},
                 .units = units,
                 .grain = std::max<int64_t>(1, kPartOperations / std::max<int64_t>(1, element_count(x) / units)),
                 .keeps_items = x.empty() || !reduces[0]};
  use.attributes.insert(use.attributes.end(), reduces.begin(), reduces.end());
  return use;
}

Status reference_sum(const EvalContext& c) {
  if (c.in(0).dtype() != DType::f32) return evaluate_routine(c);
  float* out = c.out().mutable_data<float>().data();
  reduce<float>(ReductionLayout(c.in(0).dims(), CUPEL_TRY(reduced_dims(c))), c.in(0).data<float>().data(), 0.0f,
                SumOf{}, c.threads, [&](int64_t at, const float* sums, int64_t n) { std::copy_n(sums, n, out + at); });
  return {};
}

bool is_reduced_by_kernels(DType type) { return type == DType::f32 || type == DType::u8 || type == DType::s8; }

Status reference_mean(const EvalContext& c) {
  if (!is_reduced_by_kernels(c.in(0).dtype())) return evaluate_routine(c);
  return reduce_mean(c, CUPEL_TRY(reduced_dims(c)));
}
Status reference_max(const EvalContext& c) {
  if (!is_reduced_by_kernels(c.in(0).dtype())) return evaluate_routine(c);
  return reduce_greatest(c, CUPEL_TRY(reduced_dims(c)));
}
Status reference_min(const EvalContext& c) {
  if (!is_reduced_by_kernels(c.in(0).dtype())) return evaluate_routine(c);
  return reduce_least(c, CUPEL_TRY(reduced_dims(c)));
}

Cost cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType>) {
  return {0, elements_per_item(*inputs[0])};
}

// ---- ArgMax, ArgMin
// ------------------------------------------------------------------------------------------------------------

Result<Types> infer_arg_max(const InferContext& c) {
  const TensorType& x = c.type(0);
  if (!has_cpp_type(x.dtype) || x.dtype == DType::boolean)
    return unsupported("", fmt::format("operand 0 is {}, expected numbers", to_text(x)), "convert the operand");
  CUPEL_TRY(moved_type(c, 0, {}));  // codes of one scale keep their order
  CUPEL_TRY(flag(c.attributes, "select_last_index", false));
  const bool keep = CUPEL_TRY(flag(c.attributes, "keepdims", true));
  const int64_t axis =
      CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(x.shape.size())));
  if (x.shape[static_cast<size_t>(axis)] == Dim(0))
    return bad_input("", fmt::format("axis {} of shape {} is empty", axis, to_text(x.shape)),
                     "correct the model's shapes");
  std::vector<bool> reduces(x.shape.size(), false);
  reduces[static_cast<size_t>(axis)] = true;
  return Types{plain(DType::s64, reduced_shape(x.shape, reduces, keep))};
}

template <bool kLeast>
Result<RoutineUse> routine_arg(const RoutineContext& c) {
  const Dims& x = c.inputs[0]->dims;
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(x.size())));
  const int64_t n = x[static_cast<size_t>(axis)];
  if (n == 0)
    return bad_input("", fmt::format("axis {} of shape {} is empty", axis, to_text(x)), "give at least one element");
  return RoutineUse{.name = "find",
                    .operands = {0},
                    .attributes = {axis, kLeast, attr_int(c.attributes, "select_last_index", 0)},
                    .units = std::max<int64_t>(1, element_count(c.outputs[0]->dims)),
                    .grain = std::max<int64_t>(1, kPartOperations / n),
                    .keeps_items = axis != 0};
}

const std::vector<OperandTypes> kSelectionTypes = {{kFloatTypes | kWideIntegerTypes | kByteTypes | DType::boolean},
                                                   {kIndexTypes}};

std::vector<AttributeSpec> reduce_attributes() {
  return {{"keepdims", AttributeKind::integer}, {"noop_with_empty_axes", AttributeKind::integer}};
}

}  // namespace

namespace ops {

const OpDef kReduceMean{.name = "ReduceMean",
                        .since_opset = 1,
                        .operand_types = {{kFloatTypes | kWideIntegerTypes}, {kIndexTypes}},
                        .min_inputs = 1,
                        .max_inputs = 2,
                        .attributes = reduce_attributes(),
                        .quant_rule = QuantRule::average,
                        .parameters_from = 1,
                        .infer = infer_mean,
                        .reference = reference_mean,
                        .routine = routine_reduce<Reduction::mean>,
                        .cost = cost,
                        .samples = {R"(graph "reduce_mean_spatial" stage imported opset 18 {
  input %x : f32[batch,3,5,7]
  constant %axes : s64[2] = [2, 3]
  %y = ReduceMean(%x, %axes)
  output %y
})",
                                    R"(graph "reduce_mean_last" stage imported opset 18 {
  input %x : f32[batch,3,65]
  constant %axes : s64[1] = [-1]
  %y = ReduceMean(%x, %axes) {keepdims=0}
  output %y
})",
                                    R"(graph "reduce_mean_last_kept" stage imported opset 18 {
  input %x : f32[batch,2,19,5]
  constant %axes : s64[1] = [-1]
  %y = ReduceMean(%x, %axes)
  output %y
})",
                                    R"(graph "reduce_mean_middle" stage imported opset 18 {
  input %x : f32[batch,3,5,7]
  constant %axes : s64[2] = [3, 1]
  %y = ReduceMean(%x, %axes) {keepdims=0}
  output %y
})",
                                    R"(graph "reduce_mean_all" stage imported opset 18 {
  input %x : f32[2,3,5]
  %y = ReduceMean(%x) {keepdims=0}
  output %y
})",
                                    R"(graph "reduce_mean_codes" stage integer opset 18 {
  input %x : u8[batch,3,5,7] quant(scale=[0x1.4p-5], zero_point=[113])
  constant %axes : s64[2] = [2, 3]
  %y = ReduceMean(%x, %axes) : u8[batch,3,1,1] quant(scale=[0x1.8p-6], zero_point=[120])
  output %y
})",
                                    R"(graph "reduce_mean_tokens_codes" stage integer opset 18 {
  input %x : s8[batch,9,6] quant(scale=[0x1.4p-5], zero_point=[-7])
  constant %axes : s64[1] = [1]
  %y = ReduceMean(%x, %axes) {keepdims=0} : s8[batch,6] quant(scale=[0x1.4p-6], zero_point=[3])
  output %y
})",
                                    R"(graph "reduce_mean_wide_numbers" stage imported opset 18 {
  input %x : f64[batch,3,5]
  constant %axes : s64[1] = [1]
  %y = ReduceMean(%x, %axes) {keepdims=0}
  output %y
})"}};

const OpDef kReduceSum{.name = "ReduceSum",
                       .since_opset = 1,
                       .operand_types = {{kFloatTypes | kWideIntegerTypes}, {kIndexTypes}},
                       .min_inputs = 1,
                       .max_inputs = 2,
                       .attributes = reduce_attributes(),
                       .parameters_from = 1,
                       .infer = infer_sum,
                       .reference = reference_sum,
                       .routine = routine_reduce<Reduction::sum>,
                       .cost = cost,
                       .samples = {R"(graph "reduce_sum" stage imported opset 18 {
  input %x : f32[batch,3,7]
  constant %axes : s64[1] = [1]
  %y = ReduceSum(%x, %axes)
  output %y
})",
                                   R"(graph "reduce_sum_integers" stage imported opset 18 {
  input %x : s64[batch,3,7]
  constant %axes : s64[2] = [-1, 1]
  %y = ReduceSum(%x, %axes) {keepdims=0}
  output %y
})",
                                   R"(graph "reduce_sum_noop" stage imported opset 18 {
  input %x : f32[batch,3]
  %y = ReduceSum(%x) {noop_with_empty_axes=1}
  output %y
})",
                                   R"(graph "reduce_sum_wide_numbers" stage imported opset 18 {
  input %x : f64[batch,3,2,5]
  constant %axes : s64[2] = [1, 3]
  %y = ReduceSum(%x, %axes)
  output %y
})"}};

const OpDef kReduceMax{.name = "ReduceMax",
                       .since_opset = 1,
                       .operand_types = kSelectionTypes,
                       .min_inputs = 1,
                       .max_inputs = 2,
                       .attributes = reduce_attributes(),
                       .quant_rule = QuantRule::same,
                       .codes_since_opset = 12,
                       .parameters_from = 1,
                       .infer = infer_selection,
                       .reference = reference_max,
                       .routine = routine_reduce<Reduction::greatest>,
                       .cost = cost,
                       .samples = {R"(graph "reduce_max" stage imported opset 18 {
  input %x : f32[batch,3,7]
  constant %axes : s64[1] = [2]
  %y = ReduceMax(%x, %axes) {keepdims=0}
  output %y
})",
                                   R"(graph "reduce_max_codes" stage integer opset 18 {
  input %x : u8[batch,3,7] quant(scale=[0x1.4p-5], zero_point=[113])
  constant %axes : s64[1] = [1]
  %y = ReduceMax(%x, %axes) : u8[batch,1,7] quant(scale=[0x1.4p-5], zero_point=[113])
  output %y
})",
                                   R"(graph "reduce_max_truths" stage imported opset 20 {
  input %x : bool[batch,3]
  constant %axes : s64[1] = [1]
  %y = ReduceMax(%x, %axes)
  output %y
})"}};

const OpDef kReduceMin{.name = "ReduceMin",
                       .since_opset = 1,
                       .operand_types = kSelectionTypes,
                       .min_inputs = 1,
                       .max_inputs = 2,
                       .attributes = reduce_attributes(),
                       .quant_rule = QuantRule::same,
                       .codes_since_opset = 12,
                       .parameters_from = 1,
                       .infer = infer_selection,
                       .reference = reference_min,
                       .routine = routine_reduce<Reduction::least>,
                       .cost = cost,
                       .samples = {R"(graph "reduce_min" stage imported opset 18 {
  input %x : f32[batch,3,7]
  constant %axes : s64[1] = [-2]
  %y = ReduceMin(%x, %axes)
  output %y
})",
                                   R"(graph "reduce_min_codes" stage integer opset 18 {
  input %x : s8[batch,3,7] quant(scale=[0x1.4p-5], zero_point=[-13])
  constant %axes : s64[2] = [1, 2]
  %y = ReduceMin(%x, %axes) {keepdims=0} : s8[batch] quant(scale=[0x1.4p-5], zero_point=[-13])
  output %y
})",
                                   R"(graph "reduce_min_integers" stage imported opset 18 {
  input %x : s32[batch,2,3]
  constant %axes : s64[1] = [1]
  %y = ReduceMin(%x, %axes)
  output %y
})"}};

const OpDef kReduceProd{.name = "ReduceProd",
                        .since_opset = 1,
                        .operand_types = {{kFloatTypes | kWideIntegerTypes}, {kIndexTypes}},
                        .min_inputs = 1,
                        .max_inputs = 2,
                        .attributes = reduce_attributes(),
                        .parameters_from = 1,
                        .infer = infer_sum,
                        .reference = evaluate_routine,
                        .routine = routine_reduce<Reduction::product>,
                        .cost = cost,
                        .samples = {R"(graph "reduce_prod" stage imported opset 18 {
  input %x : f32[batch,3,7]
  constant %axes : s64[1] = [1]
  %y = ReduceProd(%x, %axes)
  output %y
})",
                                    R"(graph "reduce_prod_integers" stage imported opset 18 {
  input %x : s64[batch,3,7]
  constant %axes : s64[2] = [-1, 1]
  %y = ReduceProd(%x, %axes) {keepdims=0}
  output %y
})"}};

const OpDef kArgMax{.name = "ArgMax",
                    .since_opset = 1,
                    .operand_types = {{kNumberTypes}},
                    .attributes = {{"axis", AttributeKind::integer},
                                   {"keepdims", AttributeKind::integer},
                                   {"select_last_index", AttributeKind::integer}},
                    .infer = infer_arg_max,
                    .reference = evaluate_routine,
                    .routine = routine_arg<false>,
                    .cost = cost,
                    .samples = {R"(graph "arg_max" stage imported opset 18 {
  input %x : f32[batch,11]
  %y = ArgMax(%x) {axis=-1, keepdims=0}
  output %y
})",
                                R"(graph "arg_max_bytes" stage imported opset 18 {
  input %x : u8[batch,3,17]
  %y = ArgMax(%x) {axis=1, select_last_index=1}
  output %y
})",
                                R"(graph "arg_max_middle_last_index" stage imported opset 18 {
  input %x : s64[batch,5,3]
  %y = ArgMax(%x) {axis=1, select_last_index=1}
  output %y
})"}};

const OpDef kArgMin{.name = "ArgMin",
                    .since_opset = 1,
                    .operand_types = {{kNumberTypes}},
                    .attributes = {{"axis", AttributeKind::integer},
                                   {"keepdims", AttributeKind::integer},
                                   {"select_last_index", AttributeKind::integer}},
                    .infer = infer_arg_max,
                    .reference = evaluate_routine,
                    .routine = routine_arg<true>,
                    .cost = cost,
                    .samples = {R"(graph "arg_min" stage imported opset 18 {
  input %x : f32[batch,11]
  %y = ArgMin(%x) {axis=-1, keepdims=0}
  output %y
})",
                                R"(graph "arg_min_bytes" stage imported opset 18 {
  input %x : u8[batch,3,17]
  %y = ArgMin(%x) {axis=1, select_last_index=1}
  output %y
})",
                                R"(graph "arg_min_middle_last_index" stage imported opset 18 {
  input %x : s64[batch,5,3]
  %y = ArgMin(%x) {axis=1, select_last_index=1}
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
