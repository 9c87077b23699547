// Weights of bytes as routines multiply them (runtime/byte_panels.h).
#pragma once

#include <functional>

#include "base/tensor.h"

namespace cupel::ops {

struct BytePanels {
  Tensor panels;  // s8 [matrices, whole K, whole N]
  Tensor sums;    // s32 [matrices, N]: of the codes in the panels, wrapping around
};
// Of u8 or s8 [.., K, N], leading dimensions counted as matrices; codes of u8 lose 128.
BytePanels in_byte_panels(const Tensor& codes);

// s32 of these dimensions: zero(i) of element i, which loses 128 as the codes do.
Tensor panel_zeros(DType codes, Dims dims, const std::function<int64_t(int64_t)>& zero);

}  // namespace cupel::ops
