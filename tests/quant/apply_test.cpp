// The Graph with Q/DQ nodes: verified, near to float, and in the text form that the rest reads.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ir/verifier.h"
#include "quant/network.h"
#include "quant/plan.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using networks::network;

struct Quantized {
  Graph graph;
  QuantPlan plan;
};

Result<Quantized> quantize(const Graph& g, const std::vector<Tensor>& inputs, ThreadPool& threads) {
  const Selection s = select_values(g);
  bool given = false;
  const BatchSource once = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (given) return std::optional<std::vector<Tensor>>();
    given = true;
    return std::optional(inputs);
  };
  const Calibration c =
      CUPEL_TRY(calibrate_min_max(g, s.activations, once, observed(g, interpreter(threads)), threads));
  QuantPlan plan = CUPEL_TRY(choose_parameters(g, s, c.ranges));
  Graph out = CUPEL_TRY(apply_plan(g, plan));
  return Quantized{std::move(out), std::move(plan)};
}

class Apply : public testing::TestWithParam<const char*> {};

TEST_P(Apply, IsVerifiedComesBackFromTextAndStaysNear) {
  ThreadPool threads(2);
  const Graph g = network(GetParam());
  const auto inputs = samples::make_inputs(g, 16, {.low = -1, .high = 1});
  const auto q = quantize(g, inputs, threads);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_EQ(q->graph.stage, Stage::quantized);
  const Status good = verify_graph(q->graph);
  EXPECT_TRUE(good) << good.error().message();
  ConstantStore store;
  const std::string text = print_graph(q->graph, &store);
  EXPECT_TRUE(parse_graph(text, store).value() == q->graph);
  for (ValueId id : q->graph.outputs()) EXPECT_FALSE(q->graph.type(id).quant) << "outputs stay numbers";
  ASSERT_EQ(q->graph.outputs().size(), g.outputs().size());
  for (size_t i = 0; i < g.outputs().size(); ++i)
    EXPECT_EQ(q->graph.value(q->graph.outputs()[i]).name, g.value(g.outputs()[i]).name);

  const auto expected = interpret(g, inputs, threads), found = interpret(q->graph, inputs, threads);
  ASSERT_TRUE(expected);
  ASSERT_TRUE(found) << found.error().message();
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < (*expected)[0].size(); ++i) {
    signal += std::pow((*expected)[0].at(i), 2);
    noise += std::pow((*expected)[0].at(i) - (*found)[0].at(i), 2);
  }
  EXPECT_GT(10 * std::log10(signal / noise), 25) << "signal to quantization noise in decibels";
  EXPECT_GT(noise, 0);
}

TEST_P(Apply, EveryNodeKeepsAnOriginOfTheFloatGraph) {
  ThreadPool threads(1);
  const Graph g = network(GetParam());
  const auto q = quantize(g, samples::make_inputs(g, 2), threads);
  ASSERT_TRUE(q);
  std::set<std::string> known;
  for (const Node& node : g.nodes()) known.insert(node.origin.begin(), node.origin.end());
  for (const Node& node : q->graph.nodes())
    for (const std::string& origin : node.origin)
      EXPECT_TRUE(known.contains(origin)) << node.name << " from " << origin;
}

std::string network_name(const testing::TestParamInfo<const char*>& parameter) {
  const char* names[] = {"Residual", "SqueezeAndExcitation", "Branches", "Attention"};
  return names[parameter.index];
}
INSTANTIATE_TEST_SUITE_P(Networks, Apply,
                         testing::Values(networks::kResidual, networks::kSqueezeAndExcitation, networks::kBranches,
                                         networks::kAttention),
                         network_name);

TEST(ApplyPlan, WritesCodesAsTheDefinitionSays) {
  ThreadPool threads(1);
  Graph g;
  g.stage = Stage::simplified;
  const ValueId x = g.add_input("x", {DType::f32, {Dim(1, "batch"), 2}, {}});
  const ValueId w = g.add_constant("w", Tensor::of<float>({2, 2}, {1.27f, -0.015f, 0.0f, 254.0f})),
                b = g.add_constant("b", Tensor::of<float>({2}, {0.5f, -3.0f}));
  const NodeId n = g.add_node(*find_op("Gemm"), "fc", {x, w, b}, {{"transB", int64_t{1}}}, {"y"}).value();
  g.add_output(g.node(n).outputs[0]);
  QuantPlan plan;
  plan.activations[x] = {{0.5f}, {3}, -1};
  plan.weights.push_back({w, 0, {0.01f, 2.0f}, {n}});
  const auto q = apply_plan(g, plan);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_EQ(print_graph(*q), R"(graph "main" stage quantized opset 17 {
  input %x : f32[batch,2]
  %x_QuantizeLinear = QuantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[3]} : u8[batch,2] quant(scale=[0x1p-1], zero_point=[3]) origin=["fc"]
  %x_DequantizeLinear = DequantizeLinear(%x_QuantizeLinear) {dtype="u8", scale=reals [0x1p-1], zero_point=[3]} : f32[batch,2] origin=["fc"]
  constant %w_quantized : s8[2,2] quant(axis=0, scale=[0x1.47ae14p-7, 0x1p+1], zero_point=[0, 0]) = [127, -2, 0, 127]
  %w_DequantizeLinear = DequantizeLinear(%w_quantized) {axis=0, dtype="s8", scale=reals [0x1.47ae14p-7, 0x1p+1], zero_point=[0, 0]} : f32[2,2] origin=["fc"]
  constant %b_quantized : s32[2] quant(axis=0, scale=[0x1.47ae14p-8, 0x1p+0], zero_point=[0, 0]) = [100, -3]
  %b_DequantizeLinear = DequantizeLinear(%b_quantized) {axis=0, dtype="s32", scale=reals [0x1.47ae14p-8, 0x1p+0], zero_point=[0, 0]} : f32[2] origin=["fc"]
  %y = Gemm(%x_DequantizeLinear, %w_DequantizeLinear, %b_DequantizeLinear) {transB=1} : f32[batch,2] @"fc"
  output %y
}
)");
}

// "s8: 2 read by 3": constants of codes of that type in the graph, and how many nodes read what they dequantize to.
std::string held_codes(const Graph& g, DType type) {
  const auto users = g.users();
  size_t constants = 0, readers = 0;
  for (size_t v = 0; v < g.values().size(); ++v) {
    if (!g.values()[v].constant || g.values()[v].type.dtype != type || !g.values()[v].type.quant) continue;
    ++constants;
    EXPECT_EQ(users[v].size(), 1u) << g.values()[v].name << " is dequantized once";
    readers += users[static_cast<size_t>(g.node(users[v][0]).outputs[0].index)].size();
  }
  return std::string(dtype_name(type)) + ": " + std::to_string(constants) + " read by " + std::to_string(readers);
}

TEST(ApplyPlan, SharedWeightsAreOneConstant) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,4,6,6]
weights %w [4,4,3,3] 0.3
weights %b [4] 0.1
%c1 = Conv(%x, %w, %b) {pads=[1,1,1,1]}
%c2 = Conv(%x, %w, %b) {pads=[1,1,1,1]}
%sum = Add(%c1, %c2)
%c3 = Conv(%sum, %w, %b)
output %c3)");
  const auto q = quantize(g, samples::make_inputs(g, 4), threads);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_EQ(held_codes(q->graph, DType::s8), "s8: 1 read by 3");
  EXPECT_EQ(held_codes(q->graph, DType::s32), "s32: 2 read by 3") << "%x and %sum have scales of their own";
}

TEST(ApplyPlan, WeightsReadAlongTwoAxesAreTwoConstants) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,8]
weights %w [8,8] 0.4
weights %b [8] 0.1
%a = Gemm(%x, %w) {transB=1}
%c = Gemm(%a, %w, %b)
%y = MatMul(%c, %w)
output %y)");
  const auto q = quantize(g, samples::make_inputs(g, 4), threads);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_EQ(held_codes(q->graph, DType::s8), "s8: 2 read by 3");
  ASSERT_EQ(q->plan.weights.size(), 2u);
  EXPECT_EQ(q->plan.weights[0].axis, 0);
  EXPECT_EQ(q->plan.weights[1].axis, 1);
}

TEST(ApplyPlan, AFloatReaderKeepsTheNumbers) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,8,8]
weights %w [8,8] 0.4
%m = MatMul(%x, %w)
%y = Sub(%m, %w)
output %y)");
  const auto q = quantize(g, samples::make_inputs(g, 4), threads);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_EQ(held_codes(q->graph, DType::s8), "s8: 1 read by 1");
  EXPECT_TRUE(q->graph.value(q->graph.nodes().back().inputs[1]).constant.has_value());
}

TEST(ApplyPlan, WhatOnnxForbidsOnCodesReadsNumbersAndBecomesCodesAgain) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,4,6,6]
weights %w [4,4,1,1] 0.5
%p = GlobalMaxPool(%x)
%y = Conv(%p, %w)
output %y)");
  const auto q = quantize(g, samples::make_inputs(g, 4), threads);
  ASSERT_TRUE(q) << q.error().message();
  std::string ops;
  for (const Node& node : q->graph.nodes())
    if (!q->graph.value(node.inputs[0]).constant) ops += std::string(node.op->name) + " ";
  EXPECT_EQ(ops, "QuantizeLinear DequantizeLinear GlobalMaxPool QuantizeLinear DequantizeLinear Conv ");
  for (const Node& node : q->graph.nodes()) {
    if (node.op->name != "QuantizeLinear") continue;
    const QuantParams& params = *q->graph.type(node.outputs[0]).quant;
    EXPECT_TRUE(params == q->plan.activations.at(g.inputs()[0])) << "the maximum of codes is one of them";
  }
}

TEST(ApplyPlan, MovesRunOnCodes) {
  ThreadPool threads(1);
  const Graph g = network(R"(input %x : f32[batch,2,6]
weights %w [2,2,1] 1
%m = MaxPool(%x) {kernel_shape=[2]}
%t = Transpose(%m) {perm=[0, 1, 2]}
%y = Conv(%t, %w)
output %y
output %m)");
  const auto q = quantize(g, samples::make_inputs(g, 2), threads);
  ASSERT_TRUE(q) << q.error().message();
  EXPECT_TRUE(verify_graph(q->graph)) << verify_graph(q->graph).error().message();
  int on_codes = 0;
  for (const Node& node : q->graph.nodes())
    if (node.op->quant_rule == QuantRule::same) on_codes += q->graph.type(node.inputs[0]).quant.has_value();
  EXPECT_EQ(on_codes, 2);
  EXPECT_EQ(q->graph.value(q->graph.outputs()[1]).name, "m");
}

}  // namespace
}  // namespace cupel
