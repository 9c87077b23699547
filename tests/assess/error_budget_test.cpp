#include "assess/error_budget.h"

#include <gtest/gtest.h>

#include <limits>

#include "ir/text.h"

namespace cupel {
namespace {

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

// Two products with a clamp between them that saturation repeats, and one behind that it does not.
const Graph& base() {
  static const Graph graph = parsed(R"(graph "base" stage simplified opset 17 {
  input %x : f32[batch,2]
  constant %w : f32[2,1] = [0x1.3333p-2, 0x1.6666p-1]
  %p = MatMul(%x, %w) @"first"
  %r = Relu(%p) @"relu"
  constant %v : f32[1,2] = [1, -1.5]
  %s = MatMul(%r, %v) @"second"
  constant %low : f32[] = [-1]
  constant %high : f32[] = [1]
  %c = Clip(%s, %low, %high) @"clip"
  output %c
})");
  return graph;
}

const Graph& quantized() {
  static const Graph graph = parsed(R"(graph "quantized" stage quantized opset 17 {
  input %x : f32[batch,2]
  %xq = QuantizeLinear(%x) {dtype="u8", scale=reals [0.5], zero_point=[4]} @"x_to_codes"
  %xn = DequantizeLinear(%xq) {dtype="u8", scale=reals [0.5], zero_point=[4]} @"x_to_numbers"
  constant %wq : s8[2,1] quant(scale=[0.25], zero_point=[0]) = [1, 3]
  %wn = DequantizeLinear(%wq) {dtype="s8", scale=reals [0.25], zero_point=[0]} @"w_to_numbers"
  %p = MatMul(%xn, %wn) @"first"
  %rq = QuantizeLinear(%p) {dtype="u8", scale=reals [0.25], zero_point=[0]} @"r_to_codes"
  %rn = DequantizeLinear(%rq) {dtype="u8", scale=reals [0.25], zero_point=[0]} @"r_to_numbers"
  constant %v : f32[1,2] = [1, -1.5]
  %s = MatMul(%rn, %v) @"second"
  constant %low : f32[] = [-1]
  constant %high : f32[] = [1]
  %c = Clip(%s, %low, %high) @"clip"
  %cq = QuantizeLinear(%c) {dtype="u8", scale=reals [0.25], zero_point=[3]} @"c_to_codes"
  %cn = DequantizeLinear(%cq) {dtype="u8", scale=reals [0.25], zero_point=[3]} @"c_to_numbers"
  output %cn
})");
  return graph;
}

// The budgets after one run for each of the inputs.
std::vector<std::optional<ErrorBudget>> budgets(const Graph& program, const std::vector<Tensor>& runs) {
  ThreadPool threads(2);
  BudgetMeter meter(base(), quantized(), program, threads);
  for (const Tensor& x : runs) {
    const Tensor inputs[] = {x};
    const Status status = meter.add(inputs, inputs);
    EXPECT_TRUE(status) << status.error().message();
  }
  return meter.finish();
}

const double kW0 = 0x1.3333p-2, kW1 = 0x1.6666p-1;  // as the text above says

TEST(ErrorBudget, LayersHaveTheClampsBehindThem) {
  const auto layers = budget_layers(base(), quantized());
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(quantized().node(layers[0].node).name, "first");
  EXPECT_EQ(base().value(layers[0].base_result).name, "r");  // the Relu that saturation repeats belongs to it
  EXPECT_TRUE(layers[0].clamps.empty());
  EXPECT_EQ(quantized().value(layers[0].result).name, "rq");
  EXPECT_EQ(quantized().node(layers[1].node).name, "second");
  EXPECT_EQ(layers[1].clamps.size(), 1u);
  EXPECT_EQ(base().value(layers[1].base_result).name, "c");
  EXPECT_EQ(quantized().value(layers[1].result).name, "cq");
}

TEST(ErrorBudget, EachPartIsWhatItsFormulaSays) {
  // x is (−3, 1.8): the codes reach from −2, the nearest multiples of a half are −3 and 2.
  const auto found = budgets(quantized(), {Tensor::of<float>({1, 2}, {-3.0f, 1.8f})});
  ASSERT_EQ(found.size(), 2u);
  ASSERT_TRUE(found[0] && found[1]);
  const auto square = [](double d) { return d * d; };
  const double x1 = 1.8f, y = -3 * kW0 + x1 * kW1;  // 0.36
  const ErrorBudget& first = *found[0];
  EXPECT_EQ(first.elements, 1);
  EXPECT_NEAR(first.signal, square(y), 1e-6);
  EXPECT_NEAR(first.part(BudgetPart::weights), square(-3 * 0.25 + x1 * 0.75 - y), 1e-6);
  EXPECT_NEAR(first.part(BudgetPart::activations), square(-3 * kW0 + 2 * kW1 - y), 1e-6);
  EXPECT_NEAR(first.part(BudgetPart::clipping), square(-2 * kW0 + x1 * kW1 - y), 1e-6);
  EXPECT_EQ(first.part(BudgetPart::inherited), 0);
  EXPECT_NEAR(first.part(BudgetPart::requantize_rounding), square(0.25 - y), 1e-6);
  EXPECT_EQ(first.part(BudgetPart::requantize_clipping), 0);
  EXPECT_EQ(first.part(BudgetPart::integer_arithmetic), 0);
  const double sum = -2 * 0.25 + 2 * 0.75;  // 1, a code
  EXPECT_NEAR(first.total, square(sum - y), 1e-6);
  double parts = 0;
  for (const double part : first.parts) parts += part;
  EXPECT_NEAR(parts + first.interaction(), first.total, 1e-12);

  // (y, −1.5·y), the second within [−1, 1]; codes reach from −0.75.
  const ErrorBudget& second = *found[1];
  EXPECT_EQ(second.elements, 2);
  EXPECT_EQ(second.part(BudgetPart::weights), 0);
  EXPECT_NEAR(second.part(BudgetPart::activations), (square(0.25 - y) + square(1.5 * (0.25 - y))) / 2, 1e-6);
  EXPECT_EQ(second.part(BudgetPart::clipping), 0);
  EXPECT_NEAR(second.part(BudgetPart::inherited), (square(1 - y) + square(-1 + 1.5 * y)) / 2, 1e-6);
  EXPECT_NEAR(second.part(BudgetPart::requantize_rounding), (square(0.25 - y) + square(-0.5 + 1.5 * y)) / 2, 1e-6);
  EXPECT_EQ(second.part(BudgetPart::requantize_clipping), 0);
  EXPECT_NEAR(second.total, (square(1 - y) + square(-0.75 + 1.5 * y)) / 2, 1e-6);
}

TEST(ErrorBudget, ClippingOfTheResult) {
  // y = 0.9: −1.35 is clamped to −1, and codes reach from −0.75.
  const auto found = budgets(quantized(), {Tensor::of<float>({1, 2}, {3.0f, 0.0f})});
  ASSERT_TRUE(found[1]);
  EXPECT_NEAR(found[1]->part(BudgetPart::requantize_clipping), 0.25 * 0.25 / 2, 1e-6);
}

TEST(ErrorBudget, WhatAClampTakesAwayIsNotInherited) {
  // The first product is −0.6, and −0.5 with rounded weights: the Relu, which saturation repeats, gives 0 for both.
  const auto found = budgets(quantized(), {Tensor::of<float>({1, 2}, {-2.0f, 0.0f})});
  ASSERT_TRUE(found[0] && found[1]);
  EXPECT_EQ(found[0]->total, 0);
  EXPECT_EQ(found[1]->part(BudgetPart::inherited), 0);
}

TEST(ErrorBudget, WhatTheIntegerProgramGivesIsMeasured) {
  // A program whose first product comes out one code higher than the float meaning says, which the second inherits.
  std::string text = print_graph(quantized());
  const size_t at = text.find("QuantizeLinear(%p)");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 18, "QuantizeLinear(%p_more)");
  const size_t line = text.rfind('\n', at) + 1;
  text.insert(line, "  constant %quarter : f32[] = [0.25]\n  %p_more = Add(%p, %quarter) @\"gap\"\n");
  const Graph program = parsed(text);
  const std::vector<Tensor> runs = {Tensor::of<float>({1, 2}, {1.0f, 0.0f})};
  const auto exact = budgets(quantized(), runs), found = budgets(program, runs);
  ASSERT_TRUE(found[0] && found[1]);
  EXPECT_NEAR(found[0]->part(BudgetPart::integer_arithmetic), 0.0625, 1e-9);
  EXPECT_EQ(found[1]->part(BudgetPart::integer_arithmetic), 0);
  EXPECT_NEAR(exact[1]->part(BudgetPart::inherited), (1 + 2.25) / 2 * (0.25 - kW0) * (0.25 - kW0), 1e-6);
  EXPECT_NEAR(found[1]->part(BudgetPart::inherited), (1 + 2.25) / 2 * (0.5 - kW0) * (0.5 - kW0), 1e-6);
  EXPECT_NEAR(found[0]->total, (0.5 - kW0) * (0.5 - kW0), 1e-6);
}

TEST(ErrorBudget, RunsAddUp) {
  const std::vector<float> all = {-3.0f, 1.8f, 3.0f, 0.0f, 0.7f, 0.9f};
  std::vector<Tensor> one_by_one;
  for (size_t i = 0; i < all.size(); i += 2) one_by_one.push_back(Tensor::of<float>({1, 2}, {all[i], all[i + 1]}));
  const auto apart = budgets(quantized(), one_by_one);
  const auto together = budgets(quantized(), {Tensor::of<float>({3, 2}, all)});
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(apart[i] && together[i]);
    EXPECT_EQ(apart[i]->elements, together[i]->elements);
    EXPECT_NEAR(apart[i]->total, together[i]->total, 1e-12);
    for (size_t p = 0; p < kBudgetParts; ++p) EXPECT_NEAR(apart[i]->parts[p], together[i]->parts[p], 1e-12);
  }
}

TEST(ErrorBudget, NoneWhereAValueIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto found = budgets(quantized(), {Tensor::of<float>({1, 2}, {infinity, 1.0f})});
  EXPECT_FALSE(found.at(0));
  EXPECT_TRUE(found.at(1));  // its clamp makes numbers of them
}

}  // namespace
}  // namespace cupel
