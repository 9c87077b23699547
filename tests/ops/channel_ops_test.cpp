// PRelu, InstanceNormalization, LRN, RMSNormalization: the written sequences again in plain loops, and double precision
// for their truth.
#include <cmath>
#include <vector>

#include "base/more_scalar_math.h"
#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kInstanceNormalization, ops::kLRN, ops::kPRelu, ops::kRMSNormalization;

// sum64 of docs/quantization.md, one addition at a time.
template <class Step>
float naive_sum64(const std::vector<float>& x, Step step) {
  std::vector<float> partial(64, 0.0f);
  for (size_t i = 0; i < x.size(); ++i) partial[i % 64] = step(partial[i % 64], x[i]);
  for (size_t h = 32; h >= 1; h /= 2)
    for (size_t j = 0; j < h; ++j) partial[j] += partial[j + h];
  return partial[0];
}
float squares(float partial, float d) { return std::fma(d, d, partial); }

float element(const Tensor& t, int64_t i) { return t.data<float>()[static_cast<size_t>(i)]; }

TEST(ChannelOps, PReluScalesWhatIsBelowZero) {
  const Tensor x = random_reals({2, 3, 5, 7}, 1), slope = random_reals({3, 1, 1}, 2);
  const Tensor y = run(kPRelu, {x, slope});
  for (int64_t i = 0; i < x.size(); ++i)
    ASSERT_EQ(element(y, i), element(x, i) < 0 ? element(slope, i / 35 % 3) * element(x, i) : element(x, i));
  EXPECT_EQ(elements<float>(run(kPRelu, {Tensor::of<float>({2}, {-2, 2}), Tensor::scalar(0.25f)})),
            (std::vector<float>{-0.5f, 2}));
  EXPECT_EQ(message_of(run_op(kPRelu, {Tensor(DType::f32, {2}), Tensor(DType::f32, {3, 1})})),
            "bad input; the slope has shape [3,1], expected one that broadcasts to [2]\n  correct the model's shapes");
}

TEST(ChannelOps, InstanceNormalizationIsItsSequence) {
  for (const Dims& dims : {Dims{2, 3, 9, 11}, Dims{1, 2, 130}, Dims{300, 4, 1}, Dims{2, 1, 3, 4, 5}}) {
    const Tensor x = random_reals(dims, 5, -4, 9), scale = random_reals({dims[1]}, 6),
                 bias = random_reals({dims[1]}, 7);
    const Tensor y = run(kInstanceNormalization, {x, scale, bias}, {{"epsilon", 1e-3f}});
    const int64_t n = x.size() / dims[0] / dims[1];
    for (int64_t r = 0; r < x.size() / n; ++r) {
      std::vector<float> row, centred;
      for (int64_t i = 0; i < n; ++i) row.push_back(element(x, r * n + i));
      const float mean = naive_sum64(row, [](float a, float b) { return a + b; }) / static_cast<float>(n);
      double true_mean = 0, true_variance = 0;
      for (const float v : row) {
        centred.push_back(v - mean);
        true_mean += v / static_cast<double>(n);
      }
      for (const float v : row) true_variance += (v - true_mean) * (v - true_mean) / static_cast<double>(n);
      const float factor = 1.0f / std::sqrt(naive_sum64(centred, squares) / static_cast<float>(n) + 1e-3f);
      const float s = element(scale, r % dims[1]), b = element(bias, r % dims[1]);
      for (int64_t i = 0; i < n; ++i) {
        const auto k = static_cast<size_t>(i);
        ASSERT_EQ(element(y, r * n + i), (centred[k] * factor) * s + b);
        ASSERT_NEAR(element(y, r * n + i), (row[k] - true_mean) / std::sqrt(true_variance + 1e-3) * s + b, 1e-4);
      }
    }
  }
  EXPECT_EQ(message_of(run_op(kInstanceNormalization,
                              {Tensor(DType::f32, {1, 3, 2}), Tensor(DType::f32, {2}), Tensor(DType::f32, {3})})),
            "bad input; scale has shape [2], expected [3]\n  correct the model's shapes");
}

TEST(ChannelOps, RmsNormalizationIsItsSequence) {
  const Tensor x = random_reals({3, 5, 70}, 8, -4, 9), scale = random_reals({70}, 9);
  const Tensor y = run(kRMSNormalization, {x, scale}, {{"epsilon", 1e-3f}});
  for (int64_t r = 0; r < 15; ++r) {
    std::vector<float> row;
    double mean = 0;
    for (int64_t i = 0; i < 70; ++i) {
      row.push_back(element(x, r * 70 + i));
      mean += static_cast<double>(row.back()) * row.back() / 70;
    }
    const float factor = 1.0f / std::sqrt(naive_sum64(row, squares) / 70.0f + 1e-3f);
    for (int64_t i = 0; i < 70; ++i) {
      const auto k = static_cast<size_t>(i);
      ASSERT_EQ(element(y, r * 70 + i), (row[k] * factor) * element(scale, i));
      ASSERT_NEAR(element(y, r * 70 + i), row[k] / std::sqrt(mean + 1e-3) * element(scale, i), 1e-5);
    }
  }
}

TEST(ChannelOps, LrnDividesByItsNeighbours) {
  for (const int64_t size : {1, 4, 5, 20}) {
    const Tensor x = random_reals({2, 7, 3, 5}, 11);
    const Tensor y = run(kLRN, {x}, {{"size", size}, {"alpha", 0.3f}, {"beta", 0.75f}, {"bias", 1.5f}});
    for (int64_t i = 0; i < x.size(); ++i) {
      const int64_t c = i / 15 % 7;
      float sum = 0;
      double truth = 0;
      for (int64_t k = c - (size - 1) / 2; k <= c + size / 2; ++k)
        if (k >= 0 && k < 7) {
          const float v = element(x, i + (k - c) * 15);
          sum += v * v;
          truth += static_cast<double>(v) * v;
        }
      const float base = 1.5f + 0.3f * (sum / static_cast<float>(size));
      ASSERT_EQ(element(y, i), element(x, i) / scalar::general_power(base, 0.75f));
      ASSERT_NEAR(element(y, i), x.at(i) / std::pow(1.5 + 0.3 * truth / static_cast<double>(size), 0.75), 2e-6);
    }
  }
  EXPECT_EQ(message_of(run_op(kLRN, {Tensor(DType::f32, {1, 2})}, {{"size", int64_t{0}}})),
            "bad input; size is 0, expected at least 1\n  correct the attribute");
}

}  // namespace
}  // namespace cupel
