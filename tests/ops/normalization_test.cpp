// Softmax, LogSoftmax, LayerNormalization, BatchNormalization: the written sequences again in plain loops, to the last
// bit, and double precision for their truth.
#include <cmath>
#include <functional>
#include <limits>

#include "base/scalar_math.h"
#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kBatchNormalization, ops::kLayerNormalization, ops::kLogSoftmax, ops::kSoftmax;

using Row = std::vector<float>;

// sum64 of docs/quantization.md, one addition at a time.
float naive_sum64(const Row& x, const std::function<float(float, float)>& step) {
  Row partial(64, 0.0f);
  for (size_t i = 0; i < x.size(); ++i) partial[i % 64] = step(partial[i % 64], x[i]);
  for (size_t h = 32; h >= 1; h /= 2)
    for (size_t j = 0; j < h; ++j) partial[j] += partial[j + h];
  return partial[0];
}
const auto kPlus = [](float a, float b) { return a + b; };

Row naive_softmax(const Row& x, bool log) {
  float m = -INFINITY;
  for (float v : x) m = v > m ? v : m;
  Row e;
  for (float v : x) e.push_back(exp_f32(v - m));
  const float t = naive_sum64(e, kPlus);
  Row y;
  for (size_t i = 0; i < x.size(); ++i) y.push_back(log ? (x[i] - m) - log_f32(t) : e[i] / t);
  return y;
}

TEST(NormalizationOps, SoftmaxIsItsSequence) {
  for (const auto& [dims, axis] : std::vector<std::pair<Dims, int64_t>>{{{2, 3, 67}, -1},
                                                                        {{5, 10, 3}, 1},
                                                                        {{200, 130}, 1},
                                                                        {{4, 1}, 0},
                                                                        {{1}, 0},
                                                                        {{3, 0, 2}, 1},
                                                                        {{0, 4}, 1},
                                                                        {{64, 5, 5}, -3},
                                                                        {{30, 15}, 1}}) {
    const Tensor x = random_reals(dims, 4, -20, 20);
    const Tensor y = run(kSoftmax, {x}, {{"axis", axis}}), z = run(kLogSoftmax, {x}, {{"axis", axis}});
    ASSERT_EQ(y.dims(), dims);
    const auto a = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(dims.size()) : axis);
    int64_t inner = 1;
    for (size_t d = a + 1; d < dims.size(); ++d) inner *= dims[d];
    const int64_t n = dims[a];
    if (x.empty()) continue;
    for (int64_t r = 0; r < x.size() / n; ++r) {
      const auto at = [&](int64_t i) { return static_cast<size_t>((r / inner * n + i) * inner + r % inner); };
      Row row;
      double exact_sum = 0, total = 0;
      for (int64_t i = 0; i < n; ++i) row.push_back(x.data<float>()[at(i)]);
      for (float v : row) exact_sum += std::exp(static_cast<double>(v));
      const Row expected = naive_softmax(row, false), expected_log = naive_softmax(row, true);
      for (int64_t i = 0; i < n; ++i) {
        const auto k = static_cast<size_t>(i);
        ASSERT_EQ(y.data<float>()[at(i)], expected[k]);
        ASSERT_EQ(z.data<float>()[at(i)], expected_log[k]);
        ASSERT_NEAR(expected[k], std::exp(static_cast<double>(row[k])) / exact_sum, 1e-6);
        ASSERT_NEAR(expected_log[k], row[k] - std::log(exact_sum), 2e-5);
        total += expected[k];
      }
      ASSERT_NEAR(total, 1, 1e-5);
    }
  }
}

TEST(NormalizationOps, SoftmaxOfSpecialNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(elements<float>(run(kSoftmax, {Tensor::of<float>({3}, {-kInfinity, 1000, 1000})})), (Row{0, 0.5f, 0.5f}));
  for (float v : elements<float>(run(kSoftmax, {Tensor::of<float>({2}, {-kInfinity, -kInfinity})})))
    EXPECT_TRUE(std::isnan(v));
  for (float v : elements<float>(run(kSoftmax, {Tensor::of<float>({2}, {std::nanf(""), 1})})))
    EXPECT_TRUE(std::isnan(v));
  EXPECT_EQ(message_of(run_op(kSoftmax, {Tensor::of<float>({2}, {0, 1})}, {{"axis", int64_t{-2}}})),
            "bad input; axis -2 is outside a tensor of rank 1\n  correct the attribute");
  EXPECT_EQ(message_of(run_op(kSoftmax, {Tensor::scalar(1.0f)})),
            "bad input; axis -1 is outside a tensor of rank 0\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kSoftmax, {codes_type(DType::u8, {2}, 0.5f, 0)})),
            "unsupported; operand 0 is u8, expected f32\n  convert the operand");
}

TEST(NormalizationOps, LayerNormalizationIsItsSequence) {
  struct Case {
    Dims dims;
    int64_t axis;
    Dims scale, bias;
    bool has_bias;
  };
  for (const Case& k : std::vector<Case>{{{3, 5, 70}, -1, {70}, {70}, true},
                                         {{400, 64}, 1, {64}, {}, false},
                                         {{2, 3, 5, 7}, 2, {5, 7}, {7}, true},
                                         {{2, 3, 5, 7}, -3, {5, 1}, {1}, true},
                                         {{130}, 0, {130}, {130}, true},
                                         {{0, 4}, 1, {4}, {4}, true},
                                         {{4, 1}, 1, {1}, {1}, true}}) {
    const Tensor x = random_reals(k.dims, 1, -5, 9), scale = random_reals(k.scale, 2), bias = random_reals(k.bias, 3);
    const float epsilon = 1e-3f;
    const Tensor y = run(kLayerNormalization, {x, scale, k.has_bias ? Operand(bias) : Operand()},
                         {{"axis", k.axis}, {"epsilon", epsilon}});
    ASSERT_EQ(y.dims(), k.dims);
    if (x.empty()) continue;
    const Dims normalized(k.dims.begin() + (k.axis < 0 ? k.axis + static_cast<int64_t>(k.dims.size()) : k.axis),
                          k.dims.end());
    const int64_t n = element_count(normalized);
    // Element i of the normalized dimensions seen through a tensor that broadcasts to them.
    const auto element = [&](const Tensor& t, int64_t i) {
      int64_t index = 0, step = 1;
      for (size_t d = 0; d < normalized.size(); ++d) {
        const int64_t extent = normalized[normalized.size() - 1 - d], at = i % extent;
        i /= extent;
        if (d >= t.dims().size()) break;
        const int64_t own = t.dims()[t.dims().size() - 1 - d];
        if (own != 1) index += at * step;
        step *= own;
      }
      return t.data<float>()[static_cast<size_t>(index)];
    };
    for (int64_t r = 0; r < x.size() / n; ++r) {
      Row row(x.data<float>().begin() + r * n, x.data<float>().begin() + (r + 1) * n), d;
      const float mean = naive_sum64(row, kPlus) / static_cast<float>(n);
      for (float v : row) d.push_back(v - mean);
      const float v = naive_sum64(d, [](float p, float a) { return std::fma(a, a, p); });
      const float factor = 1.0f / std::sqrt(v / static_cast<float>(n) + epsilon);
      double exact_mean = 0, exact_variance = 0;
      for (float e : row) exact_mean += e / static_cast<double>(n);
      for (float e : row) exact_variance += (e - exact_mean) * (e - exact_mean) / static_cast<double>(n);
      for (int64_t i = 0; i < n; ++i) {
        const float t = d[static_cast<size_t>(i)] * factor, s = element(scale, i),
                    b = k.has_bias ? element(bias, i) : 0;
        const float got = y.data<float>()[static_cast<size_t>(r * n + i)];
        ASSERT_EQ(got, k.has_bias ? std::fma(t, s, b) : t * s) << to_text(k.dims) << " at " << r << "," << i;
        ASSERT_NEAR(got, (row[static_cast<size_t>(i)] - exact_mean) / std::sqrt(exact_variance + epsilon) * s + b,
                    1e-4);
      }
    }
  }
}

TEST(NormalizationOps, LayerNormalizationChecksItsOperands) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, 5, 8}, {}}, s{DType::f32, {8}, {}};
  EXPECT_EQ((*infer_op(kLayerNormalization, {x, s})).size(), 1u);
  EXPECT_EQ((*infer_op(kLayerNormalization, {x, s}))[0], x);
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, TensorType{DType::f32, {5}, {}}})),
            "bad input; scale has shape [5], expected one that broadcasts to [8]\n  correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, s, TensorType{DType::f32, {5, 8}, {}}})),
            "bad input; bias has shape [5,8], expected one that broadcasts to [8]\n  correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, s}, {{"stash_type", int64_t{10}}})),
            "unsupported; stash_type is 10, expected 1 (binary32)\n  export the model with binary32 statistics");
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, s}, {{"epsilon", -1.0f}})),
            "bad input; epsilon is -1, expected a finite number of at least 0\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, s}, {{"axis", int64_t{3}}})),
            "bad input; axis 3 is outside a tensor of rank 3\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kLayerNormalization, {x, TensorType{DType::f64, {8}, {}}})),
            "bad input; operand 1 is f64, operand 0 is f32\n  convert the operand");
}

TEST(NormalizationOps, BatchNormalizationIsItsSequence) {
  for (const Dims& dims : std::vector<Dims>{{2, 3, 5, 7}, {6000, 3}, {4, 2, 9}, {0, 3, 4}, {2, 1, 1}}) {
    const Tensor x = random_reals(dims, 1);
    const Dims channels = {dims[1]};
    const Tensor s = random_reals(channels, 2), b = random_reals(channels, 3), m = random_reals(channels, 4),
                 v = random_reals(channels, 5, 0.1f, 4);
    const Tensor y = run(kBatchNormalization, {x, s, b, m, v},
                         {{"epsilon", 1e-3f}, {"momentum", 0.9f}, {"training_mode", int64_t{0}}});
    ASSERT_EQ(y.dims(), dims);
    int64_t inner = 1;
    for (size_t d = 2; d < dims.size(); ++d) inner *= dims[d];
    for (int64_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<size_t>(i / inner % dims[1]);
      const float a = s.data<float>()[c] / std::sqrt(v.data<float>()[c] + 1e-3f);
      const float offset = std::fma(-m.data<float>()[c], a, b.data<float>()[c]);
      ASSERT_EQ(y.data<float>()[static_cast<size_t>(i)], std::fma(x.data<float>()[static_cast<size_t>(i)], a, offset))
          << i;
    }
  }
  const TensorType x{DType::f32, {Dim(1, "batch"), 3, 4}, {}}, c{DType::f32, {3}, {}}, wrong{DType::f32, {4}, {}};
  EXPECT_EQ(message_of(infer_op(kBatchNormalization, {x, c, c, c, wrong})),
            "bad input; variance has shape [4], expected [3]\n  correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kBatchNormalization, {x, c, c, c, c}, {{"training_mode", int64_t{1}}})),
            "unsupported; training_mode is set: the statistics would be those of the batch\n  export the model in "
            "inference mode");
  EXPECT_EQ(message_of(infer_op(kBatchNormalization, {c, c, c, c, c})),
            "bad input; operand 0 has shape [3], expected a batch and channels\n  correct the model's shapes");
}

}  // namespace
}  // namespace cupel
