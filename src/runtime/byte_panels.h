// A matrix of bytes as vector units multiply u8 by s8 (runtime/byte_products.h). Header of routines: nothing of the C++
// library. A matrix [K, N] of s8 in panels: 16 columns after another, of 4 rows after another, the 4 of a column
// together; both sizes are filled up with zeros.
#pragma once

#include <stdint.h>

namespace cupel {

constexpr int64_t kByteColumns = 16, kByteDepth = 4;

constexpr int64_t whole_columns(int64_t n) { return (n + kByteColumns - 1) / kByteColumns * kByteColumns; }
constexpr int64_t whole_depth(int64_t k) { return (k + kByteDepth - 1) / kByteDepth * kByteDepth; }
// Where column n of row k lies in the panels of `depth` rows.
constexpr int64_t place_in_panels(int64_t k, int64_t n, int64_t depth) {
  return ((n / kByteColumns * (whole_depth(depth) / kByteDepth) + k / kByteDepth) * kByteColumns + n % kByteColumns) *
             kByteDepth +
         k % kByteDepth;
}

}  // namespace cupel
