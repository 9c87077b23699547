// exp and log of binary64 as written sequences of its operations, without fma and library functions, so that every
// compiler and CPU gives the same bits. Errors are below 2 units in the last place; like all operations of a network
// they take subnormal numbers for zeros (runtime/floating_point.h). A result that is NaN is a quiet one.
#pragma once

#include <bit>
#include <cstdint>

namespace cupel::scalar {

// 2^k for k in [-1022, 1023].
inline double power_of_two(int64_t k) { return std::bit_cast<double>(static_cast<uint64_t>(1023 + k) << 52); }
inline double double_infinity() { return std::bit_cast<double>(uint64_t{0x7ff} << 52); }
inline double double_nan() { return std::bit_cast<double>(uint64_t{0xfff} << 51); }

// Rounding functions; what is of magnitude 2^52 and above, or NaN, is whole.
inline bool is_whole_by_size(double x) { return !(__builtin_fabs(x) < 0x1p52); }
inline double floor_of(double x) {
  if (is_whole_by_size(x)) return x;
  const auto t = static_cast<double>(static_cast<int64_t>(x));
  return __builtin_copysign(t > x ? t - 1 : t, x);
}
inline double ceil_of(double x) { return -floor_of(-x); }
inline double round_of(double x) {  // ties to even
  if (is_whole_by_size(x)) return x;
  return __builtin_copysign(__builtin_fabs(x) + 0x1p52 - 0x1p52, x);
}

// e^x = 2^k · e^r with r = x − k · ln 2, |r| ≤ 0.35: the series of e^r up to r^14 / 14!, whose next term is below
// 2^-58.
inline double exp_of(double x) {
  if (x != x) return double_nan();
  if (x > 709.8) return double_infinity();
  if (x < -745.2) return 0;
  const double k = round_of(x * 0x1.71547652b82fep+0);
  const double r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
  double tail = 1.0 / 87178291200.0;
  constexpr double kFactorials[] = {6227020800.0, 479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0,
                                    5040.0,       720.0,       120.0,      24.0,      6.0,      2.0};
  for (const double f : kFactorials) tail = tail * r + 1.0 / f;
  const double value = 1.0 + (r + r * r * tail);
  const auto whole = static_cast<int64_t>(k), half = whole / 2;
  return value * power_of_two(half) * power_of_two(whole - half);
}

// x = 2^k · m with m in [√½, √2): k · ln 2 + 2 · atanh(s), s = (m − 1) / (m + 1), |s| < 0.172: its series up to s^23.
inline double log_of(double x) {
  if (x != x || x < 0) return double_nan();
  if (x == 0) return -double_infinity();
  if (x == double_infinity()) return x;
  const auto bits = std::bit_cast<uint64_t>(x);
  int64_t k = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | (uint64_t{1023} << 52));
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    ++k;
  }
  const double d = m - 1, s = d / (m + 1), square = s * s;
  double tail = 0;
  for (int i = 23; i >= 3; i -= 2) tail = tail * square + 1.0 / i;
  // 2s = d − s · d, exact but for the last term; then the rest of the series.
  const auto whole = static_cast<double>(k);
  const double rest = 2 * s * square * tail - s * d + whole * 0x1.a39ef35793c76p-33;
  return whole * 0x1.62e42fee00000p-1 + (d + rest);
}

// A subnormal number as the zero of its sign, under the caller's setting. Written out where a number only passes.
inline double flushed_double(double x) { return __builtin_fabs(x) < 0x1p-1022 ? __builtin_copysign(0.0, x) : x; }

// The remainder of a / b with the sign of a, exact: long division of the significands.
inline double remainder_of(double a, double b) {
  const double size_a = __builtin_fabs(a), size_b = __builtin_fabs(b);
  if (a != a || b != b || size_a == double_infinity() || size_b == 0) return double_nan();
  if (size_a < size_b) return flushed_double(a);
  constexpr uint64_t kFraction = (uint64_t{1} << 52) - 1;
  const auto bits_a = std::bit_cast<uint64_t>(size_a), bits_b = std::bit_cast<uint64_t>(size_b);
  const auto exponent_b = static_cast<int64_t>(bits_b >> 52);
  const uint64_t divisor = (bits_b & kFraction) | (kFraction + 1);
  uint64_t rest = (bits_a & kFraction) | (kFraction + 1);
  for (auto steps = static_cast<int64_t>(bits_a >> 52) - exponent_b;; --steps) {
    if (rest >= divisor) rest -= divisor;
    if (steps == 0) break;
    rest <<= 1;
  }
  const int64_t unit = exponent_b - 1075, half = unit / 2;  // of the last place of b
  return __builtin_copysign(static_cast<double>(rest) * power_of_two(half) * power_of_two(unit - half), a);
}

}  // namespace cupel::scalar
