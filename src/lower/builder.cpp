#include "lower/builder.h"

#include <bit>
#include <cassert>
#include <tuple>

#include "kernel/scalar_lanes.h"
#include "ops/unary_functions.h"

namespace cupel {
namespace scalar {
template <>
struct NumberTraits<Scalar> {
  using Bits = Scalar;
};
}  // namespace scalar

bool ExprBuilder::Before::operator()(const ScalarNode& a, const ScalarNode& b) const {
  const auto key = [](const ScalarNode& n) {
    return std::tuple(n.op, n.arguments, n.index, std::bit_cast<uint32_t>(n.value));
  };
  return key(a) < key(b);
}

int32_t ExprBuilder::add(const ScalarNode& node) {
  const auto [place, fresh] = places_.try_emplace(node, static_cast<int32_t>(nodes_.size()));
  if (fresh) nodes_.push_back(node);
  return place->second;
}

int32_t ExprBuilder::node_of(Scalar value) {
  if (!value.is_constant()) {
    assert(value.builder_ == this);
    return value.node_;
  }
  if (value.type_ == ScalarType::f32)
    return add({.op = ScalarOp::constant_f32, .value = std::bit_cast<float>(value.bits_)});
  return add({.op = ScalarOp::constant_s32, .index = static_cast<int32_t>(value.bits_)});
}

Scalar ExprBuilder::operand(int32_t index, DType dtype) {
  return {this, add({.op = ScalarOp::operand, .index = index}), scalar_type_of(dtype)};
}
Scalar ExprBuilder::accumulator(int32_t index, ScalarType type) {
  return {this, add({.op = ScalarOp::accumulator, .index = index}), type};
}
Scalar ExprBuilder::table(int32_t index, Scalar code) {
  return {this, add({.op = ScalarOp::table, .arguments = {node_of(code), -1, -1}, .index = index}), ScalarType::s32};
}

Scalar Scalar::apply(ScalarOp op, ScalarType type, Scalar a, Scalar b, Scalar c) {
  const std::array<Scalar, 3> values = {a, b, c};
  const auto count = static_cast<size_t>(argument_count(op));
  ExprBuilder* builder = nullptr;
  for (size_t i = 0; i < count && builder == nullptr; ++i) builder = values[i].builder_;
  if (builder == nullptr) {
    Scalar constant(compute_constant(op, a.bits_, b.bits_, c.bits_));
    constant.type_ = type;
    return constant;
  }
  ScalarNode node{.op = op};
  for (size_t i = 0; i < count; ++i) node.arguments[i] = builder->node_of(values[i]);
  return {builder, builder->add(node), type};
}

Scalar ExprBuilder::append(const ScalarExpr& expr, const ScalarSources& sources) {
  assert(!expr.nodes.empty());
  std::vector<Scalar> values;
  for (const ScalarNode& n : expr.nodes) {
    std::array<Scalar, 3> arguments = {0, 0, 0};
    for (size_t i = 0; i < static_cast<size_t>(argument_count(n.op)); ++i)
      arguments[i] = values[static_cast<size_t>(n.arguments[i])];
    const auto index = static_cast<size_t>(n.index);
    switch (n.op) {
      case ScalarOp::operand: values.push_back(sources.operands[index]); break;
      case ScalarOp::accumulator: values.push_back(sources.accumulators[index]); break;
      case ScalarOp::constant_f32: values.emplace_back(n.value); break;
      case ScalarOp::constant_s32: values.emplace_back(n.index); break;
      case ScalarOp::table: values.push_back(table(sources.tables[index], arguments[0])); break;
      default:
        values.push_back(Scalar::apply(n.op, scalar_result_type(n.op, arguments[1].type()), arguments[0], arguments[1],
                                       arguments[2]));
    }
  }
  return values.back();
}

ScalarExpr ExprBuilder::finish(Scalar result) {
  const auto last = static_cast<size_t>(node_of(result));
  std::vector<bool> needed(last + 1, false);
  needed[last] = true;
  for (size_t i = last + 1; i-- > 0;)
    for (const int32_t argument : nodes_[i].arguments)
      if (needed[i] && argument >= 0) needed[static_cast<size_t>(argument)] = true;
  ScalarExpr expr;
  std::vector<int32_t> place(last + 1, -1);
  for (size_t i = 0; i <= last; ++i) {
    if (!needed[i]) continue;
    place[i] = static_cast<int32_t>(expr.nodes.size());
    ScalarNode node = nodes_[i];
    for (int32_t& argument : node.arguments)
      if (argument >= 0) argument = place[static_cast<size_t>(argument)];
    expr.nodes.push_back(node);
  }
  return expr;
}

// ---- Operations
// -------------------------------------------------------------------------------------------------------

#define CUPEL_REAL(op, ...) Scalar::apply(ScalarOp::op, ScalarType::f32, __VA_ARGS__)
#define CUPEL_WHOLE(op, ...) Scalar::apply(ScalarOp::op, ScalarType::s32, __VA_ARGS__)

Scalar operator+(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_REAL(add, a, b) : CUPEL_WHOLE(add_s32, a, b);
}
Scalar operator-(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_REAL(sub, a, b) : CUPEL_WHOLE(sub_s32, a, b);
}
Scalar operator*(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_REAL(mul, a, b) : CUPEL_WHOLE(mul_s32, a, b);
}
Scalar operator/(Scalar a, Scalar b) { return CUPEL_REAL(div, a, b); }
Scalar operator-(Scalar a) { return a.type_ == ScalarType::f32 ? CUPEL_REAL(neg, a) : CUPEL_WHOLE(sub_s32, 0, a); }
Scalar operator&(Scalar a, Scalar b) { return CUPEL_WHOLE(and_s32, a, b); }
Scalar operator|(Scalar a, Scalar b) { return CUPEL_WHOLE(or_s32, a, b); }
Scalar operator^(Scalar a, Scalar b) { return CUPEL_WHOLE(xor_s32, a, b); }
Scalar operator<<(Scalar a, int count) { return CUPEL_WHOLE(shift_left, a, count); }
Scalar operator>>(Scalar a, int count) { return CUPEL_WHOLE(shift_right_signed, a, count); }
Scalar operator>(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_WHOLE(is_greater, a, b) : CUPEL_WHOLE(is_greater_s32, a, b);
}
Scalar operator<(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_WHOLE(is_less, a, b) : CUPEL_WHOLE(is_greater_s32, b, a);
}
Scalar operator==(Scalar a, Scalar b) {
  return a.type_ == ScalarType::f32 ? CUPEL_WHOLE(is_equal, a, b) : CUPEL_WHOLE(is_equal_s32, a, b);
}
Scalar select(Scalar mask, Scalar a, Scalar b) { return Scalar::apply(ScalarOp::select, a.type_, mask, a, b); }
Scalar fma(Scalar a, Scalar b, Scalar c) { return CUPEL_REAL(fma, a, b, c); }
Scalar sqrt(Scalar x) { return CUPEL_REAL(sqrt, x); }
Scalar abs(Scalar x) { return CUPEL_REAL(abs, x); }
Scalar floor(Scalar x) { return CUPEL_REAL(floor, x); }
Scalar ceil(Scalar x) { return CUPEL_REAL(ceil, x); }
Scalar greater(Scalar a, Scalar b) { return CUPEL_REAL(greater, a, b); }
Scalar less(Scalar a, Scalar b) { return CUPEL_REAL(less, a, b); }
Scalar to_f32(Scalar x) { return CUPEL_REAL(to_f32, x); }
Scalar round_s32(Scalar x) { return CUPEL_WHOLE(round_s32, x); }
Scalar truncate_s32(Scalar x) { return CUPEL_WHOLE(truncate_s32, x); }
Scalar bits_s32(Scalar x) { return CUPEL_WHOLE(bits_s32, x); }
Scalar bits_f32(Scalar x) { return CUPEL_REAL(bits_f32, x); }

Scalar to_code(Scalar v, DType type, int32_t zero_point) {
  return Scalar::apply(type == DType::u8 ? ScalarOp::saturate_u8 : ScalarOp::saturate_s8, ScalarType::s32, v,
                       zero_point);
}
Scalar to_code_near(Scalar v, DType type, int32_t zero_point) {
  return Scalar::apply(type == DType::u8 ? ScalarOp::saturate_near_u8 : ScalarOp::saturate_near_s8, ScalarType::s32, v,
                       zero_point);
}
Scalar to_code_within(double reach, Scalar v, DType type, int32_t zero_point) {
  return reach < 0x1p22 ? to_code_near(v, type, zero_point) : to_code(v, type, zero_point);
}
Scalar from_code(Scalar code, int32_t zero_point, float scale) {
  return to_f32(zero_point == 0 ? code : code - zero_point) * scale;
}

Scalar relu(Scalar x) { return greater(0.0f, x); }
Scalar clip(Scalar x, float low, float high) { return less(high, greater(low, x)); }

Scalar bits_of(Scalar x) { return bits_s32(x); }
Scalar from_bits(Scalar bits) { return bits_f32(bits); }
Scalar fused(Scalar a, Scalar b, Scalar c) { return fma(a, b, c); }
Scalar shift_signed(Scalar bits, int count) { return bits >> count; }
Scalar number_of(Scalar bits) { return to_f32(bits); }
Scalar exceeds_signed(Scalar a, Scalar b) { return CUPEL_WHOLE(is_greater_s32, a, b); }
Scalar at_least(Scalar a, Scalar b) { return (a > b) | (a == b); }
Scalar either(Scalar a, Scalar b) { return a | b; }
Scalar both(Scalar a, Scalar b) { return a & b; }
Scalar select_bits(Scalar mask, Scalar a, Scalar b) { return select(mask, a, b); }
Scalar magnitude(Scalar x) { return abs(x); }

Scalar exp(Scalar x) { return scalar::exp_sequence(x); }
Scalar log(Scalar x) { return scalar::log_sequence(x); }

Scalar power(Scalar x, Scalar y) {
  if (!y.is_constant()) return scalar::power_sequence(x, y);
  const auto exponent = std::bit_cast<float>(y.bits_);
  if (exponent == 2) return x * x;
  if (exponent == 3) return x * x * x;
  if (exponent == 0.5f) return sqrt(x);
  if (exponent == 1) return x;
  if (exponent == -1) return Scalar(1.0f) / x;
  if (exponent == 0) return 1.0f;
  return scalar::general_power(x, y);
}

std::optional<Scalar> unary_expression(std::string_view name, const Attributes& attributes, Scalar x) {
  std::optional<Scalar> result;
  ops::visit_unary(name, attributes, [&](const auto& function) { result = function(x); });
  return result;
}

#undef CUPEL_REAL
#undef CUPEL_WHOLE

}  // namespace cupel
