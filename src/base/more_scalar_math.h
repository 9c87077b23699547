// Further elementary functions as sequences of binary32 operations, on any number type of base/scalar_math.h, by the
// same rules: minimax fits of our own, errors on all inputs by scripts/check_scalar_math.
#pragma once

#include "base/scalar_math.h"

namespace cupel {

#define CUPEL_SCALAR [[gnu::always_inline]] inline

namespace scalar {

// Conditions together.
CUPEL_SCALAR bool either(bool a, bool b) { return a || b; }
CUPEL_SCALAR bool both(bool a, bool b) { return a && b; }

// The zero of x's sign.
template <class N>
CUPEL_SCALAR N zero_like(N x) {
  return from_bits(bits_of(x) & kSignBit);
}

// ---- Circular functions

template <class N>
struct Angle {
  N rest;              // in about [-0.88, 0.88]
  BitsOf<N> quadrant;  // its low two bits count quarter turns
};

// x = quarters · π/2 + rest for |x| <= 2^20. Cody and Waite's reduction as in exp_parts with π/2 in three parts, of
// which the first fma is exact.
template <class N>
CUPEL_SCALAR Angle<N> angle_of(N x) {
  constexpr float kQuartersOf = 0x1.45f306p-1f;
  constexpr float kRound = 0x1.8p+23f;
  const N shifted = fused(x, kQuartersOf, kRound);
  const N quarters = shifted - kRound;
  N rest = fused(quarters, -0x1.921fb6p+0f, x);
  rest = fused(quarters, 0x1.777a5cp-25f, rest);
  rest = fused(quarters, 0x1.ee59dap-50f, rest);
  return {rest, bits_of(shifted)};
}

// sin(r) = r + r³ · P(r²); degree 3, error 2^-32.1 relative. cos(r) = 1 - r²/2 + r⁴ · Q(r²); degree 2, error 2^-31.2.
template <class N>
CUPEL_SCALAR N sin_of_rest(N r) {
  const N square = r * r;
  N p = 0x1.73e326p-19f;
  p = fused(p, square, -0x1.a03bcep-13f);
  p = fused(p, square, 0x1.11115cp-7f);
  p = fused(p, square, -0x1.555556p-3f);
  return fused(r * square, p, r);
}
template <class N>
CUPEL_SCALAR N cos_of_rest(N r) {
  const N square = r * r;
  N q = 0x1.983e0ep-16f;
  q = fused(q, square, -0x1.6c05a6p-10f);
  q = fused(q, square, 0x1.55553ep-5f);
  q = fused(q, square, -0.5f);
  return fused(q, square, 1.0f);
}

// value where |x| <= 2^20; NaN beyond, where three parts of π/2 do not tell the angle any more.
template <class N>
CUPEL_SCALAR N within_reach(N x, N value) {
  return nan_where(exceeds_signed(bits_of(x) & ~kSignBit, 0x49800000u), value);
}

// sin and cos; sin(-0) = -0. NaN beyond |x| = 2^20. Bound: 2 ulp.
template <class N>
CUPEL_SCALAR N sin_sequence(N x) {
  const Angle<N> angle = angle_of(x);
  const N value = select((angle.quadrant & 1u) == 0u, sin_of_rest(angle.rest), cos_of_rest(angle.rest));
  const N turned = from_bits(bits_of(value) ^ ((angle.quadrant & 2u) << 30));
  return within_reach(x, select(x == 0.0f, zero_like(x), turned));
}
template <class N>
CUPEL_SCALAR N cos_sequence(N x) {
  const Angle<N> angle = angle_of(x);
  const N value = select((angle.quadrant & 1u) == 0u, cos_of_rest(angle.rest), sin_of_rest(angle.rest));
  return within_reach(x, from_bits(bits_of(value) ^ (((angle.quadrant + 1u) & 2u) << 30)));
}

// sin / cos; tan(-0) = -0. NaN beyond |x| = 2^20. Bound: 3.5 ulp.
template <class N>
CUPEL_SCALAR N tan_sequence(N x) {
  const Angle<N> angle = angle_of(x);
  const N s = sin_of_rest(angle.rest), c = cos_of_rest(angle.rest);
  const auto even = (angle.quadrant & 1u) == 0u;
  return within_reach(x, select(x == 0.0f, zero_like(x), select(even, s, -c) / select(even, c, s)));
}

// asin(a) = a + a³ · P(a²) for 0 <= a <= 1/2; degree 4, error 2^-27.6 relative.
template <class N>
CUPEL_SCALAR N asin_near(N a) {
  const N square = a * a;
  N p = 0x1.595c60p-5f;
  p = fused(p, square, 0x1.8c3e50p-6f);
  p = fused(p, square, 0x1.747bb8p-5f);
  p = fused(p, square, 0x1.330204p-4f);
  p = fused(p, square, 0x1.5555c8p-3f);
  return fused(a * square, p, a);
}

inline constexpr float kHalfPi = 0x1.921fb6p+0f, kHalfPiLow = -0x1.777a5cp-25f;

// asin; odd. |x| > 1/2: π/2 - 2 asin(sqrt((1 - |x|) / 2)). NaN beyond 1. Bound: 2.5 ulp.
template <class N>
CUPEL_SCALAR N asin_sequence(N x) {
  const N size = magnitude(x);
  const auto far = size > 0.5f;
  const N angle = asin_near(select(far, sqrt((1.0f - size) * 0.5f), size));
  const N result = select(far, fused(-2.0f, angle, kHalfPiLow) + kHalfPi, angle);
  return nan_where(either(is_nan(x), size > 1.0f), with_sign(magnitude(result), x));
}

// acos: π/2 - asin(x) for |x| <= 1/2, else 2 asin(sqrt((1 - |x|) / 2)), taken from π for x below 0. Bound: 2 ulp.
template <class N>
CUPEL_SCALAR N acos_sequence(N x) {
  const N size = magnitude(x);
  const N near = kHalfPi - (asin_near(size) * select(x < 0.0f, -1.0f, 1.0f) - kHalfPiLow);
  const N twice = 2.0f * asin_near(sqrt((1.0f - size) * 0.5f));
  const N far = select(x < 0.0f, (2.0f * kHalfPiLow - twice) + 2.0f * kHalfPi, twice);
  return nan_where(either(is_nan(x), size > 1.0f), select(size > 0.5f, far, near));
}

// atan; odd, ±π/2 at infinities. a = min(|x|, 1 / |x|); atan(a) = a + a³ · P(a²), degree 8, error 2^-28.5 relative; π/2
// minus that where |x| > 1. Bound: 2 ulp.
template <class N>
CUPEL_SCALAR N atan_sequence(N x) {
  const N size = magnitude(x);
  const auto far = size > 1.0f;
  const N a = select(far, 1.0f / size, size);
  const N square = a * a;
  N p = -0x1.d35854p-10f;
  p = fused(p, square, 0x1.642424p-7f);
  p = fused(p, square, -0x1.fd7db2p-6f);
  p = fused(p, square, 0x1.da29f6p-5f);
  p = fused(p, square, -0x1.58091ap-4f);
  p = fused(p, square, 0x1.c08c4ep-4f);
  p = fused(p, square, -0x1.242086p-3f);
  p = fused(p, square, 0x1.9991e4p-3f);
  p = fused(p, square, -0x1.55553ep-2f);
  const N near = fused(a * square, p, a);
  return nan_where(is_nan(x), with_sign(select(far, (kHalfPiLow - near) + kHalfPi, near), x));
}

// ---- Hyperbolic functions

// e^x / 2 for 0 <= x <= 105: infinity where that is beyond the numbers.
template <class N>
CUPEL_SCALAR N half_exp(N x) {
  const ExpParts<N> parts = exp_parts(x);
  const BitsOf<N> k = parts.exponent - 1u;
  const BitsOf<N> half = shift_signed(k, 1);
  return parts.mantissa * power_of_two(half) * power_of_two(k - half);
}

// sinh; odd. |x| < 1: x + x³ · P(x²), degree 3, error 2^-31.6 relative. Else e^|x| / 2 - e^-|x| / 2. Bound: 2 ulp.
template <class N>
CUPEL_SCALAR N sinh_sequence(N x) {
  const N size = magnitude(x);
  const N square = size * size;
  N p = 0x1.756c1ep-19f;
  p = fused(p, square, 0x1.a022bcp-13f);
  p = fused(p, square, 0x1.1110e0p-7f);
  p = fused(p, square, 0x1.555556p-3f);
  const N near = fused(size * square, p, size);
  const N e = half_exp(less(size, 100.0f));
  return nan_where(is_nan(x), with_sign(select(size < 1.0f, near, e - 0.25f / e), x));
}

// cosh = e^|x| / 2 + e^-|x| / 2. Bound: 2 ulp.
template <class N>
CUPEL_SCALAR N cosh_sequence(N x) {
  const N e = half_exp(less(magnitude(x), 100.0f));
  return nan_where(is_nan(x), e + 0.25f / e);
}

// log(1 + f) for f >= 0, y = 1 + f: log_sum of f, of (f - 1) / 2 with k = 1 from sqrt(2) - 1 on, from 1.8 on log y.
template <class N>
CUPEL_SCALAR N log_of_more(N f, N y) {
  const auto middle = f > 0x1.a8279ap-2f;
  const N near = less(f, 1.8f);
  const N sum = log_sum(select(middle, (near - 1.0f) * 0.5f, near), select(middle, 1.0f, 0.0f));
  return select(f > 1.8f, log_sequence(y), sum);
}

// asinh; odd. log(1 + f), f = |x| + x² / (1 + sqrt(1 + x²)); from 2^20 on log |x| + ln 2. Bound: 3 ulp.
template <class N>
CUPEL_SCALAR N asinh_sequence(N x) {
  const N size = magnitude(x);
  const auto huge = size > 0x1p+20f;
  const N a = less(size, 0x1p+20f);
  const N root = sqrt(fused(a, a, 1.0f));
  const N f = a + a * a / (1.0f + root);
  const N result = select(huge, log_sequence(size) + 0x1.62e430p-1f, log_of_more(f, a + root));
  return nan_where(is_nan(x), with_sign(magnitude(result), x));
}

// acosh, x >= 1; NaN below. log(1 + f), f = t + sqrt(t · (t + 2)), t = x - 1; from 2^20 on log x + ln 2. Bound: 3 ulp.
template <class N>
CUPEL_SCALAR N acosh_sequence(N x) {
  const auto huge = x > 0x1p+20f;
  const N t = less(x, 0x1p+20f) - 1.0f;
  const N root = sqrt(t * (t + 2.0f));
  const N f = t + root;
  const N result = select(huge, log_sequence(x) + 0x1.62e430p-1f, log_of_more(f, 1.0f + f));
  return select(at_least(x, 1.0f), result, from_bits(0x7fc00000u));
}

// atanh; odd, infinities at ±1, NaN beyond. log(1 + f) / 2, f = 2 |x| / (1 - |x|). Bound: 3 ulp.
template <class N>
CUPEL_SCALAR N atanh_sequence(N x) {
  const N size = magnitude(x);
  const N apart = 1.0f - size;
  const N result = 0.5f * log_of_more((size + size) / apart, (1.0f + size) / apart);
  return nan_where(either(is_nan(x), size > 1.0f), with_sign(magnitude(result), x));
}

// ---- Activations

// e^x - 1 without cancellation where that is small; keeps the sign of zero. Bound: 1.5 ulp.
template <class N>
CUPEL_SCALAR N expm1_sequence(N x) {
  const N a = greater(less(x, 89.0f), -40.0f);
  const ExpParts<N> parts = exp_parts(a);
  const N scale = power_of_two(parts.exponent);
  const N result = select(a > 80.0f, exp_wide(a), fused(parts.beyond_one, scale, scale - 1.0f));
  return nan_where(is_nan(x), with_sign(magnitude(result), x));
}

// x < 0 ? alpha · (e^x - 1) : x
template <class N>
CUPEL_SCALAR N elu_sequence(N x, float alpha) {
  return select(x < 0.0f, alpha * expm1_sequence(x), x);
}
// max(0, x) + min(0, alpha · (e^(x / alpha) - 1))
template <class N>
CUPEL_SCALAR N celu_sequence(N x, float alpha) {
  return nan_where(is_nan(x), greater(x, 0.0f) + less(alpha * expm1_sequence(x / alpha), 0.0f));
}
// x · tanh(log(1 + e^x)) = x · n / (n + 2), n = e^x · (e^x + 2). mish(-infinity) is NaN, as the formula says.
template <class N>
CUPEL_SCALAR N mish_sequence(N x) {
  const N e = exp_wide(greater(less(x, 20.0f), -105.0f));
  const N n = e * (e + 2.0f);
  return canonical(x * (n / (n + 2.0f)));
}
// 1, -1 or 0; NaN stays NaN.
template <class N>
CUPEL_SCALAR N sign_sequence(N x) {
  return nan_where(is_nan(x), select(x > 0.0f, 1.0f, select(x < 0.0f, -1.0f, 0.0f)));
}

// ---- Powers

template <class N>
struct TwoParts {
  N high, low;
};

// log(a) for a normal number a > 0, to about 2^-30 of its value. a = 2^k · m; log m = 2s + s³ · P(s²), s = (m - 1) / (m
// + 1) in two parts; degree 3, error 2^-35.2 relative.
template <class N>
CUPEL_SCALAR TwoParts<N> log_in_two_parts(N a) {
  const BitsOf<N> bits = bits_of(a);
  const BitsOf<N> k_bits = shift_signed(bits - 0x3f3504f3u, 23);
  const N m = from_bits(bits - (k_bits << 23));
  const N k = number_of(k_bits);
  const N below = m - 1.0f, above = m + 1.0f;
  const N s = below / above;
  const N s_low = (fused(-s, above, below) - s * (m - (above - 1.0f))) / above;
  const N square = s * s;
  N p = 0x1.f13982p-3f;
  p = fused(p, square, 0x1.23d3e4p-2f);
  p = fused(p, square, 0x1.999c26p-2f);
  p = fused(p, square, 0x1.555554p-1f);
  const N large = k * 0x1.62e400p-1f, twice = s + s;
  const N high = large + twice;
  const N lost = twice - (high - large);
  const N low = lost + fused(s * square, p, fused(k, 0x1.7f7d1cp-20f, s_low + s_low));
  const N sum = high + low;
  return {sum, low - (sum - high)};
}

// x^y by e^(y · log|x|), with C's answers to special operands: x^0 = 1^y = 1; of a negative x the sign follows an odd
// y, and a y that is no integer gives NaN. Bound: 2 ulp where the result is a normal number.
template <class N>
CUPEL_SCALAR N general_power(N x, N y) {
  const N size = magnitude(x), reach = magnitude(y);
  const N infinity = from_bits(kInfinityBits), none = from_bits(kSignBit | kInfinityBits);
  const TwoParts<N> log = log_in_two_parts(size);
  // A zero or an infinity as base: its logarithm is infinite and has one part.
  const auto zero = size == 0.0f, endless = size == infinity;
  const N log_high = select(zero, none, select(endless, infinity, log.high));
  const N high = y * log_high;
  const N rest = fused(y, log_high, -high) + y * log.low;
  const N low = select(either(either(zero, endless), magnitude(high) > 128.0f), 0.0f, rest);
  const N e = exp_wide(greater(less(high, 89.0f), -105.0f));
  const N scaled = select(e == infinity, e, fused(e, low, e));
  const N half = reach * 0.5f;
  const auto whole = round_half_even_sequence(reach) == reach, even = round_half_even_sequence(half) == half;
  const N signed_power = from_bits(bits_of(scaled) | select_bits(even, 0u, bits_of(x) & kSignBit));
  const N power = select(whole, signed_power, scaled);
  const N real = select(whole, power, nan_where(both(x < 0.0f, size < infinity), power));
  const auto one = either(either(y == 0.0f, x == 1.0f), both(size == 1.0f, reach == infinity));
  return select(one, 1.0f, nan_where(either(is_nan(x), is_nan(y)), real));
}

// x^y; the exponents 2, 3, 1/2, 1, -1 and 0 by x · x, (x · x) · x, sqrt(x), x, 1 / x and 1.
template <class N>
CUPEL_SCALAR N power_sequence(N x, N y) {
  N power = general_power(x, y);
  power = select(y == 2.0f, x * x, power);
  power = select(y == 3.0f, x * x * x, power);
  power = select(y == 0.5f, sqrt(x), power);
  power = select(y == -1.0f, 1.0f / x, power);
  power = select(y == 1.0f, x, power);
  return select(y == 0.0f, 1.0f, power);
}

}  // namespace scalar

#undef CUPEL_SCALAR

}  // namespace cupel
