// Functions of one or two elements of any type that C++ has: what routine `combine` computes, and the shape arithmetic
// that has to agree with it. Integers wrap around; functions of numbers follow the caller's rule for subnormal numbers
// (runtime/floating_point.h), except that a chosen binary64 number keeps its bits.
#pragma once

#include <stdint.h>

#include <limits>
#include <type_traits>

#include "base/double_math.h"
#include "base/scalar_math.h"

namespace cupel {

// The function of an operand and of what the operands before it gave. A row stands for the types that `Computes` says.
enum class ElementFunction : int64_t {
  copy,  // of the first operand alone, like those that follow
  negative,
  magnitude,
  sign,
  inverted,  // every bit
  positive,  // 0 where it is less
  reciprocal,
  square_root,
  floor,
  ceil,
  round,
  exp,
  log,
  add,  // of two operands from here on
  sub,
  mul,
  div,        // of integers truncated
  remainder,  // with the sign of the dividend
  modulo,     // with the sign of the divisor
  greater,
  less,
  bit_and,
  bit_or,
  bit_xor,
  shift_left,   // 0 where all bits leave, or the number of them is negative
  shift_right,  // then what the sign is extended to
  is_equal,     // truths from here on
  is_greater,
  is_less,
  is_at_least,
  is_at_most,
  count,
};
constexpr bool takes_one(ElementFunction f) { return f < ElementFunction::add; }
constexpr bool gives_truth(ElementFunction f) { return f >= ElementFunction::is_equal && f < ElementFunction::count; }

// Whether elements of type T have the function.
template <class T>
constexpr bool has_function(ElementFunction f) {
  using F = ElementFunction;
  if constexpr (std::is_integral_v<T>) {
    if (f >= F::reciprocal && f <= F::log) return false;
    if (f == F::negative) return std::is_signed_v<T>;
    return f < F::count;
  } else {
    if (std::is_same_v<T, float>) return f == F::remainder || f == F::modulo;
    return f != F::inverted && (f < F::bit_and || gives_truth(f)) && f < F::count;
  }
}

// What wraps is computed without a sign, and not in the int that C++ makes of shorter ones.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <class T>
T quotient(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_signed_v<T>)
      if (b == T(-1)) return static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(a));  // the least has no negative
    return static_cast<T>(a / b);
  } else {
    return a / b;
  }
}
template <class T>
T remainder_of(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_signed_v<T>)
      if (b == T(-1)) return 0;
    return static_cast<T>(a % b);
  } else {
    // Exact in binary64. A conversion there and back is none to the compiler, and flushes nothing.
    if constexpr (std::is_same_v<T, float>)
      return scalar::flushed(static_cast<float>(
          scalar::remainder_of(static_cast<double>(scalar::flushed(a)), static_cast<double>(scalar::flushed(b)))));
    return static_cast<T>(scalar::remainder_of(static_cast<double>(a), static_cast<double>(b)));
  }
}
// Python's and NumPy's: a remainder of 0 has the sign of b too.
template <class T>
T modulo_of(T a, T b) {
  const T rest = remainder_of(a, b);
  if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_unsigned_v<T>) return rest;
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
  } else {
    if (rest == 0) return static_cast<T>(__builtin_copysign(0.0, static_cast<double>(b)));
    return (rest < 0) != (b < 0) ? rest + b : rest;
  }
}

template <ElementFunction f, class T>
inline T function_of_one(T x) {
  using F = ElementFunction;
  if constexpr (f == F::negative) {
    if constexpr (std::is_integral_v<T>) return static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(x));
    return -x;
  } else if constexpr (f == F::magnitude) {
    if constexpr (std::is_unsigned_v<T>) return x;
    if constexpr (std::is_integral_v<T>) return x < 0 ? static_cast<T>(Wide<T>{0} - static_cast<Wide<T>>(x)) : x;
    return static_cast<T>(__builtin_fabs(static_cast<double>(x)));
  } else if constexpr (f == F::sign) {
    if constexpr (std::is_integral_v<T>) return static_cast<T>((x > 0) - (x < 0));
    return x > 0 ? T(1) : x < 0 ? T(-1) : x == 0 ? T(0) : x;
  } else if constexpr (f == F::inverted) {
    return static_cast<T>(~x);
  } else if constexpr (f == F::positive) {
    return T(0) > x ? T(0) : x;
  } else if constexpr (f == F::reciprocal) {
    return T(1) / x;
  } else if constexpr (f == F::square_root) {
    return static_cast<T>(__builtin_sqrt(static_cast<double>(x)));
  } else if constexpr (f == F::floor) {
    return scalar::floor_of(x);
  } else if constexpr (f == F::ceil) {
    return scalar::ceil_of(x);
  } else if constexpr (f == F::round) {
    return scalar::round_of(x);
  } else if constexpr (f == F::exp) {
    return scalar::exp_of(x);
  } else if constexpr (f == F::log) {
    return scalar::log_of(x);
  } else {
    return x;
  }
}

template <ElementFunction f, class T>
inline auto function_of_two(T a, T b) {
  using F = ElementFunction;
  if constexpr (f == F::add || f == F::sub || f == F::mul) {
    using W = std::conditional_t<std::is_integral_v<T>, Wide<T>, T>;
    const auto x = static_cast<W>(a), y = static_cast<W>(b);
    return static_cast<T>(f == F::add ? x + y : f == F::sub ? x - y : x * y);
  } else if constexpr (f == F::div) {
    return quotient(a, b);
  } else if constexpr (f == F::remainder) {
    return remainder_of(a, b);
  } else if constexpr (f == F::modulo) {
    return modulo_of(a, b);
  } else if constexpr (f == F::greater) {
    return a > b ? a : b;
  } else if constexpr (f == F::less) {
    return a < b ? a : b;
  } else if constexpr (f == F::bit_and) {
    return static_cast<T>(a & b);
  } else if constexpr (f == F::bit_or) {
    return static_cast<T>(a | b);
  } else if constexpr (f == F::bit_xor) {
    return static_cast<T>(a ^ b);
  } else if constexpr (f == F::shift_left || f == F::shift_right) {
    constexpr int kBits = static_cast<int>(sizeof(T) * 8);
    if (b < T(0) || b >= static_cast<T>(kBits)) return static_cast<T>(f == F::shift_right && a < T(0) ? -1 : 0);
    return static_cast<T>(f == F::shift_left ? static_cast<T>(static_cast<Wide<T>>(a) << b) : static_cast<T>(a >> b));
  } else if constexpr (f == F::is_equal) {
    return a == b;
  } else if constexpr (f == F::is_greater) {
    return a > b;
  } else if constexpr (f == F::is_less) {
    return a < b;
  } else if constexpr (f == F::is_at_least) {
    return a >= b;
  } else {
    return a <= b;
  }
}

}  // namespace cupel
