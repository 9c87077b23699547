// Operators that quantize while the network runs: DynamicQuantizeLinear, and of com.microsoft MatMulIntegerToFloat and
// DynamicQuantizeMatMul, around the exact product MatMulInteger.
#include <fmt/format.h>

#include "onnx/spelling.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

// Codes of a tensor with the parameters that its numbers give.
struct DynamicCodes {
  std::string scale, zero;
};

// Over all numbers of x, with 0: scale = (greatest − least) / 255, or 1 where that is 0; zero point =
// the nearest u8 to −least / scale. A scale of 0 is ONNX Runtime's case; ONNX leaves it undefined.
Result<DynamicCodes> dynamic_parameters(Spelling& s, const std::string& x) {
  // In an open batch it would be all of a chunk.
  if (const Shape shape = CUPEL_TRY(s.shape(x)); !is_static(shape))
    return unsupported("", fmt::format("all of {} has one scale", to_text(shape)), kGiveSize);
  const Attributes whole = {{"keepdims", int64_t{0}}};
  const auto real = [&](const char* part, float value) { return s.constant(part, Tensor::scalar<float>(value)); };
  const std::string zero = real("nothing", 0.0f), top = real("top", 255.0f);
  std::string least = CUPEL_TRY(s.add("ReduceMin", "least", {x}, whole));
  std::string greatest = CUPEL_TRY(s.add("ReduceMax", "greatest", {x}, whole));
  least = CUPEL_TRY(s.add("Min", "low", {least, zero}));
  greatest = CUPEL_TRY(s.add("Max", "high", {greatest, zero}));
  const std::string range = CUPEL_TRY(s.add("Sub", "range", {greatest, least}));
  const std::string step = CUPEL_TRY(s.add("Div", "step", {range, top}));
  const std::string flat = CUPEL_TRY(s.add("Equal", "flat", {step, zero}));
  DynamicCodes codes;
  codes.scale = CUPEL_TRY(s.add("Where", "scale", {flat, real("unit", 1.0f), step}));
  const std::string start =
      CUPEL_TRY(s.add("Div", "start", {CUPEL_TRY(s.add("Sub", "below", {zero, least})), codes.scale}));
  codes.zero = CUPEL_TRY(s.add("Saturate", "zero", {start}, {{"dtype", std::string("u8")}}));
  return codes;
}

// The last nodes: f32(sum) · (scale of a · scale of b) + bias, in the type of b's scale.
Status finish_scaled(Spelling& s, const std::string& sum, const std::string& scale_a, size_t scale_b, size_t bias) {
  const DType type = CUPEL_TRY(s.file_type(s.in(scale_b)));
  const auto wide = [&](const std::string& part, const std::string& x) -> Result<std::string> {
    return CUPEL_TRY(s.file_type(x)) == DType::f32 ? Result<std::string>(x)
                                                   : s.add("Cast", part, {x}, {{"to", onnx_dtype(DType::f32)}});
  };
  const std::string a = CUPEL_TRY(wide("a_scale_f32", scale_a)), b = CUPEL_TRY(wide("b_scale_f32", s.in(scale_b)));
  const std::string scale = CUPEL_TRY(s.add("Mul", "scale_product", {a, b}));
  std::string y = CUPEL_TRY(s.add("Cast", "sum_f32", {sum}, {{"to", onnx_dtype(DType::f32)}}));
  const bool last = !s.has(bias) && type == DType::f32;
  if (last) return s.finish("Mul", {y, scale});
  y = CUPEL_TRY(s.add("Mul", "numbers", {y, scale}));
  if (s.has(bias)) {
    const std::string offset = CUPEL_TRY(wide("bias_f32", s.in(bias)));
    if (type == DType::f32) return s.finish("Add", {y, offset});
    y = CUPEL_TRY(s.add("Add", "biased", {y, offset}));
  }
  return s.finish("Cast", {y}, {{"to", onnx_dtype(type)}});
}

std::string operand_or_none(const Spelling& s, size_t i) { return s.has(i) ? s.in(i) : ""; }

}  // namespace

Status spell_dynamic_quantize_linear(Spelling& s) {
  const std::string x = s.in(0);
  const DynamicCodes codes = CUPEL_TRY(dynamic_parameters(s, x));
  if (s.gives(1)) CUPEL_TRY(s.give(1, "Identity", {codes.scale}));
  if (s.gives(2)) CUPEL_TRY(s.give(2, "Identity", {codes.zero}));
  return s.finish_as_read("QuantizeLinear", {x, codes.scale, codes.zero});
}

// Operands: a, b, scale of a, scale of b, zero points of both, bias.
Status spell_matmul_integer_to_float(Spelling& s) {
  const std::string sum =
      CUPEL_TRY(s.add("MatMulInteger", "sum", {s.in(0), s.in(1), operand_or_none(s, 4), operand_or_none(s, 5)}));
  return finish_scaled(s, sum, s.in(2), 3, 6);
}

// Operands: a (numbers), b (codes), scale and zero point of b, bias.
Status spell_dynamic_quantize_matmul(Spelling& s) {
  const DynamicCodes codes = CUPEL_TRY(dynamic_parameters(s, s.in(0)));
  const std::string a = CUPEL_TRY(s.add_as_read("QuantizeLinear", "codes", {s.in(0), codes.scale, codes.zero}));
  const std::string sum = CUPEL_TRY(s.add("MatMulInteger", "sum", {a, s.in(1), codes.zero, operand_or_none(s, 3)}));
  return finish_scaled(s, sum, codes.scale, 2, 4);
}

}  // namespace cupel
