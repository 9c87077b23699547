#include "kernel/packing.h"

#include <cassert>
#include <cstring>

namespace cupel {
namespace {

constexpr int64_t kColumns = 16;

int64_t blocks_of(int64_t columns) { return (columns + kColumns - 1) / kColumns; }
int64_t round_up_4(int64_t n) { return (n + 3) / 4 * 4; }

// [blocks][K/group][16][group], K of padded runs.
template <class T>
Tensor pack_integers(const Tensor& weights, int64_t run, int64_t group) {
  const int64_t columns = weights.dims()[0], depth = weights.dims()[1];
  assert(run > 0 && depth % run == 0);
  const int64_t padded = depth / run * round_up_4(run);
  Tensor packed(DTypeOf<T>::value, {blocks_of(columns), padded / group, kColumns, group});
  const auto from = weights.data<int8_t>();
  const auto to = packed.mutable_data<T>();
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t place = k / run * round_up_4(run) + k % run;
      const int64_t at =
          ((column / kColumns * (padded / group) + place / group) * kColumns + column % kColumns) * group +
          place % group;
      to[static_cast<size_t>(at)] = from[static_cast<size_t>(column * depth + k)];
    }
  }
  return packed;
}

}  // namespace

Tensor pack_weights_s8(const Tensor& weights, int64_t run) { return pack_integers<int8_t>(weights, run, 4); }
Tensor pack_weights_s16(const Tensor& weights, int64_t run) { return pack_integers<int16_t>(weights, run, 2); }

Tensor pack_weights_f32(const Tensor& weights) {
  const int64_t columns = weights.dims()[0], depth = weights.dims()[1];
  Tensor packed(DType::f32, {blocks_of(columns), depth, kColumns});
  const auto from = weights.data<float>();
  const auto to = packed.mutable_data<float>();
  for (int64_t column = 0; column < columns; ++column)
    for (int64_t k = 0; k < depth; ++k)
      to[static_cast<size_t>((column / kColumns * depth + k) * kColumns + column % kColumns)] =
          from[static_cast<size_t>(column * depth + k)];
  return packed;
}

int64_t block_bytes_s8(int64_t steps, int64_t run) { return steps * round_up_4(run) * kColumns; }
int64_t block_bytes_s16(int64_t steps, int64_t run) { return 2 * block_bytes_s8(steps, run); }
int64_t block_bytes_f32(int64_t steps, int64_t run) { return steps * run * kColumns * 4; }

Tensor permuted(const Tensor& t, const std::vector<size_t>& order) {
  Dims strides(t.dims().size(), 1), dims;
  for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * t.dims()[i];
  for (size_t d : order) dims.push_back(t.dims()[d]);
  Tensor out(t.dtype(), dims);
  const int64_t elem = dtype_bits(t.dtype()) / 8;
  Dims at(dims.size(), 0);
  for (int64_t i = 0; i < t.size(); ++i) {
    int64_t from = 0;
    for (size_t d = 0; d < order.size(); ++d) from += at[d] * strides[order[d]];
    std::memcpy(out.mutable_bytes().data() + i * elem, t.bytes().data() + from * elem, static_cast<size_t>(elem));
    for (size_t d = dims.size(); d > 0 && ++at[d - 1] == dims[d - 1];) at[--d] = 0;
  }
  return out;
}

}  // namespace cupel
