#include "emit/llvm/expression.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernel/scalar_lanes.h"

namespace cupel {
namespace {

using llvm::Value;

std::vector<bool> nodes_needed(const ScalarExpr& expr, size_t result) {
  std::vector<bool> needed(expr.nodes.size(), false);
  needed[result] = true;
  for (size_t i = result + 1; i-- > 0;) {
    if (!needed[i]) continue;
    for (int32_t argument : expr.nodes[i].arguments)
      if (argument >= 0) needed[static_cast<size_t>(argument)] = true;
  }
  return needed;
}

// The bounds of a saturation before its zero point is added.
struct Saturation {
  int32_t zero_point, low, high;
};
Saturation saturation_of(const ScalarExpr& expr, const ScalarNode& n) {
  const DType codes = *saturated_type(n.op);
  const int32_t zero_point = expr.nodes[static_cast<size_t>(n.arguments[1])].index;
  return {zero_point, static_cast<int32_t>(dtype_min(codes)) - zero_point,
          static_cast<int32_t>(dtype_max(codes)) - zero_point};
}

// Operations on constants alone become constants by their own meaning: LLVM's folding keeps subnormal numbers.
std::vector<ScalarNode> with_constants_folded(const ScalarExpr& expr) {
  std::vector<ScalarNode> nodes = expr.nodes;
  std::vector<ScalarType> types;
  for (ScalarNode& n : nodes) {
    std::array<uint32_t, 3> bits = {};
    bool known = argument_count(n.op) > 0 && n.op != ScalarOp::table;
    ScalarType alike = ScalarType::s32;
    for (size_t k = 0; k < static_cast<size_t>(argument_count(n.op)); ++k) {
      const auto at = static_cast<size_t>(n.arguments[k]);
      const ScalarNode& argument = nodes[at];
      alike = types[at];
      known = known && (argument.op == ScalarOp::constant_f32 || argument.op == ScalarOp::constant_s32);
      bits[k] = argument.op == ScalarOp::constant_f32 ? std::bit_cast<uint32_t>(argument.value)
                                                      : static_cast<uint32_t>(argument.index);
    }
    const ScalarType type = n.op == ScalarOp::constant_f32 ? ScalarType::f32 : scalar_result_type(n.op, alike);
    types.push_back(type);
    if (!known) continue;
    const uint32_t value = compute_constant(n.op, bits[0], bits[1], bits[2]);
    n = type == ScalarType::f32 ? ScalarNode{.op = ScalarOp::constant_f32, .value = std::bit_cast<float>(value)}
                                : ScalarNode{.op = ScalarOp::constant_s32, .index = static_cast<int32_t>(value)};
  }
  return nodes;
}

class ExpressionEmitter {
 public:
  ExpressionEmitter(Emitter& emitter, int64_t lanes, const ExpressionSources& sources, const ScalarExpr& expr)
      : e_(emitter), ir_(emitter.ir), lanes_(lanes), sources_(sources), expr_(expr) {}

  Value* node(const ScalarNode& n, Value* a, Value* b, Value* c) {
    using llvm::Intrinsic::ID;
    switch (n.op) {
      case ScalarOp::operand: return sources_.operand(n.index);
      case ScalarOp::accumulator: return sources_.accumulator(n.index);
      case ScalarOp::constant_f32:
        return splat(ir_, llvm::ConstantFP::get(ir_.getContext(), llvm::APFloat(n.value)), lanes_);
      case ScalarOp::constant_s32: return integer(n.index);
      case ScalarOp::add: return ir_.CreateFAdd(flushed_beside(b, {-0.0f}, a), flushed_beside(a, {-0.0f}, b));
      case ScalarOp::sub: return ir_.CreateFSub(flushed_beside(b, {0.0f}, a), flushed_beside(a, {-0.0f}, b));
      case ScalarOp::mul:
        return ir_.CreateFMul(flushed_beside(b, {1.0f, -1.0f}, a), flushed_beside(a, {1.0f, -1.0f}, b));
      case ScalarOp::div: return ir_.CreateFDiv(flushed_beside(b, {1.0f, -1.0f}, a), b);
      case ScalarOp::fma:
        return ir_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()},
                                   {flushed_beside(b, {1.0f, -1.0f}, a), flushed_beside(a, {1.0f, -1.0f}, b), c});
      case ScalarOp::sqrt: return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, a);
      case ScalarOp::neg: return ir_.CreateFNeg(a);
      case ScalarOp::abs: return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a);
      case ScalarOp::floor: return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, a);
      case ScalarOp::ceil: return ir_.CreateUnaryIntrinsic(llvm::Intrinsic::ceil, a);
      case ScalarOp::greater: return e_.greater(a, b);
      case ScalarOp::less: return e_.less(a, b);
      case ScalarOp::add_s32: return ir_.CreateAdd(a, b);
      case ScalarOp::sub_s32: return ir_.CreateSub(a, b);
      case ScalarOp::mul_s32: return ir_.CreateMul(a, b);
      case ScalarOp::and_s32: return ir_.CreateAnd(a, b);
      case ScalarOp::or_s32: return ir_.CreateOr(a, b);
      case ScalarOp::xor_s32: return ir_.CreateXor(a, b);
      case ScalarOp::shift_left: return ir_.CreateShl(a, b);
      case ScalarOp::shift_right: return ir_.CreateLShr(a, b);
      case ScalarOp::shift_right_signed: return ir_.CreateAShr(a, b);
      case ScalarOp::is_greater: return mask(ir_.CreateFCmpOGT(a, b));
      case ScalarOp::is_less: return mask(ir_.CreateFCmpOLT(a, b));
      case ScalarOp::is_equal: return mask(ir_.CreateFCmpOEQ(a, b));
      case ScalarOp::is_greater_s32: return mask(ir_.CreateICmpSGT(a, b));
      case ScalarOp::is_equal_s32: return mask(ir_.CreateICmpEQ(a, b));
      case ScalarOp::select: return select(a, b, c);
      case ScalarOp::to_f32: return ir_.CreateSIToFP(a, vector_type(e_.f32(), lanes_));
      case ScalarOp::round_s32: return rounded(a);
      case ScalarOp::truncate_s32: return ir_.CreateFPToSI(a, vector_type(e_.s32(), lanes_));
      case ScalarOp::bits_s32: return ir_.CreateBitCast(a, vector_type(e_.s32(), lanes_));
      case ScalarOp::bits_f32: return ir_.CreateBitCast(a, vector_type(e_.f32(), lanes_));
      case ScalarOp::saturate_u8:
      case ScalarOp::saturate_s8: return saturated(n, a);
      case ScalarOp::saturate_near_u8:
      case ScalarOp::saturate_near_s8: return saturated_near(n, a);
      case ScalarOp::table: return table(sources_.table(n.index), a);
    }
    return nullptr;
  }

 private:
  Value* integer(int32_t value) { return splat(ir_, ir_.getInt32(static_cast<uint32_t>(value)), lanes_); }
  Value* mask(Value* condition) { return ir_.CreateSExt(condition, vector_type(e_.s32(), lanes_)); }
  // Code generation does not find the minimum or maximum of integers in a comparison and a selection.
  Value* select(Value* condition, Value* b, Value* c) {
    auto* extended = llvm::dyn_cast<llvm::SExtInst>(condition);
    if (extended == nullptr) return e_.select_bits(ir_.CreateICmpNE(condition, integer(0)), b, c);
    Value* bit = extended->getOperand(0);
    if (auto* compared = llvm::dyn_cast<llvm::ICmpInst>(bit);
        compared != nullptr && compared->getPredicate() == llvm::ICmpInst::ICMP_SGT) {
      Value *left = compared->getOperand(0), *right = compared->getOperand(1);
      if (left == b && right == c) return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, b, c);
      if (left == c && right == b) return ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, b, c);
    }
    return e_.select_bits(bit, b, c);
  }
  // x as the operand of an operation whose other one may be a constant beside which the operation changes no number.
  // Code generation drops the operation then, and with it that a subnormal x becomes a zero: that is done here.
  Value* flushed_beside(Value* other, std::initializer_list<float> neutral, Value* x) {
    if (llvm::isa<llvm::SIToFPInst, llvm::BinaryOperator>(x)) return x;  // a result, which is no subnormal number
    auto* known = llvm::dyn_cast<llvm::Constant>(other);
    if (known != nullptr && lanes_ > 1) known = known->getSplatValue();
    auto* number = llvm::dyn_cast_or_null<llvm::ConstantFP>(known);
    if (number == nullptr || std::none_of(neutral.begin(), neutral.end(), [&](float value) {
          return number->getValueAPF().bitwiseIsEqual(llvm::APFloat(value));
        }))
      return x;
    Value* bits = ir_.CreateBitCast(x, vector_type(e_.s32(), lanes_));
    Value* exponent = ir_.CreateAnd(bits, integer(0x7f800000));
    Value* zero = ir_.CreateAnd(bits, integer(INT32_MIN));
    return ir_.CreateBitCast(ir_.CreateSelect(ir_.CreateICmpEQ(exponent, integer(0)), zero, bits), x->getType());
  }
  Value* rounded(Value* x) {
    return e_.by_parts(x, [&](Value* part) { return e_.isa().round_s32(ir_, part); });
  }
  Value* real(float value) { return splat(ir_, llvm::ConstantFP::get(ir_.getContext(), llvm::APFloat(value)), lanes_); }
  Value* with_zero_point(Value* centered, int32_t zero_point) {
    return zero_point == 0 ? centered : ir_.CreateAdd(centered, integer(zero_point));
  }
  Value* saturated(const ScalarNode& n, Value* x) {
    const Saturation s = saturation_of(expr_, n);
    Value *low = real(static_cast<float>(s.low)), *high = real(static_cast<float>(s.high));
    Value* above = ir_.CreateSelect(ir_.CreateFCmpOGT(x, low), x, low);
    return with_zero_point(rounded(ir_.CreateSelect(ir_.CreateFCmpOLT(above, high), above, high)), s.zero_point);
  }
  Value* saturated_near(const ScalarNode& n, Value* x) {
    const Saturation s = saturation_of(expr_, n);
    Value* above = ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, rounded(x), integer(s.low));
    return with_zero_point(ir_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, above, integer(s.high)), s.zero_point);
  }
  Value* table(Value* from, Value* index) {
    if (lanes_ > 1) return e_.by_parts(index, [&](Value* part) { return e_.isa().lookup(ir_, from, part); });
    Value* low = ir_.CreateZExt(ir_.CreateAnd(index, ir_.getInt32(0xff)), e_.s64());
    Value* entry = ir_.CreateAlignedLoad(ir_.getInt8Ty(), byte_address(ir_, from, low), llvm::Align(1));
    return ir_.CreateZExt(entry, e_.s32());
  }

  Emitter& e_;
  Builder& ir_;
  int64_t lanes_;
  const ExpressionSources& sources_;
  const ScalarExpr& expr_;
};

// Bounds of a node's value; f32 nodes that may be NaN count as unbounded.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

Range s32_range(double low, double high) {
  constexpr double kLeast = -2147483648.0, kGreatest = 2147483647.0;
  if (!(low >= kLeast && high <= kGreatest)) return {kLeast, kGreatest};
  return {low, high};
}

Range node_range(const ScalarNode& n, const std::vector<Range>& ranges, const std::vector<ScalarNode>& nodes,
                 const std::vector<Access>& operands) {
  auto argument = [&](size_t i) { return ranges[static_cast<size_t>(n.arguments[i])]; };
  auto source = [&](size_t i) -> const ScalarNode& { return nodes[static_cast<size_t>(n.arguments[i])]; };
  switch (n.op) {
    case ScalarOp::operand: {
      const DType type = operands[static_cast<size_t>(n.index)].dtype;
      if (type == DType::f32) return {};
      return {static_cast<double>(dtype_min(type)), static_cast<double>(dtype_max(type))};
    }
    case ScalarOp::constant_f32: return std::isnan(n.value) ? Range{} : Range{n.value, n.value};
    case ScalarOp::constant_s32: return {static_cast<double>(n.index), static_cast<double>(n.index)};
    // a > b ? a : b with a constant b is b for NaN, so bounded below; a NaN below passes no further than one `less`.
    case ScalarOp::greater:
      if (source(1).op != ScalarOp::constant_f32) return {};
      return {argument(1).low, std::max(argument(0).high, argument(1).high)};
    case ScalarOp::less:
      if (source(1).op != ScalarOp::constant_f32) return {};
      return {std::min(argument(0).low, argument(1).low), argument(1).high};
    case ScalarOp::round_s32: {
      const Range a = argument(0);
      if (!(std::abs(a.low) < 2147483648.0 && std::abs(a.high) < 2147483648.0)) return s32_range(-1e300, 1e300);
      return {std::nearbyint(a.low), std::nearbyint(a.high)};
    }
    case ScalarOp::add_s32: return s32_range(argument(0).low + argument(1).low, argument(0).high + argument(1).high);
    case ScalarOp::sub_s32: return s32_range(argument(0).low - argument(1).high, argument(0).high - argument(1).low);
    case ScalarOp::saturate_u8:
    case ScalarOp::saturate_near_u8:
    case ScalarOp::table: return {0, 255};
    case ScalarOp::saturate_s8:
    case ScalarOp::saturate_near_s8: return {-128, 127};
    case ScalarOp::is_greater:
    case ScalarOp::is_less:
    case ScalarOp::is_equal:
    case ScalarOp::is_greater_s32:
    case ScalarOp::is_equal_s32: return {-1, 0};
    default: return {};
  }
}

}  // namespace

Value* emit_expression(Emitter& emitter, const ScalarExpr& expr, int64_t lanes, const ExpressionSources& sources,
                       int32_t result) {
  const size_t last = result < 0 ? expr.nodes.size() - 1 : static_cast<size_t>(result);
  const std::vector<bool> needed = nodes_needed(expr, last);
  std::vector<Value*> values(last + 1, nullptr);
  const std::vector<ScalarNode> folded = with_constants_folded(expr);
  ExpressionEmitter nodes(emitter, lanes, sources, expr);
  for (size_t i = 0; i <= last; ++i) {
    if (!needed[i]) continue;
    std::array<Value*, 3> a = {nullptr, nullptr, nullptr};
    for (size_t k = 0; k < 3; ++k)
      if (folded[i].arguments[k] >= 0) a[k] = values[static_cast<size_t>(folded[i].arguments[k])];
    values[i] = nodes.node(folded[i], a[0], a[1], a[2]);
  }
  return values[last];
}

namespace {

// A saturation is what a pack does; only its rounding, and a bound where it may be far from the codes, is left.
void plan_saturation(const ScalarExpr& expr, ByteResult& plan) {
  const auto node = [&](int32_t i) -> const ScalarNode& { return expr.nodes[static_cast<size_t>(i)]; };
  const ScalarNode& last = node(plan.value);
  const auto codes = saturated_type(last.op);
  if (!codes) return;
  const Saturation s = saturation_of(expr, last);
  plan.kind = *codes == DType::u8 ? PackKind::saturate_u8 : PackKind::saturate_s8;
  plan.zero_point = s.zero_point;
  plan.rounds = true;
  plan.value = last.arguments[0];
  if (last.op == ScalarOp::saturate_near_u8 || last.op == ScalarOp::saturate_near_s8) return;
  plan.bound = static_cast<float>(s.high);
  // A rectifier whose zero is the least code is part of the saturation.
  const ScalarNode& before = node(plan.value);
  if (s.low == 0 && before.op == ScalarOp::greater && node(before.arguments[0]).op == ScalarOp::constant_f32 &&
      node(before.arguments[0]).value == 0)
    plan.value = before.arguments[1];
}

}  // namespace

Value* emit_byte_source(Emitter& emitter, const ScalarExpr& expr, const ByteResult& plan, int64_t lanes,
                        const ExpressionSources& sources) {
  Value* value = emit_expression(emitter, expr, lanes, sources, plan.value);
  if (!plan.rounds) return value;
  const auto rounded = [&](Value* part) { return emitter.isa().round_s32(emitter.ir, part); };
  if (!plan.bound) return emitter.by_parts(value, rounded);
  Value* high = splat(emitter.ir, llvm::ConstantFP::get(emitter.ir.getContext(), llvm::APFloat(*plan.bound)), lanes);
  // NaN stays NaN.
  Value* bounded = emitter.ir.CreateSelect(emitter.ir.CreateFCmpOLT(high, value), high, value);
  return lanes < emitter.lanes() ? rounded(bounded) : emitter.by_parts(bounded, rounded);
}

ByteResult plan_byte_result(const ScalarExpr& expr, const std::vector<Access>& operands) {
  ByteResult plan;
  plan.value = static_cast<int32_t>(expr.nodes.size()) - 1;
  const ScalarNode& final_node = expr.nodes.back();
  if (final_node.op == ScalarOp::table) {
    plan.table = final_node.index;
    plan.value = final_node.arguments[0];
  }
  std::vector<Range> ranges;
  for (const ScalarNode& n : expr.nodes) ranges.push_back(node_range(n, ranges, expr.nodes, operands));
  const Range& range = ranges[static_cast<size_t>(plan.value)];
  if (range.low >= 0 && range.high <= 255) {
    plan.kind = PackKind::unsigned_8;
  } else if (range.low >= -128 && range.high <= 127) {
    plan.kind = PackKind::signed_8;
  }
  plan_saturation(expr, plan);
  return plan;
}

}  // namespace cupel
