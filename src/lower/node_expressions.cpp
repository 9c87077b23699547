// The expression of each elementwise op, as its row in op_lowerings.cpp names it.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "lower/op_lowerings.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

constexpr double kMostDistance = 256;  // of an 8-bit code from its zero point, with room for roundings

// unsupported unless the node's first operand is of f32.
Status expect_numbers(const OperandsOfNode& n) {
  if (n.in().dtype == DType::f32) return {};
  return no_compiled_form(fmt::format("{} on {}", n.node.op->name, dtype_name(n.in().dtype)));
}

Status expect_byte_codes(const TensorType& t) {
  if (dtype_bits(t.dtype) == 8) return {};
  return no_compiled_form("codes of other than 8 bits");
}

// Dimension `axis` of the node's operand among those of the walk, which are aligned from the last one; −1 for the
// batch.
int walked_dim(const OperandsOfNode& n, int64_t axis) {
  const auto rank = static_cast<int64_t>(n.in().shape.size());
  if (axis < 0) axis += rank;
  if (n.expressions.facts().is_batch(n.node.inputs[0], axis)) return -1;
  return static_cast<int>(axis + static_cast<int64_t>(n.walk.dims.size()) - rank);
}

// Numbers for each index of the axis of codes with parameters per axis (docs/quantization.md 1).
class AxisNumbers {
 public:
  AxisNumbers(const OperandsOfNode& n, const TensorType& codes) : n_(n), codes_(codes) {}

  // `number(c)`: of index c.
  template <class Number>
  Scalar operand(Number&& number) const {
    const QuantParams& q = *codes_.quant;
    std::vector<float> values;
    for (size_t c = 0; c < q.scale.size(); ++c) values.push_back(static_cast<float>(number(c)));
    return n_.expressions.dimension_constant(n_.draft, values, walked_dim(n_, codes_.quant->axis), n_.walk);
  }
  // Zero points are whole numbers of f32, so that rounding gives them as s32.
  Scalar zero_points() const {
    return round_s32(operand([&](size_t c) { return codes_.quant->zero_point[c]; }));
  }

 private:
  const OperandsOfNode& n_;
  const TensorType& codes_;
};

Status expect_item_axis(const OperandsOfNode& n, const TensorType& codes) {
  if (n.walk.dims.empty() || walked_dim(n, codes.quant->axis) >= 0) return {};
  return no_compiled_form("codes with parameters for each batch item");
}

Result<Scalar> quantize_by_axis(const OperandsOfNode& n) {
  const TensorType& t = n.out();
  CUPEL_TRY(expect_item_axis(n, t));
  if (n.walk.dims.empty()) return n.operands[0];  // only asked whether there is an expression
  const QuantParams& q = *t.quant;
  const AxisNumbers numbers(n, t);
  const Scalar zero = numbers.zero_points(),
               scaled = n.operands[0] * numbers.operand([&](size_t c) { return ops::inverse_scale(q.scale[c]); }),
               low = numbers.operand([&](size_t c) { return dtype_min(t.dtype) - q.zero_point[c]; }),
               high = numbers.operand([&](size_t c) { return dtype_max(t.dtype) - q.zero_point[c]; });
  return round_s32(less(greater(scaled, low), high)) + zero;
}

Result<Scalar> dequantize_by_axis(const OperandsOfNode& n) {
  const TensorType& t = n.in();
  CUPEL_TRY(expect_item_axis(n, t));
  if (n.walk.dims.empty()) return n.operands[0];  // only asked whether there is an expression
  const AxisNumbers numbers(n, t);
  const Scalar zero = numbers.zero_points(), scale = numbers.operand([&](size_t c) { return t.quant->scale[c]; });
  return to_f32(n.operands[0] - zero) * scale;
}

// unsupported unless the node's first operand is of f32 or s32.
Status expect_plain_numbers(const OperandsOfNode& n) {
  return n.in().dtype == DType::s32 && !n.in().quant ? Status() : expect_numbers(n);
}

// Whether both operands are codes, or both numbers; unsupported otherwise.
Result<bool> both_are_codes(const OperandsOfNode& n) {
  const bool first = n.in(0).quant.has_value(), second = n.in(1).quant.has_value();
  if (first && second) return true;
  if (!first && (n.in(0).dtype == DType::f32 || n.in(0).dtype == DType::s32)) return false;
  return no_compiled_form("operands of mixed types");
}

Scalar as_boolean(Scalar mask) { return select(mask, Scalar(1), Scalar(0)); }
// Of the byte of a boolean operand, 0 or not.
Scalar truth(const OperandsOfNode& n, size_t i) { return as_boolean(n.operands[i] > Scalar(0)); }

// The distance of operand i's code from its zero point.
Scalar centered(const OperandsOfNode& n, size_t i) { return n.operands[i] - Scalar(n.in(i).quant->zero_point[0]); }

}  // namespace

Scalar requantized(Scalar code, const TensorType& from, const TensorType& to) {
  const float m = ops::scale_ratio(from.quant->scale[0], to.quant->scale[0]);
  return to_code_within(kMostDistance * static_cast<double>(m),
                        to_f32(code - Scalar(from.quant->zero_point[0])) * Scalar(m), to.dtype,
                        to.quant->zero_point[0]);
}

Result<Scalar> express_quantize(const OperandsOfNode& n) {
  const TensorType& t = n.out();
  CUPEL_TRY(expect_byte_codes(t));
  if (!t.quant->per_tensor()) return quantize_by_axis(n);
  return to_code(n.operands[0] * Scalar(ops::inverse_scale(t.quant->scale[0])), t.dtype, t.quant->zero_point[0]);
}

Result<Scalar> express_identity(const OperandsOfNode& n) { return n.operands[0]; }

Result<Scalar> express_cast(const OperandsOfNode& n) {
  const auto is_real = [](DType t) { return t == DType::f32 || t == DType::f16; };
  const auto is_integer = [](DType t) { return t == DType::u8 || t == DType::s8 || t == DType::s32; };
  const DType from = n.in().dtype, to = n.out().dtype;
  if (is_real(from) && is_real(to)) return n.operands[0];
  if (to == DType::boolean && is_real(from)) return select(n.operands[0] == Scalar(0.0f), Scalar(0), Scalar(1));
  if (to == DType::boolean && is_integer(from)) return select(n.operands[0] == Scalar(0), Scalar(0), Scalar(1));
  if (from == DType::boolean && is_real(to)) return to_f32(truth(n, 0));
  if (from == DType::boolean && is_integer(to)) return truth(n, 0);
  if (is_integer(from) && to == DType::f32) return to_f32(n.operands[0]);
  if (from == to || (from != DType::s32 && to == DType::s32 && is_integer(from))) return n.operands[0];
  return no_compiled_form(fmt::format("{} has no compiled form yet", n.node.op->name));
}

Result<Scalar> express_as_codes(const OperandsOfNode& n) {
  return n.in().dtype == n.out().dtype ? n.operands[0] : n.operands[0] + Scalar(128);
}

Result<Scalar> express_saturate(const OperandsOfNode& n) {
  const DType integers = *dtype_from_name(attr_text(n.node.attributes, "dtype", "u8"));
  if (dtype_bits(integers) == 8) return to_code(n.operands[0], integers, 0);
  const Scalar least = static_cast<float>(dtype_min(integers)), most = static_cast<float>(dtype_max(integers));
  return round_s32(less(greater(n.operands[0], least), most));
}

Result<Scalar> express_dequantize(const OperandsOfNode& n) {
  const TensorType& t = n.in();
  CUPEL_TRY(expect_byte_codes(t));
  if (!t.quant->per_tensor()) return dequantize_by_axis(n);
  return from_code(n.operands[0], t.quant->zero_point[0], t.quant->scale[0]);
}

Result<Scalar> express_requantize(const OperandsOfNode& n) {
  CUPEL_TRY(expect_byte_codes(n.out()));
  if (!n.out().quant->per_tensor()) return no_compiled_form("a Requantize of codes with parameters per axis");
  return *n.in().quant == *n.out().quant && n.in().dtype == n.out().dtype ? n.operands[0]
                                                                          : requantized(n.operands[0], n.in(), n.out());
}

Result<Scalar> express_add(const OperandsOfNode& n) {
  if (!CUPEL_TRY(both_are_codes(n))) return n.operands[0] + n.operands[1];
  const QuantParams& y = *n.out().quant;
  const float ma = ops::scale_ratio(n.in(0).quant->scale[0], y.scale[0]),
              mb = ops::scale_ratio(n.in(1).quant->scale[0], y.scale[0]);
  const Scalar a = centered(n, 0), b = centered(n, 1);
  return to_code_within(kMostDistance * (static_cast<double>(ma) + static_cast<double>(mb)),
                        fma(to_f32(b), Scalar(mb), to_f32(a) * Scalar(ma)), n.out().dtype, y.zero_point[0]);
}

Result<Scalar> express_mul(const OperandsOfNode& n) {
  if (!CUPEL_TRY(both_are_codes(n))) return n.operands[0] * n.operands[1];
  const QuantParams& y = *n.out().quant;
  const float m = ops::product_ratio(n.in(0).quant->scale[0], n.in(1).quant->scale[0], y.scale[0]);
  const Scalar a = centered(n, 0), b = centered(n, 1);
  return to_code_within(kMostDistance * kMostDistance * static_cast<double>(m), to_f32(a * b) * Scalar(m),
                        n.out().dtype, y.zero_point[0]);
}

Result<Scalar> express_where(const OperandsOfNode& n) {
  const DType type = n.out().dtype;
  if (type != DType::f32 && type != DType::s32 && dtype_bits(type) != 8)
    return no_compiled_form(fmt::format("{} of {}", n.node.op->name, dtype_name(type)));
  return select(n.operands[0] > Scalar(0), n.operands[1], n.operands[2]);
}

Result<Scalar> express_not(const OperandsOfNode& n) { return truth(n, 0) ^ Scalar(1); }
Result<Scalar> express_and(const OperandsOfNode& n) {
  const Scalar a = truth(n, 0), b = truth(n, 1);
  return a & b;
}
Result<Scalar> express_or(const OperandsOfNode& n) {
  const Scalar a = truth(n, 0), b = truth(n, 1);
  return a | b;
}

Result<Scalar> express_xor(const OperandsOfNode& n) {
  const Scalar a = truth(n, 0), b = truth(n, 1);
  return a ^ b;
}

namespace {
// unsupported unless kernels read the operands as they are: f32, s32 and 8-bit integers.
Status expect_comparable(const OperandsOfNode& n) {
  const DType type = n.in().dtype;
  if (type == DType::f32 || type == DType::s32 || type == DType::u8 || type == DType::s8) return {};
  return no_compiled_form(fmt::format("{} on {}", n.node.op->name, dtype_name(type)));
}
}  // namespace

Result<Scalar> express_equal(const OperandsOfNode& n) {
  if (n.in().dtype == DType::boolean) {
    const Scalar a = truth(n, 0), b = truth(n, 1);
    return a ^ b ^ Scalar(1);
  }
  CUPEL_TRY(expect_comparable(n));
  return as_boolean(n.operands[0] == n.operands[1]);
}
Result<Scalar> express_greater(const OperandsOfNode& n) {
  CUPEL_TRY(expect_comparable(n));
  return as_boolean(n.operands[0] > n.operands[1]);
}
Result<Scalar> express_less(const OperandsOfNode& n) {
  CUPEL_TRY(expect_comparable(n));
  return as_boolean(n.operands[0] < n.operands[1]);
}

Result<Scalar> express_greater_or_equal(const OperandsOfNode& n) {
  CUPEL_TRY(expect_comparable(n));
  return as_boolean((n.operands[0] > n.operands[1]) | (n.operands[0] == n.operands[1]));
}
Result<Scalar> express_less_or_equal(const OperandsOfNode& n) {
  CUPEL_TRY(expect_comparable(n));
  return as_boolean((n.operands[0] < n.operands[1]) | (n.operands[0] == n.operands[1]));
}

Result<Scalar> express_is_nan(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  return select(n.operands[0] == n.operands[0], Scalar(0), Scalar(1));
}

Result<Scalar> express_is_inf(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool positive = attr_int(n.node.attributes, "detect_positive", 1) != 0,
             negative = attr_int(n.node.attributes, "detect_negative", 1) != 0;
  const Scalar x = n.operands[0];
  if (!positive && !negative) return Scalar(0);
  if (positive && negative) return as_boolean(abs(x) == Scalar(kInfinity));
  return as_boolean(x == Scalar(positive ? kInfinity : -kInfinity));
}

Result<Scalar> express_prelu(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  return select(n.operands[0] < Scalar(0.0f), n.operands[1] * n.operands[0], n.operands[0]);
}

Result<Scalar> express_pow(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  if (n.in(1).dtype != DType::f32)
    return no_compiled_form(fmt::format("Pow with an exponent of {}", dtype_name(n.in(1).dtype)));
  return power(n.operands[0], n.operands[1]);
}

Result<Scalar> express_sub(const OperandsOfNode& n) {
  CUPEL_TRY(expect_plain_numbers(n));
  return n.operands[0] - n.operands[1];
}

Result<Scalar> express_div(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  return n.operands[0] / n.operands[1];
}

Result<Scalar> express_max(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  Scalar value = n.operands[0];
  for (size_t i = 1; i < n.operands.size(); ++i) value = greater(value, n.operands[i]);
  return value;
}

Result<Scalar> express_min(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  Scalar value = n.operands[0];
  for (size_t i = 1; i < n.operands.size(); ++i) value = less(value, n.operands[i]);
  return value;
}

Result<Scalar> express_clip(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  float bounds[2] = {-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
  for (size_t i = 1; i < n.node.inputs.size() && i < 3; ++i) {
    if (!n.node.inputs[i].valid()) continue;
    const auto& c = n.graph().value(n.node.inputs[i]).constant;
    if (!c || c->size() != 1) return no_compiled_form("a Clip with bounds computed at run time");
    bounds[i - 1] = c->data<float>()[0];
  }
  return clip(n.operands[0], bounds[0], bounds[1]);
}

Result<Scalar> express_batch_normalization(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  const Scalar x = n.operands[0];
  if (n.walk.dims.empty()) return fma(x, x, x);  // only asked whether there is an expression
  const int channel = walked_dim(n, 1);
  const float epsilon = attr_real(n.node.attributes, "epsilon", 1e-5f);
  std::vector<const float*> p;
  int64_t channels = 0;
  for (size_t i = 1; i < 5; ++i) {
    const auto& c = n.graph().value(n.node.inputs[i]).constant;
    if (!c || c->dtype() != DType::f32) break;
    p.push_back(c->data<float>().data());
    channels = c->size();
  }
  if (p.size() < 4) {
    std::vector<Scalar> q;
    for (size_t i = 1; i < 5; ++i)
      q.push_back(CUPEL_TRY(n.expressions.dimension_operand(n.draft, n.node.inputs[i], channel, n.walk)));
    const Scalar a = q[0] / sqrt(q[3] + Scalar(epsilon));
    return fma(x, a, fma(-q[2], a, q[1]));
  }
  std::vector<float> a, b;
  for (int64_t c = 0; c < channels; ++c) {
    a.push_back(p[0][c] / std::sqrt(p[3][c] + epsilon));
    b.push_back(__builtin_fmaf(-p[2][c], a.back(), p[1][c]));
  }
  return fma(x, n.expressions.dimension_constant(n.draft, a, channel, n.walk),
             n.expressions.dimension_constant(n.draft, b, channel, n.walk));
}

Result<Scalar> express_unary(const OperandsOfNode& n) {
  CUPEL_TRY(expect_numbers(n));
  return *unary_expression(n.node.op->name, n.node.attributes, n.operands[0]);
}

}  // namespace cupel
