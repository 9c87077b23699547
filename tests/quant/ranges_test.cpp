// What sets a range: data, not fills; and warnings where one sample or one element in a million does it alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "quant/fills.h"
#include "quant/network.h"
#include "quant/plan.h"
#include "quant/value_statistics.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using networks::network;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

// ---- ValueStatistics beside a second evaluation with all elements at hand ----

struct Element {
  float x;
  int64_t sample;
};

std::vector<Element> random_elements(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t n) { return random() % n; };
  std::vector<Element> elements;
  const size_t count = 1 + below(400);
  const bool one_sign = below(3) == 0;
  for (size_t i = 0; i < count; ++i) {
    float x = std::ldexp(static_cast<float>(below(4096)) / 4096, static_cast<int>(below(8)) - 4);
    if (below(50) == 0) x *= 1000;
    if (!one_sign && below(2) == 0) x = -x;
    elements.push_back({x, static_cast<int64_t>(below(12))});
  }
  return elements;
}

ThreadPool& two_threads() {
  static ThreadPool threads(2);
  return threads;
}

void fill(ValueStatistics& s, const std::vector<Element>& elements) {
  for (const Element& e : elements) s.add({std::span(&e.x, 1), 1}, e.sample, two_threads());
}

Range range_of(const std::vector<Element>& elements, int64_t except = -1) {
  Range r{kInfinity, -kInfinity};
  for (const Element& e : elements) {
    if (e.sample == except) continue;
    r = {std::min(r.min, e.x), std::max(r.max, e.x)};
  }
  return r.min > r.max ? Range{0, 0} : r;
}

TEST(ValueStatistics, AgreeWithAllElementsAtHandInAnyOrder) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<Element> elements = random_elements(seed);
    ValueStatistics s, turned, simple(false), simple_turned(false);
    fill(s, elements);
    fill(simple, elements);
    std::vector<Element> reversed(elements.rbegin(), elements.rend());
    fill(turned, reversed);
    fill(simple_turned, reversed);
    const Range range = range_of(elements);
    for (const ValueStatistics* one : {&s, &turned, &simple, &simple_turned}) {
      ASSERT_TRUE(one->range());
      EXPECT_EQ(one->range()->min, range.min);
      EXPECT_EQ(one->range()->max, range.max);
      EXPECT_EQ(one->count(), static_cast<int64_t>(elements.size()));
      for (const bool upper : {false, true}) {
        const auto without = one->range_without_extreme_sample(upper);
        const Range expected = range_of(elements, without.sample);
        EXPECT_EQ(without.range.min, expected.min) << seed;
        EXPECT_EQ(without.range.max, expected.max) << seed;
        const float end = upper ? range.max : range.min;
        EXPECT_TRUE(std::any_of(elements.begin(), elements.end(), [&](const Element& e) {
          return e.x == end && e.sample == without.sample;
        })) << "the sample holds the end";
      }
    }
  }
}

// Special numbers, sizes around whole vectors and blocks, several samples at once: as one element after another.
TEST(ValueStatistics, AreTheSameForAllElementsAtOnce) {
  const float special[] = {0.0f, -0.0f, 1e-45f, -1e-45f, 1.17e-38f, 3.4e38f, -3.4e38f, 1, -1, 255, 1e-10f};
  std::mt19937_64 random(5);
  for (const size_t each : {1u, 3u, 7u, 8u, 9u, 17u, 4095u, 4096u, 4097u, 9000u, 40000u})
    for (const int64_t samples : {1, 3}) {
      std::vector<float> x(each * static_cast<size_t>(samples));
      const bool one_sign = random() % 2 == 0;
      for (float& v : x) {
        v = std::ldexp(static_cast<float>(random() % 8192) / 8192, static_cast<int>(random() % 20) - 15);
        if (random() % 2 == 0) v = 0;
        if (random() % 100 == 0) v = special[random() % std::size(special)];
        if (one_sign)
          v = std::abs(v);
        else if (random() % 2 == 0)
          v = -v;
      }
      for (const bool fills : {false, true}) {
        ValueStatistics at_once(fills), one_by_one(true);
        const OrderedRange range = at_once.add({x, samples}, 7, two_threads());
        for (size_t i = 0; i < x.size(); ++i)
          one_by_one.add({std::span(&x[i], 1), 1}, 7 + static_cast<int64_t>(i / each), two_threads());
        EXPECT_TRUE(range.all_finite());
        const auto same = [](Range a, Range b) {
          return std::bit_cast<uint32_t>(a.min) == std::bit_cast<uint32_t>(b.min) &&
                 std::bit_cast<uint32_t>(a.max) == std::bit_cast<uint32_t>(b.max);
        };
        EXPECT_EQ(at_once.count(), one_by_one.count());
        EXPECT_TRUE(same(*at_once.range(), *one_by_one.range())) << each;
        for (const double share : {0.0, 1e-6, 5e-5, 0.01, 0.25})
          EXPECT_TRUE(same(at_once.central_range(share), one_by_one.central_range(share))) << each << " " << share;
        for (const bool upper : {false, true}) {
          const auto a = at_once.range_without_extreme_sample(upper),
                     b = one_by_one.range_without_extreme_sample(upper);
          EXPECT_EQ(a.sample, b.sample) << each;
          EXPECT_TRUE(same(a.range, b.range)) << each;
        }
      }
    }
}

// An array with gaps and another order of its dimensions has the elements of its dense copy.
TEST(ElementRuns, FindElementsWhereTheyLie) {
  std::vector<float> memory(4000);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  struct Case {
    std::vector<int64_t> dims, strides;
    int64_t run;
  };
  const Case cases[] = {{{}, {}, 1},
                        {{5}, {1}, 5},
                        {{5}, {3}, 1},
                        {{3, 4, 5}, {20, 5, 1}, 60},  // dense
                        {{5, 3, 4}, {1, 20, 5}, 60},  // dense, the first dimension innermost
                        {{5, 3, 4}, {1, 40, 8}, 5},   // that with gaps behind channels and rows
                        {{4, 1, 6}, {7, 900, 1}, 6},  // a dimension of one
                        {{2, 3, 4}, {100, 32, 8}, 1}};
  for (const Case& c : cases) {
    const ElementRuns runs(memory.data() + 17, 2, 1000, c.dims, c.strides);
    EXPECT_EQ(runs.run(), c.run);
    EXPECT_EQ(runs.size(), 2 * element_count(c.dims));
    for (int64_t sample = 0; sample < 2; ++sample) {
      std::vector<float> expected = {static_cast<float>(17 + sample * 1000)}, found;
      for (size_t d = 0; d < c.dims.size(); ++d) {
        std::vector<float> further;
        for (const float at : expected)
          for (int64_t i = 0; i < c.dims[d]; ++i) further.push_back(at + static_cast<float>(i * c.strides[d]));
        expected = further;
      }
      for (int64_t run = 0; run < runs.runs(); ++run)
        found.insert(found.end(), runs.at(sample, run).begin(), runs.at(sample, run).end());
      std::ranges::sort(expected);
      std::ranges::sort(found);
      EXPECT_EQ(found, expected);
    }
  }
}

TEST(OrderedRange, KnowsWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const size_t at : {0u, 5u, 8u, 11u})
    for (const float bad : {nan, -nan, kInfinity, -kInfinity}) {
      std::vector<float> x(12, -2.5f);
      EXPECT_TRUE(ordered_range(x).all_finite());
      x[at] = bad;
      EXPECT_FALSE(ordered_range(x).all_finite());
      EXPECT_EQ(ordered_range(x).has_nan(), std::isnan(bad));
    }
  EXPECT_TRUE(ordered_range({}).all_finite());
  EXPECT_FALSE(ordered_range({}).has_nan());
}

TEST(ValueStatistics, CentralRangeLeavesOutNoMoreThanItsShare) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<Element> elements = random_elements(seed);
    ValueStatistics s;
    fill(s, elements);
    std::vector<float> sorted;
    for (const Element& e : elements) sorted.push_back(e.x);
    std::sort(sorted.begin(), sorted.end());
    for (const double share : {0.0, 0.01, 0.1, 0.3}) {
      const auto outside = static_cast<size_t>(share * static_cast<double>(sorted.size()));
      const float low = sorted[outside], high = sorted[sorted.size() - 1 - outside];
      const Range r = s.central_range(share);
      // Outwards, to a sixteenth of a binade.
      EXPECT_LE(r.min, low) << seed;
      EXPECT_GE(r.max, high) << seed;
      EXPECT_LE(std::abs(r.min - low), std::abs(low) / 16 + 1e-37f) << seed;
      EXPECT_LE(std::abs(r.max - high), std::abs(high) / 16 + 1e-37f) << seed;
    }
  }
}

TEST(ValueStatistics, FillsLieBeyondAGap) {
  const auto range = [](std::vector<float> elements, std::optional<float> least_fill) {
    ValueStatistics s;
    s.add({elements, 1}, 0, two_threads());
    s.leave_out_fills(least_fill);
    const auto r = s.range();
    return r ? std::pair(r->min, r->max) : std::pair(kInfinity, -kInfinity);
  };
  EXPECT_EQ(range({-1, 2, -1e9f}, 1e6f), std::pair(-1.0f, 2.0f));
  EXPECT_EQ(range({-1, 2, -1e9f}, std::nullopt), std::pair(-1e9f, 2.0f)) << "no fill reaches it";
  EXPECT_EQ(range({-1, 2, kLowest, kInfinity}, 1e30f), std::pair(-1.0f, 2.0f));
  EXPECT_EQ(range({-1, 2, -kInfinity}, kInfinity), std::pair(-1.0f, 2.0f));
  EXPECT_EQ(range({-1, 100, -1e4f}, 10.0f), std::pair(-1e4f, 100.0f)) << "the data reach within 255 times of it";
  EXPECT_EQ(range({-1, 39, -1e4f}, 10.0f), std::pair(-1.0f, 39.0f));
  EXPECT_EQ(range({-1, 2, -1e9f}, 1e10f), std::pair(-1e9f, 2.0f)) << "less than the fill can be";
  EXPECT_EQ(range({kLowest}, 1e30f), std::pair(kInfinity, -kInfinity)) << "no data";
}

// ---- Fills in graphs ----

std::string fills_of(const std::string& body) {
  const Graph g = network(body);
  const auto least = least_fills(g);
  std::string text;
  for (const Node& node : g.nodes()) {
    const auto& fill = least[static_cast<size_t>(node.outputs[0].index)];
    text += g.value(node.outputs[0]).name + (fill ? " " : "- ");
  }
  return text;
}

TEST(Fills, ComeByCopiesAndSumsAndEndAtProductsAndRows) {
  EXPECT_EQ(fills_of(R"(input %x : f32[batch,2,6]
constant %pads : s64[6] = [0, 0, 1, 0, 0, 1]
constant %low : f32[] = [-inf]
%p = Pad(%x, %pads, %low)
%m = MaxPool(%p) {kernel_shape=[3]}
%r = Relu(%m)
%s = Softmax(%r)
%t = Add(%s, %s)
output %t)"),
            "p m r s- t- ");
  EXPECT_EQ(fills_of(R"(input %x : f32[batch,2]
constant %mask : f32[2] = [0x0p+0, -0x1.388p+13]
constant %bias : f32[2] = [0x1p+15, -0x1.388p+13]
constant %small : f32[2] = [0x1p+3, 0x1p+13]
%a = Add(%x, %mask)
%b = Add(%x, %bias)
%c = Add(%x, %small)
%d = Concat(%b, %a) {axis=1}
%e = Sub(%x, %mask)
%f = Max(%e, %x)
%g = Div(%f, %small)
%h = ReduceSum(%g)
output %d
output %c
output %h)"),
            "a b- c- d e f g h- ")
      << "two magnitudes are no fill, nor is less than 10^4";
}

struct Quantized {
  Graph graph;
  Calibration calibration;
};

Quantized quantize(const Graph& g, const std::vector<Tensor>& batches, ThreadPool& threads) {
  const Selection s = select_values(g);
  size_t next = 0;
  const BatchSource source = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (next == batches.size()) return std::optional<std::vector<Tensor>>();
    return std::optional(std::vector<Tensor>{batches[next++]});
  };
  auto c = calibrate_min_max(g, s.activations, source, observed(g, interpreter(threads)), threads);
  EXPECT_TRUE(c) << c.error().message();
  if (!c) return {};
  auto plan = choose_parameters(g, s, c->ranges);
  EXPECT_TRUE(plan) << plan.error().message();
  auto q = apply_plan(g, *plan);
  EXPECT_TRUE(q) << q.error().message();
  return {std::move(*q), std::move(*c)};
}

class PaddedWith : public testing::TestWithParam<const char*> {};

TEST_P(PaddedWith, SaturatesAndTheMaximumStaysNear) {
  ThreadPool threads(1);
  const Graph g = network(std::string(R"(input %x : f32[batch,2,6,6]
weights %w1 [3,2,1,1] 1
constant %pads : s64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
constant %low : f32[] = [)") +
                          GetParam() +
                          R"(]
%c = Conv(%x, %w1)
%p = Pad(%c, %pads, %low)
%m = MaxPool(%p) {kernel_shape=[3,3], strides=[2,2]}
weights %w2 [2,3,1,1] 1
%y = Conv(%m, %w2)
output %y)");
  const Tensor x = samples::make_tensor({DType::f32, {Dim(1, "batch"), 2, 6, 6}, {}}, 16, 3, {.low = -1, .high = 1});
  const Quantized q = quantize(g, {x}, threads);
  const Range r = q.calibration.ranges.at(*g.find_value("p"));
  EXPECT_GT(r.min, -3);
  EXPECT_LT(r.min, -0.5f);
  const auto expected = interpret(g, std::vector{x}, threads), found = interpret(q.graph, std::vector{x}, threads);
  ASSERT_TRUE(expected && found);
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < (*expected)[0].size(); ++i) {
    signal += std::pow((*expected)[0].at(i), 2);
    noise += std::pow((*expected)[0].at(i) - (*found)[0].at(i), 2);
  }
  EXPECT_GT(10 * std::log10(signal / noise), 30) << "decibels";
}
INSTANTIATE_TEST_SUITE_P(Values, PaddedWith,
                         testing::Values("-inf", "-0x1.fffffep+127", "-0x1.dcd65p+29", "-0x1.388p+13"));

// A mask of which the rows above the diagonal may not be seen, added or chosen before the Softmax.
class MaskedBy : public testing::TestWithParam<const char*> {};

TEST_P(MaskedBy, ProductsAreOnCodesAndTheSoftmaxStaysInFloat) {
  ThreadPool threads(1);
  const Graph g = network(std::string(R"(input %x : f32[batch,3,4]
weights %wq [4,4] 0.5
weights %wk [4,4] 0.5
%q = MatMul(%x, %wq)
%k = MatMul(%x, %wk)
%kt = Transpose(%k) {perm=[0,2,1]}
%scores = MatMul(%q, %kt)
)") + GetParam() + R"(
%p = Softmax(%masked) {axis=-1}
%mixed = MatMul(%p, %x)
weights %wo [4,4] 0.5
%y = MatMul(%mixed, %wo)
output %y)");
  const Selection s = select_values(g);
  EXPECT_EQ(s.contractions.size(), 5u);
  EXPECT_TRUE(s.kept.contains("p")) << "Softmax";
  EXPECT_TRUE(s.kept.contains("masked"));
  const Tensor x = samples::make_tensor({DType::f32, {Dim(1, "batch"), 3, 4}, {}}, 8, 3, {.low = -1, .high = 1});
  const Quantized q = quantize(g, {x}, threads);
  const auto expected = interpret(g, std::vector{x}, threads), found = interpret(q.graph, std::vector{x}, threads);
  ASSERT_TRUE(expected && found);
  for (int64_t i = 0; i < (*expected)[0].size(); ++i)
    EXPECT_NEAR((*found)[0].at(i), (*expected)[0].at(i), 0.05) << "element " << i;
}
INSTANTIATE_TEST_SUITE_P(
    Masks, MaskedBy,
    testing::Values("constant %mask : f32[3,3] = [0x0p+0, -inf, -inf, 0x0p+0, 0x0p+0, -inf, 0x0p+0, 0x0p+0, 0x0p+0]\n"
                    "%masked = Add(%scores, %mask)",
                    "constant %keep : bool[3,3] = [1, 0, 0, 1, 1, 0, 1, 1, 1]\n"
                    "constant %low : f32[] = [-0x1.fffffep+127]\n"
                    "%masked = Where(%keep, %scores, %low)"));

TEST(Ranges, APadWithAnOrdinaryNumberSetsTheRange) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,2,6]
constant %pads : s64[6] = [0, 0, 1, 0, 0, 1]
constant %value : f32[] = [0x1.8p+5]
weights %w [2,2,1] 1
%p = Pad(%x, %pads, %value)
%y = Conv(%p, %w)
output %y)");
  const Tensor x = samples::make_tensor({DType::f32, {Dim(1, "batch"), 2, 6}, {}}, 4, 3, {.low = -1, .high = 1});
  EXPECT_EQ(quantize(g, {x}, threads).calibration.ranges.at(*g.find_value("p")).max, 48.0f);
}

TEST(Ranges, InfinitiesWithoutAFillAreErrorsStill) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,4]
weights %w [4,4] 1
%e = Exp(%x)
%y = MatMul(%e, %w)
output %y)");
  bool given = false;
  const BatchSource source = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (std::exchange(given, true)) return std::optional<std::vector<Tensor>>();
    return std::optional(std::vector{Tensor::of<float>({1, 4}, {1, 2, 3, 200})});
  };
  const auto c = calibrate_min_max(g, select_values(g).activations, source, observed(g, interpreter(threads)), threads);
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().message(),
            "node e (Exp): a value is NaN or infinite during calibration\n  check the calibration data and its "
            "preprocessing, and the model's weights");
}

// ---- Warnings ----

constexpr const char* kTwoLayers = R"(input %x : f32[batch,4]
weights %w1 [4,4] 1
%r = Relu(%x)
%m = MatMul(%r, %w1)
output %m)";

// Rows of 4 elements in [0, 1), but for what `set` does to them.
template <class Set>
std::vector<std::string> warnings_of(int64_t samples, int64_t batch, const Set& set) {
  ThreadPool threads(1);
  const Graph g = network(kTwoLayers);
  Tensor all(DType::f32, {samples, 4});
  for (int64_t i = 0; i < all.size(); ++i)
    all.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i * 7919 % 1000) / 1000;
  set(all.mutable_data<float>());
  std::vector<Tensor> batches;
  for (int64_t i = 0; i < samples; i += batch) batches.push_back(all.rows(i, std::min(batch, samples - i)));
  return quantize(g, batches, threads).calibration.warnings;
}

TEST(RangeWarnings, ASampleThatSetsTheRangeAloneIsNamed) {
  const auto set = [](std::span<float> x) {
    x[4 * 17 + 1] = 40;
    x[4 * 17 + 2] = 30;
  };
  const std::vector<std::string> expected = {
      "input x: the range [0, 40] is set by sample 17 of 100 alone; without it [0, 0.999]; 99.99 % of its elements lie "
      "in [0, 40]",
      "node r (Relu): the range [0, 40] of value r is set by sample 17 of 100 alone; without it [0, 0.999]; 99.99 % of "
      "its elements lie in [0, 40]"};
  for (const int64_t batch : {1, 7, 100}) EXPECT_EQ(warnings_of(100, batch, set), expected);
  EXPECT_EQ(warnings_of(100, 10, [](std::span<float> x) { x[3] = 1.9f; }), std::vector<std::string>())
      << "less than twice as wide";
  EXPECT_EQ(warnings_of(100, 10,
                        [](std::span<float> x) {
                          x[3] = 40;
                          x[43] = 30;
                        }),
            std::vector<std::string>())
      << "two samples reach so far";
  EXPECT_EQ(warnings_of(9, 3, [](std::span<float> x) { x[3] = 40; }), std::vector<std::string>())
      << "one of nine says nothing";
}

TEST(RangeWarnings, OneElementInAMillionIsTold) {
  const auto set = [](std::span<float> x) {
    x[3] = 40;
    x[1'000'003] = 39;
  };
  EXPECT_EQ(
      warnings_of(500'000, 50'000, set),
      (std::vector<std::string>{
          "input x: the range [0, 40] is set by one element in a million alone; without it [0, 1]; 99.99 % of its "
          "elements lie in [0, 1]",
          "node r (Relu): the range [0, 40] of value r is set by one element in a million alone; without it "
          "[0, 1]; 99.99 % of its elements lie in [0, 1]"}));
}

}  // namespace
}  // namespace cupel
