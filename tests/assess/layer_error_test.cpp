#include "assess/layer_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace cupel {
namespace {

Tensor ramp(int64_t count, float step, float offset = 0) {
  Tensor t(DType::f32, {count});
  for (int64_t i = 0; i < count; ++i)
    t.mutable_data<float>()[static_cast<size_t>(i)] = std::sin(static_cast<float>(i)) * step + offset;
  return t;
}

TEST(LayerError, KnownValues) {
  LayerErrors errors;
  ASSERT_TRUE(errors.add("conv", Tensor::of<float>({3}, {3, 4, 0}), Tensor::of<float>({3}, {3, 4, 0.5})));
  const ErrorSums* sums = errors.find("conv");
  ASSERT_NE(sums, nullptr);
  EXPECT_EQ(sums->elements(), 3);
  EXPECT_DOUBLE_EQ(sums->sqnr_db(), 20);  // 10·log10(25 / 0.25)
  EXPECT_DOUBLE_EQ(sums->cosine(), 25 / std::sqrt(25 * 25.25));
  EXPECT_EQ(sums->max_abs_error(), 0.5);
  EXPECT_FALSE(sums->identical());
  EXPECT_EQ(errors.find("other"), nullptr);
}

TEST(LayerError, SpecialCases) {
  const double inf = std::numeric_limits<double>::infinity();
  auto sums = [](std::vector<float> x, std::vector<float> y) {
    ErrorSums s;
    EXPECT_EQ(s.add(x, y), -1);
    return s;
  };
  EXPECT_EQ(sums({1, 2}, {1, 2}).sqnr_db(), inf);
  EXPECT_TRUE(sums({1, 2}, {1, 2}).identical());
  EXPECT_DOUBLE_EQ(sums({1, 2}, {1, 2}).cosine(), 1);
  EXPECT_EQ(sums({0, 0}, {0, 0}).sqnr_db(), inf);
  EXPECT_EQ(sums({0, 0}, {0, 0}).cosine(), 1);
  EXPECT_EQ(sums({0, 0}, {0, 1}).sqnr_db(), -inf);
  EXPECT_EQ(sums({0, 0}, {0, 1}).cosine(), 0);
  EXPECT_EQ(sums({0, 1}, {0, 0}).cosine(), 0);
  EXPECT_EQ(sums({0, 1}, {0, 0}).sqnr_db(), 0);
  EXPECT_EQ(sums({}, {}).sqnr_db(), inf);
  EXPECT_DOUBLE_EQ(sums({1, 2}, {-1, -2}).cosine(), -1);
  const float huge = std::numeric_limits<float>::max();
  EXPECT_DOUBLE_EQ(sums({huge, huge}, {huge, 0}).cosine(), std::sqrt(0.5));
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_NEAR(sums({huge, tiny}, {huge, 0}).sqnr_db(), 20 * (std::log10(double{huge}) - std::log10(double{tiny})),
              1e-9);
}

TEST(LayerError, ChunksMergeToTheWhole) {
  const Tensor x = ramp(1003, 2.5F), y = ramp(1003, 2.49F, 0.01F);
  LayerErrors whole;
  ASSERT_TRUE(whole.add("n", x, y));
  LayerErrors first, second;
  ASSERT_TRUE(first.add("n", x.rows(0, 500), y.rows(0, 500)));
  ASSERT_TRUE(second.add("n", x.rows(500, 503), y.rows(500, 503)));
  ASSERT_TRUE(second.add("only here", x, x));
  first.merge(second);
  EXPECT_EQ(first.nodes().size(), 2u);
  EXPECT_EQ(first.find("n")->elements(), 1003);
  EXPECT_NEAR(first.find("n")->sqnr_db(), whole.find("n")->sqnr_db(), 1e-9);
  EXPECT_NEAR(first.find("n")->cosine(), whole.find("n")->cosine(), 1e-12);
  EXPECT_EQ(first.find("n")->max_abs_error(), whole.find("n")->max_abs_error());
}

TEST(LayerError, AgreesWithPlainSums) {
  const Tensor x = ramp(777, 3), y = ramp(777, 2.9F);
  LayerErrors errors;
  ASSERT_TRUE(errors.add("n", x, y));
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < 777; ++i) {
    signal += x.at(i) * x.at(i);
    noise += (x.at(i) - y.at(i)) * (x.at(i) - y.at(i));
  }
  EXPECT_NEAR(errors.find("n")->sqnr_db(), 10 * std::log10(signal / noise), 1e-9);
}

TEST(LayerError, RefusesWhatDoesNotFit) {
  LayerErrors errors;
  EXPECT_EQ(errors.add("a\x1b[31m", ramp(3, 1), ramp(4, 1)).error().message(),
            "node a\\x1b[31m: found an output of shape [4], expected [3] as in the reference\n"
            "  compare a model with its own quantized form");
  EXPECT_EQ(errors.add("a", ramp(3, 1), Tensor(DType::u8, {3})).error().message(),
            "node a: found outputs of type f32 and u8 to compare, expected f32 for both\n"
            "  dequantize integer outputs before comparing them");
  EXPECT_EQ(errors.add("a", ramp(2, 1), Tensor::of<float>({2}, {0, NAN})).error().message(),
            "node a: found nan in the output of the model under test at element 1, expected finite numbers\n"
            "  look for the first node with such an output, or for a broken sample");
  EXPECT_EQ(errors.add("a", Tensor::of<float>({1}, {-INFINITY}), ramp(1, 1)).error().message(),
            "node a: found -inf in the output of the reference at element 0, expected finite numbers\n"
            "  look for the first node with such an output, or for a broken sample");
  EXPECT_TRUE(errors.nodes().empty()) << "a refused output leaves nothing behind";
}

}  // namespace
}  // namespace cupel
