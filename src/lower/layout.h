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

// What a run repeats: the symbolic dimension that leads an input. Where all dimensions are constant, the size that
// leads every value, or, where they differ, one item that is everything.
struct Batch {
  Dim size = 1;
  bool leads = false;  // it is the leading dimension of the values, alone or with a factor
};
Batch batch_of(const Graph& graph);

// Whether the batch leads the value, alone or with a factor. What does not have it is the same for every item.
bool is_batched(const Graph& graph, const Batch& batch, ValueId value);
// Dimensions of one batch item, as many as the value has and in its order: a batch that leads counts 1, f·batch counts
// f, which are rows of each item. unsupported for a value with a symbol elsewhere.
Result<Dims> item_dims(const Graph& graph, const Batch& batch, ValueId value);
// The dimensions that a kernel walks: without one leading dimension of 1.
inline size_t first_walked(const Dims& dims) { return !dims.empty() && dims[0] == 1 ? 1 : 0; }

// Values that lie as NHWC: those that convolutions and pooling windows read or write, and what elementwise ops connect
// with them. Rank 4 only. Indexed by value.
std::vector<bool> image_values(const Graph& graph);

// Bytes and strides of a fresh buffer for a value of these dimensions. Images [N,C,H,W]: NHWC, `pixel` elements from
// pixel to pixel (≥ C), halo around each. Others: row-major, the last dimension padded to a multiple of 16.
struct BufferShape {
  int64_t item_bytes = 0;
  int64_t offset = 0;
  std::vector<int64_t> strides;
};
// Requires fits_as_image.
BufferShape image_shape(DType type, const Dims& dims, int64_t pixel, const Halo& halo);
// Whether the image with its halo stays within kMostBufferBytes.
bool fits_as_image(DType type, const Dims& dims, int64_t pixel, const Halo& halo);
BufferShape matrix_shape(DType type, const Dims& dims);
// Elements without gaps along dimension `dim`, padded to a multiple of 16; the others row-major around it.
BufferShape shape_along(DType type, const Dims& dims, size_t dim);

// Bytes from one index to the next of each dimension, row-major without gaps.
std::vector<int64_t> dense_strides(const Dims& dims, int64_t element_bytes);

// The view of the same bytes under other dimensions (row-major order of elements); nullopt when strides do not allow
// it.
std::optional<std::vector<int64_t>> reshaped_strides(const Dims& dims, const std::vector<int64_t>& strides,
                                                     const Dims& result);

}  // namespace cupel
