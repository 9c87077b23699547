// Clip with bounds that are computed, and functions of binary64: what the nodes that reading writes for them compute.
#include <tuple>

#include "spelled_operator.h"

namespace cupel {
namespace {

TEST(SpelledFunctions, BoundsThatAreComputed) {
  const Tensor x = Tensor::of<float>({5}, {-3, -1, 0.5f, 2, NAN});
  const auto clipped = [&](float lower, float upper) {
    return result({"Clip", {x, Tensor::scalar(lower), Tensor::scalar(upper)}, {}, 13, "", 3});
  };
  const Tensor y = clipped(-1.5f, 1);
  for (const auto& [i, expected] : {std::pair{0, -1.5}, {1, -1.0}, {2, 0.5}, {3, 1.0}}) EXPECT_EQ(y.at(i), expected);
  EXPECT_TRUE(std::isnan(y.at(4)));     // as of bounds that are constants
  EXPECT_EQ(clipped(2, -2).at(0), -2);  // the upper one holds
  EXPECT_EQ(result({"Clip", {x, Tensor(DType::f32, {0}), Tensor::scalar(0.0f)}, {}, 13, "", 3}).at(3), 0);
  const Tensor least = result({"Clip", {x, Tensor::of<float>({1}, {1})}, {}, 13, "", 2});
  EXPECT_EQ(least.dims(), Dims{5});
  EXPECT_EQ(least.at(0), 1);
  const Tensor codes = Tensor::of<int64_t>({2}, {-7, 7});
  EXPECT_EQ(result({"Clip", {codes, Tensor::scalar<int64_t>(-2), Tensor::scalar<int64_t>(3)}, {}, 13, "", 3}),
            Tensor::of<int64_t>({2}, {-2, 3}));
}

TEST(SpelledFunctions, FunctionsOfBinary64) {
  Tensor x(DType::f64, {2, 3, 2});
  for (int64_t i = 0; i < x.size(); ++i) x.mutable_data<double>()[static_cast<size_t>(i)] = 700 + 1e-9 * double(i * i);
  const auto share = [](const std::vector<double>& v, size_t i) {
    double total = 0;
    for (const double e : v) total += std::exp(e - v[i]);
    return 1 / total;
  };
  // 1e-12: what binary32 would round away.
  for (const auto& [axis, opset, n, inner] : {std::tuple{1, 13, 3, 2}, {-1, 13, 2, 1}, {1, 11, 6, 1}, {0, 13, 2, 6}}) {
    const Tensor y = result({"Softmax", {x}, {{"axis", int64_t{axis}}}, opset});
    const Tensor logs = result({"LogSoftmax", {x}, {{"axis", int64_t{axis}}}, opset});
    ASSERT_EQ(y.dtype(), DType::f64);
    for (int64_t at = 0; at < x.size(); ++at) {
      std::vector<double> row;
      const int64_t i = at / inner % n;
      for (int64_t k = 0; k < n; ++k) row.push_back(x.at(at + (k - i) * inner));
      EXPECT_NEAR(y.at(at), share(row, static_cast<size_t>(i)), 1e-12);
      EXPECT_NEAR(logs.at(at), std::log(share(row, static_cast<size_t>(i))), 1e-12);
    }
  }
  const Tensor y = result({"Sigmoid", {Tensor::of<double>({3}, {-800, 0, 1.25})}});
  EXPECT_EQ(y.at(0), 0);
  EXPECT_EQ(y.at(1), 0.5);
  EXPECT_NEAR(y.at(2), 1 / (1 + std::exp(-1.25)), 1e-15);
}

}  // namespace
}  // namespace cupel
