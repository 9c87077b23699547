#include "ops/byte_panels.h"

#include <algorithm>

#include "runtime/byte_panels.h"

namespace cupel::ops {

BytePanels in_byte_panels(const Tensor& codes) {
  const Dims& dims = codes.dims();
  const int64_t columns = dims[dims.size() - 1], depth = dims[dims.size() - 2];
  const int64_t matrices = codes.size() / std::max<int64_t>(1, depth * columns);
  const int64_t shift = codes.dtype() == DType::u8 ? 128 : 0;
  BytePanels all{Tensor(DType::s8, {matrices, whole_depth(depth), whole_columns(columns)}),
                 Tensor(DType::s32, {matrices, columns})};
  const auto panels = all.panels.mutable_data<int8_t>();
  const auto sums = all.sums.mutable_data<int32_t>();
  for (int64_t m = 0; m < matrices; ++m)
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t n = 0; n < columns; ++n) {
        const int64_t code = codes.int_at((m * depth + k) * columns + n) - shift;
        const int64_t place = m * whole_depth(depth) * whole_columns(columns) + place_in_panels(k, n, depth);
        panels[static_cast<size_t>(place)] = static_cast<int8_t>(code);
        int32_t& sum = sums[static_cast<size_t>(m * columns + n)];
        sum = static_cast<int32_t>(static_cast<uint32_t>(sum) + static_cast<uint32_t>(code));
      }
  return all;
}

Tensor panel_zeros(DType codes, Dims dims, const std::function<int64_t(int64_t)>& zero) {
  const int64_t shift = codes == DType::u8 ? 128 : 0;
  Tensor out(DType::s32, std::move(dims));
  for (int64_t i = 0; i < out.size(); ++i)
    out.mutable_data<int32_t>()[static_cast<size_t>(i)] = static_cast<int32_t>(zero(i) - shift);
  return out;
}

}  // namespace cupel::ops
