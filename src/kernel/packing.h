// How constants are laid out for kernels.
#pragma once

#include <vector>

#include "base/tensor.h"

namespace cupel {

// Weights [columns][K] of s8, K as runs of `run` elements (one for each step of the outer reduction loops), packed for
// contract: blocks of 16 columns; in a block for each group of 4 elements of a run 16 × 4 bytes, column by column. Runs
// are padded to a multiple of 4 and columns to a multiple of 16 with zeros. Gives s8 [blocks][K/4][16][4].
Tensor pack_weights_s8(const Tensor& weights, int64_t run);
// The same for targets without a dot product of bytes: s16 in pairs, [blocks][K/2][16][2], runs padded to multiples
// of 4.
Tensor pack_weights_s16(const Tensor& weights, int64_t run);
// Weights [columns][K] of f32: [blocks][K][16], columns padded with zeros.
Tensor pack_weights_f32(const Tensor& weights);

// The dimensions in the order given: result[i0, i1, …] = t[…], dimension d of the result being dimension order[d] of t.
Tensor permuted(const Tensor& t, const std::vector<size_t>& order);

// Bytes from one block of 16 columns to the next for each packing, K of `steps` runs of `run` elements.
int64_t block_bytes_s8(int64_t steps, int64_t run);
int64_t block_bytes_s16(int64_t steps, int64_t run);
int64_t block_bytes_f32(int64_t steps, int64_t run);

}  // namespace cupel
