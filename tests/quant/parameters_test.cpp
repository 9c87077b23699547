// From ranges to parameters (docs/quantization.md 5), and calibration.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "quant/network.h"
#include "quant/plan.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using networks::network;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLeast = std::numeric_limits<float>::min();
constexpr float kGreatest = std::numeric_limits<float>::max();

TEST(ActivationParameters, FollowTheFormula) {
  const auto params = [](float a, float b) {
    const QuantParams q = activation_params({a, b});
    EXPECT_TRUE(check_quant_params(q, DType::u8, {}));
    EXPECT_TRUE(q.per_tensor());
    return std::pair(q.scale[0], q.zero_point[0]);
  };
  EXPECT_EQ(params(-1, 1), std::pair(static_cast<float>(2 / 255.0), 127))
      << "the scale is rounded up, 1 / scale lies below 127.5";
  EXPECT_EQ(params(-0.5f, 254.5f), std::pair(1.0f, 0)) << "half goes to the even zero point";
  EXPECT_EQ(params(-1.5f, 253.5f), std::pair(1.0f, 2));
  EXPECT_EQ(params(-1, 254), std::pair(1.0f, 1));
  EXPECT_EQ(params(2, 255), std::pair(1.0f, 0)) << "0 belongs to the range";
  EXPECT_EQ(params(-255, -3), std::pair(1.0f, 255));
  EXPECT_EQ(params(0, 0), std::pair(1.0f, 0));
  EXPECT_EQ(params(-0.0f, 0), std::pair(1.0f, 0));
  EXPECT_EQ(params(0, 1e-40f), std::pair(1.0f, 0)) << "the scale would not be normal";
  EXPECT_EQ(params(-1e-37f, 1e-37f), std::pair(1.0f, 0)) << "7.8e-40 is not normal";
  EXPECT_EQ(params(0, 255 * kLeast), std::pair(kLeast, 0));
  EXPECT_EQ(params(-kGreatest, kGreatest),
            std::pair(static_cast<float>(2 * static_cast<double>(kGreatest) / 255), 128));
  EXPECT_EQ(params(-kGreatest, 0).second, 255);
}

// One Gemm with given weights [2,2] (rows are output channels), bias, and range of its input.
Result<QuantPlan> plan_of(std::initializer_list<float> weights, std::initializer_list<float> bias, Range input) {
  Graph g;
  g.stage = Stage::simplified;
  const ValueId x = g.add_input("x", {DType::f32, {Dim(1, "batch"), 2}, {}}),
                w = g.add_constant("w\n", Tensor::of<float>({2, 2}, weights));
  std::vector<ValueId> inputs = {x, w};
  if (bias.size() > 0) inputs.push_back(g.add_constant("b", Tensor::of<float>({2}, bias)));
  const NodeId n = g.add_node(*find_op("Gemm"), "fc", inputs, {{"transB", int64_t{1}}}, {"y"}).value();
  g.add_output(g.node(n).outputs[0]);
  return choose_parameters(g, select_values(g), {{x, input}});
}

TEST(WeightParameters, FollowTheFormula) {
  const auto scales = [](std::initializer_list<float> weights, std::initializer_list<float> bias = {},
                         Range input = {0, 255}) {
    const auto plan = plan_of(weights, bias, input);
    EXPECT_TRUE(plan) << plan.error().message();
    EXPECT_EQ(plan->weights[0].axis, 0);
    return plan->weights[0].scale;
  };
  EXPECT_EQ(scales({1.27f, -2.54f, 0.5f, 0.25f}),
            (std::vector<float>{static_cast<float>(static_cast<double>(2.54f) / 127), static_cast<float>(0.5 / 127)}));
  EXPECT_EQ(scales({0, -0.0f, 1, 0}), (std::vector<float>{1, static_cast<float>(1 / 127.0)})) << "a channel of zeros";
  EXPECT_EQ(scales({1e-40f, 0, -1e-44f, 0}), (std::vector<float>{kLeast, kLeast})) << "the least normal number";
}

TEST(WeightParameters, ABiasBeyondThirtyBitsRaisesTheScale) {
  // Input scale 1: codes of the bias are b / s.
  const auto plan = plan_of({127, 0, 127, 0}, {3e9f, 1e9f}, {0, 255});
  ASSERT_TRUE(plan);
  const auto& scale = plan->weights[0].scale;
  EXPECT_GT(scale[0], 1.0f);
  EXPECT_LE(3e9 / scale[0], 0x1p30);
  EXPECT_GT(3e9 / scale[0], 0x1p30 * (1 - 1e-6)) << "raised no further than needed";
  EXPECT_EQ(scale[1], 1.0f);
}

TEST(WeightParameters, SharedWeightsTakeTheLargestScaleThatOneOfTheirNodesNeeds) {
  Graph g;
  g.stage = Stage::simplified;
  const ValueId x = g.add_input("x", {DType::f32, {Dim(1, "batch"), 2}, {}}),
                w = g.add_constant("w", Tensor::of<float>({2, 2}, {127, 0, 127, 0})),
                small = g.add_constant("small", Tensor::of<float>({2}, {1, 1})),
                large = g.add_constant("large", Tensor::of<float>({2}, {1, 3e9f}));
  for (const ValueId bias : {small, large}) {
    const NodeId n = g.add_node(*find_op("Gemm"), "fc", {x, w, bias}, {{"transB", int64_t{1}}}, {"y"}).value();
    g.add_output(g.node(n).outputs[0]);
  }
  const auto plan = choose_parameters(g, select_values(g), {{x, {0, 255}}});
  ASSERT_TRUE(plan) << plan.error().message();
  ASSERT_EQ(plan->weights.size(), 1u);
  EXPECT_EQ(plan->weights[0].nodes.size(), 2u);
  EXPECT_EQ(plan->weights[0].scale[0], 1.0f);
  EXPECT_LE(3e9 / plan->weights[0].scale[1], 0x1p30);
  EXPECT_GT(plan->weights[0].scale[1], 1.0f);
}

TEST(WeightParameters, ErrorsNameTheNode) {
  const auto message = [](const Result<QuantPlan>& plan) { return plan ? "no error" : plan.error().message(); };
  const std::string remedy = "\n  train or export the model again";
  EXPECT_EQ(message(plan_of({1, kInfinity, 1, 1}, {}, {0, 1})),
            "node fc (Gemm): weight 1 of w\\x0a is not finite" + remedy);
  EXPECT_EQ(message(plan_of({1, 1, std::nanf(""), 1}, {}, {0, 1})),
            "node fc (Gemm): weight 2 of w\\x0a is not finite" + remedy);
  EXPECT_EQ(message(plan_of({1, 1, 1, 1}, {0, -kInfinity}, {0, 1})), "node fc (Gemm): bias 1 is not finite" + remedy);
  EXPECT_EQ(message(plan_of({1, 1, 1, 1}, {0, kGreatest}, {0, 255 * kLeast})),
            "node fc (Gemm): the bias and weights of channel 1 are too large for the range of the input" + remedy);
  EXPECT_EQ(message(plan_of({kGreatest, 1, 1, 1}, {0, 0}, {0, kGreatest})),
            "node fc (Gemm): the bias and weights of channel 0 are too large for the range of the input" + remedy);
}

// Batches of rows of one tensor, of the given sizes.
BatchSource batches_of(const Tensor& all, std::vector<int64_t> sizes) {
  return [all, sizes, next = size_t{0}, row = int64_t{0}]() mutable -> Result<std::optional<std::vector<Tensor>>> {
    if (next == sizes.size()) return std::optional<std::vector<Tensor>>();
    const Tensor batch = all.rows(row, sizes[next]);
    row += sizes[next++];
    return std::optional(std::vector<Tensor>{batch});
  };
}

struct Calibrated {
  ThreadPool threads{2};
  Graph graph = network(networks::kResidual);
  Selection selection = select_values(graph);
  Result<Ranges> run(const BatchSource& source) {
    Calibration c = CUPEL_TRY(
        calibrate_min_max(graph, selection.activations, source, observed(graph, interpreter(threads)), threads));
    return std::move(c.ranges);
  }
};

bool operator==(const Range& a, const Range& b) { return a.min == b.min && a.max == b.max; }

TEST(Calibrate, IsTheSameForEverySplitAndOrder) {
  Calibrated c;
  const Tensor all = samples::make_tensor({DType::f32, {12, 4, 6, 6}, {}}, 1, 5);
  const auto whole = c.run(batches_of(all, {12}));
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), c.selection.activations.size());
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{1, 11}, {4, 4, 4}, {5, 0, 7}}) {
    const auto split = c.run(batches_of(all, sizes));
    ASSERT_TRUE(split) << split.error().message();
    for (ValueId id : c.selection.activations) EXPECT_TRUE(whole->at(id) == split->at(id)) << c.graph.value(id).name;
  }
  // The second half first.
  Tensor turned(DType::f32, all.dims());
  const auto half = all.bytes().size() / 2;
  std::memcpy(turned.mutable_bytes().data(), all.bytes().data() + half, half);
  std::memcpy(turned.mutable_bytes().data() + half, all.bytes().data(), half);
  const auto other = c.run(batches_of(turned, {6, 6}));
  for (ValueId id : c.selection.activations) EXPECT_TRUE(whole->at(id) == other->at(id));
  // And they are the extremes.
  const ValueId x = c.graph.inputs()[0];
  float low = kInfinity, high = -kInfinity;
  for (float v : all.data<float>()) low = std::min(low, v), high = std::max(high, v);
  EXPECT_EQ(whole->at(x).min, low);
  EXPECT_EQ(whole->at(x).max, high);
}

TEST(Calibrate, ErrorsSayWhere) {
  Calibrated c;
  const auto message = [](const Result<Ranges>& ranges) { return ranges ? "no error" : ranges.error().message(); };
  const std::string remedy = "\n  check the calibration data and its preprocessing, and the model's weights";
  EXPECT_EQ(message(c.run(batches_of(Tensor(DType::f32, {0, 4, 6, 6}), {}))),
            "calibration: there is no sample\n  give the calibrate split at least one sample");
  for (float bad : {std::nanf(""), kInfinity, -kInfinity}) {
    Tensor all(DType::f32, {3, 4, 6, 6});
    all.mutable_data<float>()[300] = bad;
    EXPECT_EQ(message(c.run(batches_of(all, {1, 2}))),
              "input x: a value is NaN or infinite during calibration" + remedy);
  }
  Tensor large(DType::f32, {1, 4, 6, 6});
  for (float& v : large.mutable_data<float>()) v = kGreatest;
  EXPECT_EQ(message(c.run(batches_of(large, {1}))),
            "node c1 (Conv): a value is NaN or infinite during calibration" + remedy);
  const BatchSource broken = []() -> Result<std::optional<std::vector<Tensor>>> {
    return bad_input("data", "unreadable", "fetch it");
  };
  EXPECT_EQ(message(c.run(broken)), "data: unreadable\n  fetch it");
  EXPECT_EQ(message(c.run(batches_of(Tensor(DType::f32, {1, 4, 5, 6}), {1}))),
            "input x: found f32[1,4,5,6], expected f32[batch,4,6,6]\n  give data of the model's type and shape");
}

TEST(Calibrate, EmptyValuesHoldNothingButZero) {
  Calibrated c;
  const auto ranges = c.run(batches_of(Tensor(DType::f32, {0, 4, 6, 6}), {0}));
  ASSERT_TRUE(ranges) << ranges.error().message();
  EXPECT_TRUE(ranges->at(c.graph.inputs()[0]) == (Range{0, 0}));
  EXPECT_TRUE(choose_parameters(c.graph, c.selection, *ranges));
}

}  // namespace
}  // namespace cupel
