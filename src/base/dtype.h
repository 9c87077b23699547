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
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
uint16_t f32_to_bf16(float value);
// The 8-bit formats E4M3FN (no infinity, NaN is S.1111.111) and E5M2 (as binary16 without its low byte); exact.
float f8e4m3_to_f32(uint8_t bits);
inline float f8e5m2_to_f32(uint8_t bits) { return f16_to_f32(static_cast<uint16_t>(bits << 8)); }

}  // namespace cupel
