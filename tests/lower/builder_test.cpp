// Expressions written through ExprBuilder: the bits of the reference's functions, shared nodes, appended expressions.
#include "lower/builder.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "base/scalar_math.h"
#include "kernel/kernel.h"
#include "kernel/scalar_lanes.h"
#include "ops/requantize.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

// Evaluates an expression of operand 0 (f32 or a code) on all inputs' bit patterns.
std::vector<uint32_t> evaluate(const ScalarExpr& expr, const std::vector<uint32_t>& inputs) {
  const NetworkArithmetic arithmetic;
  LaneEvaluator evaluator(expr);
  std::vector<uint32_t> results;
  for (size_t first = 0; first < inputs.size(); first += kScalarLanes) {
    const int count = static_cast<int>(std::min<size_t>(kScalarLanes, inputs.size() - first));
    const Lanes& lanes = evaluator.run(
        count, [&](const ScalarNode&, Lanes& out) { std::copy_n(&inputs[first], count, out.begin()); },
        [](const ScalarNode&) -> const uint8_t* { return nullptr; });
    results.insert(results.end(), lanes.begin(), lanes.begin() + count);
  }
  return results;
}

// 100,000 patterns evenly over all, then the edges of every exponent with both signs.
std::vector<uint32_t> sample_inputs() {
  std::vector<uint32_t> inputs;
  for (uint32_t i = 0; i < 100000; ++i) inputs.push_back(i * 0x9e3779b1u);
  for (uint32_t exponent = 0; exponent < 256; ++exponent)
    for (const uint32_t fraction : {0u, 1u, 0x3fffffu, 0x400000u, 0x7fffffu})
      for (const uint32_t sign : {0u, 1u}) inputs.push_back(sign << 31 | exponent << 23 | fraction);
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 3);
  for (int i = 0; i < 50000; ++i) inputs.push_back(std::bit_cast<uint32_t>(normal(random)));
  return inputs;
}

struct Row {
  const char* name;
  Scalar (*symbolic)(Scalar);
  float (*number)(float);
};

#define CUPEL_ROW(name)                                                            \
  Row {                                                                            \
    #name, [](Scalar x) { return name(x); }, [](float x) { return name##_f32(x); } \
  }
const Row kRows[] = {
    CUPEL_ROW(exp),
    CUPEL_ROW(log),
    {"relu", [](Scalar x) { return relu(x); }, [](float x) { return scalar::flushed(0.0f > x ? 0.0f : x); }},
    {"clip", [](Scalar x) { return clip(x, -1.0f, 6.0f); },
     [](float x) {
       const float t = -1.0f > x ? -1.0f : x;
       return scalar::flushed(6.0f < t ? 6.0f : t);
     }},
};
#undef CUPEL_ROW
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class Function : public testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(Every, Function, testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_P(Function, GivesTheBitsOfTheReference) {
  ExprBuilder b;
  const ScalarExpr expr = b.finish(GetParam().symbolic(b.operand(0, DType::f32)));
  const auto types = scalar_types(expr, {{DType::f32}, {}});
  ASSERT_TRUE(types) << types.error().message();
  EXPECT_EQ(types->back(), ScalarType::f32);
  const std::vector<uint32_t> inputs = sample_inputs(), found = evaluate(expr, inputs);
  const NetworkArithmetic arithmetic;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const float expected = GetParam().number(std::bit_cast<float>(inputs[i]));
    ASSERT_EQ(found[i], std::bit_cast<uint32_t>(expected)) << std::hex << inputs[i];
  }
}

// floor and ceil are single operations here; the reference's give the canonical NaN.
TEST(Builder, FloorAndCeilGiveTheReferencesNumbers) {
  const std::vector<uint32_t> inputs = sample_inputs();
  ExprBuilder b;
  const auto down = evaluate(b.finish(floor(b.operand(0, DType::f32))), inputs);
  const auto up = evaluate(b.finish(ceil(b.operand(0, DType::f32))), inputs);
  const NetworkArithmetic arithmetic;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto x = std::bit_cast<float>(inputs[i]);
    if (std::isnan(x)) continue;
    ASSERT_EQ(down[i], std::bit_cast<uint32_t>(floor_f32(x))) << x;
    ASSERT_EQ(up[i], std::bit_cast<uint32_t>(ceil_f32(x))) << x;
  }
}

TEST(Builder, ToCodeGivesTheCodesOfTheReference) {
  const std::vector<uint32_t> inputs = sample_inputs();
  for (const auto& [type, zero] :
       {std::pair(DType::u8, 0), {DType::u8, 7}, {DType::u8, 255}, {DType::s8, 0}, {DType::s8, -128}}) {
    ExprBuilder b;
    const auto found = evaluate(b.finish(to_code(b.operand(0, DType::f32), type, zero)), inputs);
    const ops::CodeRange range(type, zero);
    for (size_t i = 0; i < inputs.size(); ++i)
      ASSERT_EQ(static_cast<int32_t>(found[i]), ops::to_code(std::bit_cast<float>(inputs[i]), range))
          << std::hex << inputs[i];
  }
  ExprBuilder b;
  const auto numbers = evaluate(b.finish(from_code(b.operand(0, DType::u8), 130, 0.37f)), {0, 130, 255});
  EXPECT_EQ(std::bit_cast<float>(numbers[0]), ops::from_code(0, 130, 0.37f));
  EXPECT_EQ(std::bit_cast<float>(numbers[1]), 0.0f);
  EXPECT_EQ(std::bit_cast<float>(numbers[2]), ops::from_code(255, 130, 0.37f));
}

// The value of an expression without sources.
int32_t whole(const ScalarExpr& expr) { return static_cast<int32_t>(evaluate(expr, {0})[0]); }

TEST(Builder, CodesOfBoundedNumbersAreTheSame) {
  constexpr double kReach = 0x1.fffffep+21;
  std::vector<uint32_t> inputs;
  for (uint32_t bits : sample_inputs())
    if (std::abs(std::bit_cast<float>(bits)) <= kReach) inputs.push_back(bits);  // no NaN
  for (int half = -1200; half <= 1200; ++half)
    inputs.push_back(std::bit_cast<uint32_t>(0.5f * static_cast<float>(half)));
  for (const DType type : {DType::u8, DType::s8})
    for (const int32_t zero_point : {0, 1, 100, type == DType::u8 ? 255 : -128}) {
      ExprBuilder within, any;
      const ScalarExpr a = within.finish(to_code_within(kReach, within.operand(0, DType::f32), type, zero_point)),
                       b = any.finish(to_code(any.operand(0, DType::f32), type, zero_point));
      EXPECT_NE(a, b);
      EXPECT_EQ(evaluate(a, inputs), evaluate(b, inputs)) << dtype_name(type) << " " << zero_point;
      ExprBuilder beyond;
      EXPECT_EQ(beyond.finish(to_code_within(0x1p22, beyond.operand(0, DType::f32), type, zero_point)), b);
    }
}

TEST(Builder, EveryIntegerOperationWrapsAndShiftsAsDefined) {
  const auto on = [](auto&& body, int32_t x, int32_t y) {
    ExprBuilder b;
    const Scalar code = b.operand(0, DType::s32);
    const ScalarExpr expr = b.finish(body(code, Scalar(y)));
    return static_cast<int32_t>(evaluate(expr, {static_cast<uint32_t>(x)})[0]);
  };
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a + b; }, INT32_MAX, 1), INT32_MIN);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a - b; }, INT32_MIN, 1), INT32_MAX);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a * b; }, 65536, 65537), 65536);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a & b; }, 0b1100, 0b1010), 0b1000);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a | b; }, 0b1100, 0b1010), 0b1110);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a ^ b; }, 0b1100, 0b1010), 0b0110);
  EXPECT_EQ(on([](Scalar a, Scalar) { return a >> 31; }, INT32_MIN, 0), -1);
  EXPECT_EQ(on([](Scalar a, Scalar) { return a << 31; }, 3, 0), INT32_MIN);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a > b; }, -1, 0), 0);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return a < b; }, -1, 0), -1);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return select(a == b, Scalar(5), Scalar(6)); }, 4, 4), 5);
  EXPECT_EQ(on([](Scalar a, Scalar b) { return select(a == b, Scalar(5), Scalar(6)); }, 4, 3), 6);
  EXPECT_EQ(on([](Scalar a, Scalar) { return -a; }, 4, 0), -4);
  EXPECT_EQ(on([](Scalar a, Scalar) { return truncate_s32(to_f32(a) * -0.5f); }, 5, 0), -2);
  EXPECT_EQ(on([](Scalar a, Scalar) { return round_s32(to_f32(a) * 0.5f); }, 5, 0), 2);
  EXPECT_EQ(on([](Scalar a, Scalar) { return round_s32(to_f32(a) * 0.5f); }, 7, 0), 4);
}

TEST(Builder, AProductAndASumAreTwoRoundings) {
  ExprBuilder b;
  const Scalar x = b.operand(0, DType::f32);
  const ScalarExpr expr = b.finish(x * x + -1.0f);
  const float a = 1.0f + 0x1p-12f;
  EXPECT_EQ(std::bit_cast<float>(evaluate(expr, {std::bit_cast<uint32_t>(a)})[0]), 0x1p-11f);
  ASSERT_EQ(expr.nodes.size(), 4u);
  EXPECT_EQ(expr.nodes[1].op, ScalarOp::mul);
  EXPECT_EQ(expr.nodes[3].op, ScalarOp::add);
}

TEST(Builder, EqualOperationsShareANodeAndUnusedOnesAreDropped) {
  ExprBuilder b;
  const Scalar x = b.operand(0, DType::f32);
  const Scalar unused = exp(x * 3.0f);
  EXPECT_FALSE(unused.is_constant());
  const ScalarExpr expr = b.finish((x * 2.0f) + (b.operand(0, DType::f32) * 2.0f));
  ASSERT_EQ(expr.nodes.size(), 4u);  // operand, constant, mul, add
  EXPECT_EQ(expr.nodes[3].arguments, (std::array<int32_t, 3>{2, 2, -1}));
}

TEST(Builder, OperationsOnConstantsAreComputed) {
  ExprBuilder b;
  const Scalar seven = Scalar(3) + Scalar(4);
  EXPECT_TRUE(seven.is_constant());
  const ScalarExpr expr = b.finish(seven);
  ASSERT_EQ(expr.nodes.size(), 1u);
  EXPECT_EQ(expr.nodes[0].op, ScalarOp::constant_s32);
  EXPECT_EQ(whole(expr), 7);
  const Scalar e = exp(Scalar(1.0f));
  EXPECT_EQ(e.constant_bits(), std::bit_cast<uint32_t>(exp_f32(1.0f)));
}

TEST(Builder, AppendedExpressionsTakeTheirSourcesFromTheOuterOne) {
  ExprBuilder inner;
  const ScalarExpr part =
      inner.finish(inner.table(1, round_s32(inner.operand(0, DType::f32) * inner.accumulator(0, ScalarType::f32))));
  ExprBuilder outer;
  const Scalar code = outer.operand(2, DType::u8);
  const Scalar result = outer.append(part, {{to_f32(code), 0}, {2.0f}, {-1, 5}});
  const ScalarExpr expr = outer.finish(result + 1);
  const std::string expected =
      "kernel map\n  space 1\n  out u8 offset 0 item 0 strides\n  value\n"
      "    %0 = operand 2\n    %1 = to_f32 %0\n    %2 = constant_f32 0x1p+1\n    %3 = mul %1 %2\n    %4 = round_s32 "
      "%3\n"
      "    %5 = table 5 %4\n    %6 = constant_s32 1\n    %7 = add_s32 %5 %6\n  schedule vector_dimension -1\nend\n";
  EXPECT_EQ(print_kernel({MapSpec{.space = {1}, .value = expr}, MapSchedule()}), expected);
}

}  // namespace
}  // namespace cupel
