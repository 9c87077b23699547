// Exact comparison of tensors.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "base/tensor.h"

namespace cupel {

// Equal bytes, where any NaN equals any NaN.
inline testing::AssertionResult same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.size() != b.size()) return testing::AssertionFailure() << "types or sizes differ";
  const int64_t elem = dtype_bits(a.dtype()) / 8;
  for (int64_t i = 0; i < a.size(); ++i)
    if (std::memcmp(a.bytes().data() + i * elem, b.bytes().data() + i * elem, static_cast<size_t>(elem)) != 0 &&
        !(a.dtype() == DType::f32 && a.at(i) != a.at(i) && b.at(i) != b.at(i)))
      return testing::AssertionFailure() << "element " << i << " is " << a.at(i) << ", expected " << b.at(i);
  return testing::AssertionSuccess();
}

}  // namespace cupel
