// Packed weights hold every weight at the place packing.h names and zeros elsewhere.
#include "kernel/packing.h"

#include <gtest/gtest.h>

#include <map>

namespace cupel {
namespace {

Tensor numbered(int64_t columns, int64_t depth) {
  Tensor weights(DType::s8, {columns, depth});
  for (int64_t i = 0; i < weights.size(); ++i)
    weights.mutable_data<int8_t>()[static_cast<size_t>(i)] = static_cast<int8_t>(1 + i % 127);
  return weights;
}

TEST(Packing, BytesLieInGroupsOfFourColumnByColumn) {
  const int64_t columns = 19, run = 6, steps = 3;
  const Tensor weights = numbered(columns, steps * run), packed = pack_weights_s8(weights, run);
  ASSERT_EQ(packed.dims(), (Dims{2, 6, 16, 4}));
  EXPECT_EQ(packed.bytes_size(), 2 * block_bytes_s8(steps, run));
  const Tensor halves = pack_weights_s16(weights, run);
  ASSERT_EQ(halves.dims(), (Dims{2, 12, 16, 2}));
  EXPECT_EQ(halves.bytes_size(), 2 * block_bytes_s16(steps, run));
  for (int64_t column = 0; column < 32; ++column)
    for (int64_t step = 0; step < steps; ++step)
      for (int64_t k = 0; k < 8; ++k) {
        const bool real = column < columns && k < run;
        const int64_t expected = real ? weights.int_at(column * steps * run + step * run + k) : 0;
        const int64_t block = column / 16, place = step * 8 + k;
        EXPECT_EQ(packed.int_at(((block * 6 + place / 4) * 16 + column % 16) * 4 + place % 4), expected);
        EXPECT_EQ(halves.int_at(((block * 12 + place / 2) * 16 + column % 16) * 2 + place % 2), expected);
      }
}

TEST(Packing, FloatsLieInRowsOfSixteenColumns) {
  Tensor weights(DType::f32, {17, 5});
  for (size_t i = 0; i < 85; ++i) weights.mutable_data<float>()[i] = static_cast<float>(i + 1);
  const Tensor packed = pack_weights_f32(weights);
  ASSERT_EQ(packed.dims(), (Dims{2, 5, 16}));
  EXPECT_EQ(packed.bytes_size(), 2 * block_bytes_f32(1, 5));
  for (int64_t column = 0; column < 32; ++column)
    for (int64_t k = 0; k < 5; ++k)
      EXPECT_EQ(packed.at((column / 16 * 5 + k) * 16 + column % 16),
                column < 17 ? static_cast<double>(column * 5 + k + 1) : 0.0);
}

}  // namespace
}  // namespace cupel
