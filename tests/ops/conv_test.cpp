// Conv where the sign of a zero tells how its sum ends; sums themselves: tests/reference.
#include <cmath>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;

Tensor floats(Dims dims, const std::vector<float>& values) {
  Tensor t(DType::f32, std::move(dims));
  std::copy(values.begin(), values.end(), t.mutable_data<float>().begin());
  return t;
}

// bias −0 and products −0 sum to −0; with padding somewhere every zero is +0 (docs/quantization.md 4).
TEST(Conv, ZerosArePositiveWhereAWindowReadsPadding) {
  const Tensor x = floats({1, 1, 1, 4}, {0, 0, 1, 0}), w = floats({1, 1, 1, 2}, {-1, -1}), bias = floats({1}, {-0.0f});
  const auto signs = [&](const Attributes& attributes) {
    const auto y = run_op(ops::kConv, {x, w, bias}, attributes);
    EXPECT_TRUE(y.has_value());
    std::string text;
    for (float v : (*y)[0].data<float>()) text += std::signbit(v) ? '-' : '+';
    return text;
  };
  EXPECT_EQ(signs({}), "---");
  EXPECT_EQ(signs({{"pads", std::vector<int64_t>{0, 0, 0, 1}}}), "+--+");
  EXPECT_EQ(signs({{"pads", std::vector<int64_t>{0, 1, 0, 0}}}), "++--");
  // Padding that no window reaches.
  EXPECT_EQ(signs({{"pads", std::vector<int64_t>{0, 0, 0, 1}}, {"strides", std::vector<int64_t>{1, 2}}}), "--");
}

}  // namespace
}  // namespace cupel
