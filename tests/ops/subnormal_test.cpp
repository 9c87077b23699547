// Subnormal numbers in the meanings of ops (docs/quantization.md): what computes takes and gives zeros, what moves or
// selects copies bits.
#include <gtest/gtest.h>

#include <limits>

#include "base/same_bytes.h"
#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel::ops {
namespace {

using namespace testing;

constexpr float kTiny = 0x1.8p-130f, kLeast = 0x1p-126f, kInfinity = std::numeric_limits<float>::infinity();

Tensor floats(std::initializer_list<float> values) {
  return Tensor::of<float>({static_cast<int64_t>(values.size())}, values);
}
void expect(const Tensor& found, std::initializer_list<float> values) {
  const Tensor expected = floats(values);
  EXPECT_TRUE(same_bytes(found.reshaped(expected.dims()), expected));
}

TEST(Subnormals, ArithmeticTakesAndGivesZeros) {
  const Tensor x = floats({kTiny, -kTiny, kTiny, kLeast}), y = floats({kTiny, 0x1p100f, -0.0f, 0.75f});
  expect(run(kAdd, {x, y}), {0.0f, 0x1p100f, 0.0f, 0.75f});
  expect(run(kSub, {x, x}), {0.0f, 0.0f, 0.0f, 0.0f});
  expect(run(kMul, {x, y}), {0.0f, -0.0f, -0.0f, 0.0f});
  expect(run(kDiv, {x, floats({2.0f, 0x1p-120f, kInfinity, 2.0f})}), {0.0f, -0.0f, 0.0f, 0.0f});
  expect(run(kReciprocal, {x}), {kInfinity, -kInfinity, kInfinity, 0x1p126f});
  expect(run(kSqrt, {x}), {0.0f, -0.0f, 0.0f, 0x1p-63f});
  expect(run(kFloor, {x}), {0.0f, -0.0f, 0.0f, 0.0f});
  expect(run(kCeil, {x}), {0.0f, -0.0f, 0.0f, 1.0f});
  expect(run(kExp, {floats({kTiny, -88.0f, -1000.0f})}), {1.0f, 0.0f, 0.0f});
  expect(run(kLog, {x}), {-kInfinity, -kInfinity, -kInfinity, -0x1.5d58ap+6f});
}

TEST(Subnormals, ChosenNumbersAreZeros) {
  const Tensor x = floats({kTiny, -kTiny, kTiny, -kTiny});
  expect(run(kMax, {x, floats({0.0f, -1.0f, 1.0f, 0.0f})}), {0.0f, -0.0f, 1.0f, 0.0f});
  expect(run(kMin, {x, floats({0.0f, 1.0f, -1.0f, 0.0f})}), {0.0f, -0.0f, -1.0f, 0.0f});
  expect(run(kRelu, {x}), {0.0f, -0.0f, 0.0f, -0.0f});
  expect(run(kClip, {x, constant(Tensor::scalar(kTiny))}), {0.0f, -0.0f, 0.0f, -0.0f});
  const Tensor row = Tensor::of<float>({1, 1, 4}, {-1.0f, -kTiny, kTiny, -2.0f});
  expect(run(kMaxPool, {row}, {{"kernel_shape", std::vector<int64_t>{2}}}), {-0.0f, -0.0f, 0.0f});
  expect(run(kReduceMax, {row, constant(Tensor::of<int64_t>({1}, {2}))}), {-0.0f});
  expect(run(kReduceMin, {row, constant(Tensor::of<int64_t>({1}, {2}))}), {-2.0f});
  EXPECT_EQ(run(kArgMax, {row}, {{"axis", int64_t{2}}}).int_at(0), 1);
}

TEST(Subnormals, ComparisonsAndCastsTakeZeros) {
  const Tensor x = floats({kTiny, -kTiny}), zero = floats({0.0f, 0.0f});
  EXPECT_EQ(elements<bool>(run(kEqual, {x, zero})), (std::vector<bool>{true, true}));
  EXPECT_EQ(elements<bool>(run(kLess, {x, zero})), (std::vector<bool>{false, false}));
  const auto cast = [](Tensor t, DType to) {
    return run(kCast, {std::move(t)},
               {{"to", static_cast<int64_t>(to == DType::boolean ? 9
                                            : to == DType::f64   ? 11
                                            : to == DType::bf16  ? 16
                                                                 : 1)}});
  };
  EXPECT_EQ(elements<bool>(cast(x, DType::boolean)), (std::vector<bool>{false, false}));
  EXPECT_EQ(cast(x, DType::f64).at(0), 0.0);
  EXPECT_EQ(cast(x, DType::bf16).at(0), 0.0);
  expect(cast(Tensor::of<double>({2}, {0x1p-130, -0x1p-130}), DType::f32), {0.0f, -0.0f});
  expect(cast(x, DType::f32), {kTiny, -kTiny});  // no conversion
}

TEST(Subnormals, MovesAndSelectionsCopyBits) {
  const Tensor x = floats({kTiny, -kTiny});
  expect(run(kNeg, {x}), {-kTiny, kTiny});
  expect(run(kAbs, {x}), {kTiny, kTiny});
  expect(run(kWhere, {Tensor::of<bool>({2}, {true, false}), x, x}), {kTiny, -kTiny});
  expect(run(kLeakyRelu, {x}), {kTiny, -kTiny});
  expect(run(kConcat, {x, x}, {{"axis", int64_t{0}}}), {kTiny, -kTiny, kTiny, -kTiny});
  expect(run(kTranspose, {x}), {kTiny, -kTiny});
}

}  // namespace
}  // namespace cupel::ops
