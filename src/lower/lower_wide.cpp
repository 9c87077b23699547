// Elementwise ops on elements of 64 bits, and choices between those of 16. Kernels know neither: an element is two
// parts of half its width, and each part of the result is a map of its own.
#include <fmt/format.h>

#include "lower/finish.h"
#include "lower/op_lowerings.h"

namespace cupel {
namespace {

Scalar exceeds_unsigned(Scalar a, Scalar b) {
  const Scalar sign(INT32_MIN);
  return (a ^ sign) > (b ^ sign);
}
Scalar upper_half(Scalar x) { return (x >> 16) & Scalar(0xffff); }
Scalar lower_half(Scalar x) { return x & Scalar(0xffff); }

// The high 32 bits of the product of two unsigned numbers, by the products of their halves.
Scalar high_product(Scalar a, Scalar b) {
  const Scalar middle = upper_half(a) * lower_half(b) + upper_half(lower_half(a) * lower_half(b));
  const Scalar other = lower_half(middle) + lower_half(a) * upper_half(b);
  return upper_half(a) * upper_half(b) + upper_half(middle) + upper_half(other);
}

Scalar is_equal(const WideScalar& a, const WideScalar& b) { return (a.low == b.low) & (a.high == b.high); }
Scalar is_greater(const WideScalar& a, const WideScalar& b) {
  return (a.high > b.high) | ((a.high == b.high) & exceeds_unsigned(a.low, b.low));
}
WideScalar choice(Scalar mask, const WideScalar& a, const WideScalar& b) {
  return {select(mask, a.low, b.low), select(mask, a.high, b.high)};
}
WideScalar boolean(Scalar mask) { return {select(mask, Scalar(1), Scalar(0)), Scalar(0)}; }

// What a kernel reads of an element, and by how far its parts lie apart.
struct Part {
  DType dtype;
  int64_t bytes;
};
Part part_of(DType type) { return dtype_bits(type) == 64 ? Part{DType::s32, 4} : Part{DType::u8, 1}; }

// An operand's elements at the coordinates of the result; bytes and booleans are their low part.
Result<WideScalar> wide_operand(Lowering& l, Draft& draft, ValueId value, const Walk& walk) {
  const DType type = l.graph.type(value).dtype;
  if (dtype_bits(type) == 8) return WideScalar{CUPEL_TRY(l.expressions.operand(draft, value, walk)), Scalar(0)};
  if (l.facts.batch.size.is_constant() && l.facts.batch.size != Dim(1) && l.facts.is_batched(value) &&
      l.graph.type(value).shape.size() != walk.dims.size())
    return no_compiled_form("an operand of fewer dimensions");
  const Placed place = CUPEL_TRY(l.places.at(value));
  const Part part = part_of(type);
  WideScalar both;
  for (Scalar* half : {&both.low, &both.high}) {
    Access access = l.places.access(place, walk);
    access.dtype = part.dtype;
    if (half == &both.high) access.offset += part.bytes;
    *half = draft.add_operand(std::move(access), place.layout.buffer);
  }
  return both;
}

}  // namespace

WideScalar wide_add(std::span<const WideScalar> x) {
  const Scalar low = x[0].low + x[1].low, carry = exceeds_unsigned(x[0].low, low);  // −1 where there is one
  return {low, x[0].high + x[1].high - carry};
}
WideScalar wide_sub(std::span<const WideScalar> x) {
  const Scalar borrow = exceeds_unsigned(x[1].low, x[0].low);
  return {x[0].low - x[1].low, x[0].high - x[1].high + borrow};
}
WideScalar wide_mul(std::span<const WideScalar> x) {
  const Scalar cross = x[0].low * x[1].high + x[0].high * x[1].low;
  return {x[0].low * x[1].low, high_product(x[0].low, x[1].low) + cross};
}
WideScalar wide_max(std::span<const WideScalar> x) {
  WideScalar most = x[0];
  for (const WideScalar& other : x.subspan(1)) most = choice(is_greater(most, other), most, other);
  return most;
}
WideScalar wide_min(std::span<const WideScalar> x) {
  WideScalar least = x[0];
  for (const WideScalar& other : x.subspan(1)) least = choice(is_greater(other, least), least, other);
  return least;
}
WideScalar wide_equal(std::span<const WideScalar> x) { return boolean(is_equal(x[0], x[1])); }
WideScalar wide_greater(std::span<const WideScalar> x) { return boolean(is_greater(x[0], x[1])); }
WideScalar wide_less(std::span<const WideScalar> x) { return boolean(is_greater(x[1], x[0])); }
WideScalar wide_greater_or_equal(std::span<const WideScalar> x) {
  return boolean(is_greater(x[0], x[1]) | is_equal(x[0], x[1]));
}
WideScalar wide_less_or_equal(std::span<const WideScalar> x) {
  return boolean(is_greater(x[1], x[0]) | is_equal(x[0], x[1]));
}
WideScalar wide_where(std::span<const WideScalar> x) { return choice(x[0].low > Scalar(0), x[1], x[2]); }

Status lower_wide(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId result = node.outputs[0];
  const DType type = l.graph.type(result).dtype;
  const Placed place = CUPEL_TRY(l.places.fresh(result, false));
  const Walk walk = l.places.walk_of(result, place.layout.dims);
  const int parts = dtype_bits(type) == 8 ? 1 : 2;
  for (int part = 0; part < parts; ++part) {
    Draft draft;
    draft.origins = origins_of(node);
    std::vector<WideScalar> operands;
    for (ValueId operand : node.inputs) operands.push_back(CUPEL_TRY(wide_operand(l, draft, operand, walk)));
    const WideScalar value = lowering_of(*node.op).wide(operands);
    MapSpec spec{.space = walk.space, .value = draft.expr.finish(part == 0 ? value.low : value.high)};
    spec.out = l.places.access(place, walk);
    if (parts == 2) {
      spec.out.dtype = part_of(type).dtype;
      spec.out.offset += part * part_of(type).bytes;
    }
    spec.operands = draft.take_operands(walk.space.size());
    const bool last = part + 1 == parts;
    l.steps.add({std::move(spec), MapSchedule{}}, draft.buffers({place.layout.buffer}), draft.origins,
                last ? std::optional(result) : std::nullopt, last ? &place : nullptr);
  }
  l.places.set(result, place);
  return {};
}

}  // namespace cupel
