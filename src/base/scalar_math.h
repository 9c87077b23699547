// Unary float functions as written sequences of binary32 operations: what Cupel means by exp, log, erf, tanh and the
// activations made of them, in the reference interpreter and in compiled code alike, to the last bit.
//
// Operations used, all rounding to nearest even: add, subtract, multiply, divide, fma (fused), comparison, select, and
// add, subtract, shift, and, or on 32-bit integers. Subnormal operands and results are zeros of their sign: that is the
// caller's setting, NetworkArithmetic of runtime/floating_point.h, and PTX's ftz. No double, no 64-bit integer, no
// memory table, no library function, no branch: both sides of every select are computed, so a loop over any of these
// functions becomes straight vector code, and PTX can spell them operation by operation. A polynomial is evaluated by
// Horner's rule, one fma per coefficient from the highest down. Where `a * b + c` is written it is two roundings
// (-ffp-contract=off); select(c, a, b) takes the bits of a where c holds.
//
// NaN: a result that is NaN is always 0x7fc00000, whatever sign and payload the input had. Bounds below are errors of
// the result against the real-valued function, in units in the last place of the true value (the spacing of binary32
// there) where that is a normal number; below 2^-126, and by rounding at it, the result is a zero, as
// scripts/check_scalar_math measures them over all 2^32 inputs (bench/results/scalar_math.txt). The polynomials are
// this project's own minimax fits (Remez exchange, each coefficient rounded to binary32 in turn and the rest fitted
// again); the error stated with each is that of the rounded one.
#pragma once

#include <bit>
#include <cstdint>

namespace cupel {

#define CUPEL_SCALAR [[gnu::always_inline]] inline

// The pieces that the functions below share, and the sequences as templates.
namespace scalar {

inline constexpr uint32_t kSignBit = 0x80000000u;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;

// float as a number: its bits are a uint32_t, a comparison gives a bool.
template <class N>
struct NumberTraits;
template <>
struct NumberTraits<float> {
  using Bits = uint32_t;
};
template <class N>
using BitsOf = typename NumberTraits<N>::Bits;

CUPEL_SCALAR uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
CUPEL_SCALAR float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
CUPEL_SCALAR float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// Bits read as a signed integer: shifted, rounded to a number, compared.
CUPEL_SCALAR uint32_t shift_signed(uint32_t bits, int count) {
  return static_cast<uint32_t>(static_cast<int32_t>(bits) >> count);
}
CUPEL_SCALAR float number_of(uint32_t bits) { return static_cast<float>(static_cast<int32_t>(bits)); }
CUPEL_SCALAR bool exceeds_signed(uint32_t a, uint32_t b) { return static_cast<int32_t>(a) > static_cast<int32_t>(b); }
CUPEL_SCALAR bool at_least(float a, float b) { return a >= b; }
// Bitwise, so that no compiler turns it back into a branch around one of the two computations.
CUPEL_SCALAR uint32_t select_bits(bool condition, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (a & mask) | (b & ~mask);
}
CUPEL_SCALAR float select(bool condition, float a, float b) {
  return from_bits(select_bits(condition, bits_of(a), bits_of(b)));
}

// A subnormal number is the zero of its sign.
CUPEL_SCALAR float flushed(float x) {
  const uint32_t bits = bits_of(x);
  return from_bits(select_bits((bits & kInfinityBits) == 0, bits & kSignBit, bits));
}
// a > b ? a : b and a < b ? a : b. The choice alone might copy the bits of a subnormal number or not, as compilers do
// it with a minimum instruction or a blend.
CUPEL_SCALAR float greater(float a, float b) { return flushed(a > b ? a : b); }
CUPEL_SCALAR float less(float a, float b) { return flushed(a < b ? a : b); }
CUPEL_SCALAR float sqrt(float x) { return __builtin_sqrtf(x); }

template <class N>
CUPEL_SCALAR N magnitude(N x) {
  return from_bits(bits_of(x) & ~kSignBit);
}
// |size| with the sign bit of `sign`; size must have its sign bit clear.
template <class N>
CUPEL_SCALAR N with_sign(N size, N sign) {
  return from_bits(bits_of(size) | (bits_of(sign) & kSignBit));
}
template <class N>
CUPEL_SCALAR auto is_nan(N x) {
  return exceeds_signed(bits_of(x) & ~kSignBit, kInfinityBits);
}
// value, or the canonical NaN where `condition` holds.
template <class M, class N>
CUPEL_SCALAR N nan_where(M condition, N value) {
  return select(condition, from_bits(0x7fc00000u), value);
}
// value, or the canonical NaN where value is NaN.
template <class N>
CUPEL_SCALAR N canonical(N value) {
  return nan_where(is_nan(value), value);
}
// 2^n for -126 <= n <= 127.
template <class B>
CUPEL_SCALAR auto power_of_two(B n) {
  return from_bits((n + 127u) << 23);
}

template <class N>
struct ExpParts {
  N mantissa;          // exp(r), in [0.70, 1.42]
  BitsOf<N> exponent;  // k
  N beyond_one;        // exp(r) - 1
};

// exp(x) = mantissa · 2^exponent for |x| <= 105. Cody and Waite's reduction: k = rint(x · log2 e), by adding and taking
// away 1.5 · 2^23; r = x - k · ln 2 with ln 2 in two parts, the first fma exact; exp(r) = 1 + (r + r² · P(r)).
// P: degree 5 on |r| <= 0.34658, error 2^-31.2 relative to exp(r).
template <class N>
CUPEL_SCALAR ExpParts<N> exp_parts(N x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kRound = 0x1.8p+23f;
  constexpr float kLn2High = 0x1.62e430p-1f;
  constexpr float kLn2Low = -0x1.05c610p-29f;
  const N shifted = fused(x, kLog2E, kRound);
  const BitsOf<N> k = bits_of(shifted) - std::bit_cast<uint32_t>(kRound);
  const N k_float = shifted - kRound;
  const N r = fused(k_float, -kLn2Low, fused(k_float, -kLn2High, x));
  N p = 0x1.6b607ep-13f;
  p = fused(p, r, 0x1.6d40fap-10f);
  p = fused(p, r, 0x1.113736p-7f);
  p = fused(p, r, 0x1.5554f2p-5f);
  p = fused(p, r, 0x1.55553cp-3f);
  p = fused(p, r, 0x1.000000p-1f);
  const N s = fused(r * r, p, r);
  return {1.0f + s, k, s};
}

// exp(x) for |x| <= 80, where 2^k is a normal number: one exact scaling.
template <class N>
CUPEL_SCALAR N exp_moderate(N x) {
  const ExpParts<N> parts = exp_parts(x);
  return parts.mantissa * power_of_two(parts.exponent);
}

// exp(x) for |x| <= 105: scaled by 2^k in two halves, both exact, unless the second becomes a zero or infinity.
template <class N>
CUPEL_SCALAR N exp_wide(N x) {
  const ExpParts<N> parts = exp_parts(x);
  const BitsOf<N> half = shift_signed(parts.exponent, 1);
  return parts.mantissa * power_of_two(half) * power_of_two(parts.exponent - half);
}

// k · ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1] and an integral |k| <= 150. log(1 + f) = f + f² · Q(f);
// ln 2 in two parts, the first of 16 bits so that k times it is exact; the large terms are added by Fast2Sum (Dekker).
// Q: degree 8, constant term -1/2, error 2^-27.3 relative to log(1 + f).
template <class N>
CUPEL_SCALAR N log_sum(N f, N k) {
  constexpr float kLn2High = 0x1.62e400p-1f;
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  N q = -0x1.3916e0p-4f;
  q = fused(q, f, 0x1.057a86p-3f);
  q = fused(q, f, -0x1.0d822cp-3f);
  q = fused(q, f, 0x1.22d5bap-3f);
  q = fused(q, f, -0x1.54721ep-3f);
  q = fused(q, f, 0x1.99a036p-3f);
  q = fused(q, f, -0x1.000228p-2f);
  q = fused(q, f, 0x1.555554p-2f);
  q = fused(q, f, -0x1.000000p-1f);
  const N low = fused(f * f, q, k * kLn2Low);
  const N large = k * kLn2High;
  const N high = large + f;
  const N lost = f - (high - large);
  return high + (lost + low);
}

// Rounds to the nearest integer, halves to the even one; keeps the sign of zero and of results that round to zero;
// infinities stay. Exact. 2^23 is added to |x| and taken away, which drops the fraction bits by the adder's own
// rounding.
template <class N>
CUPEL_SCALAR N round_half_even_sequence(N x) {
  const N size = magnitude(x);
  const N rounded = (size + 0x1p+23f) - 0x1p+23f;
  return canonical(with_sign(select(size < 0x1p+23f, rounded, size), x));
}

// Largest integer <= x; floor(-0) = -0. Exact.
template <class N>
CUPEL_SCALAR N floor_sequence(N x) {
  const N rounded = round_half_even_sequence(x);
  const N floored = rounded - select(rounded > x, 1.0f, 0.0f);
  return canonical(with_sign(magnitude(floored), x));
}

// Smallest integer >= x; ceil(x) = -0 for -1 < x <= -0. Exact.
template <class N>
CUPEL_SCALAR N ceil_sequence(N x) {
  const N rounded = round_half_even_sequence(x);
  const N raised = rounded + select(rounded < x, 1.0f, 0.0f);
  return canonical(with_sign(magnitude(raised), x));
}

// Number types that have an operation of this meaning use it in place of the sequence.
CUPEL_SCALAR float floor(float x) { return floor_sequence(x); }
CUPEL_SCALAR float ceil(float x) { return ceil_sequence(x); }

// e^x. Infinity from 0x1.62e43p+6 (88.7228394) up, 0 from -0x1.5d58ap+6 (-87.3365479) down; exp(±0) = 1.
// The input is clamped to [-105, 89], where the result is already 0 or infinity.
// Bound: 1 ulp; measured 0.978512 at 0xc0bacd51 (-5.83756304).
template <class N>
CUPEL_SCALAR N exp_sequence(N x) {
  return nan_where(is_nan(x), exp_wide(greater(less(x, 89.0f), -105.0f)));
}

// Natural logarithm. log(±0) = -infinity, of subnormal numbers too; log(x < 0) = NaN, log(infinity) = infinity,
// log(1) = +0. x = 2^k · (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), read off the bits. Bound: 0.876 ulp.
template <class N>
CUPEL_SCALAR N log_sequence(N x) {
  constexpr uint32_t kSqrtHalfBits = 0x3f3504f3u;
  const BitsOf<N> bits = bits_of(x);
  const BitsOf<N> k = shift_signed(bits - kSqrtHalfBits, 23);
  const N f = from_bits(bits - (k << 23)) - 1.0f;
  N result = log_sum(f, number_of(k));
  result = select(bits == kInfinityBits, x, result);
  result = select(x == 0.0f, from_bits(kSignBit | kInfinityBits), result);
  return select(at_least(x, 0.0f), result, from_bits(0x7fc00000u));
}

// Error function, 2/sqrt(pi) times the integral of e^(-t²) from 0 to x; odd, so erf(-0) = -0; ±1 from about ±3.92 on.
// |x| < 1: |x| + |x| · P(x²); P: degree 6, error 2^-29.4 relative to erf.
// Else: 1 - exp(-(a + a · S(a))), a = min(|x|, 4); S: degree 7 on [1, 4], the last bits then chosen for the
// smallest error of the whole sequence; error of the result 2^-30.5.
// Bound: 1 ulp; measured 0.991485 at 0x3f87df07 (1.06149375).
template <class N>
CUPEL_SCALAR N erf_sequence(N x) {
  const N size = magnitude(x);
  const N a = less(size, 4.0f);
  const N square = a * a;
  N p = 0x1.4771fep-14f;
  p = fused(p, square, -0x1.a3515ep-11f);
  p = fused(p, square, 0x1.53f224p-8f);
  p = fused(p, square, -0x1.b7f71ap-6f);
  p = fused(p, square, 0x1.ce2ce6p-4f);
  p = fused(p, square, -0x1.81273ep-2f);
  p = fused(p, square, 0x1.06eba8p-3f);
  const N near = fused(a, p, a);
  N s = 0x1.e8faf2p-19f;
  s = fused(s, a, -0x1.ef0c0ep-16f);
  s = fused(s, a, -0x1.1746a2p-13f);
  s = fused(s, a, 0x1.9f0148p-9f);
  s = fused(s, a, -0x1.79e7a0p-6f);
  s = fused(s, a, 0x1.b0b756p-4f);
  s = fused(s, a, 0x1.45563ep-1f);
  s = fused(s, a, 0x1.075da6p-3f);
  const N far = 1.0f - exp_moderate(-fused(a, s, a));
  const N result = with_sign(select(a < 1.0f, near, far), x);
  return nan_where(is_nan(x), result);
}

// Hyperbolic tangent; odd, so tanh(-0) = -0; ±1 from about ±9.01 on.
// |x| < 1: |x| + |x| · (x² · P(x²)); P: degree 6, error 2^-27.7 relative to tanh.
// Else: 1 - 2 / (exp(2a) + 1), a = min(|x|, 10).
// Bound: 1 ulp; measured 0.949355 at 0x3f8151ca (1.0103085).
template <class N>
CUPEL_SCALAR N tanh_sequence(N x) {
  const N size = magnitude(x);
  const N a = less(size, 10.0f);
  const N square = a * a;
  N p = -0x1.77ca4cp-12f;
  p = fused(p, square, 0x1.2d9f4ep-9f);
  p = fused(p, square, -0x1.045fd0p-7f);
  p = fused(p, square, 0x1.6009a2p-6f);
  p = fused(p, square, -0x1.b9623ap-5f);
  p = fused(p, square, 0x1.110be4p-3f);
  p = fused(p, square, -0x1.55553cp-2f);
  const N near = fused(a, square * p, a);
  const N far = 1.0f - 2.0f / (exp_moderate(a + a) + 1.0f);
  const N result = with_sign(select(a < 1.0f, near, far), x);
  return nan_where(is_nan(x), result);
}

// 1 / (1 + e^-x) as (x >= 0 ? 1 : e) / (1 + e) with e = exp(-|x|), which neither overflows nor cancels.
// Bound: 2.5 ulp; measured 2.40188 at 0xc085088d (-4.1572938).
template <class N>
CUPEL_SCALAR N sigmoid_sequence(N x) {
  const N negative = from_bits(bits_of(x) | kSignBit);
  const N e = exp_wide(greater(negative, -105.0f));
  const N result = select(x < 0.0f, e, 1.0f) / (1.0f + e);
  return nan_where(is_nan(x), result);
}

// x · Φ(x) in the form that ONNX defines: x · (0.5 · (1 + erf(x · sqrt(1/2)))), in this order of operations.
// gelu(-infinity) is NaN, as the formula says (-infinity · 0). 1 + erf cancels below about -1, so the error there is
// small against 1, not against the result: from about -5.5 down the result is -0.
// Bound: none in ulp (see above); |error| measured at most 1.28e-7 · max(1, |gelu|).
template <class N>
CUPEL_SCALAR N gelu_sequence(N x) {
  constexpr float kSqrtHalf = 0x1.6a09e6p-1f;
  return canonical(x * (0.5f * (1.0f + erf_sequence(x * kSqrtHalf))));
}

// The tanh approximation of GELU: x · (0.5 · (1 + tanh(x · (c + c · 0.044715 · x²)))), c = sqrt(2 / pi), the inner sum
// one fma, both constants rounded to binary32. gelu_tanh(-infinity) is NaN, as the formula says.
// Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016), section 2.
// Bound: none in ulp, as gelu_f32; |error| measured at most 1.33e-7 · max(1, |gelu_tanh|).
template <class N>
CUPEL_SCALAR N gelu_tanh_sequence(N x) {
  constexpr float kLinear = 0.797884560802865f;
  constexpr float kCubic = 0.0356774081363001f;
  const N inner = x * fused(x * x, kCubic, kLinear);
  return canonical(x * (0.5f * (1.0f + tanh_sequence(inner))));
}

// x · sigmoid(x), the same bits as Sigmoid followed by Mul. silu(-infinity) is NaN, as the formula says.
// Bound: |error| measured at most 1.55e-7 · max(1, |silu|); 3.5 ulp where sigmoid(x) is no zero.
template <class N>
CUPEL_SCALAR N silu_sequence(N x) {
  return canonical(x * sigmoid_sequence(x));
}

// max(0, min(1, alpha · x + beta)), alpha · x + beta one fma; NaN stays NaN. ONNX's defaults are alpha 0.2, beta 0.5.
template <class N>
CUPEL_SCALAR N hard_sigmoid_sequence(N x, float alpha, float beta) {
  const N line = fused(alpha, x, beta);
  return nan_where(is_nan(line), less(greater(line, 0.0f), 1.0f));
}

// x · hard_sigmoid(x) with alpha = 1/6 rounded to binary32 and beta = 1/2. hard_swish(-infinity) is NaN (-infinity ·
// 0).
template <class N>
CUPEL_SCALAR N hard_swish_sequence(N x) {
  return canonical(x * hard_sigmoid_sequence(x, 0x1.555556p-3f, 0.5f));
}

// log(1 + e^x) as max(x, 0) + log(1 + e), e = exp(-|x|); log(1 + e) is log_sum of f = e for e <= sqrt(2) - 1, else of
// f = (e - 1) / 2 with k = 1.
// Bound: 2 ulp; measured 1.7249 at 0xbf6197b2 (-0.881220937).
template <class N>
CUPEL_SCALAR N softplus_sequence(N x) {
  const N negative = from_bits(bits_of(x) | kSignBit);
  const N e = exp_wide(greater(negative, -105.0f));
  const auto large = e > 0x1.a8279ap-2f;
  const N f = select(large, (e - 1.0f) * 0.5f, e);
  const N tail = log_sum(f, select(large, 1.0f, 0.0f));
  const N result = greater(x, 0.0f) + tail;
  return nan_where(is_nan(x), result);
}

}  // namespace scalar

CUPEL_SCALAR float round_half_even_f32(float x) { return scalar::round_half_even_sequence(x); }
CUPEL_SCALAR float floor_f32(float x) { return scalar::floor_sequence(x); }
CUPEL_SCALAR float ceil_f32(float x) { return scalar::ceil_sequence(x); }
CUPEL_SCALAR float exp_f32(float x) { return scalar::exp_sequence(x); }
CUPEL_SCALAR float log_f32(float x) { return scalar::log_sequence(x); }
CUPEL_SCALAR float erf_f32(float x) { return scalar::erf_sequence(x); }
CUPEL_SCALAR float tanh_f32(float x) { return scalar::tanh_sequence(x); }
CUPEL_SCALAR float sigmoid_f32(float x) { return scalar::sigmoid_sequence(x); }
CUPEL_SCALAR float gelu_f32(float x) { return scalar::gelu_sequence(x); }
CUPEL_SCALAR float gelu_tanh_f32(float x) { return scalar::gelu_tanh_sequence(x); }
CUPEL_SCALAR float silu_f32(float x) { return scalar::silu_sequence(x); }
CUPEL_SCALAR float hard_sigmoid_f32(float x, float alpha = 0.2f, float beta = 0.5f) {
  return scalar::hard_sigmoid_sequence(x, alpha, beta);
}
CUPEL_SCALAR float hard_swish_f32(float x) { return scalar::hard_swish_sequence(x); }
CUPEL_SCALAR float softplus_f32(float x) { return scalar::softplus_sequence(x); }

#undef CUPEL_SCALAR

}  // namespace cupel
