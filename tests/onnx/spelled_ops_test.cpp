// Operators that reading spells out: what the nodes compute, by another rule.
#include <functional>
#include <numeric>

#include "spelled_operator.h"

namespace cupel {
namespace {

// f of each column x[r][·][j] of [outer][n][inner].
std::vector<double> columns(const Tensor& x, int64_t n, int64_t inner,
                            const std::function<double(const std::vector<double>&)>& f) {
  std::vector<double> out;
  for (int64_t r = 0; r < x.size() / n; ++r) {
    std::vector<double> column;
    for (int64_t i = 0; i < n; ++i) column.push_back(at(x, (r / inner * n + i) * inner + r % inner));
    out.push_back(f(column));
  }
  return out;
}

TEST(SpelledOps, Reductions) {
  const Tensor x = numbers({2, 5, 3}, 1);
  const auto sum = [](const std::vector<double>& v, auto f) {
    double total = 0;
    for (const double e : v) total += f(e);
    return total;
  };
  const std::vector<std::pair<std::string, std::function<double(const std::vector<double>&)>>> kRules = {
      {"ReduceL1", [&](const auto& v) { return sum(v, [](double e) { return std::fabs(e); }); }},
      {"ReduceL2", [&](const auto& v) { return std::sqrt(sum(v, [](double e) { return e * e; })); }},
      {"ReduceSumSquare", [&](const auto& v) { return sum(v, [](double e) { return e * e; }); }},
      {"ReduceLogSumExp", [&](const auto& v) { return std::log(sum(v, [](double e) { return std::exp(e); })); }}};
  for (const auto& [op, rule] : kRules) {
    const auto expected = columns(x, 5, 3, rule);
    expect_near(result({op, {x, Tensor::of<int64_t>({1}, {1})}}), {2, 1, 3}, expected);
    expect_near(result({op, {x}, {{"axes", Ints{-2}}, {"keepdims", int64_t{0}}}, 13}), {2, 3}, expected);
    expect_near(result({op, {x}, {{"keepdims", int64_t{0}}}}), {}, columns(x, 30, 1, rule));
  }
  const Tensor positive = numbers({2, 5, 3}, 2, 0.5f, 2);
  expect_near(result({"ReduceLogSum", {positive}, {{"axes", Ints{1}}}, 13}), {2, 1, 3},
              columns(positive, 5, 3, [&](const auto& v) { return std::log(sum(v, [](double e) { return e; })); }));
  EXPECT_EQ(result({"ReduceSumSquare", {Tensor::of<int64_t>({2}, {3, -4})}, {{"keepdims", int64_t{0}}}}).int_at(0), 25);
}

TEST(SpelledOps, LogSumExpOfHugeNumbers) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({4, 2}, {1e4f, 1e4f, -infinity, -infinity, infinity, 1, -1e4f, -infinity});
  const Tensor y = result({"ReduceLogSumExp", {x}, {{"axes", Ints{1}}, {"keepdims", int64_t{0}}}, 13});
  EXPECT_NEAR(y.at(0), 1e4 + std::log(2.0), 1e-3);
  EXPECT_EQ(y.at(1), -infinity);
  EXPECT_EQ(y.at(2), infinity);
  EXPECT_EQ(y.at(3), -1e4);
}

TEST(SpelledOps, SumsMeansAndHardmax) {
  const Tensor a = numbers({2, 3}, 1), b = numbers({3}, 2), c = numbers({2, 1}, 3);
  std::vector<double> mean;
  for (int64_t i = 0; i < 6; ++i) mean.push_back((at(a, i) + at(b, i % 3) + at(c, i / 3)) / 3);
  expect_near(result({"Mean", {a, b, c}}), {2, 3}, mean);
  expect_near(result({"Mean", {b}}), {3}, {at(b, 0), at(b, 1), at(b, 2)});
  const Tensor x = Tensor::of<float>({2, 2, 2}, {1, 3, 3, 0, 5, 5, 5, 5});
  expect_near(result({"Hardmax", {x}}), {2, 2, 2}, {0, 1, 1, 0, 1, 0, 1, 0});
  expect_near(result({"Hardmax", {x}, {{"axis", int64_t{1}}}}), {2, 2, 2}, {0, 1, 1, 0, 1, 1, 0, 0});
  expect_near(result({"Hardmax", {x}, {}, 11}), {2, 2, 2}, {0, 1, 0, 0, 1, 0, 0, 0});  // over both
}

TEST(SpelledOps, Norms) {
  Tensor x = numbers({2, 4, 3}, 5);
  for (int64_t i = 0; i < 4; ++i) x.mutable_data<float>()[static_cast<size_t>(i * 3 + 1)] = 0;
  for (const int64_t p : {1, 2}) {
    const auto norm = columns(x, 4, 3, [&](const std::vector<double>& v) {
      double sum = 0;
      for (const double e : v) sum += std::pow(std::fabs(e), p);
      return std::pow(sum, 1.0 / static_cast<double>(p));
    });
    std::vector<double> expected;
    for (int64_t i = 0; i < 24; ++i) {
      const double n = norm[static_cast<size_t>(i / 12 * 3 + i % 3)];
      expected.push_back(n == 0 ? 0 : at(x, i) / n);
    }
    expect_near(result({"LpNormalization", {x}, {{"axis", int64_t{1}}, {"p", p}}}), {2, 4, 3}, expected);
  }
  const auto cubes = columns(x, 3, 1, [](const std::vector<double>& v) {
    double sum = 0;
    for (const double e : v) sum += std::pow(std::fabs(e), 3);
    return std::cbrt(sum);
  });
  expect_near(result({"GlobalLpPool", {x}, {{"p", int64_t{3}}}}), {2, 4, 1}, cubes);
}

TEST(SpelledOps, LpPoolOverWindows) {
  const Tensor x = numbers({1, 2, 6, 7}, 6);
  for (const bool ceil : {false, true}) {
    const int64_t rows = 3, cols = ceil ? 4 : 3;  // (1 + 6 - 3) / 2 is whole, (7 - 2) / 2 is not
    std::vector<double> expected;
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j) {
          double sum = 0;
          for (int64_t u = 0; u < 3; ++u)
            for (int64_t v = 0; v < 2; ++v) {
              const int64_t r = i * 2 - 1 + u, k = j * 2 + v;
              if (r >= 0 && r < 6 && k < 7) sum += at(x, (c * 6 + r) * 7 + k) * at(x, (c * 6 + r) * 7 + k);
            }
          expected.push_back(std::sqrt(sum));
        }
    expect_near(result({"LpPool",
                        {x},
                        {{"kernel_shape", Ints{3, 2}},
                         {"strides", Ints{2, 2}},
                         {"pads", Ints{1, 0, 0, 0}},
                         {"ceil_mode", int64_t{ceil ? 1 : 0}}}}),
                {1, 2, rows, cols}, expected);
  }
}

TEST(SpelledOps, GroupsAndMeans) {
  const Tensor x = numbers({2, 6, 5}, 7), scale = numbers({6}, 8), bias = numbers({6}, 9);
  const Tensor group_scale = numbers({2}, 10), group_bias = numbers({2}, 11);
  const auto expected = [&](bool per_group) {
    std::vector<double> out;
    for (int64_t g = 0; g < 4; ++g) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < 15; ++i) mean += at(x, g * 15 + i) / 15;
      for (int64_t i = 0; i < 15; ++i) variance += std::pow(at(x, g * 15 + i) - mean, 2) / 15;
      for (int64_t i = 0; i < 15; ++i) {
        const int64_t channel = (g % 2) * 3 + i / 5;
        const double s = per_group ? at(group_scale, g % 2) : at(scale, channel);
        const double b = per_group ? at(group_bias, g % 2) : at(bias, channel);
        out.push_back((at(x, g * 15 + i) - mean) / std::sqrt(variance + 1e-2) * s + b);
      }
    }
    return out;
  };
  const Attributes attributes = {{"num_groups", int64_t{2}}, {"epsilon", 1e-2f}};
  expect_near(result({"GroupNormalization", {x, scale, bias}, attributes, 21}), {2, 6, 5}, expected(false));
  expect_near(result({"GroupNormalization", {x, group_scale, group_bias}, attributes, 18}), {2, 6, 5}, expected(true));
  std::vector<double> normal;
  const auto stats = columns(x, 5, 1, [](const auto& v) { return std::accumulate(v.begin(), v.end(), 0.0) / 5; });
  for (int64_t i = 0; i < 60; ++i) {
    double variance = 0;
    for (int64_t k = 0; k < 5; ++k)
      variance += std::pow(at(x, i / 5 * 5 + k) - stats[static_cast<size_t>(i / 5)], 2) / 5;
    normal.push_back((at(x, i) - stats[static_cast<size_t>(i / 5)]) / std::sqrt(variance));
  }
  expect_near(result({"MeanVarianceNormalization", {x}, {{"axes", Ints{2}}}}), {2, 6, 5}, normal);
}

TEST(SpelledOps, BlocksOfPixelsAndChannels) {
  const Tensor x = numbers({2, 8, 3, 5}, 12);
  for (const std::string mode : {"DCR", "CRD"}) {
    const Tensor y = result({"DepthToSpace", {x}, {{"blocksize", int64_t{2}}, {"mode", mode}}});
    std::vector<double> expected;
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t c = 0; c < 2; ++c)
        for (int64_t h = 0; h < 6; ++h)
          for (int64_t w = 0; w < 10; ++w) {
            const int64_t block = h % 2 * 2 + w % 2, channel = mode == "DCR" ? block * 2 + c : c * 4 + block;
            expected.push_back(at(x, ((n * 8 + channel) * 3 + h / 2) * 5 + w / 2));
          }
    expect_near(y, {2, 2, 6, 10}, expected, 0);
    if (mode == "DCR") {
      EXPECT_EQ(result({"SpaceToDepth", {y}, {{"blocksize", int64_t{2}}}}), x);
    }
  }
}

TEST(SpelledOps, TrianglesAndEyes) {
  const Tensor x = numbers({2, 3, 4}, 13), wide = Tensor::of<int64_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  for (const int64_t k : {-4, -1, 0, 2, 9})
    for (const bool upper : {true, false}) {
      std::vector<double> expected;
      for (int64_t i = 0; i < 24; ++i) {
        const int64_t distance = i % 4 - i / 4 % 3;
        expected.push_back((upper ? distance >= k : distance <= k) ? at(x, i) : 0);
      }
      expect_near(result({"Trilu", {x, Tensor::scalar<int64_t>(k)}, {{"upper", int64_t{upper ? 1 : 0}}}}), {2, 3, 4},
                  expected, 0);
    }
  EXPECT_EQ(result({"Trilu", {wide}}), (Tensor::of<int64_t>({2, 3}, {1, 2, 3, 0, 5, 6})));
  EXPECT_EQ(result({"EyeLike", {wide}, {{"k", int64_t{1}}}}), (Tensor::of<int64_t>({2, 3}, {0, 1, 0, 0, 0, 1})));
  EXPECT_EQ(result({"EyeLike", {wide}, {{"k", int64_t{-1}}, {"dtype", int64_t{1}}}}),
            (Tensor::of<float>({2, 3}, {0, 0, 0, 1, 0, 0})));
  EXPECT_EQ(result({"CastLike", {wide, Tensor(DType::f32, {1})}}), (Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6})));
}

TEST(SpelledOps, CropsPadsHotAndReversed) {
  const Tensor x = Tensor::of<float>({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(result({"CenterCropPad", {x, Tensor::of<int64_t>({2}, {3, 2})}}),
            (Tensor::of<float>({3, 2}, {2, 3, 6, 7, 0, 0})));
  EXPECT_EQ(result({"CenterCropPad", {x, Tensor::of<int64_t>({1}, {7})}, {{"axes", Ints{-1}}}}),
            (Tensor::of<float>({2, 7}, {0, 1, 2, 3, 4, 0, 0, 0, 5, 6, 7, 8, 0, 0})));
  const Tensor values = Tensor::of<float>({2}, {-1, 9});
  EXPECT_EQ(result({"OneHot", {Tensor::of<int64_t>({3}, {0, -1, 5}), Tensor::scalar<int64_t>(3), values}}),
            (Tensor::of<float>({3, 3}, {9, -1, -1, -1, -1, 9, -1, -1, -1})));
  EXPECT_EQ(
      result({"OneHot", {Tensor::of<float>({2}, {1, 0}), Tensor::of<float>({1}, {3}), values}, {{"axis", int64_t{0}}}}),
      (Tensor::of<float>({3, 2}, {-1, 9, 9, -1, -1, -1})));
  const Tensor lens = Tensor::of<int64_t>({2}, {3, 1});
  EXPECT_EQ(result({"ReverseSequence", {x, lens}, {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}}}),
            (Tensor::of<float>({2, 4}, {3, 2, 1, 4, 5, 6, 7, 8})));
  const Tensor steps = Tensor::of<float>({4, 2}, {1, 5, 2, 6, 3, 7, 4, 8});
  EXPECT_EQ(result({"ReverseSequence", {steps, lens}, {}, 17, "", 2}),
            (Tensor::of<float>({4, 2}, {3, 5, 2, 6, 1, 7, 4, 8})));
}

TEST(SpelledOps, AffineGridTransformsPoints) {
  const Tensor theta = numbers({2, 2, 3}, 14);
  for (const bool align : {true, false}) {
    std::vector<double> expected;
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t h = 0; h < 3; ++h)
        for (int64_t w = 0; w < 4; ++w)
          for (int64_t k = 0; k < 2; ++k) {
            const double x = align ? -1 + 2 * static_cast<double>(w) / 3 : -1 + (2 * static_cast<double>(w) + 1) / 4;
            const double y = align ? -1 + static_cast<double>(h) : -1 + (2 * static_cast<double>(h) + 1) / 3;
            const int64_t row = (n * 2 + k) * 3;
            expected.push_back(at(theta, row) * x + at(theta, row + 1) * y + at(theta, row + 2));
          }
    expect_near(result({"AffineGrid",
                        {theta, Tensor::of<int64_t>({4}, {2, 1, 3, 4})},
                        {{"align_corners", int64_t{align ? 1 : 0}}}}),
                {2, 3, 4, 2}, expected);
  }
}

// Σ over all values of all labels; terms and result spelled without an ellipsis.
std::vector<double> naive_einsum(const std::vector<std::string>& terms, const std::string& out,
                                 const std::vector<Tensor>& operands, Dims& out_dims) {
  std::map<char, int64_t> extent;
  for (size_t t = 0; t < terms.size(); ++t)
    for (size_t d = 0; d < terms[t].size(); ++d) extent[terms[t][d]] = operands[t].dims()[d];
  std::map<char, int64_t> index;
  out_dims.clear();
  for (const char c : out) out_dims.push_back(extent[c]);
  std::vector<double> sums(static_cast<size_t>(element_count(out_dims)), 0.0);
  std::string labels;
  int64_t total = 1;
  for (const auto& [c, n] : extent) {
    labels += c;
    total *= n;
  }
  for (int64_t i = 0; i < total; ++i) {
    int64_t rest = i;
    for (const char c : labels) {
      index[c] = rest % extent[c];
      rest /= extent[c];
    }
    const auto offset = [&](const std::string& term) {
      int64_t o = 0;
      for (const char c : term) o = o * extent[c] + index[c];
      return o;
    };
    double product = 1;
    for (size_t t = 0; t < terms.size(); ++t) product *= at(operands[t], offset(terms[t]));
    sums[static_cast<size_t>(offset(out))] += product;
  }
  return sums;
}

TEST(SpelledOps, Einsum) {
  struct Case {
    std::string equation;
    std::vector<std::string> terms;
    std::string out;
    std::vector<Dims> dims;
  };
  for (const Case& k : std::vector<Case>{{"ij,jk->ik", {"ij", "jk"}, "ik", {{2, 3}, {3, 4}}},
                                         {"bhid, bhjd -> bhij", {"bhid", "bhjd"}, "bhij", {{2, 3, 4, 5}, {2, 3, 6, 5}}},
                                         {"ij,jk", {"ij", "jk"}, "ik", {{2, 3}, {3, 4}}},
                                         {"ba,cb", {"ba", "cb"}, "ac", {{2, 3}, {4, 2}}},
                                         {"i,i->", {"i", "i"}, "", {{7}, {7}}},
                                         {"ij->ji", {"ij"}, "ji", {{2, 3}}},
                                         {"ij->i", {"ij"}, "i", {{2, 3}}},
                                         {"i,j->ij", {"i", "j"}, "ij", {{2}, {3}}},
                                         {"ii->i", {"ii"}, "i", {{4, 4}}},
                                         {"biib->b", {"biib"}, "b", {{2, 3, 3, 2}}},
                                         {"...ij,...jk->...ik", {"uvij", "uvjk"}, "uvik", {{2, 3, 4, 5}, {2, 3, 5, 2}}},
                                         {"bsh,hnd->bnsd", {"bsh", "hnd"}, "bnsd", {{2, 3, 4}, {4, 2, 5}}},
                                         {"ij,jk,kl->il", {"ij", "jk", "kl"}, "il", {{2, 3}, {3, 4}, {4, 2}}},
                                         {"ab,bc,b->ac", {"ab", "bc", "b"}, "ac", {{2, 3}, {3, 2}, {3}}}}) {
    std::vector<Tensor> operands;
    for (const Dims& dims : k.dims) operands.push_back(numbers(dims, static_cast<uint32_t>(operands.size()) + 20));
    Dims dims;
    const auto expected = naive_einsum(k.terms, k.out, operands, dims);
    SCOPED_TRACE(k.equation);
    expect_near(result({"Einsum", operands, {{"equation", k.equation}}, 17, "", operands.size()}), dims, expected);
  }
  EXPECT_EQ(error_of(model_of({"Einsum", {numbers({2}, 1)}, {{"equation", std::string("ij->i")}}})),
            "3: model.onnx: node n (Einsum): equation \"ij->i\": term 0 has 2 labels, operand 0 has rank 1\n"
            "  correct the equation");
}

const std::string kMicrosoft = "com.microsoft";

TEST(SpelledOps, FusedProducts) {
  const Tensor a = numbers({2, 4, 3}, 30), b = numbers({2, 5, 4}, 31);
  std::vector<double> expected;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 5; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < 4; ++k) sum += at(a, (n * 4 + k) * 3 + i) * at(b, (n * 5 + j) * 4 + k);
        expected.push_back(0.5 * sum);
      }
  const Attributes both = {{"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 0.5f}};
  expect_near(result({"FusedMatMul", {a, b}, both, 17, kMicrosoft, 2}), {2, 3, 5}, expected);
  const Tensor x = numbers({1, 1, 1, 4}, 32), w = Tensor::of<float>({1, 1, 1, 1}, {2}), z = numbers({1, 1, 1, 4}, 33);
  std::vector<double> sums;
  for (int64_t i = 0; i < 4; ++i) {
    const double v = 2 * at(x, i) + 0.25 + at(z, i);
    sums.push_back(v < 0 ? 0.125 * v : v);
  }
  expect_near(result({"FusedConv",
                      {x, w, Tensor::of<float>({1}, {0.25f}), z},
                      {{"activation", std::string("LeakyRelu")}, {"activation_params", std::vector<float>{0.125f}}},
                      17,
                      kMicrosoft}),
              {1, 1, 1, 4}, sums);
}

// (x − mean) / √(variance + epsilon) · scale + bias over the last dimension
std::vector<double> normalized(const std::vector<double>& x, size_t n, const Tensor& scale, const Tensor& bias,
                               double epsilon) {
  std::vector<double> y;
  for (size_t r = 0; r < x.size(); r += n) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; ++i) mean += x[r + i] / static_cast<double>(n);
    for (size_t i = 0; i < n; ++i) variance += std::pow(x[r + i] - mean, 2) / static_cast<double>(n);
    for (size_t i = 0; i < n; ++i)
      y.push_back((x[r + i] - mean) / std::sqrt(variance + epsilon) * at(scale, static_cast<int64_t>(i)) +
                  at(bias, static_cast<int64_t>(i)));
  }
  return y;
}

TEST(SpelledOps, SkipAndEmbedNormalization) {
  const Tensor x = numbers({2, 3, 4}, 40), skip = numbers({2, 3, 4}, 41), scale = numbers({4}, 42),
               bias = numbers({4}, 43), extra = numbers({4}, 44);
  std::vector<double> sum;
  for (int64_t i = 0; i < 24; ++i) sum.push_back(at(x, i) + at(skip, i) + at(extra, i % 4));
  const auto both = results({"SkipLayerNormalization",
                             {x, skip, scale, bias, extra},
                             {{"epsilon", 1e-3f}},
                             17,
                             kMicrosoft,
                             2,
                             {"y", "", "", "sum"}});
  ASSERT_EQ(both.size(), 2u);
  expect_near(both[0], {2, 3, 4}, normalized(sum, 4, scale, bias, 1e-3), 1e-4);
  expect_near(both[1], {2, 3, 4}, sum);
  const Tensor ids = Tensor::of<int32_t>({2, 3}, {1, 0, 4, 2, 2, 3}),
               segments = Tensor::of<int32_t>({2, 3}, {0, 1, 1, 0, 0, 1}), words = numbers({5, 4}, 45),
               places = numbers({6, 4}, 46), kinds = numbers({2, 4}, 47),
               mask = Tensor::of<int32_t>({2, 3}, {1, 1, 0, 1, 0, 0});
  std::vector<double> embedded;
  for (int64_t i = 0; i < 24; ++i)
    embedded.push_back(at(words, ids.int_at(i / 4) * 4 + i % 4) + at(places, i / 4 % 3 * 4 + i % 4) +
                       at(kinds, segments.int_at(i / 4) * 4 + i % 4));
  const auto found = results({"EmbedLayerNormalization",
                              {ids, segments, words, places, kinds, scale, bias, mask},
                              {{"epsilon", 1e-3f}},
                              17,
                              kMicrosoft,
                              2,
                              {"y", "count"}});
  ASSERT_EQ(found.size(), 2u);
  expect_near(found[0], {2, 3, 4}, normalized(embedded, 4, scale, bias, 1e-3), 1e-4);
  EXPECT_EQ(found[1], (Tensor::of<int32_t>({2}, {2, 1})));
}

// softmax(q kᵀ · scale + mask) v for each head of [batch, length, heads · size].
std::vector<double> naive_attention(const std::vector<double>& q, const std::vector<double>& k,
                                    const std::vector<double>& v, size_t batch, size_t length, size_t heads,
                                    size_t size, const std::function<double(size_t, size_t, size_t)>& mask) {
  const size_t width = heads * size;
  std::vector<double> out(batch * length * width, 0.0);
  for (size_t b = 0; b < batch; ++b)
    for (size_t h = 0; h < heads; ++h)
      for (size_t i = 0; i < length; ++i) {
        const auto at_head = [&](const std::vector<double>& x, size_t row, size_t d) {
          return x[(b * length + row) * width + h * size + d];
        };
        std::vector<double> weights;
        double total = 0;
        for (size_t j = 0; j < length; ++j) {
          double score = 0;
          for (size_t d = 0; d < size; ++d) score += at_head(q, i, d) * at_head(k, j, d);
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size)) + mask(b, i, j)));
          total += weights.back();
        }
        for (size_t j = 0; j < length; ++j)
          for (size_t d = 0; d < size; ++d)
            out[(b * length + i) * width + h * size + d] += weights[j] / total * at_head(v, j, d);
      }
  return out;
}

TEST(SpelledOps, Attention) {
  const Tensor x = numbers({2, 3, 5}, 50, -1, 1), w = numbers({5, 12}, 51, -1, 1), bias = numbers({12}, 52),
               mask = Tensor::of<int32_t>({2, 3}, {1, 1, 0, 1, 1, 1});
  std::vector<double> parts[3];
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t c = 0; c < 12; ++c) {
      double sum = at(bias, c);
      for (int64_t k = 0; k < 5; ++k) sum += at(x, r * 5 + k) * at(w, k * 12 + c);
      parts[c / 4].push_back(sum);
    }
  const auto masked = [&](size_t b, size_t, size_t j) {
    return mask.int_at(static_cast<int64_t>(b * 3 + j)) == 0 ? -10000.0 : 0.0;
  };
  const auto causal = [](size_t, size_t i, size_t j) { return j > i ? -1e30 : 0.0; };
  const Attributes heads = {{"num_heads", int64_t{2}}};
  expect_near(result({"Attention", {x, w, bias, mask}, heads, 17, kMicrosoft}), {2, 3, 4},
              naive_attention(parts[0], parts[1], parts[2], 2, 3, 2, 2, masked));
  expect_near(
      result({"Attention", {x, w, bias}, {{"num_heads", int64_t{2}}, {"unidirectional", int64_t{1}}}, 17, kMicrosoft}),
      {2, 3, 4}, naive_attention(parts[0], parts[1], parts[2], 2, 3, 2, 2, causal));
  // The same of projected operands.
  Tensor given[3] = {Tensor(DType::f32, {2, 3, 4}), Tensor(DType::f32, {2, 3, 4}), Tensor(DType::f32, {2, 3, 4})};
  for (int64_t r = 0; r < 6; ++r)
    for (int64_t c = 0; c < 12; ++c)
      given[c / 4].mutable_data<float>()[static_cast<size_t>(r * 4 + c % 4)] =
          static_cast<float>(parts[c / 4][static_cast<size_t>(r * 4 + c % 4)] - at(bias, c));
  const auto several = results(
      {"MultiHeadAttention", {given[0], given[1], given[2], bias, mask}, heads, 17, kMicrosoft, 3, {"y", "keys"}});
  ASSERT_EQ(several.size(), 2u);
  expect_near(several[0], {2, 3, 4}, naive_attention(parts[0], parts[1], parts[2], 2, 3, 2, 2, masked), 1e-4);
  ASSERT_EQ(several[1].dims(), (Dims{2, 2, 3, 2}));
  EXPECT_NEAR(at(several[1], 2 * 3), parts[1][2], 1e-5);  // batch 0, head 1, row 0, number 0
}

TEST(SpelledOps, LayerNormalizationGivesItsStatistics) {
  const Tensor x = numbers({2, 3, 4}, 60), ones = Tensor::of<float>({4}, {1, 1, 1, 1});
  const auto found =
      results({"LayerNormalization", {x, ones}, {{"epsilon", 1e-2f}}, 17, "", 1, {"y", "mean", "factor"}});
  ASSERT_EQ(found.size(), 3u);
  const auto mean = columns(x, 4, 1, [](const auto& v) { return std::accumulate(v.begin(), v.end(), 0.0) / 4; });
  expect_near(found[1], {2, 3, 1}, mean);
  expect_near(found[2], {2, 3, 1}, columns(x, 4, 1, [](const std::vector<double>& v) {
                double m = 0, variance = 0;
                for (const double e : v) m += e / 4;
                for (const double e : v) variance += (e - m) * (e - m) / 4;
                return 1 / std::sqrt(variance + 1e-2);
              }));
}

TEST(FirstOpsets, OperandsBroadcastByAnAttribute) {
  const Tensor x = numbers({2, 3, 4}, 61), along = numbers({3}, 62), last = numbers({4}, 63);
  std::vector<double> by_axis, by_last;
  for (int64_t i = 0; i < 24; ++i) {
    by_axis.push_back(at(x, i) + at(along, i / 4 % 3));
    by_last.push_back(at(x, i) * at(last, i % 4));
  }
  const Attributes axis = {{"broadcast", int64_t{1}}, {"axis", int64_t{1}}};
  expect_near(result({"Add", {x, along}, axis, 6, "", 2}), {2, 3, 4}, by_axis);
  expect_near(result({"Mul", {x, last}, {{"broadcast", int64_t{1}}}, 6}), {2, 3, 4}, by_last);
  std::vector<double> slopes;
  for (int64_t i = 0; i < 24; ++i) slopes.push_back(at(x, i) < 0 ? at(along, i / 4 % 3) * at(x, i) : at(x, i));
  expect_near(result({"PRelu", {x, along}, {}, 6}), {2, 3, 4}, slopes);
}

TEST(FirstOpsets, FormsThatOnnxGaveUp) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, -2, 3, 4});
  EXPECT_EQ(result({"Relu", {x}, {{"consumed_inputs", Ints{0}}}, 1}), (Tensor::of<float>({2, 2}, {1, 0, 3, 4})));
  EXPECT_EQ(result({"Reshape", {x}, {{"shape", Ints{-1}}}, 1}), (Tensor::of<float>({4}, {1, -2, 3, 4})));
  EXPECT_EQ(result({"Cast", {x}, {{"to", std::string("INT32")}}, 1}), (Tensor::of<int32_t>({2, 2}, {1, -2, 3, 4})));
  EXPECT_EQ(result({"Concat", {x, x}, {}, 1, "", 2}), (Tensor::of<float>({2, 4}, {1, -2, 1, -2, 3, 4, 3, 4})));
  EXPECT_EQ(result({"Pad", {x}, {{"paddings", Ints{0, 1, 0, 0}}, {"value", 7.0f}}, 1}),
            (Tensor::of<float>({2, 3}, {7, 1, -2, 7, 3, 4})));
  EXPECT_EQ(result({"Tile", {x, Tensor::scalar(2.0f), Tensor::scalar(1.0f)}, {}, 1}),
            (Tensor::of<float>({2, 4}, {1, -2, 1, -2, 3, 4, 3, 4})));
  EXPECT_EQ(result({"Dropout", {x}, {{"ratio", 0.5f}, {"is_test", int64_t{1}}}, 6}), x);
  const Tensor one = Tensor::of<float>({2}, {1, 1}), zero = Tensor::of<float>({2}, {0, 0});
  const Operator norm{"BatchNormalization", {x, one, zero, zero, one}, {{"epsilon", 0.0f}, {"is_test", int64_t{1}}}, 6};
  EXPECT_EQ(result(norm), x);
  EXPECT_EQ(error_of(model_of({"BatchNormalization", {x, one, zero, zero, one}, {}, 6})),
            "4: model.onnx: node n (BatchNormalization): is_test is not 1\n  export the model for inference");
  EXPECT_EQ(error_of(model_of({"Cast", {x}, {{"to", std::string("STRING")}}, 1})),
            "4: model.onnx: node n (Cast): a cast to \"STRING\"\n  convert to another type");
}

TEST(SpelledOps, Refusals) {
  EXPECT_EQ(error_of(model_of({"ReduceL2", {Tensor(DType::s32, {2})}})),
            "4: model.onnx: node n (ReduceL2): operand 0 is s32\n  convert the operand to f32");
  EXPECT_EQ(error_of(model_of({"ReduceL2", {Tensor(DType::u8, {2})}})),
            "3: model.onnx: node n (ReduceL2): operand 0 is u8, which ONNX forbids\n  convert the operand");
  EXPECT_EQ(error_of(model_of({"Trilu", {Tensor(DType::f32, {2, 2})}, {}, 13})),
            "3: model.onnx: node n (Trilu): opset 13 has no such operator; it came with opset 14\n"
            "  export the model with a newer opset");
  EXPECT_EQ(error_of(model_of({"DepthToSpace", {Tensor(DType::f32, {1, 4, 2, 2})}})),
            "3: model.onnx: node n (DepthToSpace): attribute blocksize is missing\n  export the model again");
  EXPECT_EQ(error_of(model_of({"DepthToSpace", {Tensor(DType::f32, {1, 6, 2, 2})}, {{"blocksize", int64_t{2}}}})),
            "3: model.onnx: node n (DepthToSpace): 6 channels are no multiple of blocksize²\n  correct the attribute");
  EXPECT_EQ(error_of(model_of({"EyeLike", {Tensor(DType::f32, {2, 2})}, {{"k", 1.0f}}})),
            "3: model.onnx: node n (EyeLike): attribute k has the wrong kind of value\n  export the model again");
  EXPECT_EQ(error_of(model_of({"EyeLike", {Tensor(DType::f32, {2, 2}), Tensor(DType::f32, {2, 2})}})),
            "3: model.onnx: node n (EyeLike): 2 operands, expected 1\n  export the model again");
  EXPECT_EQ(
      error_of(model_of(
          {"OneHot", {Tensor(DType::s64, {2}), Tensor::scalar<int64_t>(3), Tensor(DType::f32, {2})}, {}, 17, "", 2})),
      "4: model.onnx: node n (OneHot): the depth (operand 1) is computed at run time\n"
      "  export the model with constant shapes");
  EXPECT_EQ(error_of(model_of({"FusedConv",
                               {Tensor(DType::f32, {1, 1, 1, 1}), Tensor(DType::f32, {1, 1, 1, 1})},
                               {{"activation", std::string("Softplus")}},
                               17,
                               kMicrosoft})),
            "4: model.onnx: node n (FusedConv): activation is \"Softplus\"\n  export the model without fusion");
}

TEST(SpelledOps, CompressTakesWhatAConstantConditionChooses) {
  const Tensor x = numbers({3, 4}, 5), condition = Tensor::of<bool>({3}, {false, true, true});
  expect_near(result({"Compress", {x, condition}, {{"axis", int64_t{1}}}}), {3, 2},
              {at(x, 1), at(x, 2), at(x, 5), at(x, 6), at(x, 9), at(x, 10)});
  expect_near(result({"Compress", {x, condition}}), {2}, {at(x, 1), at(x, 2)});
}

TEST(SpelledOps, SumsOfBinary64) {
  const auto x = Tensor::of<double>({2, 2}, {1, 1e-9, 1000, 1000.5});
  const Tensor y = result({"ReduceLogSumExp", {x}, {{"axes", Ints{1}}, {"keepdims", int64_t{0}}}, 13});
  EXPECT_EQ(y.dtype(), DType::f64);
  EXPECT_NEAR(y.at(0), std::log(std::exp(1.0) + std::exp(1e-9)), 1e-14);
  EXPECT_NEAR(y.at(1), 1000 + std::log(1 + std::exp(0.5)), 1e-12);
  const Tensor product = result({"Einsum", {x, x}, {{"equation", std::string("ij,jk->ki")}}});
  EXPECT_EQ(product.dtype(), DType::f64);
  for (int i = 0; i < 2; ++i)
    for (int k = 0; k < 2; ++k) {
      const double expected = x.at(2 * i) * x.at(k) + x.at(2 * i + 1) * x.at(2 + k);
      EXPECT_NEAR(product.at(2 * k + i), expected, std::fabs(expected) * 1e-15);
    }
}

// Σ x[n] · e^(∓2πi · n · k / length) of rows of complex numbers.
std::vector<double> spectrum(const std::vector<double>& re, const std::vector<double>& im, int64_t length, int64_t bins,
                             bool inverse) {
  std::vector<double> out;
  for (int64_t k = 0; k < bins; ++k) {
    double a = 0, b = 0;
    for (int64_t n = 0; n < std::min<int64_t>(length, std::ssize(re)); ++n) {
      const double angle = (inverse ? 2 : -2) * M_PI * static_cast<double>(n * k) / static_cast<double>(length);
      const double x = re[static_cast<size_t>(n)], y = im[static_cast<size_t>(n)];
      a += x * std::cos(angle) - y * std::sin(angle);
      b += x * std::sin(angle) + y * std::cos(angle);
    }
    const double scale = inverse ? 1.0 / static_cast<double>(length) : 1;
    out.push_back(a * scale);
    out.push_back(b * scale);
  }
  return out;
}

TEST(SpelledOps, FourierTransforms) {
  const Tensor real = numbers({1, 7, 1}, 1), complex = numbers({1, 7, 2}, 2);
  std::vector<double> x, none(7, 0.0), re, im;
  for (int64_t i = 0; i < 7; ++i) {
    x.push_back(at(real, i));
    re.push_back(at(complex, 2 * i));
    im.push_back(at(complex, 2 * i + 1));
  }
  expect_near(result({"DFT", {real}}), {1, 7, 2}, spectrum(x, none, 7, 7, false));
  expect_near(result({"DFT", {real}, {{"onesided", int64_t{1}}}}), {1, 4, 2}, spectrum(x, none, 7, 4, false));
  expect_near(result({"DFT", {complex}, {{"inverse", int64_t{1}}}}), {1, 7, 2}, spectrum(re, im, 7, 7, true));
  for (const int64_t length : {5, 9})
    expect_near(result({"DFT", {complex, Tensor::scalar<int64_t>(length)}}), {1, length, 2},
                spectrum(re, im, length, length, false));
  // The axis before the last but one.
  const Tensor columns_of = numbers({1, 7, 3, 1}, 3);
  std::vector<double> expected(7 * 3 * 2);
  for (int64_t c = 0; c < 3; ++c) {
    std::vector<double> column;
    for (int64_t i = 0; i < 7; ++i) column.push_back(at(columns_of, i * 3 + c));
    const auto bins = spectrum(column, none, 7, 7, false);
    for (size_t k = 0; k < 7; ++k)
      for (size_t part = 0; part < 2; ++part)
        expected[(k * 3 + static_cast<size_t>(c)) * 2 + part] = bins[2 * k + part];
  }
  expect_near(result({"DFT", {columns_of}, {{"axis", int64_t{1}}}, 17}), {1, 7, 3, 2}, expected);
}

TEST(SpelledOps, FramesOfASignal) {
  const Tensor signal = numbers({1, 10, 1}, 4), window = numbers({4}, 5);
  std::vector<double> expected;
  for (int64_t frame = 0; frame < 3; ++frame) {
    std::vector<double> x;
    for (int64_t i = 0; i < 4; ++i) x.push_back(at(signal, frame * 3 + i) * at(window, i));
    const auto bins = spectrum(x, std::vector<double>(4, 0.0), 4, 3, false);
    expected.insert(expected.end(), bins.begin(), bins.end());
  }
  expect_near(result({"STFT", {signal, Tensor::scalar<int64_t>(3), window}}), {1, 3, 3, 2}, expected);
}

}  // namespace
}  // namespace cupel
