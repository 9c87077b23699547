// Element types, named as ONNX and NumPy know them.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cupel {

enum class DType : uint8_t {
  f32,
  f64,
  f16,
  bf16,
  f8e4m3,
  f8e5m2,
  u8,
  s8,
  u16,
  s16,
  u32,
  s32,
  u64,
  s64,
  boolean,
  u4,
  s4
};

// Bits of one element in memory (4 for u4 and s4, two to a byte, low nibble first; 8 for boolean).
int dtype_bits(DType type);
// "f32", "u8", …, as graph text spells them.
std::string_view dtype_name(DType type);
std::optional<DType> dtype_from_name(std::string_view name);

constexpr bool is_float(DType t) {
  return t == DType::f32 || t == DType::f64 || t == DType::f16 || t == DType::bf16 || t == DType::f8e4m3 ||
         t == DType::f8e5m2;
}
constexpr bool is_integer(DType t) { return !is_float(t) && t != DType::boolean; }
// True for the types that can hold quantized codes of a tensor (u8 s8 u16 s16 u4 s4 s32).
constexpr bool is_byte_float(DType t) { return t == DType::f8e4m3 || t == DType::f8e5m2; }
constexpr bool is_code(DType t) {
  return t == DType::u8 || t == DType::s8 || t == DType::u16 || t == DType::s16 || t == DType::u4 || t == DType::s4 ||
         t == DType::s32;
}
// Smallest and largest value of an integer type of up to 32 bits.
int64_t dtype_min(DType type);
int64_t dtype_max(DType type);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::s8;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::u16;
};
template <>
struct DTypeOf<int16_t> {
  static constexpr DType value = DType::s16;
};
template <>
struct DTypeOf<uint32_t> {
  static constexpr DType value = DType::u32;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::s32;
};
template <>
struct DTypeOf<uint64_t> {
  static constexpr DType value = DType::u64;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::s64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};

// Binary16 and bfloat16 bit patterns to binary32 (exact) and back (round to nearest even).
inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;   // NaN
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to infinity
  if (magnitude < 0x38800000u) {                        // subnormal: a multiple of 2^-24
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p24f;
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(scaled + 0x1p23f - 0x1p23f));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The 8-bit formats of "FP8 Formats for Deep Learning" (Micikevicius et al. 2022): E4M3FN has no infinity, and its NaN
// is S.1111.111; E5M2 is binary16 without its low byte. To binary32: exact.
inline float f8e4m3_to_f32(uint8_t bits) {
  const uint32_t sign = uint32_t{bits & 0x80u} << 24, exponent = (bits >> 3) & 15u, mantissa = bits & 7u;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
}
inline float f8e5m2_to_f32(uint8_t bits) { return f16_to_f32(static_cast<uint16_t>(bits << 8)); }

// And back, rounded to nearest even. What lies beyond the greatest number, infinities too, becomes that number
// (saturate), else NaN (E4M3FN) or infinity (E5M2), as ONNX's Cast says.
inline uint8_t f32_to_f8e4m3(float value, bool saturate) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  if (magnitude > 0x7f800000u) return sign | 0x7f;                      // NaN
  if (magnitude > 0x43e80000u) return sign | (saturate ? 0x7e : 0x7f);  // above 464, the middle of 448 and 480
  if (magnitude < 0x3c800000u) {                                        // subnormal: a multiple of 2^-9
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p9f;
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(scaled + 0x1p23f - 0x1p23f));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded - 0x3c000000u) >> 20));
}
inline uint8_t f32_to_f8e5m2(float value, bool saturate) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  if (magnitude > 0x7f800000u) return sign | 0x7f;                       // NaN
  if (magnitude >= 0x47700000u) return sign | (saturate ? 0x7b : 0x7c);  // 61440, the middle of 57344 and 65536
  if (magnitude < 0x38800000u) {                                         // subnormal: a multiple of 2^-16
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p16f;
    return static_cast<uint8_t>(sign | static_cast<uint32_t>(scaled + 0x1p23f - 0x1p23f));
  }
  const uint32_t rounded = magnitude + 0xfffffu + ((magnitude >> 21) & 1u);
  return static_cast<uint8_t>(sign | ((rounded - 0x38000000u) >> 21));
}

}  // namespace cupel
