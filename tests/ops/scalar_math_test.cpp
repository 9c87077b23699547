// The written float sequences: special values exactly, random inputs against double precision, and one result whatever
// the compiler makes of a loop. All 2^32 inputs are measured by scripts/check_scalar_math.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "base/more_scalar_math.h"
#include "ops/elementary_truths.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

using namespace truths;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
constexpr uint32_t kNan = 0x7fc00000u;

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }
float number(uint32_t pattern) { return std::bit_cast<float>(pattern); }

constexpr uint32_t kBlock = 4096;
using Block = std::array<float, kBlock>;

// Single calls, kept from being computed by the compiler, whose numbers may be subnormal, and one loop per function,
// compiled for three instruction sets; the widest that the machine has runs.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CUPEL_LOOP \
  [[gnu::noinline, gnu::optimize("O3"), gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]]
#else
#define CUPEL_LOOP [[gnu::noinline]]
#endif
#define CUPEL_FUNCTION(name, call)                             \
  [[gnu::noipa]] float name##_scalar(float x) { return call; } \
  CUPEL_LOOP void name##_loop(const Block& in, Block& out) {   \
    for (uint32_t i = 0; i < kBlock; ++i) {                    \
      const float x = in[i];                                   \
      out[i] = call;                                           \
    }                                                          \
  }
CUPEL_FUNCTION(exp, exp_f32(x))
CUPEL_FUNCTION(log, log_f32(x))
CUPEL_FUNCTION(erf, erf_f32(x))
CUPEL_FUNCTION(tanh, tanh_f32(x))
CUPEL_FUNCTION(sigmoid, sigmoid_f32(x))
CUPEL_FUNCTION(softplus, softplus_f32(x))
CUPEL_FUNCTION(silu, silu_f32(x))
CUPEL_FUNCTION(gelu, gelu_f32(x))
CUPEL_FUNCTION(gelu_tanh, gelu_tanh_f32(x))
CUPEL_FUNCTION(hard_sigmoid, hard_sigmoid_f32(x))
CUPEL_FUNCTION(hard_swish, hard_swish_f32(x))
CUPEL_FUNCTION(sin, scalar::sin_sequence(x))
CUPEL_FUNCTION(cos, scalar::cos_sequence(x))
CUPEL_FUNCTION(tan, scalar::tan_sequence(x))
CUPEL_FUNCTION(asin, scalar::asin_sequence(x))
CUPEL_FUNCTION(acos, scalar::acos_sequence(x))
CUPEL_FUNCTION(atan, scalar::atan_sequence(x))
CUPEL_FUNCTION(sinh, scalar::sinh_sequence(x))
CUPEL_FUNCTION(cosh, scalar::cosh_sequence(x))
CUPEL_FUNCTION(asinh, scalar::asinh_sequence(x))
CUPEL_FUNCTION(acosh, scalar::acosh_sequence(x))
CUPEL_FUNCTION(atanh, scalar::atanh_sequence(x))
CUPEL_FUNCTION(expm1, scalar::expm1_sequence(x))
CUPEL_FUNCTION(mish, scalar::mish_sequence(x))
CUPEL_FUNCTION(round_half_even, round_half_even_f32(x))
CUPEL_FUNCTION(floor, floor_f32(x))
CUPEL_FUNCTION(ceil, ceil_f32(x))
#undef CUPEL_FUNCTION
#undef CUPEL_LOOP

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double true_exp(double x) { return std::exp(x); }
double true_log(double x) { return std::log(x); }
double true_erf(double x) { return std::erf(x); }
double true_tanh(double x) { return std::tanh(x); }
double true_softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double true_silu(double x) { return x * sigmoid(x); }
double true_gelu(double x) { return x == 0.0 ? x : 0.5 * x * std::erfc(-x * 0.70710678118654752440); }
double true_gelu_tanh(double x) { return x * sigmoid(2.0 * 0.79788456080286535588 * x * (1.0 + 0.044715 * x * x)); }
double true_hard_sigmoid(double x) { return std::fmin(1.0, std::fmax(0.0, 0.2 * x + 0.5)); }
double true_hard_swish(double x) { return x * std::fmin(1.0, std::fmax(0.0, x / 6.0 + 0.5)); }
double true_mish(double x) { return x * std::tanh(x > 40 ? x : std::log1p(std::exp(x))); }

struct Row {
  const char* name;
  float (*scalar)(float);
  void (*loop)(const Block&, Block&);
  double (*truth)(double);
  double bound_ulp;       // error allowed in units in the last place of the true value, or
  double bound_absolute;  // error allowed against max(1, |true value|); the looser of the two holds
  uint64_t hash;          // of the results over sample_inputs()
};

constexpr Row kRows[] = {
    {"exp", exp_scalar, exp_loop, true_exp, 2.0, 0.0, 0x4102787dfa55733eu},
    {"log", log_scalar, log_loop, true_log, 2.0, 0.0, 0x50f2517bd1b0c1ceu},
    {"erf", erf_scalar, erf_loop, true_erf, 2.0, 0.0, 0xe0f9973eaa309123u},
    {"tanh", tanh_scalar, tanh_loop, true_tanh, 2.0, 0.0, 0x201f33f82e8efb29u},
    {"sigmoid", sigmoid_scalar, sigmoid_loop, sigmoid, 2.5, 0.0, 0x231e90f56bbc061eu},
    {"softplus", softplus_scalar, softplus_loop, true_softplus, 2.0, 0.0, 0xa9f3f8fd6aa05dbau},
    {"silu", silu_scalar, silu_loop, true_silu, 3.5, 0x1p-119, 0x61582278aad540cau},
    {"gelu", gelu_scalar, gelu_loop, true_gelu, 0.0, 0x1p-22, 0x773f04751f3e866bu},
    {"gelu_tanh", gelu_tanh_scalar, gelu_tanh_loop, true_gelu_tanh, 0.0, 0x1p-22, 0xbc4f0be6eb601447u},
    {"hard_sigmoid", hard_sigmoid_scalar, hard_sigmoid_loop, true_hard_sigmoid, 0.0, 0x1p-23, 0xf35f159ff9c4dc1cu},
    {"hard_swish", hard_swish_scalar, hard_swish_loop, true_hard_swish, 0.0, 0x1p-22, 0xe011e08c665cb948u},
    {"sin", sin_scalar, sin_loop, true_sin, 2.0, 0.0, 0xbe428b7c23903ec3u},
    {"cos", cos_scalar, cos_loop, true_cos, 2.0, 0.0, 0x9e0f7d6159069a6bu},
    {"tan", tan_scalar, tan_loop, true_tan, 3.5, 0.0, 0x7cda0eb5cf535b99u},
    {"asin", asin_scalar, asin_loop, true_asin, 2.5, 0.0, 0x7c2f528ac4b51228u},
    {"acos", acos_scalar, acos_loop, true_acos, 2.0, 0.0, 0x38b0df70b21837abu},
    {"atan", atan_scalar, atan_loop, true_atan, 2.0, 0.0, 0x2812dca754402bb6u},
    {"sinh", sinh_scalar, sinh_loop, true_sinh, 2.0, 0.0, 0x322c85ed1f318fc7u},
    {"cosh", cosh_scalar, cosh_loop, true_cosh, 2.0, 0.0, 0x2811f7320171e1a2u},
    {"asinh", asinh_scalar, asinh_loop, true_asinh, 3.0, 0.0, 0x906f53777d8a78e9u},
    {"acosh", acosh_scalar, acosh_loop, true_acosh, 3.0, 0.0, 0xa5796a6bf2d0327fu},
    {"atanh", atanh_scalar, atanh_loop, true_atanh, 3.0, 0.0, 0xe2909a6e6acc3a7au},
    {"expm1", expm1_scalar, expm1_loop, true_expm1, 1.5, 0.0, 0xd1e42d4092acd45fu},
    {"mish", mish_scalar, mish_loop, true_mish, 6.0, 0x1p-119, 0xba4e72908b2e50efu},
    {"round_half_even", round_half_even_scalar, round_half_even_loop, true_round, 0.0, 0.0, 0x433a849c0f8bf047u},
    {"floor", floor_scalar, floor_loop, true_floor, 0.0, 0.0, 0xd917a07f941c640fu},
    {"ceil", ceil_scalar, ceil_loop, true_ceil, 0.0, 0.0, 0x8bb07f5d7e3c7dffu},
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class ScalarMath : public testing::TestWithParam<Row> {
  const NetworkArithmetic arithmetic_;
};
class ScalarMathValues : public testing::Test {
  const NetworkArithmetic arithmetic_;
};
INSTANTIATE_TEST_SUITE_P(Every, ScalarMath, testing::ValuesIn(kRows),
                         [](const auto& row) { return std::string(row.param.name); });

// 2^18 patterns spread evenly over all bit patterns, then the edges of every exponent with both signs.
std::vector<float> sample_inputs() {
  std::vector<float> inputs;
  for (uint32_t i = 0; i < (1u << 18); ++i) inputs.push_back(number(i * 0x9e3779b1u));
  for (uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (uint32_t fraction : {0u, 1u, 0x3fffffu, 0x400000u, 0x7fffffu}) {
      for (uint32_t sign : {0u, 1u}) inputs.push_back(number(sign << 31 | exponent << 23 | fraction));
    }
  }
  inputs.resize((inputs.size() + kBlock - 1) / kBlock * kBlock, 0.5f);
  return inputs;
}

TEST_P(ScalarMath, LoopsGiveTheBitsOfSingleCalls) {
  const std::vector<float> inputs = sample_inputs();
  Block in;
  Block out;
  for (size_t first = 0; first < inputs.size(); first += kBlock) {
    for (uint32_t i = 0; i < kBlock; ++i) in[i] = inputs[first + i];
    GetParam().loop(in, out);
    for (uint32_t i = 0; i < kBlock; ++i) {
      ASSERT_EQ(bits(out[i]), bits(GetParam().scalar(in[i]))) << std::hex << bits(in[i]);
    }
  }
}

// A compiler or a flag that changes one bit of one result changes the hash (FNV-1a over 32-bit words).
TEST_P(ScalarMath, ResultsAreThePinnedOnes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const float input : sample_inputs()) {
    hash = (hash ^ bits(GetParam().scalar(input))) * 0x100000001b3u;
    hash ^= hash >> 32;
  }
  EXPECT_EQ(hash, GetParam().hash) << "0x" << std::hex << hash;
}

TEST_P(ScalarMath, EveryNanGivesTheCanonicalNan) {
  for (const uint32_t pattern : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_EQ(bits(GetParam().scalar(number(pattern))), kNan) << std::hex << pattern;
  }
}

TEST_P(ScalarMath, RandomInputsStayWithinTheBound) {
  constexpr double kOverflow = 0x1.ffffffp+127;  // from here on the nearest binary32 is infinity
  std::mt19937 random(20240229);
  for (int i = 0; i < 200000; ++i) {
    // Half of the inputs are any bit pattern, half lie between 2^-12 and 2^8, where the functions bend.
    const auto drawn = static_cast<uint32_t>(random());
    const float x = number(i % 2 == 0 ? drawn : (drawn & 0x807fffffu) | (115u + drawn % 20u) << 23);
    if (std::isnan(x) || std::isinf(x)) continue;
    const double truth = GetParam().truth(static_cast<double>(x));
    const float result = GetParam().scalar(x);
    if (std::isnan(truth)) {
      ASSERT_EQ(bits(result), kNan) << std::hex << bits(x);
      continue;
    }
    if (std::isinf(result)) {
      ASSERT_GE(std::fabs(truth), kOverflow) << std::hex << bits(x);
      ASSERT_EQ(std::signbit(result), std::signbit(truth)) << std::hex << bits(x);
      continue;
    }
    const double size = std::fabs(truth);
    ASSERT_LT(size, kOverflow) << std::hex << bits(x);
    if (size < 0x1.00000cp-126 && result == 0.0f) continue;  // below the normal numbers, or by a rounding
    const double ulp = std::ldexp(1.0, std::max(std::ilogb(size), -126) - 23);
    const double allowed = std::fmax(GetParam().bound_ulp * ulp, GetParam().bound_absolute * std::fmax(1.0, size));
    ASSERT_LE(std::fabs(static_cast<double>(result) - truth), allowed) << std::hex << bits(x);
  }
}

#define EXPECT_BITS(actual, expected) EXPECT_EQ(bits(actual), bits(expected))

TEST_F(ScalarMathValues, Exp) {
  EXPECT_BITS(exp_scalar(0.0f), 1.0f);
  EXPECT_BITS(exp_scalar(-0.0f), 1.0f);
  EXPECT_BITS(exp_scalar(1.0f), 0x1.5bf0a8p+1f);
  EXPECT_BITS(exp_scalar(kSmallest), 1.0f);
  EXPECT_BITS(exp_scalar(-kSmallest), 1.0f);
  EXPECT_BITS(exp_scalar(kInfinity), kInfinity);
  EXPECT_BITS(exp_scalar(-kInfinity), 0.0f);
  EXPECT_BITS(exp_scalar(kLargest), kInfinity);
  EXPECT_BITS(exp_scalar(-kLargest), 0.0f);
  EXPECT_BITS(exp_scalar(0x1.62e43p+6f), kInfinity);
  EXPECT_LT(exp_scalar(0x1.62e42ep+6f), kInfinity);
  EXPECT_BITS(exp_scalar(-0x1.5d58ap+6f), 0.0f);
  EXPECT_GE(exp_scalar(-0x1.5d589ep+6f), 0x1p-126f);
}

TEST_F(ScalarMathValues, Log) {
  EXPECT_BITS(log_scalar(1.0f), 0.0f);
  EXPECT_BITS(log_scalar(0.0f), -kInfinity);
  EXPECT_BITS(log_scalar(-0.0f), -kInfinity);
  EXPECT_BITS(log_scalar(kInfinity), kInfinity);
  EXPECT_EQ(bits(log_scalar(-kInfinity)), kNan);
  EXPECT_BITS(log_scalar(-kSmallest), -kInfinity);
  EXPECT_EQ(bits(log_scalar(-1.0f)), kNan);
  EXPECT_BITS(log_scalar(2.0f), 0x1.62e43p-1f);
  EXPECT_BITS(log_scalar(kSmallest), -kInfinity);
  EXPECT_BITS(log_scalar(0x1p-126f), -0x1.5d58ap+6f);
  EXPECT_BITS(log_scalar(kLargest), 0x1.62e43p+6f);
}

TEST_F(ScalarMathValues, OddFunctions) {
  for (float (*function)(float) : {erf_scalar, tanh_scalar}) {
    EXPECT_BITS(function(0.0f), 0.0f);
    EXPECT_BITS(function(-0.0f), -0.0f);
    EXPECT_BITS(function(kInfinity), 1.0f);
    EXPECT_BITS(function(-kInfinity), -1.0f);
    EXPECT_BITS(function(kLargest), 1.0f);
    EXPECT_BITS(function(-kLargest), -1.0f);
    EXPECT_BITS(function(kSmallest), 0.0f);
    EXPECT_BITS(function(-kSmallest), -0.0f);
    EXPECT_BITS(function(0x1.fffffcp-127f), 0.0f);
    for (const float x : sample_inputs()) {
      if (std::isnan(x)) continue;
      ASSERT_EQ(bits(function(-x)), bits(-function(x))) << std::hex << bits(x);
    }
  }
  EXPECT_LT(erf_scalar(3.9f), 1.0f);
  EXPECT_BITS(erf_scalar(3.94f), 1.0f);
  EXPECT_LT(tanh_scalar(9.0f), 1.0f);
  EXPECT_BITS(tanh_scalar(9.05f), 1.0f);
}

TEST_F(ScalarMathValues, CircularFunctions) {
  constexpr float kPi = 0x1.921fb6p+1f;
  EXPECT_BITS(cos_scalar(0.0f), 1.0f);
  EXPECT_BITS(sin_scalar(kPi), -0x1.777a5cp-24f);
  EXPECT_BITS(cos_scalar(kPi), -1.0f);
  EXPECT_BITS(sin_scalar(0x1.921fb6p+0f), 1.0f);
  EXPECT_EQ(bits(sin_scalar(0x1.000002p+20f)), kNan);
  EXPECT_EQ(bits(tan_scalar(kInfinity)), kNan);
  EXPECT_BITS(asin_scalar(1.0f), 0x1.921fb6p+0f);
  EXPECT_BITS(acos_scalar(1.0f), 0.0f);
  EXPECT_BITS(acos_scalar(-1.0f), kPi);
  EXPECT_EQ(bits(asin_scalar(1.0000001f)), kNan);
  EXPECT_EQ(bits(acos_scalar(-kInfinity)), kNan);
  EXPECT_BITS(atan_scalar(kInfinity), 0x1.921fb6p+0f);
  EXPECT_BITS(atan_scalar(-kInfinity), -0x1.921fb6p+0f);
  for (float (*function)(float) :
       {sin_scalar, tan_scalar, asin_scalar, atan_scalar, sinh_scalar, asinh_scalar, atanh_scalar, expm1_scalar}) {
    EXPECT_BITS(function(0.0f), 0.0f);
    EXPECT_BITS(function(-0.0f), -0.0f);
  }
}

TEST_F(ScalarMathValues, HyperbolicFunctions) {
  EXPECT_BITS(cosh_scalar(0.0f), 1.0f);
  EXPECT_LT(sinh_scalar(89.4f), kInfinity);
  EXPECT_BITS(sinh_scalar(-90.0f), -kInfinity);
  EXPECT_BITS(cosh_scalar(-kInfinity), kInfinity);
  EXPECT_BITS(asinh_scalar(-kInfinity), -kInfinity);
  EXPECT_BITS(acosh_scalar(1.0f), 0.0f);
  EXPECT_EQ(bits(acosh_scalar(0.99999994f)), kNan);
  EXPECT_EQ(bits(acosh_scalar(-kInfinity)), kNan);
  EXPECT_BITS(atanh_scalar(1.0f), kInfinity);
  EXPECT_BITS(atanh_scalar(-1.0f), -kInfinity);
  EXPECT_EQ(bits(atanh_scalar(2.0f)), kNan);
  EXPECT_BITS(expm1_scalar(-kInfinity), -1.0f);
}

[[gnu::noipa]] float power_scalar(float x, float y) { return scalar::general_power(x, y); }

// C's pow on every pair of special numbers, to 3 units in the last place of double precision on random ones.
TEST_F(ScalarMathValues, Powers) {
  const float nan = number(kNan);
  const std::array special = {0.0f,  -0.0f,  1.0f,       -1.0f,      kInfinity, -kInfinity, nan,
                              2.0f,  -2.0f,  3.0f,       -3.0f,      0.5f,      -0.5f,      4.5f,
                              1e30f, -1e30f, 16777217.f, 1.0000001f, 0.9999999f};
  for (const float x : special)
    for (const float y : special) {
      const float truth = std::pow(x, y), found = power_scalar(x, y);
      if (std::isnan(truth)) {
        EXPECT_EQ(bits(found), kNan) << x << " ^ " << y;
      } else {
        EXPECT_EQ(std::signbit(found), std::signbit(truth)) << x << " ^ " << y;
        EXPECT_TRUE(found == truth || std::fabs(found - truth) <= 4e-7f * std::fabs(truth)) << x << " ^ " << y;
      }
    }
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    const auto drawn = static_cast<uint32_t>(random());
    const float x = number((drawn & 0x007fffffu) | (97u + drawn % 60u) << 23);
    const float y = static_cast<float>(static_cast<int32_t>(random())) * (i % 2 == 0 ? 0x1p-29f : 0x1p-26f);
    const double truth = std::pow(static_cast<double>(x), static_cast<double>(y));
    if (truth < 0x1.00001p-126 || truth > 0x1.fffff0p+127) continue;
    const double ulp = std::ldexp(1.0, std::ilogb(truth) - 23);
    ASSERT_LE(std::fabs(static_cast<double>(power_scalar(x, y)) - truth), 3 * ulp) << x << " ^ " << y;
  }
}

TEST_F(ScalarMathValues, Activations) {
  EXPECT_BITS(sigmoid_scalar(0.0f), 0.5f);
  EXPECT_BITS(sigmoid_scalar(kInfinity), 1.0f);
  EXPECT_BITS(sigmoid_scalar(-kInfinity), 0.0f);
  EXPECT_BITS(softplus_scalar(0.0f), 0x1.62e43p-1f);
  EXPECT_BITS(softplus_scalar(kInfinity), kInfinity);
  EXPECT_BITS(softplus_scalar(-kInfinity), 0.0f);
  EXPECT_BITS(softplus_scalar(kLargest), kLargest);
  EXPECT_BITS(hard_sigmoid_scalar(-2.5f), 0.0f);
  EXPECT_BITS(hard_sigmoid_scalar(2.5f), 1.0f);
  EXPECT_BITS(hard_sigmoid_f32(1.0f, 0.25f, 0.25f), 0.5f);
  EXPECT_BITS(hard_sigmoid_scalar(kInfinity), 1.0f);
  EXPECT_BITS(hard_sigmoid_scalar(-kInfinity), 0.0f);
  EXPECT_BITS(hard_swish_scalar(3.0f), 3.0f);
  EXPECT_BITS(hard_swish_scalar(-3.0f), -0.0f);
  for (float (*function)(float) : {silu_scalar, gelu_scalar, gelu_tanh_scalar, hard_swish_scalar}) {
    EXPECT_BITS(function(0.0f), 0.0f);
    EXPECT_BITS(function(-0.0f), -0.0f);
    EXPECT_BITS(function(kInfinity), kInfinity);
    EXPECT_BITS(function(kLargest), kLargest);
    EXPECT_BITS(function(-kLargest), -0.0f);
    EXPECT_EQ(bits(function(-kInfinity)), kNan);
  }
}

TEST_F(ScalarMathValues, Rounding) {
  EXPECT_BITS(round_half_even_scalar(0.5f), 0.0f);
  EXPECT_BITS(round_half_even_scalar(-0.5f), -0.0f);
  EXPECT_BITS(round_half_even_scalar(1.5f), 2.0f);
  EXPECT_BITS(round_half_even_scalar(2.5f), 2.0f);
  EXPECT_BITS(round_half_even_scalar(-2.5f), -2.0f);
  EXPECT_BITS(round_half_even_scalar(0x1.fffffep-2f), 0.0f);
  EXPECT_BITS(round_half_even_scalar(0x1.fffffep+21f), 0x1p+22f);
  EXPECT_BITS(round_half_even_scalar(0x1.fffffep+22f), 0x1p+23f);
  EXPECT_BITS(round_half_even_scalar(0x1.000002p+23f), 0x1.000002p+23f);
  EXPECT_BITS(floor_scalar(-0.0f), -0.0f);
  EXPECT_BITS(floor_scalar(0.9f), 0.0f);
  EXPECT_BITS(floor_scalar(-kSmallest), -0.0f);
  EXPECT_BITS(floor_scalar(-0x1p-126f), -1.0f);
  EXPECT_BITS(ceil_scalar(-0.9f), -0.0f);
  EXPECT_BITS(ceil_scalar(kSmallest), 0.0f);
  EXPECT_BITS(ceil_scalar(0x1p-126f), 1.0f);
  for (float (*function)(float) : {round_half_even_scalar, floor_scalar, ceil_scalar}) {
    EXPECT_BITS(function(kInfinity), kInfinity);
    EXPECT_BITS(function(-kInfinity), -kInfinity);
    EXPECT_BITS(function(-0.0f), -0.0f);
    EXPECT_BITS(function(-kLargest), -kLargest);
  }
}

}  // namespace
}  // namespace cupel
