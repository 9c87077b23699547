// Conversions of elements: what Cast computes by the reference and by its routine. Functions of
// float operands follow the caller's rule for subnormal numbers (runtime/floating_point.h).
#pragma once

#include <stdint.h>

#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/dtype.h"
#include "base/scalar_math.h"

namespace cupel {

// To a float: one rounding to nearest even. To bool: whether it is not 0. To an integer: of an integer its low bits; of
// a real number truncation, the nearest bound where that is outside the type, the lower one of a NaN.
template <class To, class From>
To converted(From v) {
  if constexpr (std::is_floating_point_v<From> && std::is_same_v<To, bool>) {
    return v != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    // A power of two, hence exact. What lies less than 1 below the least is truncated to it.
    constexpr From above = static_cast<From>(uint64_t{1} << (Limits::digits - 1)) * From{2};
    if (v >= above) return Limits::max();
    if (!(v > (std::is_signed_v<To> ? -above : From{-1}))) return Limits::min();
    return static_cast<To>(v);
  } else {
    return static_cast<To>(v);
  }
}

// Floats of 16 and 8 bits in memory.
struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
struct E4m3 {
  uint8_t bits;
};
struct E5m2 {
  uint8_t bits;
};
// What bytes are in kernels, which know them as u8.
enum class CastBytes : int64_t { numbers, truths, e4m3, e5m2 };
inline CastBytes bytes_of(DType type) {
  return type == DType::boolean  ? CastBytes::truths
         : type == DType::f8e4m3 ? CastBytes::e4m3
         : type == DType::f8e5m2 ? CastBytes::e5m2
                                 : CastBytes::numbers;
}

// To binary32 with the last bit set when anything was cut off: a second rounding to fewer bits is then correct.
inline float round_to_odd(double v) {
  const float nearest = static_cast<float>(v);
  if (!__builtin_isfinite(nearest))
    return __builtin_isfinite(v) ? __builtin_copysignf(std::numeric_limits<float>::max(), nearest) : nearest;
  const double back = nearest;
  if (back == v || (std::bit_cast<uint32_t>(nearest) & 1u) != 0) return nearest;
  // The even neighbour was chosen; the odd one lies on the other side of v.
  const auto bits = std::bit_cast<uint32_t>(nearest);
  if (bits << 1 == 0)
    return __builtin_copysignf(std::numeric_limits<float>::denorm_min(), static_cast<float>(v < 0 ? -1 : 1));
  return std::bit_cast<float>(__builtin_fabs(back) < __builtin_fabs(v) ? bits + 1 : bits - 1);
}

// To binary64 likewise.
inline double round_to_odd(uint64_t magnitude) {
  if (magnitude >> 53 != 0) magnitude = (magnitude & ~uint64_t{2047}) | ((magnitude & 2047) != 0 ? 2048 : 0);
  return static_cast<double>(magnitude);
}

template <class T>
float narrow(T v) {
  if constexpr (std::is_same_v<T, float>) {
    return scalar::flushed(v);
  } else if constexpr (std::is_same_v<T, double>) {
    return round_to_odd(v);
  } else if constexpr (std::is_signed_v<T>) {
    const auto wide = static_cast<int64_t>(v);
    const double magnitude = round_to_odd(wide < 0 ? ~static_cast<uint64_t>(wide) + 1 : static_cast<uint64_t>(wide));
    return round_to_odd(wide < 0 ? -magnitude : magnitude);
  } else {
    return round_to_odd(round_to_odd(static_cast<uint64_t>(v)));
  }
}

// The number that an element stands for, in a type that holds it exactly.
template <class T>
auto number_of(T v) {
  if constexpr (std::is_same_v<T, Half>) {
    return f16_to_f32(v.bits);
  } else if constexpr (std::is_same_v<T, Brain>) {
    return scalar::flushed(bf16_to_f32(v.bits));  // binary32 in all but its length
  } else if constexpr (std::is_same_v<T, E4m3>) {
    return f8e4m3_to_f32(v.bits);
  } else if constexpr (std::is_same_v<T, E5m2>) {
    return f8e5m2_to_f32(v.bits);
  } else {
    return v;
  }
}

// `saturate`: to a float of 8 bits (base/dtype.h).
template <class From, class To>
void convert_element(From from, To& to, bool saturate) {
  const auto v = number_of(from);
  if constexpr (std::is_same_v<To, Half>) {
    to.bits = f32_to_f16(narrow(v));
  } else if constexpr (std::is_same_v<To, Brain>) {
    to.bits = f32_to_bf16(narrow(v));
  } else if constexpr (std::is_same_v<To, E4m3>) {
    to.bits = f32_to_f8e4m3(narrow(v), saturate);
  } else if constexpr (std::is_same_v<To, E5m2>) {
    to.bits = f32_to_f8e5m2(narrow(v), saturate);
  } else {
    to = converted<To>(v);
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
