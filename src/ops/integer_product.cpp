// MatMulInteger, ConvInteger: exact sums of products of bytes minus zero points, in s32, carried out by routines
// (runtime/op_integer_product.cpp, runtime/op_integer_conv.cpp). Operands 2 and 3 are the zero points.
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/byte_panels.h"
#include "ops/contract.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"
#include "ops/window.h"

namespace cupel {
namespace {

using namespace ops;

Status expect_bytes(const InferContext& c) {
  for (const size_t i : {size_t{0}, size_t{1}})
    if (c.type(i).quant)
      return unsupported("", fmt::format("operand {} holds codes, which it takes as plain integers", i),
                         "put a DequantizeLinear node before it");
  return {};
}

// Zero point i is one number, or one for each of `count`.
Status expect_zero_point(const InferContext& c, size_t i, const Dim& count) {
  if (!c.has(i)) return {};
  const Shape& shape = c.shape(i);
  if (shape.empty() || shape == Shape{Dim(1)} || shape == Shape{count}) return {};
  return unsupported("", fmt::format("zero points (operand {}) of shape {}", i, to_text(shape)),
                     "give one, or one for each row or column");
}

int64_t grain_for(int64_t macs_per_unit) { return std::max<int64_t>(1, 65536 / std::max<int64_t>(1, macs_per_unit)); }

// ---- MatMulInteger

Result<Types> infer_matmul(const InferContext& c) {
  CUPEL_TRY(expect_bytes(c));
  Shape shape = CUPEL_TRY(product_shape(c));
  const Shape &a = c.shape(0), &b = c.shape(1);
  CUPEL_TRY(expect_zero_point(c, 2, a.size() > 1 ? a[a.size() - 2] : Dim(1)));
  CUPEL_TRY(expect_zero_point(c, 3, b.size() > 1 ? b.back() : Dim(1)));
  return Types{plain(DType::s32, std::move(shape))};
}

// One for each of the columns.
Tensor zeros_of_columns(const Tensor& b, const Tensor* zeros) {
  return panel_zeros(b.dtype(), {b.dims().back()},
                     [&](int64_t n) { return !zeros ? 0 : zeros->int_at(zeros->size() == 1 ? 0 : n); });
}

// Of dimensions of one batch item, where the leading one of the second factor was taken for the batch.
std::unexpected<Error> for_each_item() {
  return not_compiled("", "a factor whose rows would be those of a batch has no compiled form");
}

Result<RoutineUse> matmul_routine(const RoutineContext& c) {
  const auto given = [&](size_t i) { return i < c.inputs.size() && c.inputs[i]; };
  const auto constant = [&](size_t i) { return i < c.constants.size() ? c.constants[i] : nullptr; };
  const Dims& b = c.inputs[1]->dims;
  const int64_t depth = c.inputs[0]->dims.back(), columns = b.size() < 2 ? 1 : b.back();
  if (b.at(b.size() < 2 ? 0 : b.size() - 2) != depth) return for_each_item();
  RoutineUse use{.name = "integer_product", .operands = {0, 2, 1, 3}, .attributes = {-1}};
  use.units = element_count(c.outputs[0]->dims) / std::max<int64_t>(1, columns);
  use.grain = grain_for(depth * columns);
  if (b.size() < 2 || !constant(1) || (given(3) && !constant(3))) return use;
  use.operands = {0, 2};
  BytePanels panels = in_byte_panels(*constant(1));
  Dims dims = b;
  dims[b.size() - 2] = panels.panels.dims()[1];
  dims[b.size() - 1] = panels.panels.dims()[2];
  use.constants = {panels.panels.reshaped(dims), zeros_of_columns(*constant(1), constant(3)), std::move(panels.sums)};
  use.attributes = {columns};
  return use;
}

Cost matmul_cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs) {
  const auto y = bind_shape(outputs[0].shape, 1), a = bind_shape(inputs[0]->shape, 1);
  if (!y || !a || a->empty()) return {};
  return {.macs = element_count(*y) * a->back()};
}

// ---- ConvInteger

Result<Types> infer_conv(const InferContext& c) {
  CUPEL_TRY(expect_bytes(c));
  const Shape &x = c.shape(0), &w = c.shape(1);
  const std::vector<WindowAxis> axes = CUPEL_TRY(convolution_axes(c.attributes, x, w));
  const int64_t groups = attr_int(c.attributes, "group", 1);
  if (!x[1].is_constant())
    return unsupported("", fmt::format("the symbolic dimension {} of operand 0 {}", to_text(x[1]), to_text(x)),
                       kGiveSize);
  if (groups < 1 || x[1].factor % groups != 0 || w[0].factor % groups != 0 || w[1].factor != x[1].factor / groups)
    return bad_input(
        "", fmt::format("{} input channels, {} groups and weights {} do not fit", x[1].factor, groups, to_text(w)),
        "correct the model's shapes");
  CUPEL_TRY(expect_zero_point(c, 2, Dim(1)));
  CUPEL_TRY(expect_zero_point(c, 3, w[0]));
  Shape y = {x[0], w[0]};
  for (const WindowAxis& axis : axes) y.emplace_back(axis.out);
  return Types{plain(DType::s32, std::move(y))};
}

Result<RoutineUse> conv_routine(const RoutineContext& c) {
  const Dims &x = c.inputs[0]->dims, &w = c.inputs[1]->dims, &y = c.outputs[0]->dims;
  if (w[0] != y[1]) return for_each_item();
  RoutineUse use{.name = "integer_conv", .operands = {0, 2, 1, 3}};
  use.attributes = {attr_int(c.attributes, "group", 1)};
  const std::vector<WindowAxis> axes = CUPEL_TRY(convolution_axes(c.attributes, to_shape(x), to_shape(w)));
  for (const WindowAxis& axis : axes)
    use.attributes.insert(use.attributes.end(), {axis.stride, axis.dilation, axis.pad_begin});
  use.units = element_count(y) / std::max<int64_t>(1, y.back());
  use.grain = grain_for(y.back() * element_count(w) / std::max<int64_t>(1, w[0]));
  return use;
}

Cost conv_cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs) {
  const auto y = bind_shape(outputs[0].shape, 1), w = bind_shape(inputs[1]->shape, 1);
  if (!y || !w || (*w)[0] == 0) return {};
  return {.macs = element_count(*y) * (element_count(*w) / (*w)[0])};
}

const std::vector<OperandTypes> kOperandTypes = {{kByteTypes}, {kByteTypes}, {kAnyType, 0}, {kAnyType, 1}};

}  // namespace

namespace ops {
const OpDef kMatMulInteger{.name = "MatMulInteger",
                           .since_opset = 10,
                           .operand_types = kOperandTypes,
                           .min_inputs = 2,
                           .max_inputs = 4,
                           .infer = infer_matmul,
                           .reference = evaluate_routine,
                           .routine = matmul_routine,
                           .cost = matmul_cost,
                           .samples = {R"(graph "matmul_integer" stage imported opset 17 {
  input %a : u8[batch,3,4]
  constant %b : s8[4,2] = [1, -2, 3, -4, 127, -128, 7, 8]
  constant %za : u8[] = [13]
  constant %zb : s8[2] = [-1, 5]
  %y = MatMulInteger(%a, %b, %za, %zb)
  output %y
})",
                                       R"(graph "matmul_integer_computed" stage imported opset 17 {
  input %a : s8[batch,3,4]
  input %b : u8[batch,4,2]
  input %za : s8[3]
  input %zb : u8[]
  %y = MatMulInteger(%a, %b, %za, %zb)
  output %y
})",
                                       R"(graph "matmul_integer_vectors" stage imported opset 17 {
  input %a : u8[batch,5]
  constant %b : u8[5] = [1, 2, 3, 255, 0]
  %y = MatMulInteger(%a, %b)
  output %y
})"}};

const OpDef kConvInteger{.name = "ConvInteger",
                         .since_opset = 10,
                         .operand_types = kOperandTypes,
                         .min_inputs = 2,
                         .max_inputs = 4,
                         .attributes = {{"auto_pad", AttributeKind::text},
                                        {"dilations", AttributeKind::integers},
                                        {"group", AttributeKind::integer},
                                        {"kernel_shape", AttributeKind::integers},
                                        {"pads", AttributeKind::integers},
                                        {"strides", AttributeKind::integers}},
                         .infer = infer_conv,
                         .reference = evaluate_routine,
                         .routine = conv_routine,
                         .cost = conv_cost,
                         .samples = {R"(graph "conv_integer" stage imported opset 17 {
  input %x : u8[batch,2,5,4]
  constant %w : s8[2,1,3,2] = [1, -2, 3, -4, 5, -6, 127, -128, 7, 8, -9, 10]
  constant %zx : u8[] = [99]
  constant %zw : s8[2] = [3, -7]
  %y = ConvInteger(%x, %w, %zx, %zw) {group=2, pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2]}
  output %y
})",
                                     R"(graph "conv_integer_line" stage imported opset 17 {
  input %x : s8[batch,2,7]
  input %w : u8[3,2,2]
  %y = ConvInteger(%x, %w) {strides=[2], auto_pad="SAME_UPPER"}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
