// The comparison that tests of exactness rest on tells what it must.
#include "base/same_bytes.h"

#include <limits>

namespace cupel {
namespace {

TEST(SameBytes, ToldByBitsButForNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), other = std::bit_cast<float>(0xffc12345u);
  EXPECT_TRUE(same_bytes(nan, other));
  EXPECT_TRUE(same_bytes(0.0f, 0.0f));
  EXPECT_FALSE(same_bytes(0.0f, -0.0f));
  EXPECT_FALSE(same_bytes(0.0f, 0x1p-149f));
  EXPECT_FALSE(same_bytes(nan, 1.0f));
  EXPECT_FALSE(same_bytes(1.0f, nan));
  const uint16_t half_nan[] = {0x7e00, 0xfe01}, half_zero[] = {0, 0x8000};
  EXPECT_TRUE(same_element(DType::f16, &half_nan[0], &half_nan[1]));
  EXPECT_FALSE(same_element(DType::f16, &half_zero[0], &half_zero[1]));
  EXPECT_FALSE(same_element(DType::u16, &half_nan[0], &half_nan[1]));
}

TEST(SameBytes, TensorsInTypeDimensionsAndElements) {
  const Tensor a = Tensor::of<float>({2}, {1, 0}), negative = Tensor::of<float>({2}, {1, -0.0f});
  EXPECT_TRUE(same_bytes(a, a));
  EXPECT_FALSE(same_bytes(a, a.reshaped({2, 1})));
  EXPECT_FALSE(same_bytes(a, a.bit_cast_to(DType::s32)));
  const auto told = same_bytes(negative, a);
  EXPECT_FALSE(told);
  EXPECT_STREQ(told.message(), "element 1: found -0x0p+0, expected 0x0p+0");
}

}  // namespace
}  // namespace cupel
