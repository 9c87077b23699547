// Conversions of elements that no number can fail: what Cast computes by the reference and by its routine. Functions of
// float operands follow the caller's rule for subnormal numbers (runtime/floating_point.h).
#pragma once

#include <stdint.h>

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
