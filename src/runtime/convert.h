// Conversions of elements: what Cast computes by the reference and by its routine. Functions of
// float operands follow the caller's rule for subnormal numbers (runtime/floating_point.h).
#pragma once

#include <stdint.h>

#include <limits>
#include <type_traits>
#include <utility>

#include "base/dtype.h"

namespace cupel {

// To a float: one rounding to nearest even. To bool: whether it is not 0. To an integer: truncation; it must fit.
template <class To, class From>
To converted(From v) {
  return static_cast<To>(v);
}
template <>
inline bool converted<bool, float>(float v) {
  return v != 0.0f;
}
template <>
inline bool converted<bool, double>(double v) {
  return v != 0.0;
}

// Whether v, truncated, is a number of the integer type.
template <class To, class From>
bool fits(From v) {
  using Limits = std::numeric_limits<To>;
  if constexpr (std::is_same_v<To, bool> || std::is_floating_point_v<To>) {
    return true;
  } else if constexpr (std::is_floating_point_v<From>) {
    // A power of two, hence exact; NaN fails. What lies less than 1 below the least is truncated to it.
    constexpr From above = static_cast<From>(uint64_t{1} << (Limits::digits - 1)) * From{2};
    if constexpr (std::is_signed_v<To>) return (v >= -above || v > -above - From{1}) && v < above;
    return v > From{-1} && v < above;
  } else if constexpr (std::is_same_v<From, bool>) {
    return true;
  } else {
    return std::in_range<To>(v);
  }
}

// Whether elements of both types lie in memory as C++ has them.
inline bool has_cpp_type(DType t) {
  switch (t) {
    case DType::f32:
    case DType::f64:
    case DType::u8:
    case DType::s8:
    case DType::u16:
    case DType::s16:
    case DType::u32:
    case DType::s32:
    case DType::u64:
    case DType::s64:
    case DType::boolean: return true;
    default: return false;
  }
}

inline bool is_signed_type(DType t) {
  return t == DType::s8 || t == DType::s16 || t == DType::s32 || t == DType::s64 || t == DType::f32 || t == DType::f64;
}

// Whether every number of type `from` has a number of type `to`, and both are C++'s.
inline bool always_fits(DType from, DType to) {
  if (!has_cpp_type(from) || !has_cpp_type(to)) return false;
  const auto is_real = [](DType t) { return t == DType::f32 || t == DType::f64; };
  if (is_real(to) || to == DType::boolean || from == DType::boolean || from == to) return true;
  if (is_real(from)) return false;
  const int to_bits = dtype_bits(to), from_bits = dtype_bits(from);
  if (is_signed_type(from) == is_signed_type(to)) return to_bits >= from_bits;
  return is_signed_type(to) && to_bits > from_bits;
}

}  // namespace cupel
