// From real numbers to codes and back: the one definition of rounding and saturation (docs/quantization.md 1 and 3).
#pragma once

#include <cmath>
#include <cstdint>

#include "base/dtype.h"
#include "ir/type.h"

namespace cupel::ops {

// Least and greatest code minus the zero point, as binary32.
struct CodeRange {
  float low, high;
  int32_t zero_point;

  CodeRange(DType type, int32_t zero)
      : low(static_cast<float>(dtype_min(type) - zero)),
        high(static_cast<float>(dtype_max(type) - zero)),
        zero_point(zero) {}
};

// to_code(v, z): clamp (NaN gives the lowest code), round to nearest even, add the zero point. For types of up to 16
// bits. Adding and subtracting 1.5·2^23 rounds |v| < 2^22 to the nearest integer, ties to even.
inline int32_t to_code(float v, const CodeRange& range) {
  v = v > range.low ? v : range.low;
  v = v < range.high ? v : range.high;
  const float rounded = (v + 12582912.0f) - 12582912.0f;
  return static_cast<int32_t>(rounded) + range.zero_point;
}

// f32(q − z) · s
inline float from_code(int32_t code, int32_t zero_point, float scale) {
  return static_cast<float>(code - zero_point) * scale;
}

// f32(1 / double(s))
inline float inverse_scale(float scale) { return static_cast<float>(1.0 / static_cast<double>(scale)); }
// f32(double(a) / double(b))
inline float scale_ratio(float a, float b) {
  return static_cast<float>(static_cast<double>(a) / static_cast<double>(b));
}
// f32(double(a) · double(b) / double(c))
inline float product_ratio(float a, float b, float c) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) / static_cast<double>(c));
}
// f32(double(a) · double(b))
inline float scale_product(float a, float b) {
  return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
}

}  // namespace cupel::ops
