// ONNX's numbers of element types (TensorProto.DataType) and back.
#pragma once

#include <cstdint>
#include <optional>

#include "base/dtype.h"

namespace cupel {

// Null for a number that names no element type of Cupel (strings, complex numbers, unknown numbers).
constexpr std::optional<DType> dtype_from_onnx(int64_t number) {
  switch (number) {
    case 1: return DType::f32;
    case 2: return DType::u8;
    case 3: return DType::s8;
    case 4: return DType::u16;
    case 5: return DType::s16;
    case 6: return DType::s32;
    case 7: return DType::s64;
    case 9: return DType::boolean;
    case 10: return DType::f16;
    case 11: return DType::f64;
    case 12: return DType::u32;
    case 13: return DType::u64;
    case 16: return DType::bf16;
    case 17: return DType::f8e4m3;
    case 19: return DType::f8e5m2;
    case 21: return DType::u4;
    case 22: return DType::s4;
    default: return std::nullopt;
  }
}

constexpr int64_t onnx_dtype(DType type) {
  switch (type) {
    case DType::f32: return 1;
    case DType::u8: return 2;
    case DType::s8: return 3;
    case DType::u16: return 4;
    case DType::s16: return 5;
    case DType::s32: return 6;
    case DType::s64: return 7;
    case DType::boolean: return 9;
    case DType::f16: return 10;
    case DType::f64: return 11;
    case DType::u32: return 12;
    case DType::u64: return 13;
    case DType::bf16: return 16;
    case DType::f8e4m3: return 17;
    case DType::f8e5m2: return 19;
    case DType::u4: return 21;
    case DType::s4: return 22;
  }
  return 0;
}

}  // namespace cupel
