// Add, Sub, Mul, Div, Pow, Max, Min: every element against a loop over indices, codes against their formula.
#include <cmath>
#include <functional>
#include <limits>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kAdd, ops::kDiv, ops::kMax, ops::kMin, ops::kMod, ops::kMul, ops::kPow, ops::kSub;

// The element of `t` that stands at position `at` of a result of dimensions `out`.
int64_t broadcast_index(const Dims& dims, const Dims& out, int64_t at) {
  int64_t index = 0, step = 1;
  for (size_t k = 0; k < out.size(); ++k) {
    const size_t d = out.size() - 1 - k;
    const int64_t i = at % out[d];
    at /= out[d];
    if (k >= dims.size()) continue;
    const int64_t extent = dims[dims.size() - 1 - k];
    if (extent != 1) index += i * step;
    step *= extent;
  }
  return index;
}

struct ShapesCase {
  Dims a, b, out;
};
const std::vector<ShapesCase> kShapes = {{{2, 3, 5, 7}, {2, 3, 5, 7}, {2, 3, 5, 7}},
                                         {{2, 3, 5, 7}, {3, 1, 1}, {2, 3, 5, 7}},
                                         {{3, 1, 1}, {2, 3, 5, 7}, {2, 3, 5, 7}},
                                         {{4, 1, 5}, {3, 1}, {4, 3, 5}},
                                         {{}, {6}, {6}},
                                         {{1, 1}, {}, {1, 1}},
                                         {{}, {}, {}},
                                         {{0, 3}, {3}, {0, 3}},
                                         {{2, 1, 4, 1}, {1, 3, 1, 5}, {2, 3, 4, 5}},
                                         {{7, 100, 100}, {100, 1}, {7, 100, 100}}};

TEST(BinaryOps, FloatArithmeticBroadcasts) {
  const std::vector<std::pair<const OpDef*, std::function<float(float, float)>>> rows = {
      {&kAdd, [](float a, float b) { return a + b; }},         {&kSub, [](float a, float b) { return a - b; }},
      {&kMul, [](float a, float b) { return a * b; }},         {&kDiv, [](float a, float b) { return a / b; }},
      {&kMax, [](float a, float b) { return a > b ? a : b; }}, {&kMin, [](float a, float b) { return a < b ? a : b; }}};
  for (const auto& [op, f] : rows)
    for (const ShapesCase& s : kShapes) {
      const Tensor a = random_reals(s.a, 1), b = random_reals(s.b, 2);
      const Tensor y = run(*op, {a, b});
      ASSERT_EQ(y.dims(), s.out) << op->name;
      for (int64_t i = 0; i < y.size(); ++i)
        ASSERT_EQ(y.data<float>()[static_cast<size_t>(i)],
                  f(a.data<float>()[static_cast<size_t>(broadcast_index(s.a, s.out, i))],
                    b.data<float>()[static_cast<size_t>(broadcast_index(s.b, s.out, i))]))
            << op->name << " " << to_text(s.a) << to_text(s.b) << " at " << i;
    }
}

TEST(BinaryOps, NanAndSignedZeroFollowTheWrittenComparison) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor a = Tensor::of<float>({4}, {nan, 1, -0.0f, 0.0f}), b = Tensor::of<float>({4}, {2, nan, 0.0f, -0.0f});
  const auto greatest = elements<float>(run(kMax, {a, b}));
  EXPECT_EQ(greatest[0], 2);
  EXPECT_TRUE(std::isnan(greatest[1]));
  EXPECT_FALSE(std::signbit(greatest[2]));
  EXPECT_TRUE(std::signbit(greatest[3]));
}

TEST(BinaryOps, IntegersWrapAndDivisionTruncates) {
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min(), kHigh = std::numeric_limits<int64_t>::max();
  const Tensor a = Tensor::of<int64_t>({6}, {7, -7, 7, -7, kLow, kHigh}),
               b = Tensor::of<int64_t>({6}, {2, 2, -2, -2, -1, 1});
  EXPECT_EQ(elements<int64_t>(run(kDiv, {a, b})), (std::vector<int64_t>{3, -3, -3, 3, kLow, kHigh}));
  EXPECT_EQ(elements<int64_t>(run(kAdd, {a, b})), (std::vector<int64_t>{9, -5, 5, -9, kHigh, kLow}));
  EXPECT_EQ(elements<int64_t>(run(kSub, {a, b})), (std::vector<int64_t>{5, -9, 9, -5, kLow + 1, kHigh - 1}));
  EXPECT_EQ(elements<int64_t>(run(kMul, {a, b})), (std::vector<int64_t>{14, -14, -14, 14, kLow, kHigh}));
  constexpr int32_t kLow32 = std::numeric_limits<int32_t>::min();
  EXPECT_EQ(elements<int32_t>(run(kDiv, {Tensor::of<int32_t>({2}, {kLow32, 9}), Tensor::of<int32_t>({}, {-1})})),
            (std::vector<int32_t>{kLow32, -9}));
  EXPECT_EQ(message_of(run_op(kDiv, {a, Tensor::of<int64_t>({6}, {1, 1, 0, 1, 1, 1})})),
            "bad input; an integer is divided by 0: element 2 of item 0 of the batch\n  correct the data");
  EXPECT_TRUE(std::isinf(elements<float>(run(kDiv, {Tensor::scalar(1.0f), Tensor::scalar(0.0f)}))[0]));
}

TEST(BinaryOps, MaxAndMinTakeAnyNumberOfOperands) {
  const Tensor a = Tensor::of<float>({3}, {1, 5, -2}), b = Tensor::of<float>({2, 1}, {0, 3}), c = Tensor::scalar(2.0f);
  EXPECT_EQ(elements<float>(run(kMax, {a})), (std::vector<float>{1, 5, -2}));
  const Tensor greatest = run(kMax, {a, b, c});
  EXPECT_EQ(greatest.dims(), (Dims{2, 3}));
  EXPECT_EQ(elements<float>(greatest), (std::vector<float>{2, 5, 2, 3, 5, 3}));
  EXPECT_EQ(elements<float>(run(kMin, {c, a, b})), (std::vector<float>{0, 0, -2, 1, 2, -2}));
  EXPECT_EQ(elements<int64_t>(run(kMin, {Tensor::of<int64_t>({2}, {4, -4}), Tensor::scalar<int64_t>(1)})),
            (std::vector<int64_t>{1, -4}));
}

int32_t naive_code(float v, int32_t zero_point, int32_t low, int32_t high) {
  if (std::isnan(v)) return low;
  const double code = std::nearbyint(static_cast<double>(v)) + zero_point;
  return static_cast<int32_t>(std::min<double>(std::max<double>(code, low), high));
}
int32_t code_at(const Tensor& t, int64_t i) { return static_cast<int32_t>(t.int_at(i)); }

TEST(BinaryOps, CodesFollowTheirFormula) {
  struct Parameters {
    DType dtype;
    float scale;
    int32_t zero;
  };
  const std::vector<std::array<Parameters, 3>> rows = {
      {{{DType::u8, 0.037f, 113}, {DType::u8, 0.011f, 7}, {DType::u8, 0.041f, 120}}},
      {{{DType::s8, 0.037f, -13}, {DType::u8, 0.2f, 255}, {DType::s8, 0.09f, 3}}},
      {{{DType::u8, 1e-3f, 0}, {DType::s8, 3e-3f, -128}, {DType::u8, 1e-4f, 0}}},  // saturates
  };
  for (const auto& [pa, pb, py] : rows)
    for (const ShapesCase& s : kShapes) {
      const Tensor a = random_codes(pa.dtype, s.a, 3), b = random_codes(pb.dtype, s.b, 4);
      const std::vector<TensorType> declared = {codes_type(py.dtype, {}, py.scale, py.zero)};
      const Tensor sum = run(kAdd, {codes(a, pa.scale, pa.zero), codes(b, pb.scale, pb.zero)}, {}, declared);
      const Tensor product = run(kMul, {codes(a, pa.scale, pa.zero), codes(b, pb.scale, pb.zero)}, {}, declared);
      ASSERT_EQ(sum.dims(), s.out);
      const double sa = pa.scale, sb = pb.scale, sy = py.scale;
      const auto ma = static_cast<float>(sa / sy), mb = static_cast<float>(sb / sy),
                 m = static_cast<float>(sa * sb / sy);
      const auto low = static_cast<int32_t>(dtype_min(py.dtype)), high = static_cast<int32_t>(dtype_max(py.dtype));
      for (int64_t i = 0; i < sum.size(); ++i) {
        const int32_t qa = code_at(a, broadcast_index(s.a, s.out, i)) - pa.zero,
                      qb = code_at(b, broadcast_index(s.b, s.out, i)) - pb.zero;
        const float t = static_cast<float>(qa) * ma;
        ASSERT_EQ(code_at(sum, i), naive_code(std::fma(static_cast<float>(qb), mb, t), py.zero, low, high)) << i;
        ASSERT_EQ(code_at(product, i), naive_code(static_cast<float>(qa * qb) * m, py.zero, low, high)) << i;
      }
    }
}

TEST(BinaryOps, PowKnowsItsExponents) {
  const Tensor x = Tensor::of<float>({4}, {2, -3, 0.25f, 1.1f});
  const auto power = [&](float e) { return elements<float>(run(kPow, {x, constant(Tensor::scalar(e))})); };
  EXPECT_EQ(power(2), (std::vector<float>{4, 9, 0.0625f, 1.1f * 1.1f}));
  EXPECT_EQ(power(3), (std::vector<float>{8, -27, 0.015625f, 1.1f * 1.1f * 1.1f}));
  EXPECT_EQ(power(1), (std::vector<float>{2, -3, 0.25f, 1.1f}));
  EXPECT_EQ(power(-1), (std::vector<float>{0.5f, 1.0f / -3.0f, 4, 1.0f / 1.1f}));
  EXPECT_EQ(power(0), (std::vector<float>{1, 1, 1, 1}));
  EXPECT_EQ(power(0.5f)[2], 0.5f);
  EXPECT_EQ(power(0.5f)[3], std::sqrt(1.1f));
  EXPECT_EQ(run(kPow, {x, constant(Tensor::of<int64_t>({1, 1}, {2}))}).dims(), (Dims{1, 4}));
}

TEST(BinaryOps, PowTakesAnyExponents) {
  const Tensor x = random_reals({2, 3, 5}, 3, 0.1f, 4), e = random_reals({3, 1}, 4, -3, 3);
  const Tensor y = run(kPow, {x, e});
  ASSERT_EQ(y.dims(), (Dims{2, 3, 5}));
  for (int64_t i = 0; i < y.size(); ++i) {
    const double truth = std::pow(x.at(i), e.at(i / 5 % 3));
    EXPECT_NEAR(y.at(i), truth, 4e-7 * truth);
  }
  // One exponent among several has its own form.
  const Tensor forms = Tensor::of<float>({6}, {2, 3, 0.5f, 1, -1, 0}), base = Tensor::scalar(1.1f);
  EXPECT_EQ(elements<float>(run(kPow, {base, forms})),
            (std::vector<float>{1.1f * 1.1f, 1.1f * 1.1f * 1.1f, std::sqrt(1.1f), 1.1f, 1.0f / 1.1f, 1}));
  EXPECT_EQ(elements<float>(run(kPow, {Tensor::of<float>({2}, {2, -2}), Tensor::of<int32_t>({2}, {10, 3})})),
            (std::vector<float>{1024, -8}));
}

TEST(BinaryOps, PowOfIntegersIsExact) {
  const Tensor x = Tensor::of<int64_t>({6}, {3, -3, 2, 1, -1, 0});
  EXPECT_EQ(elements<int64_t>(run(kPow, {x, Tensor::of<int64_t>({6}, {39, 3, 62, -5, -3, 0})})),
            (std::vector<int64_t>{4052555153018976267, -27, int64_t{1} << 62, 1, -1, 1}));
  EXPECT_EQ(elements<int64_t>(run(kPow, {x, Tensor::of<float>({6}, {4, 2, 0.5f, 7, 1, 2})})),
            (std::vector<int64_t>{81, 9, 1, 1, -1, 0}));
  EXPECT_EQ(elements<int32_t>(run(kPow, {Tensor::of<int32_t>({2}, {10, 65536}), Tensor::of<int64_t>({2}, {9, 2})})),
            (std::vector<int32_t>{1000000000, 0}));
  EXPECT_EQ(
      message_of(run_op(kPow, {Tensor::scalar(1.0f), Tensor(DType::u8, {2})})),
      "unsupported; the exponent (operand 1) is u8[2], expected f32, s32, s64, u32 or u64\n  convert the operand");
}

TEST(BinaryOps, ModHasTheSignOfEither) {
  const Tensor a = Tensor::of<int64_t>({4}, {7, -7, 7, -7}), b = Tensor::of<int64_t>({4}, {3, 3, -3, -3});
  const Attributes c_form = {{"fmod", int64_t{1}}};
  EXPECT_EQ(elements<int64_t>(run(kMod, {a, b})), (std::vector<int64_t>{1, 2, -2, -1}));
  EXPECT_EQ(elements<int64_t>(run(kMod, {a, b}, c_form)), (std::vector<int64_t>{1, -1, 1, -1}));
  const Tensor x = Tensor::of<float>({4}, {5.5f, -5.5f, 1e8f, 0x1p-126f});
  EXPECT_EQ(elements<float>(run(kMod, {x, Tensor::of<float>({4}, {2, 2, 3, 0x1.8p-126f})}, c_form)),
            (std::vector<float>{1.5f, -1.5f, 1, 0x1p-126f}));
  EXPECT_EQ(elements<float>(run(kMod, {Tensor::scalar(0x1.8p-126f), Tensor::scalar(0x1p-126f)}, c_form)),
            (std::vector<float>{0}));  // 2^-127 is a zero
  const float infinity = std::numeric_limits<float>::infinity();
  const auto signs = elements<float>(run(kMod, {Tensor::of<float>({7}, {5.5f, -5.5f, 5.5f, -5.5f, -4, 4, -1}),
                                                Tensor::of<float>({7}, {2, 2, -2, -2, 2, -2, infinity})}));
  EXPECT_EQ(signs, (std::vector<float>{1.5f, 0.5f, -0.5f, -1.5f, 0, 0, infinity}));
  EXPECT_FALSE(std::signbit(signs[4]));
  EXPECT_TRUE(std::signbit(signs[5]));
}

TEST(BinaryOps, TypesKeepSymbolsAndRefuseMixtures) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, 3, 1}, {}}, y{DType::f32, {4}, {}}, integers{DType::s64, {4}, {}};
  const TensorType q = codes_type(DType::u8, {batch, 3}, 0.5f, 0);
  EXPECT_EQ((*infer_op(kAdd, {x, y}))[0].shape, (Shape{batch, 3, 4}));
  EXPECT_EQ(message_of(infer_op(kAdd, {x, integers})),
            "bad input; operand 1 is s64, operand 0 is f32\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kAdd, {TensorType{DType::f64, {2}, {}}, y})),
            "bad input; operand 1 is f32, operand 0 is f64\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kAdd, {TensorType{DType::f32, {2, 3}, {}}, y})),
            "bad input; shapes [2,3] and [4] do not broadcast\n  correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kAdd, {q, q})),
            "bad input; an op on codes has no declared result type\n  give the result a quantized type");
  EXPECT_EQ(message_of(infer_op(kAdd, {q, x})),
            "bad input; operand 1 is f32 without a scale, expected u8 or s8 codes like the other operand\n  quantize "
            "all operands or none");
  EXPECT_EQ(message_of(infer_op(kMul, {q, q}, {}, {codes_type(DType::s32, {}, 0.5f, 0)})),
            "bad input; the result is declared as s32[batch,3] quant(scale=0.5, zero_point=0), expected u8 or s8 codes "
            "with one scale\n"
            "  give the result u8 or s8 codes with one scale");
  TensorType channels{DType::u8, {batch, 2}, QuantParams{{0.5f, 1.0f}, {0, 0}, 1}};
  EXPECT_EQ(message_of(infer_op(kMul, {q, channels}, {}, {q})),
            "unsupported; operand 1 holds u8[batch,2] quant(axis=1, scale=0.5…, zero_point=0…), expected u8 or s8 "
            "codes with one scale\n"
            "  keep this op in float");
  EXPECT_EQ(
      message_of(infer_op(kSub, {q, q}, {}, {q})),
      "unsupported; operand 0 holds u8[batch,3] quant(scale=0.5, zero_point=0), which this op does not take as codes\n"
      "  keep this op in float");
}

TEST(BinaryOps, ShapeArithmeticIsFolded) {
  const Dim batch(1, "batch");
  Operand shape(TensorType{DType::s64, {3}, {}});
  shape.contents = std::vector<Dim>{batch, 6, Dim(4, "batch")};
  const auto number = [](int64_t n) { return constant(Tensor::scalar<int64_t>(n)); };
  const auto numbers = [](std::initializer_list<int64_t> n) {
    return constant(Tensor::of<int64_t>({static_cast<int64_t>(n.size())}, n));
  };
  const auto folded = [](const OpDef& op, std::vector<Operand> operands) {
    auto result = fold_op(op, operands);
    EXPECT_TRUE(result) << message_of(result);
    return result ? *result : std::nullopt;
  };
  using Known = std::vector<Dim>;
  EXPECT_EQ(folded(kMul, {shape, number(3)}), (Known{Dim(3, "batch"), 18, Dim(12, "batch")}));
  EXPECT_EQ(folded(kAdd, {shape, numbers({0, 1, 0})}), (Known{batch, 7, Dim(4, "batch")}));
  EXPECT_EQ(folded(kSub, {shape, shape}), (Known{0, 0, 0}));
  EXPECT_EQ(folded(kDiv, {shape, numbers({1, 4, 2})}), (Known{batch, 1, Dim(2, "batch")}));
  EXPECT_EQ(folded(kDiv, {numbers({-7, 7}), number(2)}), (Known{-3, 3}));
  EXPECT_EQ(folded(kDiv, {shape, number(4)}), std::nullopt);
  EXPECT_EQ(folded(kAdd, {shape, number(1)}), std::nullopt);
  EXPECT_EQ(folded(kMul, {shape, shape}), std::nullopt);
  EXPECT_EQ(folded(kMax, {numbers({1, 9}), number(4), number(5)}), (Known{5, 9}));
  EXPECT_EQ(folded(kMin, {numbers({1, 9}), number(4)}), (Known{1, 4}));
  EXPECT_EQ(folded(kMin, {shape, number(4)}), std::nullopt);
  EXPECT_EQ(folded(kAdd, {Tensor::of<int64_t>({1}, {1}), number(4)}), std::nullopt);
  EXPECT_EQ(folded(kMul, {constant(Tensor::scalar<int32_t>(1 << 30)), constant(Tensor::scalar<int32_t>(4))}),
            std::nullopt);
  EXPECT_EQ(message_of(fold_op(kDiv, {shape, number(0)})),
            "bad input; an integer is divided by 0\n  correct the model");
  EXPECT_EQ(message_of(fold_op(kMul, {number(INT64_MAX), number(2)})),
            "resource; shape arithmetic: 9223372036854775807 * 2 exceeds 64 bits\n  use a model with smaller tensors");
}

}  // namespace
}  // namespace cupel
