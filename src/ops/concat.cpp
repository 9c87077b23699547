// Concat along one axis; codes are requantized to the result's parameters (docs/quantization.md 3).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/requantize.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Status expect_byte_codes(const TensorType& type, std::string_view what) {
  if (dtype_bits(type.dtype) != 8 || !type.quant->per_tensor())
    return unsupported("", fmt::format("{} is {}, expected u8 or s8 codes with one scale", what, to_text(type)),
                       "keep this op in float");
  return {};
}

Result<Types> infer_concat(const InferContext& c) {
  const Shape& first = c.shape(0);
  if (first.empty())
    return bad_input("", "operand 0 is a scalar, expected at least one dimension", "correct the model's shapes");
  const auto axis = static_cast<size_t>(
      CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), static_cast<int64_t>(first.size()))));
  Shape shape = first;
  shape[axis] = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.has(i)) return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
    const TensorType& t = c.type(i);
    if (t.dtype != c.type(0).dtype && !(t.quant && c.type(0).quant))
      return bad_input(
          "", fmt::format("operand {} is {}, operand 0 is {}", i, dtype_name(t.dtype), dtype_name(c.type(0).dtype)),
          "convert the operand");
    if (t.quant.has_value() != c.type(0).quant.has_value())
      return bad_input("", fmt::format("operand {} is {}, operand 0 is {}", i, to_text(t), to_text(c.type(0))),
                       "quantize all operands or none");
    bool fits = t.shape.size() == first.size();
    for (size_t d = 0; fits && d < first.size(); ++d) fits = d == axis || t.shape[d] == first[d];
    if (!fits)
      return bad_input("",
                       fmt::format("operand {} has shape {}, operand 0 has {}; they may differ in dimension {} only", i,
                                   to_text(t.shape), to_text(first), axis),
                       "correct the model's shapes");
    shape[axis] = CUPEL_TRY(dim_add(shape[axis], t.shape[axis]));
    if (t.quant) CUPEL_TRY(expect_byte_codes(t, fmt::format("operand {}", i)));
  }
  if (!c.type(0).quant) return Types{CUPEL_TRY(addressed_type(c, 0, std::move(shape)))};
  TensorType result = CUPEL_TRY(declared_codes(c, std::move(shape)));
  CUPEL_TRY(expect_byte_codes(result, "the result"));
  return Types{std::move(result)};
}

// Of vectors with known elements.
Result<Contents> fold_concat(const InferContext& c) {
  std::vector<Dim> elements;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const std::vector<Dim>* x = contents_of(c, i);
    if (x == nullptr || c.shape(i).size() != 1) return std::nullopt;
    elements.insert(elements.end(), x->begin(), x->end());
  }
  return elements;
}

// Requantize of all codes of x.
std::array<std::byte, 256> requantize_table(const TensorType& x, const TensorType& y) {
  std::array<std::byte, 256> table;
  const float m = scale_ratio(x.quant->scale[0], y.quant->scale[0]);
  const CodeRange range(y.dtype, y.quant->zero_point[0]);
  for (int i = 0; i < 256; ++i) {
    const int32_t code = x.dtype == DType::u8 ? i : static_cast<int8_t>(i);
    table[static_cast<size_t>(i)] =
        static_cast<std::byte>(to_code(static_cast<float>(code - x.quant->zero_point[0]) * m, range));
  }
  return table;
}

Status reference_concat(const EvalContext& c) {
  Tensor& y = c.out();
  const TensorType& result = c.output_types[0];
  const auto axis = static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", 0), y.rank())));
  const int64_t bytes = element_bytes(y.dtype());
  // Row r of the result is row r of every operand, one after the other.
  const int64_t pitch = y.dims()[axis] * strides_of(y.dims())[axis];
  int64_t begin = 0;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const Tensor& x = c.in(i);
    const TensorType& type = *c.input_types[i];
    if (x.empty()) continue;
    const int64_t run = x.dims()[axis] * strides_of(x.dims())[axis], rows = x.size() / run;
    std::byte* target = y.mutable_bytes().data() + begin * bytes;
    begin += run;
    if (!type.quant || (type.quant == result.quant && type.dtype == result.dtype)) {
      move_elements(c.threads, bytes, {rows, run}, {run, 1}, x.bytes().data(), {pitch, 1}, target);
      continue;
    }
    const auto table = requantize_table(type, result);
    const std::byte* source = x.bytes().data();
    c.threads.parallel_for(rows, std::max<int64_t>(1, kMoveGrain / run), [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r)
        for (int64_t k = 0; k < run; ++k) target[r * pitch + k] = table[static_cast<size_t>(source[r * run + k])];
    });
  }
  return {};
}

}  // namespace

namespace ops {
const OpDef kConcat{.name = "Concat",
                    .max_inputs = -1,
                    .attributes = {{"axis", AttributeKind::integer, true}},
                    .quant_rule = QuantRule::concat,
                    .elements = Elements::moved,
                    .infer = infer_concat,
                    .fold_contents = fold_concat,
                    .reference = reference_concat,
                    .samples = {R"(graph "concat" stage imported opset 17 {
  input %a : f32[batch,3,5]
  input %b : f32[batch,1,5]
  input %c : f32[batch,4,5]
  %y = Concat(%a, %b, %c) {axis=1}
  output %y
})",
                                R"(graph "concat_last" stage imported opset 17 {
  input %a : f32[batch,3,2]
  input %b : f32[batch,3,7]
  %y = Concat(%a, %b) {axis=-1}
  output %y
})",
                                R"(graph "concat_batch" stage imported opset 17 {
  input %a : f32[batch,3]
  input %b : f32[2*batch,3]
  %y = Concat(%a, %b) {axis=0}
  output %y
})",
                                R"(graph "concat_codes" stage integer opset 17 {
  input %a : u8[batch,3,5] quant(scale=[0x1p-7], zero_point=[128])
  input %b : u8[batch,2,5] quant(scale=[0x1.4p-6], zero_point=[7])
  input %c : s8[batch,1,5] quant(scale=[0x1.8p-8], zero_point=[-3])
  %y = Concat(%a, %b, %c) {axis=1} : u8[batch,6,5] quant(scale=[0x1p-7], zero_point=[128])
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
