#include "kernel/scalar_lanes.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/scalar_math.h"
#include "ops/clones.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

float real(uint32_t bits) { return std::bit_cast<float>(bits); }
uint32_t bits(float value) { return std::bit_cast<uint32_t>(value); }
uint32_t mask(bool holds) { return holds ? 0xffffffffu : 0u; }
uint32_t to_integer(float integral) {
  return integral >= -0x1p31f && integral < 0x1p31f ? static_cast<uint32_t>(static_cast<int32_t>(integral))
                                                    : 0x80000000u;
}

// Integers below 2^24 in both types: the bounds are exact.
uint32_t saturated(float x, int32_t zero_point, int32_t least, int32_t greatest) {
  const auto low = static_cast<float>(least - zero_point), high = static_cast<float>(greatest - zero_point);
  const float above = x > low ? x : low, bounded = above < high ? above : high;
  return static_cast<uint32_t>(static_cast<int32_t>(__builtin_rintf(bounded)) + zero_point);
}

}  // namespace

#define CUPEL_LANES(name, expression)                                  \
  case ScalarOp::name:                                                 \
    for (int i = 0; i < count; ++i) {                                  \
      [[maybe_unused]] const uint32_t x = pa[i], y = pb[i], z = pc[i]; \
      out[i] = expression;                                             \
    }                                                                  \
    break;

CUPEL_CLONES void compute_lanes(ScalarOp op, const Lanes& a, const Lanes& b, const Lanes& c, int count, Lanes& result) {
  const uint32_t *pa = a.data(), *pb = b.data(), *pc = c.data();
  uint32_t* __restrict out = result.data();
  switch (op) {
    CUPEL_LANES(add, bits(real(x) + real(y)))
    CUPEL_LANES(sub, bits(real(x) - real(y)))
    CUPEL_LANES(mul, bits(real(x) * real(y)))
    CUPEL_LANES(div, bits(real(x) / real(y)))
    CUPEL_LANES(fma, bits(__builtin_fmaf(real(x), real(y), real(z))))
    CUPEL_LANES(sqrt, bits(__builtin_sqrtf(real(x))))
    CUPEL_LANES(neg, x ^ 0x80000000u)
    CUPEL_LANES(abs, x & 0x7fffffffu)
    CUPEL_LANES(floor, bits(__builtin_floorf(scalar::flushed(real(x)))))
    CUPEL_LANES(ceil, bits(__builtin_ceilf(scalar::flushed(real(x)))))
    CUPEL_LANES(greater, bits(scalar::greater(real(x), real(y))))
    CUPEL_LANES(less, bits(scalar::less(real(x), real(y))))
    CUPEL_LANES(add_s32, x + y)
    CUPEL_LANES(sub_s32, x - y)
    CUPEL_LANES(mul_s32, x * y)
    CUPEL_LANES(and_s32, x & y)
    CUPEL_LANES(or_s32, x | y)
    CUPEL_LANES(xor_s32, x ^ y)
    CUPEL_LANES(shift_left, x << (y & 31))
    CUPEL_LANES(shift_right, x >> (y & 31))
    CUPEL_LANES(shift_right_signed, static_cast<uint32_t>(static_cast<int32_t>(x) >> (y & 31)))
    CUPEL_LANES(is_greater, mask(real(x) > real(y)))
    CUPEL_LANES(is_less, mask(real(x) < real(y)))
    CUPEL_LANES(is_equal, mask(real(x) == real(y)))
    CUPEL_LANES(is_greater_s32, mask(static_cast<int32_t>(x) > static_cast<int32_t>(y)))
    CUPEL_LANES(is_equal_s32, mask(x == y))
    CUPEL_LANES(select, (y & x) | (z & ~x))
    CUPEL_LANES(to_f32, bits(static_cast<float>(static_cast<int32_t>(x))))
    CUPEL_LANES(round_s32, to_integer(__builtin_rintf(real(x))))
    CUPEL_LANES(truncate_s32, to_integer(__builtin_truncf(real(x))))
    CUPEL_LANES(bits_s32, x)
    CUPEL_LANES(bits_f32, x)
    CUPEL_LANES(saturate_u8, saturated(real(x), static_cast<int32_t>(y), 0, 255))
    CUPEL_LANES(saturate_s8, saturated(real(x), static_cast<int32_t>(y), -128, 127))
    CUPEL_LANES(saturate_near_u8, saturated(real(x), static_cast<int32_t>(y), 0, 255))
    CUPEL_LANES(saturate_near_s8, saturated(real(x), static_cast<int32_t>(y), -128, 127))
    case ScalarOp::operand:
    case ScalarOp::accumulator:
    case ScalarOp::constant_f32:
    case ScalarOp::constant_s32:
    case ScalarOp::table: break;
  }
}
#undef CUPEL_LANES

uint32_t compute_constant(ScalarOp op, uint32_t a, uint32_t b, uint32_t c) {
  const NetworkArithmetic arithmetic;
  Lanes result{};
  compute_lanes(op, {a}, {b}, {c}, 1, result);
  return result[0];
}

}  // namespace cupel
