// Sizes of routine quantized_lstm. Header of routines: nothing of the C++ library.
#pragma once

#include "runtime/byte_panels.h"

namespace cupel {

struct QuantizedLstmSizes {
  int64_t steps, rows, inputs, directions, hidden;

  int64_t width() const { return 4 * hidden; }
  int64_t state() const { return rows * hidden; }
  // Steps whose inputs are multiplied at once.
  int64_t together() const { return rows > 0 && rows < 16 ? 16 / rows : 1; }
  // h and c of all rows, gates, one more row; sums of products of steps and of rows; sums of codes of x and of h; then
  // codes of x and of h.
  int64_t scratch_bytes() const {
    const int64_t numbers = 2 * state() + width() + hidden;
    const int64_t sums = (together() + 1) * rows * whole_columns(width()) + (steps + 1) * rows;
    return (numbers + sums) * static_cast<int64_t>(sizeof(float)) + steps * rows * whole_depth(inputs) +
           rows * whole_depth(hidden);
  }
};

}  // namespace cupel
