// The comparison of results between engines and in every test of exactness (docs/quantization.md, Equal results): by
// bits, so that −0 is not +0, but any NaN equals any NaN.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/tensor.h"

namespace cupel {

// One element of each, at any address.
inline bool same_element(DType type, const void* a, const void* b) {
  const auto size = static_cast<size_t>(dtype_bits(type) / 8);
  if (std::memcmp(a, b, size) == 0) return true;
  const auto is_nan = [&](const void* at) {
    double f64 = 0;
    float f32 = 0;
    uint16_t half = 0;
    switch (type) {
      case DType::f64: std::memcpy(&f64, at, size); return std::isnan(f64);
      case DType::f32: std::memcpy(&f32, at, size); return std::isnan(f32);
      case DType::f16: std::memcpy(&half, at, size); return std::isnan(f16_to_f32(half));
      case DType::bf16: std::memcpy(&half, at, size); return std::isnan(bf16_to_f32(half));
      default: return false;
    }
  };
  return is_nan(a) && is_nan(b);
}
inline testing::AssertionResult same_bytes(float a, float b) {
  if (same_element(DType::f32, &a, &b)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << fmt::format("found {:a} ({:08x}), expected {:a} ({:08x})", a,
                                                    std::bit_cast<uint32_t>(a), b, std::bit_cast<uint32_t>(b));
}
inline testing::AssertionResult same_bytes(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << "sizes differ: " << a.size() << ", " << b.size();
  for (size_t i = 0; i < a.size(); ++i)
    if (auto same = same_bytes(a[i], b[i]); !same) return same << " at " << i;
  return testing::AssertionSuccess();
}
// The result and what is expected of it: types, dimensions, elements.
inline testing::AssertionResult same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims())
    return testing::AssertionFailure() << "found " << dtype_name(a.dtype()) << to_text(a.dims()) << ", expected "
                                       << dtype_name(b.dtype()) << to_text(b.dims());
  const int64_t size = dtype_bits(a.dtype()) / 8;
  for (int64_t i = 0; i < a.size(); ++i)
    if (!same_element(a.dtype(), a.bytes().data() + i * size, b.bytes().data() + i * size))
      return testing::AssertionFailure() << fmt::format("element {}: found {:a}, expected {:a}", i, a.at(i), b.at(i));
  return testing::AssertionSuccess();
}

}  // namespace cupel
