// ai.onnx's Attention and RotaryEmbedding, and losses of classification, beside their definitions.
#include <functional>
#include <limits>

#include "spelled_operator.h"

namespace cupel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// [batch, heads, length, size] each.
struct Inputs {
  Tensor q, k, v;
  int64_t of(const Tensor& t, size_t d) const { return t.dims()[d]; }
};

// softmax(q · k · scale + bias(b, h, i, j)) · v; a query whose bias is −infinity everywhere gets zeros.
std::vector<double> attended(const Inputs& x, double scale,
                             const std::function<double(int64_t, int64_t, int64_t, int64_t)>& bias, double cap = 0) {
  const Dims &q = x.q.dims(), &k = x.k.dims(), &v = x.v.dims();
  std::vector<double> out;
  for (int64_t b = 0; b < q[0]; ++b)
    for (int64_t h = 0; h < q[1]; ++h)
      for (int64_t i = 0; i < q[2]; ++i) {
        const int64_t shared = h / (q[1] / k[1]);
        std::vector<double> weights;
        double sum = 0, seen = -kInfinity;
        for (int64_t j = 0; j < k[2]; ++j) {
          double score = 0;
          for (int64_t e = 0; e < q[3]; ++e)
            score +=
                at(x.q, ((b * q[1] + h) * q[2] + i) * q[3] + e) * at(x.k, ((b * k[1] + shared) * k[2] + j) * k[3] + e);
          score *= scale;
          if (cap > 0) score = cap * std::tanh(score / cap);
          seen = std::max(seen, bias(b, h, i, j));
          weights.push_back(std::exp(score + bias(b, h, i, j)));
          sum += weights.back();
        }
        for (int64_t e = 0; e < v[3]; ++e) {
          double y = 0;
          for (int64_t j = 0; j < k[2]; ++j)
            y += weights[static_cast<size_t>(j)] * at(x.v, ((b * v[1] + shared) * v[2] + j) * v[3] + e);
          out.push_back(std::isinf(seen) && seen < 0 ? 0 : y / sum);
        }
      }
  return out;
}

const auto kNoBias = [](int64_t, int64_t, int64_t, int64_t) { return 0.0; };

Operator attention(const std::vector<Tensor>& operands, Attributes attributes, int64_t opset = 24) {
  Operator o{"Attention", operands, std::move(attributes), opset};
  o.computed = operands.size();
  return o;
}

TEST(Attention, HeadsThatShareKeys) {
  const Inputs x{numbers({2, 4, 3, 5}, 1), numbers({2, 2, 6, 5}, 2), numbers({2, 2, 6, 7}, 3)};
  expect_near(result(attention({x.q, x.k, x.v}, {})), {2, 4, 3, 7}, attended(x, 1 / std::sqrt(5.0), kNoBias));
  expect_near(result(attention({x.q, x.k, x.v}, {{"scale", 0.25f}, {"softcap", 2.0f}})), {2, 4, 3, 7},
              attended(x, 0.25, kNoBias, 2));
}

TEST(Attention, Masks) {
  const Inputs x{numbers({1, 2, 4, 3}, 1), numbers({1, 2, 4, 3}, 2), numbers({1, 2, 4, 3}, 3)};
  const double scale = 1 / std::sqrt(3.0);
  const auto causal = [](int64_t, int64_t, int64_t i, int64_t j) { return j <= i ? 0 : -kInfinity; };
  expect_near(result(attention({x.q, x.k, x.v}, {{"is_causal", int64_t{1}}})), {1, 2, 4, 3},
              attended(x, scale, causal));
  const Tensor added = numbers({2, 4, 4}, 4);
  const auto both = [&](int64_t, int64_t h, int64_t i, int64_t j) {
    return j <= i ? at(added, (h * 4 + i) * 4 + j) : -kInfinity;
  };
  expect_near(result(attention({x.q, x.k, x.v, added}, {{"is_causal", int64_t{1}}})), {1, 2, 4, 3},
              attended(x, scale, both));
  // Query 1 sees nothing; keys behind the mask's end are hidden.
  Tensor truths(DType::boolean, {4, 3});
  auto* seen = reinterpret_cast<uint8_t*>(truths.mutable_bytes().data());
  for (int64_t i = 0; i < 12; ++i) seen[i] = i / 3 != 1 && i != 6;
  const auto masked = [&](int64_t, int64_t, int64_t i, int64_t j) {
    return j < 3 && i != 1 && i * 3 + j != 6 ? 0 : -kInfinity;
  };
  expect_near(result(attention({x.q, x.k, x.v, truths}, {})), {1, 2, 4, 3}, attended(x, scale, masked));
  const auto window = [](int64_t, int64_t, int64_t i, int64_t j) { return j >= i - 1 && j <= i + 2 ? 0 : -kInfinity; };
  expect_near(
      result(attention({x.q, x.k, x.v}, {{"left_window_size", int64_t{1}}, {"right_window_size", int64_t{2}}}, 25)),
      {1, 2, 4, 3}, attended(x, scale, window));
}

TEST(Attention, BehindAPastAndJoinedHeads) {
  const Tensor q = numbers({1, 2, 6}, 1), k = numbers({1, 2, 6}, 2), v = numbers({1, 2, 6}, 3),
               past_k = numbers({1, 2, 3, 3}, 4), past_v = numbers({1, 2, 3, 3}, 5), none(DType::f32, {0});
  Operator o = attention({q, k, v, none, past_k, past_v},
                         {{"q_num_heads", int64_t{2}}, {"kv_num_heads", int64_t{2}}, {"is_causal", int64_t{1}}});
  o.outputs = {"y", "keys", "values"};
  const auto found = results(o);
  ASSERT_EQ(found.size(), 3u);
  // [1, 2, heads · 3] as heads first, behind the past.
  const auto behind = [](const Tensor& past, const Tensor& x) {
    Tensor all(DType::f32, {1, 2, 5, 3});
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t j = 0; j < 5; ++j)
        for (int64_t e = 0; e < 3; ++e)
          all.mutable_data<float>()[static_cast<size_t>((h * 5 + j) * 3 + e)] =
              static_cast<float>(j < 3 ? at(past, (h * 3 + j) * 3 + e) : at(x, (j - 3) * 6 + h * 3 + e));
    return all;
  };
  Tensor heads(DType::f32, {1, 2, 2, 3});
  for (int64_t h = 0; h < 2; ++h)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t e = 0; e < 3; ++e)
        heads.mutable_data<float>()[static_cast<size_t>((h * 2 + i) * 3 + e)] =
            static_cast<float>(at(q, i * 6 + h * 3 + e));
  const Inputs x{heads, behind(past_k, k), behind(past_v, v)};
  const auto y = attended(x, 1 / std::sqrt(3.0),
                          [](int64_t, int64_t, int64_t i, int64_t j) { return j <= i + 3 ? 0 : -kInfinity; });
  std::vector<double> joined;
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t e = 0; e < 3; ++e) joined.push_back(y[static_cast<size_t>((h * 2 + i) * 3 + e)]);
  expect_near(found[0], {1, 2, 6}, joined);
  EXPECT_EQ(found[1].dims(), (Dims{1, 2, 5, 3}));
  for (int64_t i = 0; i < 30; ++i) ASSERT_EQ(at(found[2], i), at(x.v, i)) << i;
}

TEST(Attention, LengthsOfEachSequence) {
  const Inputs x{numbers({2, 1, 2, 3}, 1), numbers({2, 1, 5, 3}, 2), numbers({2, 1, 5, 3}, 3)};
  const Tensor none(DType::f32, {0}), lengths = Tensor::of<int64_t>({2}, {5, 3});
  const auto ends = [](int64_t b, int64_t, int64_t i, int64_t j) {
    const int64_t length = b == 0 ? 5 : 3;
    return j < length && j <= i + length - 2 ? 0 : -kInfinity;
  };
  expect_near(result(attention({x.q, x.k, x.v, none, none, none, lengths}, {{"is_causal", int64_t{1}}})), {2, 1, 2, 3},
              attended(x, 1 / std::sqrt(3.0), ends));
}

TEST(RotaryEmbedding, TurnsPairs) {
  const Tensor x = numbers({1, 2, 3, 6}, 1), cosines = numbers({9, 2}, 2), sines = numbers({9, 2}, 3),
               places = Tensor::of<int64_t>({1, 3}, {4, 0, 8});
  for (const bool interleaved : {false, true}) {
    std::vector<double> expected;
    for (int64_t h = 0; h < 2; ++h)
      for (int64_t i = 0; i < 3; ++i) {
        const int64_t row = (h * 3 + i) * 6, place = places.int_at(i);
        std::vector<double> y;
        for (int64_t e = 0; e < 6; ++e) y.push_back(at(x, row + e));  // the last two stay
        for (int64_t p = 0; p < 2; ++p) {
          const int64_t a = interleaved ? 2 * p : p, b = interleaved ? 2 * p + 1 : p + 2;
          const double c = at(cosines, place * 2 + p), s = at(sines, place * 2 + p);
          y[static_cast<size_t>(a)] = c * at(x, row + a) - s * at(x, row + b);
          y[static_cast<size_t>(b)] = s * at(x, row + a) + c * at(x, row + b);
        }
        expected.insert(expected.end(), y.begin(), y.end());
      }
    const Attributes attributes = {{"interleaved", int64_t{interleaved}}, {"rotary_embedding_dim", int64_t{4}}};
    expect_near(result({"RotaryEmbedding", {x, cosines, sines, places}, attributes, 23}), {1, 2, 3, 6}, expected);
    Operator microsoft{"RotaryEmbedding", {x, places, cosines, sines}, attributes, 17, "com.microsoft"};
    microsoft.computed = 2;
    expect_near(result(microsoft), {1, 2, 3, 6}, expected);
  }
}

TEST(Losses, OfLabelsWithWeights) {
  const Tensor scores = numbers({2, 3, 2}, 1), labels = Tensor::of<int64_t>({2, 2}, {0, 2, 1, 2}),
               weights = numbers({3}, 2, 0.5f, 2);
  for (const bool softmax : {false, true})
    for (const bool weighted : {false, true})
      for (const int64_t ignored : {int64_t{-1}, int64_t{2}}) {
        std::vector<double> each;
        double sum = 0, count = 0;
        for (int64_t e = 0; e < 4; ++e) {
          const int64_t n = e / 2, d = e % 2, label = labels.int_at(e);
          double total = 0;
          for (int64_t c = 0; c < 3; ++c) total += std::exp(at(scores, (n * 3 + c) * 2 + d));
          const double w = label == ignored ? 0 : weighted ? at(weights, label) : 1;
          each.push_back(-w * (at(scores, (n * 3 + label) * 2 + d) - (softmax ? std::log(total) : 0)));
          sum += each.back();
          count += w;
        }
        const auto loss = [&](const char* reduction) {
          Operator o{softmax ? "SoftmaxCrossEntropyLoss" : "NegativeLogLikelihoodLoss",
                     {scores, labels},
                     {{"reduction", std::string(reduction)}},
                     13};
          if (ignored >= 0) o.attributes.emplace("ignore_index", ignored);
          if (weighted) o.inputs.push_back(weights);
          o.computed = 2;
          return result(o);
        };
        expect_near(loss("none"), {2, 2}, each);
        expect_near(loss("sum"), {}, {sum});
        expect_near(loss("mean"), {}, {sum / count});
      }
}

}  // namespace
}  // namespace cupel
