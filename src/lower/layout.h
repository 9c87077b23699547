// Where values lie: strides over their dimensions, halos, and which values are images.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "ir/graph.h"
#include "kernel/program.h"

namespace cupel {

// Pixels around an image that its readers may touch.
struct Halo {
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  bool empty() const { return top == 0 && left == 0 && bottom == 0 && right == 0; }
  bool operator==(const Halo&) const = default;
};

// What a halo is filled with: the code or number that its readers take for 0, or the least one (maxima).
enum class HaloFill { zero, least };

inline int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }
inline int64_t element_bytes(DType type) { return dtype_bits(type) / 8; }

// Dimensions of one batch item: without the leading batch; a leading f·batch leaves f, which are rows of each item.
// unsupported for a value whose leading dimension is neither.
Result<Dims> item_dims(const Graph& graph, ValueId value);
// Whether the leading dimension is f·batch with f above 1: then an item has as many dimensions as the value.
bool has_rows(const TensorType& type);

// Values that lie as NHWC: those that convolutions and pooling windows read or write, and what elementwise ops connect
// with them. Rank 4 only. Indexed by value.
std::vector<bool> image_values(const Graph& graph);

// Bytes and strides of a fresh buffer for a value of these dimensions. Images [C,H,W]: NHWC, `pixel` elements from
// pixel to pixel (≥ C), halo around. Others: row-major, the last dimension padded to a multiple of 16.
struct BufferShape {
  int64_t item_bytes = 0;
  int64_t offset = 0;
  std::vector<int64_t> strides;
};
BufferShape image_shape(DType type, const Dims& dims, int64_t pixel, const Halo& halo);
BufferShape matrix_shape(DType type, const Dims& dims);

// Bytes from one index to the next of each dimension, row-major without gaps.
std::vector<int64_t> dense_strides(const Dims& dims, int64_t element_bytes);

// The view of the same bytes under other dimensions (row-major order of elements); nullopt when strides do not allow
// it.
std::optional<std::vector<int64_t>> reshaped_strides(const Dims& dims, const std::vector<int64_t>& strides,
                                                     const Dims& result);

}  // namespace cupel
