// Products of bytes in panels: every instruction set gives the exact sums modulo 2^32.
#include "runtime/byte_products.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace cupel {
namespace {

// By instruction sets in the order of kParts.
bool runs_here(size_t row) {
  return row == 0 || (row == 1 ? cpu_has("avx2") : cpu_has("avx512f") && cpu_has("avx512vnni"));
}

struct Size {
  int64_t rows, depth, columns;
};

class ByteProducts : public ::testing::TestWithParam<size_t> {};

TEST_P(ByteProducts, AreExact) {
  if (!runs_here(GetParam())) GTEST_SKIP() << "this CPU lacks the instructions";
  std::mt19937 random(1);
  for (const Size s : {Size{1, 4, 16}, Size{3, 20, 160}, Size{9, 1024, 48}, Size{4, 40000, 16}}) {
    std::vector<uint8_t> x(static_cast<size_t>(s.rows * s.depth));
    std::vector<int8_t> weights(static_cast<size_t>(s.depth * s.columns)), panels(weights.size());
    for (uint8_t& v : x) v = random() % 4 == 0 ? 255 : static_cast<uint8_t>(random());
    for (int8_t& v : weights) v = random() % 4 == 0 ? int8_t{-128} : static_cast<int8_t>(random());
    for (int64_t k = 0; k < s.depth; ++k)
      for (int64_t n = 0; n < s.columns; ++n)
        panels[static_cast<size_t>(place_in_panels(k, n, s.depth))] = weights[static_cast<size_t>(k * s.columns + n)];
    std::vector<const uint8_t*> rows;
    for (int64_t r = 0; r < s.rows; ++r) rows.push_back(x.data() + r * s.depth);
    const int64_t stride = s.columns + 16;
    std::vector<int32_t> sums(static_cast<size_t>(s.rows * stride), 77);
    multiply_bytes({rows.data(), panels.data(), s.depth, s.depth, s.columns, sums.data(), stride}, s.rows,
                   byte_parts::kParts[GetParam()]);
    for (int64_t r = 0; r < s.rows; ++r)
      for (int64_t n = 0; n < stride; ++n) {
        uint32_t sum = n < s.columns ? 0 : 77;  // what lies between rows stays
        for (int64_t k = 0; k < s.depth && n < s.columns; ++k)
          sum +=
              static_cast<uint32_t>(rows[static_cast<size_t>(r)][k] * weights[static_cast<size_t>(k * s.columns + n)]);
        ASSERT_EQ(static_cast<uint32_t>(sums[static_cast<size_t>(r * stride + n)]), sum) << r << " " << n;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, ByteProducts, ::testing::Range<size_t>(0, std::size(byte_parts::kParts)));

}  // namespace
}  // namespace cupel
