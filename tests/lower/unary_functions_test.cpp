// Every row of ops/unary_functions.def has one meaning: what its op's reference computes is what kernels compute.
#include "ops/unary_functions.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "base/same_bytes.h"
#include "ir/graph.h"
#include "ir/op_def.h"
#include "kernel/kernel.h"
#include "kernel/scalar_lanes.h"
#include "lower/builder.h"
#include "runtime/floating_point.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

struct Row {
  std::string_view op;
  std::vector<std::string_view> parameters;
};

std::vector<Row> rows() {
  std::vector<Row> rows;
  const auto add = [&](std::string_view op, const ops::UnaryParameters& parameters) {
    Row& row = rows.emplace_back(Row{op, {}});
    for (const ops::UnaryParameter& p : parameters)
      if (!p.name.empty()) row.parameters.push_back(p.name);
  };
#define CUPEL_UNARY(op, ...) add(#op, ops::unary::op::kParameters);
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
  add("Gelu", {});
  return rows;
}
void PrintTo(const Row& row, std::ostream* out) { *out << row.op; }

// 100,000 patterns evenly over all, the edges of every exponent and subnormal numbers with both signs, and what
// networks have.
std::vector<float> sample_inputs() {
  std::vector<float> inputs;
  for (uint32_t i = 0; i < 100000; ++i) inputs.push_back(std::bit_cast<float>(i * 0x9e3779b1u));
  for (uint32_t exponent = 0; exponent < 256; ++exponent)
    for (const uint32_t fraction : {0u, 1u, 0x3fffffu, 0x400000u, 0x7fffffu})
      for (const uint32_t sign : {0u, 1u})
        inputs.push_back(std::bit_cast<float>(sign << 31 | exponent << 23 | fraction));
  for (uint32_t i = 1; i < 0x00800000u; i += 8191)  // subnormal numbers
    for (const uint32_t sign : {0u, 1u}) inputs.push_back(std::bit_cast<float>(sign << 31 | i));
  for (int i = -4000; i <= 4000; ++i) inputs.push_back(static_cast<float>(i) * 0.00390625f);
  return inputs;
}

std::vector<float> by_reference(const OpDef& op, const Attributes& attributes, const std::vector<float>& inputs) {
  const Tensor x = Tensor::of<float>({static_cast<int64_t>(inputs.size())}, std::span(inputs));
  Tensor y(DType::f32, x.dims());
  const TensorType type{DType::f32, {static_cast<int64_t>(inputs.size())}, {}};
  const Tensor* operands[] = {&x};
  const TensorType* types[] = {&type};
  Node node;
  node.op = &op;
  ThreadPool threads(1);
  const auto status = op.reference({node, attributes, operands, types, std::span(&type, 1), std::span(&y, 1), threads});
  EXPECT_TRUE(status.has_value());
  const auto results = y.data<float>();
  return {results.begin(), results.end()};
}

std::vector<float> by_kernel(std::string_view op, const Attributes& attributes, const std::vector<float>& inputs) {
  ExprBuilder b;
  const auto function = unary_expression(op, attributes, b.operand(0, DType::f32));
  if (!function) return {};
  const ScalarExpr expr = b.finish(*function);
  const auto types = scalar_types(expr, {{DType::f32}, {}});
  EXPECT_TRUE(types && types->back() == ScalarType::f32) << op;
  LaneEvaluator evaluator(expr);
  std::vector<float> results;
  for (size_t first = 0; first < inputs.size(); first += kScalarLanes) {
    const size_t count = std::min<size_t>(kScalarLanes, inputs.size() - first);
    const Lanes& lanes = evaluator.run(
        static_cast<int>(count),
        [&](const ScalarNode&, Lanes& out) {
          for (size_t i = 0; i < count; ++i) out[i] = std::bit_cast<uint32_t>(inputs[first + i]);
        },
        [](const ScalarNode&) -> const uint8_t* { return nullptr; });
    for (size_t i = 0; i < count; ++i) results.push_back(std::bit_cast<float>(lanes[i]));
  }
  return results;
}

class UnaryFunction : public testing::TestWithParam<Row> {
  const NetworkArithmetic arithmetic_;
};
INSTANTIATE_TEST_SUITE_P(Every, UnaryFunction, testing::ValuesIn(rows()),
                         [](const auto& row) { return std::string(row.param.op); });

// For the defaults of its attributes and for other values.
TEST_P(UnaryFunction, IsTheSameInReferenceAndKernels) {
  const OpDef* op = find_op(GetParam().op);
  ASSERT_NE(op, nullptr);
  std::vector<Attributes> choices = {{}};
  for (const float value : {-0.75f, 0.0f, 0.3f}) {
    if (GetParam().parameters.empty()) break;
    Attributes& attributes = choices.emplace_back();
    for (std::string_view name : GetParam().parameters)
      attributes.emplace(name, value + 0.1f * static_cast<float>(attributes.size()));
  }
  if (op->name == "Gelu") choices.push_back({{"approximate", std::string("tanh")}});
  const std::vector<float> inputs = sample_inputs();
  std::set<std::vector<float>> different;
  for (const Attributes& attributes : choices) {
    const auto expected = by_reference(*op, attributes, inputs), found = by_kernel(op->name, attributes, inputs);
    ASSERT_EQ(found.size(), inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      ASSERT_TRUE(same_bytes(found[i], expected[i])) << inputs[i];
    }
    different.insert({found.end() - 8000, found.end()});
  }
  EXPECT_EQ(different.size(), choices.size()) << "an attribute changes nothing";
}

// Elementwise ops whose expression kernels have, so that any kernel before them may absorb them.
TEST_P(UnaryFunction, IsAnOpOfItsName) {
  const OpDef* op = find_op(GetParam().op);
  ASSERT_NE(op, nullptr);
  EXPECT_EQ(op->quant_rule, QuantRule::unary);
  for (std::string_view name : GetParam().parameters)
    EXPECT_EQ(
        std::count_if(op->attributes.begin(), op->attributes.end(), [&](const auto& a) { return a.name == name; }), 1);
  EXPECT_GE(op->samples.size(), GetParam().parameters.empty() ? 2u : 3u);
}

TEST(UnaryFunctions, OpsOfOtherKindsHaveNone) {
  for (const char* name : {"Clip", "Add", "Softmax", "Nothing"}) EXPECT_FALSE(unary_expression(name, {}, 1.0f)) << name;
}

// No op of the rule is left out but Clip, which takes its bounds from operands.
TEST(UnaryFunctions, EveryUnaryOpIsARow) {
  for (const OpDef* op : all_ops())
    if (op->quant_rule == QuantRule::unary && op->name != "Clip") {
      EXPECT_TRUE(unary_expression(op->name, {}, 1.0f)) << op->name;
    }
}

}  // namespace
}  // namespace cupel
