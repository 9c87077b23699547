// Functions of one element: floats against double precision or by hand, codes against the formula of their table.
#include <cmath>
#include <functional>
#include <limits>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using namespace ops;

struct FunctionCase {
  const OpDef* op;
  std::function<double(double)> exact;
  double tolerance;  // relative to max(1, |exact|)
  Attributes attributes = {};
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double hard_sigmoid(double x, double alpha, double beta) { return std::fmax(0, std::fmin(1, alpha * x + beta)); }

const std::vector<FunctionCase>& functions() {
  static const std::vector<FunctionCase> kCases = {
      {&kRelu, [](double x) { return x > 0 ? x : 0; }, 0},
      {&kLeakyRelu, [](double x) { return x < 0 ? double{0.01f} * x : x; }, 1e-7},
      {&kLeakyRelu, [](double x) { return x < 0 ? 0.25 * x : x; }, 0, {{"alpha", 0.25f}}},
      {&kSigmoid, sigmoid, 4e-7},
      {&kHardSigmoid, [](double x) { return hard_sigmoid(x, 0.2, 0.5); }, 2e-7},
      {&kHardSigmoid, [](double x) { return hard_sigmoid(x, 0.5, 0.25); }, 0, {{"alpha", 0.5f}, {"beta", 0.25f}}},
      {&kHardSwish, [](double x) { return x * hard_sigmoid(x, 1.0 / 6, 0.5); }, 3e-7},
      {&kSilu, [](double x) { return x * sigmoid(x); }, 6e-7},
      {&kGelu, [](double x) { return x * 0.5 * (1 + std::erf(x * std::sqrt(0.5))); }, 6e-7},
      {&kGelu,
       [](double x) { return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); },
       1e-6,
       {{"approximate", std::string("tanh")}}},
      {&kTanh, [](double x) { return std::tanh(x); }, 4e-7},
      {&kErf, [](double x) { return std::erf(x); }, 4e-7},
      {&kSin, [](double x) { return std::sin(x); }, 2e-7},
      {&kCos, [](double x) { return std::cos(x); }, 2e-7},
      {&kTan, [](double x) { return std::tan(x); }, 5e-7},
      {&kAsin, [](double x) { return std::asin(x); }, 3e-7},
      {&kAcos, [](double x) { return std::acos(x); }, 3e-7},
      {&kAtan, [](double x) { return std::atan(x); }, 3e-7},
      {&kSinh, [](double x) { return std::sinh(x); }, 4e-7},
      {&kCosh, [](double x) { return std::cosh(x); }, 4e-7},
      {&kAsinh, [](double x) { return std::asinh(x); }, 4e-7},
      {&kAcosh, [](double x) { return std::acosh(x); }, 4e-7},
      {&kAtanh, [](double x) { return std::atanh(x); }, 4e-7},
      {&kElu, [](double x) { return x < 0 ? std::expm1(x) : x; }, 2e-7},
      {&kElu, [](double x) { return x < 0 ? 0.5 * std::expm1(x) : x; }, 2e-7, {{"alpha", 0.5f}}},
      {&kSelu, [](double x) { return double{1.05070102f} * (x < 0 ? double{1.67326319f} * std::expm1(x) : x); }, 4e-7},
      {&kSelu,
       [](double x) { return 2.0 * (x < 0 ? 0.25 * std::expm1(x) : x); },
       2e-7,
       {{"alpha", 0.25f}, {"gamma", 2.0f}}},
      {&kCelu, [](double x) { return x < 0 ? std::expm1(x) : x; }, 2e-7},
      {&kCelu, [](double x) { return x < 0 ? 2 * std::expm1(x / 2) : x; }, 3e-7, {{"alpha", 2.0f}}},
      {&kMish, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }, 6e-7},
      {&kThresholdedRelu, [](double x) { return x > 1 ? x : 0; }, 0},
      {&kThresholdedRelu, [](double x) { return x > -0.25 ? x : 0; }, 0, {{"alpha", -0.25f}}},
      {&kShrink, [](double x) { return std::fabs(x) > 0.5 ? x : 0; }, 0},
      {&kShrink,
       [](double x) { return x < -1.5  ? x + 0.25
                             : x > 1.5 ? x - 0.25
                                       : 0; },
       1e-7,
       {{"lambd", 1.5f}, {"bias", 0.25f}}},
      {&kSign, [](double x) { return x > 0   ? 1
                                     : x < 0 ? -1
                                             : 0; }, 0},
      {&kExp, [](double x) { return std::exp(x); }, 4e-7},
      {&kLog, [](double x) { return std::log(x); }, 4e-7},
      {&kSoftplus, [](double x) { return std::log1p(std::exp(x)); }, 6e-7},
      {&kSoftsign, [](double x) { return x / (1 + std::fabs(x)); }, 2e-7},
      {&kSqrt, [](double x) { return std::sqrt(x); }, 1e-7},
      {&kReciprocal, [](double x) { return 1 / x; }, 1e-7},
      {&kNeg, [](double x) { return -x; }, 0},
      {&kAbs, [](double x) { return std::fabs(x); }, 0},
      {&kFloor, [](double x) { return std::floor(x); }, 0},
      {&kCeil, [](double x) { return std::ceil(x); }, 0},
      {&kRound, [](double x) { return std::nearbyint(x); }, 0}};
  return kCases;
}

bool close(double a, double b, double tolerance) {
  if (std::isnan(b)) return std::isnan(a);
  if (std::isinf(b)) return a == b;
  return std::fabs(a - b) <= tolerance * std::fmax(1, std::fabs(b));
}

TEST(UnaryOps, EveryOneIsTestedHere) {
  for (const OpDef* op : all_ops())
    if (op->quant_rule == QuantRule::unary && op != &kClip) {
      EXPECT_TRUE(std::any_of(functions().begin(), functions().end(), [&](const auto& f) { return f.op == op; }))
          << op->name;
    }
}

TEST(UnaryOps, FloatsMeetTheirFunctions) {
  const Tensor x = random_reals({5, 4001, 2}, 9, -6, 6);
  for (const FunctionCase& f : functions()) {
    const Tensor y = run(*f.op, {x}, f.attributes);
    ASSERT_EQ(y.dims(), x.dims());
    for (int64_t i = 0; i < x.size(); ++i)
      ASSERT_TRUE(close(y.at(i), f.exact(x.at(i)), f.tolerance)) << f.op->name << "(" << x.at(i) << ") = " << y.at(i);
  }
}

TEST(UnaryOps, EmptyTensorsAndScalars) {
  for (const FunctionCase& f : functions()) {
    EXPECT_EQ(run(*f.op, {Tensor(DType::f32, {3, 0, 2})}, f.attributes).dims(), (Dims{3, 0, 2}));
    EXPECT_TRUE(close(run(*f.op, {Tensor::scalar(1.5f)}, f.attributes).at(0), f.exact(1.5), f.tolerance)) << f.op->name;
  }
}

TEST(UnaryOps, SpecialNumbers) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({4}, {kNan, -0.0f, kInfinity, -kInfinity});
  const auto relu = elements<float>(run(kRelu, {x}));
  EXPECT_TRUE(std::isnan(relu[0]));
  EXPECT_TRUE(std::signbit(relu[1]));
  EXPECT_EQ(relu[2], kInfinity);
  EXPECT_EQ(relu[3], 0);
  const auto reciprocal = elements<float>(run(kReciprocal, {x}));
  EXPECT_EQ(reciprocal[1], -kInfinity);
  EXPECT_EQ(reciprocal[2], 0);
  EXPECT_EQ(elements<float>(run(kRound, {Tensor::of<float>({5}, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f})})),
            (std::vector<float>{0, 2, 2, -0.0f, -2}));
}

int32_t naive_code(float v, int32_t zero_point, int32_t low, int32_t high) {
  if (std::isnan(v)) return low;
  const double code = std::nearbyint(static_cast<double>(v)) + zero_point;
  return static_cast<int32_t>(std::fmin(std::fmax(code, low), high));
}

// table[q] = to_code(f(f32(q − zx) · sx) · f32(1 / double(sy)), zy), with f taken from the op's float meaning.
void expect_table(const OpDef& op, std::vector<Operand> operands, const Attributes& attributes, DType in, int32_t zx,
                  float sx, DType out, int32_t zy, float sy) {
  Tensor q(in, {256}), reals(DType::f32, {256});
  for (size_t i = 0; i < 256; ++i) {
    q.mutable_bytes()[i] = static_cast<std::byte>(i);
    reals.mutable_data<float>()[i] = static_cast<float>(q.int_at(static_cast<int64_t>(i)) - zx) * sx;
  }
  operands.insert(operands.begin(), Operand(reals));
  const Tensor f = run(op, operands, attributes);
  operands[0] = codes(q, sx, zx);
  const Tensor y = run(op, operands, attributes, {codes_type(out, {}, sy, zy)});
  ASSERT_EQ(y.dtype(), out);
  const auto inverse = static_cast<float>(1.0 / static_cast<double>(sy));
  for (int64_t i = 0; i < 256; ++i)
    ASSERT_EQ(y.int_at(i), naive_code(f.data<float>()[static_cast<size_t>(i)] * inverse, zy,
                                      static_cast<int32_t>(dtype_min(out)), static_cast<int32_t>(dtype_max(out))))
        << op.name << " of code " << q.int_at(i);
}

TEST(UnaryOps, CodesFollowTheTable) {
  for (const FunctionCase& f : functions()) {
    expect_table(*f.op, {}, f.attributes, DType::u8, 113, 0.037f, DType::u8, 20, 0.021f);
    expect_table(*f.op, {}, f.attributes, DType::s8, -7, 0.05f, DType::u8, 0, 0.007f);
    expect_table(*f.op, {}, f.attributes, DType::u8, 0, 0.02f, DType::s8, 3, 0.04f);
  }
  expect_table(kClip, {constant(Tensor::scalar(-1.0f)), constant(Tensor::scalar(2.0f))}, {}, DType::u8, 113, 0.037f,
               DType::u8, 113, 0.037f);
  expect_table(kClip, {Operand(), constant(Tensor::scalar(0.5f))}, {}, DType::s8, 4, 0.037f, DType::s8, -4, 0.021f);
}

TEST(UnaryOps, ClipTakesEitherBoundOrNone) {
  const Tensor x = Tensor::of<float>({5}, {-2, -0.5f, 0, 1, 7});
  const Operand low = constant(Tensor::scalar(-1.0f)), high = constant(Tensor::of<float>({1}, {6}));
  EXPECT_EQ(elements<float>(run(kClip, {x, low, high})), (std::vector<float>{-1, -0.5f, 0, 1, 6}));
  EXPECT_EQ(elements<float>(run(kClip, {x, low})), (std::vector<float>{-1, -0.5f, 0, 1, 7}));
  EXPECT_EQ(elements<float>(run(kClip, {x, Operand(), high})), (std::vector<float>{-2, -0.5f, 0, 1, 6}));
  EXPECT_EQ(elements<float>(run(kClip, {x})), (std::vector<float>{-2, -0.5f, 0, 1, 7}));
  EXPECT_EQ(elements<float>(run(kClip, {x, high, low})),
            (std::vector<float>{-1, -1, -1, -1, -1}));  // the upper bound wins
  EXPECT_EQ(
      message_of(run_op(kClip, {x, Tensor::scalar(0.0f)})),
      "unsupported; the lower bound (operand 1) is computed at run time\n  export the model with constant bounds");
  EXPECT_EQ(message_of(run_op(kClip, {x, low, constant(x)})),
            "bad input; the upper bound (operand 2) has shape [5], expected one element\n  correct the model's shapes");
  EXPECT_EQ(message_of(run_op(kClip, {x, constant(Tensor::scalar<int64_t>(0))})),
            "bad input; operand 1 is s64, operand 0 is f32\n  convert the operand");
}

TEST(UnaryOps, TypesAreChecked) {
  const Dim batch(1, "batch");
  EXPECT_EQ((*infer_op(kTanh, {TensorType{DType::f32, {batch, 3}, {}}}))[0], (TensorType{DType::f32, {batch, 3}, {}}));
  EXPECT_EQ(message_of(infer_op(kTanh, {TensorType{DType::s64, {3}, {}}})),
            "bad input; operand 0 is s64, ONNX allows f32, f64, f16, bf16\n  convert the operand");
  const TensorType x = codes_type(DType::u8, {batch, 3}, 0.5f, 0);
  EXPECT_EQ(message_of(infer_op(kTanh, {x})),
            "bad input; an op on codes has no declared result type\n  give the result a quantized type");
  EXPECT_EQ(message_of(infer_op(kTanh, {x}, {}, {codes_type(DType::u16, {}, 0.5f, 0)})),
            "bad input; the result is declared as u16[batch,3] quant(scale=0.5, zero_point=0), expected u8 or s8 codes "
            "with one scale\n"
            "  give the result u8 or s8 codes with one scale");
  EXPECT_EQ(message_of(infer_op(kTanh, {codes_type(DType::s32, {3}, 0.5f, 0)}, {}, {x})),
            "unsupported; operand 0 holds s32[3] quant(scale=0.5, zero_point=0), expected u8 or s8 codes with one "
            "scale\n  keep this op in float");
  EXPECT_EQ(message_of(infer_op(kGelu, {TensorType{DType::f32, {3}, {}}}, {{"approximate", std::string("fast\n")}})),
            "bad input; approximate is \"fast\\x0a\", expected \"none\" or \"tanh\"\n  correct the attribute");
}

}  // namespace
}  // namespace cupel
