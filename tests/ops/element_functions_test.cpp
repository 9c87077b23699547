// Functions of elements that kernels have no expressions of: binary64 against the library, integers against arithmetic
// in more bits, and the ops that use them.
#include "runtime/element_functions.h"

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;

// Distance in units in the last place of the second.
double ulps(double found, double expected) {
  if (found == expected || (std::isnan(found) && std::isnan(expected))) return 0;
  const double unit =
      std::nextafter(std::fabs(expected), std::numeric_limits<double>::infinity()) - std::fabs(expected);
  return std::fabs(found - expected) / unit;
}

TEST(DoubleMath, ExpAndLogAreWithinTwoUnits) {
  std::mt19937_64 engine(1);
  std::uniform_real_distribution<double> exponent(-708, 709), power(-1021, 1023), near_one(0.9, 1.1);
  for (int i = 0; i < 200000; ++i) {
    const double x = exponent(engine);
    ASSERT_LE(ulps(scalar::exp_of(x), std::exp(x)), 2) << x;
    for (const double y : {std::exp2(power(engine)), near_one(engine)})
      ASSERT_LE(ulps(scalar::log_of(y), std::log(y)), 2) << y;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(scalar::exp_of(infinity), infinity);
  EXPECT_EQ(scalar::exp_of(-infinity), 0);
  EXPECT_EQ(scalar::exp_of(0), 1);
  EXPECT_TRUE(std::isnan(scalar::exp_of(std::nan(""))));
  EXPECT_EQ(scalar::log_of(infinity), infinity);
  EXPECT_EQ(scalar::log_of(0), -infinity);
  EXPECT_EQ(scalar::log_of(1), 0);
  EXPECT_TRUE(std::isnan(scalar::log_of(-1)));
}

TEST(DoubleMath, RemaindersAndRoundingsAreExact) {
  std::mt19937_64 engine(2);
  std::uniform_real_distribution<double> power(-300, 300), half(-8, 8);
  for (int i = 0; i < 100000; ++i) {
    const double a = std::exp2(power(engine)) * (engine() % 2 == 0 ? 1 : -1), b = std::exp2(power(engine));
    ASSERT_EQ(scalar::remainder_of(a, b), std::fmod(a, b)) << a << " " << b;
    const double x = engine() % 4 == 0 ? std::floor(half(engine)) + 0.5 : half(engine) * std::exp2(i % 60);
    ASSERT_EQ(scalar::floor_of(x), std::floor(x)) << x;
    ASSERT_EQ(scalar::ceil_of(x), std::ceil(x)) << x;
    ASSERT_EQ(scalar::round_of(x), std::nearbyint(x)) << x;
  }
  EXPECT_TRUE(std::signbit(scalar::round_of(-0.5)));
  EXPECT_TRUE(std::signbit(scalar::ceil_of(-0.5)));
  EXPECT_TRUE(std::isnan(scalar::remainder_of(1, 0)));
  EXPECT_EQ(scalar::remainder_of(1, std::numeric_limits<double>::infinity()), 1);
}

// Every pair of a short type, as arithmetic in 64 bits and the low bits of it.
template <class T>
void check_short_integers() {
  using F = ElementFunction;
  for (int64_t a = std::numeric_limits<T>::min(); a <= std::numeric_limits<T>::max(); ++a)
    for (int64_t b = std::numeric_limits<T>::min(); b <= std::numeric_limits<T>::max(); ++b) {
      const T x = static_cast<T>(a), y = static_cast<T>(b);
      ASSERT_EQ(function_of_two<F::add>(x, y), static_cast<T>(a + b));
      ASSERT_EQ(function_of_two<F::sub>(x, y), static_cast<T>(a - b));
      ASSERT_EQ(function_of_two<F::mul>(x, y), static_cast<T>(a * b));
      ASSERT_EQ(function_of_two<F::bit_xor>(x, y), static_cast<T>(a ^ b));
      if (b == 0) continue;
      ASSERT_EQ(function_of_two<F::div>(x, y), static_cast<T>(a / b));
      ASSERT_EQ(function_of_two<F::remainder>(x, y), static_cast<T>(a % b));
      const auto floored = static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
      ASSERT_EQ(function_of_two<F::modulo>(x, y), static_cast<T>(a - floored * b)) << a << " " << b;
    }
}

TEST(ElementFunctions, ShortIntegersWrapAround) {
  check_short_integers<int8_t>();
  check_short_integers<uint8_t>();
  EXPECT_EQ((function_of_two<ElementFunction::mul, uint16_t>(65535, 65535)), 1);
  EXPECT_EQ((function_of_two<ElementFunction::div, int64_t>(INT64_MIN, -1)), INT64_MIN);
  EXPECT_EQ((function_of_one<ElementFunction::negative, int16_t>(-32768)), -32768);
  EXPECT_EQ((function_of_two<ElementFunction::shift_left, uint8_t>(129, 1)), 2);
  EXPECT_EQ((function_of_two<ElementFunction::shift_left, uint32_t>(1, 32)), 0u);
  EXPECT_EQ((function_of_two<ElementFunction::shift_right, int8_t>(-128, 3)), -16);
  EXPECT_EQ((function_of_two<ElementFunction::shift_right, int32_t>(-5, 40)), -1);
  EXPECT_EQ((function_of_two<ElementFunction::shift_left, int16_t>(-5, -1)), 0);
  EXPECT_EQ((function_of_two<ElementFunction::shift_left, int8_t>(65, 1)), -126);
  EXPECT_EQ((function_of_two<ElementFunction::shift_right, uint64_t>(uint64_t{1} << 63, 63)), 1u);
}

TEST(ElementFunctions, OpsBroadcastThem) {
  const auto a = Tensor::of<uint8_t>({2, 1}, {7, 250}), b = Tensor::of<uint8_t>({3}, {1, 3, 16});
  const auto elements_of = [](const OpDef& op, const std::vector<Operand>& x, const Attributes& attributes = {}) {
    return elements<uint8_t>(run(op, x, attributes));
  };
  using Bytes = std::vector<uint8_t>;
  EXPECT_EQ(elements_of(ops::kAdd, {a, b}), (Bytes{8, 10, 23, 251, 253, 10}));
  EXPECT_EQ(elements_of(ops::kSub, {b, a}), (Bytes{250, 252, 9, 7, 9, 22}));
  EXPECT_EQ(elements_of(ops::kMod, {a, b}), (Bytes{0, 1, 7, 0, 1, 10}));
  EXPECT_EQ(elements_of(ops::kMax, {a, b, Tensor::of<uint8_t>({}, {9})}), (Bytes{9, 9, 16, 250, 250, 250}));
  EXPECT_EQ(elements_of(ops::kBitwiseAnd, {a, b}), (Bytes{1, 3, 0, 0, 2, 16}));
  EXPECT_EQ(elements_of(ops::kBitwiseOr, {a, b}), (Bytes{7, 7, 23, 251, 251, 250}));
  EXPECT_EQ(elements_of(ops::kBitwiseXor, {a, b}), (Bytes{6, 4, 23, 251, 249, 234}));
  EXPECT_EQ(elements_of(ops::kBitwiseNot, {a}), (Bytes{248, 5}));
  EXPECT_EQ(elements_of(ops::kBitShift, {a, b}, {{"direction", std::string("LEFT")}}), (Bytes{14, 56, 0, 244, 208, 0}));
  EXPECT_EQ(elements_of(ops::kBitShift, {a, b}, {{"direction", std::string("RIGHT")}}), (Bytes{3, 0, 0, 125, 31, 0}));
  EXPECT_EQ(
      elements_of(ops::kClip, {a, constant(Tensor::of<uint8_t>({}, {9})), constant(Tensor::of<uint8_t>({}, {99}))}),
      (Bytes{9, 99}));
  EXPECT_EQ(elements<double>(run(ops::kDiv, {Tensor::of<double>({2}, {1, -1}), Tensor::of<double>({}, {3})})),
            (std::vector<double>{1.0 / 3, -1.0 / 3}));
  EXPECT_EQ(elements<double>(run(ops::kMod, {Tensor::of<double>({2}, {-7.5, 7.5}), Tensor::of<double>({}, {2})},
                                 {{"fmod", int64_t{1}}})),
            (std::vector<double>{-1.5, 1.5}));
}

TEST(ElementFunctions, RefusalsNameTheType) {
  const auto x = Tensor::of<bool>({1}, {true});
  EXPECT_EQ(message_of(run_op(ops::kBitwiseAnd, {x, x})),
            "bad input; operand 0 is bool, ONNX allows u8, s8, u16, s16, u32, s32, u64, s64\n  convert the operand");
  const auto bytes = Tensor::of<uint8_t>({1}, {1});
  EXPECT_EQ(message_of(run_op(ops::kBitShift, {bytes, bytes}, {{"direction", std::string("UP")}})),
            "bad input; direction is \"UP\", expected LEFT or RIGHT\n  correct the attribute");
  EXPECT_EQ(message_of(run_op(ops::kMod, {bytes, Tensor::of<uint8_t>({1}, {0})})),
            "bad input; an integer is divided by 0: element 0 of item 0 of the batch\n  correct the data");
}

TEST(ElementFunctions, Reductions) {
  const Operand axis = constant(Tensor::of<int64_t>({1}, {1}));
  const auto x = Tensor::of<double>({2, 3}, {1e300, 1, -1e300, 0.1, 0.2, 0.3});
  EXPECT_EQ(elements<double>(run(ops::kReduceSum, {x, axis})), (std::vector<double>{0, 0.1 + 0.2 + 0.3}));
  EXPECT_EQ(elements<double>(run(ops::kReduceMean, {x, axis})), (std::vector<double>{0, (0.1 + 0.2 + 0.3) / 3}));
  EXPECT_EQ(elements<double>(run(ops::kReduceMax, {x, axis})), (std::vector<double>{1e300, 0.3}));
  const auto counts = Tensor::of<uint32_t>({2, 3}, {4000000000u, 1, 2, 3, 4, 5});
  EXPECT_EQ(elements<uint32_t>(run(ops::kReduceMin, {counts, axis})), (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(elements<uint32_t>(run(ops::kReduceProd, {counts, axis})),
            (std::vector<uint32_t>{static_cast<uint32_t>(8000000000u), 60}));
  const auto truths = Tensor::of<bool>({2, 2}, {true, false, true, true});
  EXPECT_EQ(run(ops::kReduceMax, {truths, axis}), Tensor::of<bool>({2, 1}, {true, true}));
  EXPECT_EQ(run(ops::kReduceMin, {truths, axis}), Tensor::of<bool>({2, 1}, {false, true}));
  EXPECT_EQ(run(ops::kReduceMin, {Tensor(DType::boolean, {2, 0}), axis}), Tensor::of<bool>({2, 1}, {true, true}));
}

}  // namespace
}  // namespace cupel
