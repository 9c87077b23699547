// What docs/quantization.md says of subnormal numbers, worked out without the setting that makes the units do it.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "kernel/scalar_lanes.h"
#include "kernel/subnormal_kernels.h"
#include "runtime/floating_point.h"

namespace cupel {
namespace {

bool is_subnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL; }
float zero_of(float x) { return is_subnormal(x) ? std::copysign(0.0f, x) : x; }

// The results of a case, by its evaluation.
std::vector<float> results_of(std::string_view name) {
  for (const SubnormalCase& one : subnormal_cases())
    if (one.name == name) {
      const RandomKernel random = make_subnormal_kernel(one);
      const AlignedBytes bytes = expected_result(random);
      std::vector<float> results(static_cast<size_t>(bytes.size() / 4 - 16));
      std::memcpy(results.data(), bytes.data(), results.size() * 4);
      return results;
    }
  ADD_FAILURE() << "no case " << name;
  return {};
}

// Calls check(x, y, z, result) for all triples.
void for_each_result(std::string_view name, const std::function<void(float, float, float, float)>& check) {
  const std::vector<float>& numbers = subnormal_numbers();
  const std::vector<float> results = results_of(name);
  for (size_t i = 0, n = numbers.size(); i < results.size(); ++i)
    check(numbers[i % n], numbers[i / n % n], numbers[i / n / n], results[i]);
}

TEST(Subnormals, OperandsAndResultsOfArithmeticAreZeros) {
  const std::pair<const char*, float (*)(float, float)> operations[] = {
      {"x + y", [](float x, float y) { return x + y; }},
      {"x - y", [](float x, float y) { return x - y; }},
      {"x * y", [](float x, float y) { return x * y; }},
      {"x / y", [](float x, float y) { return x / y; }},
      {"sqrt(x)", [](float x, float) { return std::sqrt(x); }},
      {"floor(x)", [](float x, float) { return std::floor(x); }},
      {"ceil(x)", [](float x, float) { return std::ceil(x); }},
      {"greater(x, y)", [](float x, float y) { return x > y ? x : y; }},
      {"less(x, y)", [](float x, float y) { return x < y ? x : y; }},
      {"x * 1.0f", [](float x, float) { return x; }},
      {"x - 0.0f", [](float x, float) { return x; }},
      {"to_f32(x > y)", [](float x, float y) { return x > y ? -1.0f : 0.0f; }},
      {"to_f32(x == y)", [](float x, float y) { return x == y ? -1.0f : 0.0f; }},
  };
  for (const auto& [name, operation] : operations)
    for_each_result(name, [&](float x, float y, float, float result) {
      // Rounding to the subnormal numbers may give 2^-126 where rounding to 24 bits does not.
      const float expected = zero_of(operation(zero_of(x), zero_of(y)));
      if (std::abs(expected) == 0x1p-126f && result == 0) return;
      ASSERT_TRUE(same_bytes(result, expected)) << name << ": " << x << " " << y;
    });
  for_each_result("fma(x, y, z)", [&](float x, float y, float z, float result) {
    const float expected = zero_of(std::fma(zero_of(x), zero_of(y), zero_of(z)));
    if (std::abs(expected) == 0x1p-126f && result == 0) return;
    ASSERT_TRUE(same_bytes(result, expected)) << x << " " << y << " " << z;
  });
}

TEST(Subnormals, MovesCopyBits) {
  for_each_result("x", [](float x, float, float, float result) { ASSERT_TRUE(same_bytes(result, x)); });
  for_each_result("-x", [](float x, float, float, float result) { ASSERT_TRUE(same_bytes(result, -x)); });
  for_each_result("abs(x)", [](float x, float, float, float result) { ASSERT_TRUE(same_bytes(result, std::abs(x))); });
  for_each_result("select(x > y, x, y)", [](float x, float y, float, float result) {
    ASSERT_TRUE(same_bytes(result, zero_of(x) > zero_of(y) ? x : y)) << x << " " << y;
  });
}

// Results are small when they are so after rounding, as x86 has it; AArch64's FZ looks before.
TEST(Subnormals, ResultsAreSmallAfterRounding) {
#if defined(__x86_64__)
  const auto fma_of = [](float x, float y, float z) {
    return std::bit_cast<float>(compute_constant(ScalarOp::fma, std::bit_cast<uint32_t>(x), std::bit_cast<uint32_t>(y),
                                                 std::bit_cast<uint32_t>(z)));
  };
  EXPECT_TRUE(same_bytes(fma_of(-0x1p-100f, 0x1p-50f, 0x1p-126f), 0.0f));       // 2^-126 − 2^-150 has 24 bits
  EXPECT_TRUE(same_bytes(fma_of(-0x1p-100f, 0x1p-51f, 0x1p-126f), 0x1p-126f));  // 2^-126 − 2^-151 rounds up
  EXPECT_TRUE(same_bytes(fma_of(0x1p-100f, 0x1p-50f, -0x1p-126f), -0.0f));
#else
  GTEST_SKIP() << "no x86";
#endif
}

// Constants fold as they would be computed.
TEST(Subnormals, ConstantsFoldAlike) {
  EXPECT_EQ((Scalar(0x1p-100f) * Scalar(0x1p-40f)).constant_bits(), 0u);
  EXPECT_EQ((Scalar(-0x1p-140f) * Scalar(0x1p+40f)).constant_bits(), 0x80000000u);
  EXPECT_EQ((Scalar(0x1p-140f) > Scalar(0.0f)).constant_bits(), 0u);
}

}  // namespace
}  // namespace cupel
