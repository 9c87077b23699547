// Unary float functions as written sequences of binary32 operations: what Cupel means by exp, log, erf, tanh and the
// activations made of them, in the reference interpreter and in compiled code alike, to the last bit.
//
// Operations used, all rounding to nearest even with subnormal numbers kept: add, subtract, multiply, divide, fma
// (__builtin_fmaf), comparison, select, and add, subtract, shift, and, or on 32-bit integers. No double, no 64-bit
// integer, no memory table, no library function, no branch: both sides of every select are computed, so a loop over any
// of these functions becomes straight vector code, and PTX can spell them operation by operation (ftz off). A
// polynomial is evaluated by Horner's rule, one fma per coefficient from the highest down. Where `a * b + c` is written
// it is two roundings (-ffp-contract=off); select(c, a, b) takes a where c holds.
//
// NaN: a result that is NaN is always 0x7fc00000, whatever sign and payload the input had. Bounds below are errors of
// the result against the real-valued function, in units in the last place of the true value (the spacing of binary32
// there, 2^-149 below 2^-126), as scripts/check_scalar_math measures them over all 2^32 inputs
// (bench/results/scalar_math.txt). The polynomials are this project's own minimax fits (Remez exchange, each
// coefficient rounded to binary32 in turn and the rest fitted again); the error stated with each is that of the rounded
// one.
#pragma once

#include <bit>
#include <cstdint>

namespace cupel {

#define CUPEL_SCALAR [[gnu::always_inline]] inline

// The pieces that the functions below share.
namespace scalar {

inline constexpr uint32_t kSignBit = 0x80000000u;
inline constexpr uint32_t kInfinityBits = 0x7f800000u;

CUPEL_SCALAR uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
CUPEL_SCALAR float from_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
// Bitwise, so that no compiler turns it back into a branch around one of the two computations.
CUPEL_SCALAR uint32_t select_bits(bool condition, uint32_t a, uint32_t b) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (a & mask) | (b & ~mask);
}
CUPEL_SCALAR float select(bool condition, float a, float b) {
  return from_bits(select_bits(condition, bits_of(a), bits_of(b)));
}
CUPEL_SCALAR float magnitude(float x) { return from_bits(bits_of(x) & ~kSignBit); }
// |size| with the sign bit of `sign`; size must have its sign bit clear.
CUPEL_SCALAR float with_sign(float size, float sign) { return from_bits(bits_of(size) | (bits_of(sign) & kSignBit)); }
CUPEL_SCALAR bool is_nan(float x) { return (bits_of(x) & ~kSignBit) > kInfinityBits; }
CUPEL_SCALAR float canonical_nan() { return from_bits(0x7fc00000u); }
// value, or the canonical NaN where value is NaN.
CUPEL_SCALAR float canonical(float value) { return select(is_nan(value), canonical_nan(), value); }
// 2^n for -126 <= n <= 127.
CUPEL_SCALAR float power_of_two(int32_t n) { return from_bits(static_cast<uint32_t>(n + 127) << 23); }

struct ExpParts {
  float mantissa;    // exp(r), in [0.70, 1.42]
  int32_t exponent;  // k
};

// exp(x) = mantissa · 2^exponent for |x| <= 105. Cody and Waite's reduction: k = rint(x · log2 e), by adding and taking
// away 1.5 · 2^23; r = x - k · ln 2 with ln 2 in two parts, the first fma exact; exp(r) = 1 + (r + r² · P(r)).
// P: degree 5 on |r| <= 0.34658, error 2^-31.2 relative to exp(r).
CUPEL_SCALAR ExpParts exp_parts(float x) {
  constexpr float kLog2E = 0x1.715476p+0f;
  constexpr float kRound = 0x1.8p+23f;
  constexpr float kLn2High = 0x1.62e430p-1f;
  constexpr float kLn2Low = -0x1.05c610p-29f;
  const float shifted = __builtin_fmaf(x, kLog2E, kRound);
  const int32_t k = static_cast<int32_t>(bits_of(shifted) - bits_of(kRound));
  const float k_float = shifted - kRound;
  const float r = __builtin_fmaf(k_float, -kLn2Low, __builtin_fmaf(k_float, -kLn2High, x));
  float p = 0x1.6b607ep-13f;
  p = __builtin_fmaf(p, r, 0x1.6d40fap-10f);
  p = __builtin_fmaf(p, r, 0x1.113736p-7f);
  p = __builtin_fmaf(p, r, 0x1.5554f2p-5f);
  p = __builtin_fmaf(p, r, 0x1.55553cp-3f);
  p = __builtin_fmaf(p, r, 0x1.000000p-1f);
  const float s = __builtin_fmaf(r * r, p, r);
  return {1.0f + s, k};
}

// exp(x) for |x| <= 80, where 2^k is a normal number: one exact scaling.
CUPEL_SCALAR float exp_moderate(float x) {
  const ExpParts parts = exp_parts(x);
  return parts.mantissa * power_of_two(parts.exponent);
}

// exp(x) for |x| <= 105: scaled by 2^k in two halves, the first exact, so that the second rounds once into the
// subnormals or overflows to infinity.
CUPEL_SCALAR float exp_wide(float x) {
  const ExpParts parts = exp_parts(x);
  const int32_t half = parts.exponent >> 1;
  return parts.mantissa * power_of_two(half) * power_of_two(parts.exponent - half);
}

// k · ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1] and an integral |k| <= 150. log(1 + f) = f + f² · Q(f);
// ln 2 in two parts, the first of 16 bits so that k times it is exact; the large terms are added by Fast2Sum (Dekker).
// Q: degree 8, constant term -1/2, error 2^-27.3 relative to log(1 + f).
CUPEL_SCALAR float log_sum(float f, float k) {
  constexpr float kLn2High = 0x1.62e400p-1f;
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  float q = -0x1.3916e0p-4f;
  q = __builtin_fmaf(q, f, 0x1.057a86p-3f);
  q = __builtin_fmaf(q, f, -0x1.0d822cp-3f);
  q = __builtin_fmaf(q, f, 0x1.22d5bap-3f);
  q = __builtin_fmaf(q, f, -0x1.54721ep-3f);
  q = __builtin_fmaf(q, f, 0x1.99a036p-3f);
  q = __builtin_fmaf(q, f, -0x1.000228p-2f);
  q = __builtin_fmaf(q, f, 0x1.555554p-2f);
  q = __builtin_fmaf(q, f, -0x1.000000p-1f);
  const float low = __builtin_fmaf(f * f, q, k * kLn2Low);
  const float large = k * kLn2High;
  const float high = large + f;
  const float lost = f - (high - large);
  return high + (lost + low);
}

}  // namespace scalar

// Rounds to the nearest integer, halves to the even one; keeps the sign of zero and of results that round to zero;
// infinities stay. Exact. 2^23 is added to |x| and taken away, which drops the fraction bits by the adder's own
// rounding.
CUPEL_SCALAR float round_half_even_f32(float x) {
  const float size = scalar::magnitude(x);
  const float rounded = (size + 0x1p+23f) - 0x1p+23f;
  return scalar::canonical(scalar::with_sign(scalar::select(size < 0x1p+23f, rounded, size), x));
}

// Largest integer <= x; floor(-0) = -0. Exact.
CUPEL_SCALAR float floor_f32(float x) {
  const float rounded = round_half_even_f32(x);
  const float floored = rounded - scalar::select(rounded > x, 1.0f, 0.0f);
  return scalar::canonical(scalar::with_sign(scalar::magnitude(floored), x));
}

// Smallest integer >= x; ceil(x) = -0 for -1 < x <= -0. Exact.
CUPEL_SCALAR float ceil_f32(float x) {
  const float rounded = round_half_even_f32(x);
  const float raised = rounded + scalar::select(rounded < x, 1.0f, 0.0f);
  return scalar::canonical(scalar::with_sign(scalar::magnitude(raised), x));
}

// e^x. Infinity from 0x1.62e43p+6 (88.7228394) up, 0 from -0x1.9fe36ap+6 (-103.972084) down; exp(±0) = 1.
// The input is clamped to [-105, 89], where the result is already 0 or infinity.
// Bound: 1 ulp; measured 0.978512 at 0xc0bacd51 (-5.83756304).
CUPEL_SCALAR float exp_f32(float x) {
  float clamped = scalar::select(x < 89.0f, x, 89.0f);
  clamped = scalar::select(clamped > -105.0f, clamped, -105.0f);
  return scalar::select(scalar::is_nan(x), scalar::canonical_nan(), scalar::exp_wide(clamped));
}

// Natural logarithm. log(±0) = -infinity, log(x < 0) = NaN, log(infinity) = infinity, log(1) = +0.
// x = 2^k · (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), read off the bits; subnormal inputs are first multiplied by
// 2^23. Bound: @log@.
CUPEL_SCALAR float log_f32(float x) {
  constexpr uint32_t kSqrtHalfBits = 0x3f3504f3u;
  const bool subnormal = x < 0x1p-126f;
  const uint32_t bits = scalar::select_bits(subnormal, scalar::bits_of(x * 0x1p+23f), scalar::bits_of(x));
  const uint32_t bias = scalar::select_bits(subnormal, 23u, 0u);
  const int32_t k = static_cast<int32_t>(bits - kSqrtHalfBits) >> 23;
  const float f = scalar::from_bits(bits - (static_cast<uint32_t>(k) << 23)) - 1.0f;
  float result = scalar::log_sum(f, static_cast<float>(k - static_cast<int32_t>(bias)));
  result = scalar::select(scalar::bits_of(x) == scalar::kInfinityBits, x, result);
  result = scalar::select(x == 0.0f, scalar::from_bits(scalar::kSignBit | scalar::kInfinityBits), result);
  return scalar::select(x >= 0.0f, result, scalar::canonical_nan());
}

// Error function, 2/sqrt(pi) times the integral of e^(-t²) from 0 to x; odd, so erf(-0) = -0; ±1 from about ±3.92 on.
// |x| < 1: |x| + |x| · P(x²); P: degree 6, error 2^-29.4 relative to erf.
// Else: 1 - exp(-(a + a · S(a))), a = min(|x|, 4); S: degree 7 on [1, 4], the last bits then chosen for the
// smallest error of the whole sequence; error of the result 2^-30.5.
// Bound: 1 ulp; measured 0.991485 at 0x3f87df07 (1.06149375).
CUPEL_SCALAR float erf_f32(float x) {
  const float size = scalar::magnitude(x);
  const float a = scalar::select(size < 4.0f, size, 4.0f);
  const float square = a * a;
  float p = 0x1.4771fep-14f;
  p = __builtin_fmaf(p, square, -0x1.a3515ep-11f);
  p = __builtin_fmaf(p, square, 0x1.53f224p-8f);
  p = __builtin_fmaf(p, square, -0x1.b7f71ap-6f);
  p = __builtin_fmaf(p, square, 0x1.ce2ce6p-4f);
  p = __builtin_fmaf(p, square, -0x1.81273ep-2f);
  p = __builtin_fmaf(p, square, 0x1.06eba8p-3f);
  const float near = __builtin_fmaf(a, p, a);
  float s = 0x1.e8faf2p-19f;
  s = __builtin_fmaf(s, a, -0x1.ef0c0ep-16f);
  s = __builtin_fmaf(s, a, -0x1.1746a2p-13f);
  s = __builtin_fmaf(s, a, 0x1.9f0148p-9f);
  s = __builtin_fmaf(s, a, -0x1.79e7a0p-6f);
  s = __builtin_fmaf(s, a, 0x1.b0b756p-4f);
  s = __builtin_fmaf(s, a, 0x1.45563ep-1f);
  s = __builtin_fmaf(s, a, 0x1.075da6p-3f);
  const float far = 1.0f - scalar::exp_moderate(-__builtin_fmaf(a, s, a));
  const float result = scalar::with_sign(scalar::select(a < 1.0f, near, far), x);
  return scalar::select(scalar::is_nan(x), scalar::canonical_nan(), result);
}

// Hyperbolic tangent; odd, so tanh(-0) = -0; ±1 from about ±9.01 on.
// |x| < 1: |x| + |x| · (x² · P(x²)); P: degree 6, error 2^-27.7 relative to tanh.
// Else: 1 - 2 / (exp(2a) + 1), a = min(|x|, 10).
// Bound: 1 ulp; measured 0.949355 at 0x3f8151ca (1.0103085).
CUPEL_SCALAR float tanh_f32(float x) {
  const float size = scalar::magnitude(x);
  const float a = scalar::select(size < 10.0f, size, 10.0f);
  const float square = a * a;
  float p = -0x1.77ca4cp-12f;
  p = __builtin_fmaf(p, square, 0x1.2d9f4ep-9f);
  p = __builtin_fmaf(p, square, -0x1.045fd0p-7f);
  p = __builtin_fmaf(p, square, 0x1.6009a2p-6f);
  p = __builtin_fmaf(p, square, -0x1.b9623ap-5f);
  p = __builtin_fmaf(p, square, 0x1.110be4p-3f);
  p = __builtin_fmaf(p, square, -0x1.55553cp-2f);
  const float near = __builtin_fmaf(a, square * p, a);
  const float far = 1.0f - 2.0f / (scalar::exp_moderate(a + a) + 1.0f);
  const float result = scalar::with_sign(scalar::select(a < 1.0f, near, far), x);
  return scalar::select(scalar::is_nan(x), scalar::canonical_nan(), result);
}

// 1 / (1 + e^-x) as (x >= 0 ? 1 : e) / (1 + e) with e = exp(-|x|), which neither overflows nor cancels.
// Bound: 2.5 ulp; measured 2.40188 at 0xc085088d (-4.1572938).
CUPEL_SCALAR float sigmoid_f32(float x) {
  const float negative = scalar::from_bits(scalar::bits_of(x) | scalar::kSignBit);
  const float e = scalar::exp_wide(scalar::select(negative > -105.0f, negative, -105.0f));
  const float result = scalar::select(x < 0.0f, e, 1.0f) / (1.0f + e);
  return scalar::select(scalar::is_nan(x), scalar::canonical_nan(), result);
}

// x · Φ(x) in the form that ONNX defines: x · (0.5 · (1 + erf(x · sqrt(1/2)))), in this order of operations.
// gelu(-infinity) is NaN, as the formula says (-infinity · 0). 1 + erf cancels below about -1, so the error there is
// small against 1, not against the result: from about -5.5 down the result is -0.
// Bound: none in ulp (see above); |error| measured at most 1.28e-7 · max(1, |gelu|).
CUPEL_SCALAR float gelu_f32(float x) {
  constexpr float kSqrtHalf = 0x1.6a09e6p-1f;
  return scalar::canonical(x * (0.5f * (1.0f + erf_f32(x * kSqrtHalf))));
}

// The tanh approximation of GELU: x · (0.5 · (1 + tanh(x · (c + c · 0.044715 · x²)))), c = sqrt(2 / pi), the inner sum
// one fma, both constants rounded to binary32. gelu_tanh(-infinity) is NaN, as the formula says.
// Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016), section 2.
// Bound: none in ulp, as gelu_f32; |error| measured at most 1.33e-7 · max(1, |gelu_tanh|).
CUPEL_SCALAR float gelu_tanh_f32(float x) {
  constexpr float kLinear = 0.797884560802865f;
  constexpr float kCubic = 0.0356774081363001f;
  const float inner = x * __builtin_fmaf(x * x, kCubic, kLinear);
  return scalar::canonical(x * (0.5f * (1.0f + tanh_f32(inner))));
}

// x · sigmoid(x), the same bits as Sigmoid followed by Mul. silu(-infinity) is NaN, as the formula says.
// Bound: |error| measured at most 1.55e-7 · max(1, |silu|); 3.5 ulp where sigmoid(x) is a normal number.
CUPEL_SCALAR float silu_f32(float x) { return scalar::canonical(x * sigmoid_f32(x)); }

// max(0, min(1, alpha · x + beta)), alpha · x + beta one fma; NaN stays NaN. ONNX's defaults are alpha 0.2, beta 0.5.
CUPEL_SCALAR float hard_sigmoid_f32(float x, float alpha = 0.2f, float beta = 0.5f) {
  const float line = __builtin_fmaf(alpha, x, beta);
  const float above = scalar::select(line > 0.0f, line, 0.0f);
  const float result = scalar::select(above < 1.0f, above, 1.0f);
  return scalar::select(scalar::is_nan(line), scalar::canonical_nan(), result);
}

// x · hard_sigmoid(x) with alpha = 1/6 rounded to binary32 and beta = 1/2. hard_swish(-infinity) is NaN (-infinity ·
// 0).
CUPEL_SCALAR float hard_swish_f32(float x) { return scalar::canonical(x * hard_sigmoid_f32(x, 0x1.555556p-3f, 0.5f)); }

// log(1 + e^x) as max(x, 0) + log(1 + e), e = exp(-|x|); log(1 + e) is log_sum of f = e for e <= sqrt(2) - 1, else of
// f = (e - 1) / 2 with k = 1.
// Bound: 2 ulp; measured 1.7249 at 0xbf6197b2 (-0.881220937).
CUPEL_SCALAR float softplus_f32(float x) {
  const float negative = scalar::from_bits(scalar::bits_of(x) | scalar::kSignBit);
  const float e = scalar::exp_wide(scalar::select(negative > -105.0f, negative, -105.0f));
  const bool large = e > 0x1.a8279ap-2f;
  const float f = scalar::select(large, (e - 1.0f) * 0.5f, e);
  const float tail = scalar::log_sum(f, scalar::select(large, 1.0f, 0.0f));
  const float result = scalar::select(x > 0.0f, x, 0.0f) + tail;
  return scalar::select(scalar::is_nan(x), scalar::canonical_nan(), result);
}

#undef CUPEL_SCALAR

}  // namespace cupel
