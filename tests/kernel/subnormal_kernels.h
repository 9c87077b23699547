// Kernels of one expression each on all triples of numbers around the least normal one: every operation on binary32,
// and what compilers like to make something else of.
#pragma once

#include <bit>
#include <string_view>
#include <vector>

#include "kernel/kernel_buffers.h"
#include "lower/builder.h"

namespace cupel {

struct SubnormalCase {
  std::string_view name;
  Scalar (*value)(Scalar x, Scalar y, Scalar z);
};

inline const std::vector<SubnormalCase>& subnormal_cases() {
  constexpr float kTiny = 0x1.8p-130f;  // a constant that is subnormal
  static const std::vector<SubnormalCase> cases = {
#define CUPEL_CASE(...) \
  {#__VA_ARGS__, [](Scalar x, Scalar y, Scalar z) -> Scalar { return (void)y, (void)z, __VA_ARGS__; }}
      CUPEL_CASE(x + y),
      CUPEL_CASE(x - y),
      CUPEL_CASE(x * y),
      CUPEL_CASE(x / y),
      CUPEL_CASE(fma(x, y, z)),
      CUPEL_CASE(sqrt(x)),
      CUPEL_CASE(floor(x)),
      CUPEL_CASE(ceil(x)),
      CUPEL_CASE(greater(x, y)),
      CUPEL_CASE(less(x, y)),
      CUPEL_CASE(-x),
      CUPEL_CASE(abs(x)),
      CUPEL_CASE(x),
      CUPEL_CASE(bits_f32(bits_s32(x))),
      CUPEL_CASE(to_f32(x > y)),
      CUPEL_CASE(to_f32(x < y)),
      CUPEL_CASE(to_f32(x == y)),
      CUPEL_CASE(to_f32(round_s32(less(greater(x, -9.0f), 9.0f)))),
      CUPEL_CASE(to_f32(truncate_s32(less(greater(x, -9.0f), 9.0f)))),
      CUPEL_CASE(select(x > y, x, y)),
      CUPEL_CASE(select(x < y, x, y)),
      CUPEL_CASE(select(x > y, y, x)),
      CUPEL_CASE(select(x < y, y, x)),
      CUPEL_CASE(select(x == y, x, y)),
      CUPEL_CASE(select(x == y, z, x)),
      CUPEL_CASE(select((x > y) | (x == y), x, y)),
      CUPEL_CASE(select((x < y) | (x == y), x, y)),
      CUPEL_CASE(select(x > 0.0f, x, 0.0f)),
      CUPEL_CASE(select(Scalar(0.0f) > x, 0.0f, x)),
      CUPEL_CASE(select(x < 0.0f, -x, x)),
      CUPEL_CASE(greater(0.0f, x)),
      CUPEL_CASE(less(x, 89.0f)),
      CUPEL_CASE(greater(x, kTiny)),
      CUPEL_CASE(less(kTiny, x)),
      CUPEL_CASE(x * 1.0f),
      CUPEL_CASE(Scalar(1.0f) * x),
      CUPEL_CASE(x * -1.0f),
      CUPEL_CASE(x / 1.0f),
      CUPEL_CASE(x / -1.0f),
      CUPEL_CASE(x / 2.0f),
      CUPEL_CASE(x * 0.5f),
      CUPEL_CASE(x + 0.0f),
      CUPEL_CASE(x + -0.0f),
      CUPEL_CASE(Scalar(-0.0f) + x),
      CUPEL_CASE(x - 0.0f),
      CUPEL_CASE(Scalar(0.0f) - x),
      CUPEL_CASE(Scalar(-0.0f) - x),
      CUPEL_CASE(fma(x, 1.0f, -0.0f)),
      CUPEL_CASE(fma(-1.0f, x, -0.0f)),
      CUPEL_CASE(fma(x, 1.0f, y)),
      CUPEL_CASE(fma(x, y, 0.0f)),
      CUPEL_CASE(fma(x, y, -0.0f)),
      CUPEL_CASE(abs(x) * 1.0f),
      CUPEL_CASE(-x * 1.0f),
      CUPEL_CASE(select(x > y, x, y) * 1.0f),
      CUPEL_CASE(x * kTiny),
      CUPEL_CASE(x + kTiny),
      CUPEL_CASE((x + y) - z),
      CUPEL_CASE((x * y) * z),
      CUPEL_CASE(x * 1.0f + y * 1.0f),
      CUPEL_CASE(exp(x)),
      CUPEL_CASE(log(x)),
#undef CUPEL_CASE
  };
  return cases;
}

// Zeros, subnormal numbers, what lies around 2^-126, numbers whose products and quotients fall there, infinity, NaN.
inline const std::vector<float>& subnormal_numbers() {
  static const std::vector<float> numbers = [] {
    std::vector<float> all;
    for (const uint32_t bits :
         {0x00000000u, 0x00000001u, 0x00012345u, 0x00400000u, 0x007fffffu, 0x00800000u, 0x00800001u, 0x01000000u,
          0x1f800000u, 0x20000001u, 0x3f7fffffu, 0x3f800000u, 0x42aeac50u, 0x7e800000u, 0x7f800000u})
      for (const uint32_t sign : {0u, 0x80000000u}) all.push_back(std::bit_cast<float>(bits | sign));
    all.push_back(std::bit_cast<float>(0x7fc00000u));
    return all;
  }();
  return numbers;
}

// A map of the case's expression over all triples.
inline RandomKernel make_subnormal_kernel(const SubnormalCase& one) {
  const std::vector<float>& numbers = subnormal_numbers();
  const auto n = static_cast<int64_t>(numbers.size()), count = n * n * n;
  ExprBuilder b;
  MapSpec spec;
  spec.space = {n, n * n};
  const Access access{.dtype = DType::f32, .item_stride = 4 * count, .strides = {4 * n * n, 4}};
  spec.operands = {access, access, access};
  spec.out = access;
  spec.value = b.finish(one.value(b.operand(0, DType::f32), b.operand(1, DType::f32), b.operand(2, DType::f32)));
  RandomKernel random;
  random.kernel = {std::move(spec), MapSchedule()};
  for (int i = 0; i < 4; ++i) random.buffers.emplace_back(4 * count + 64);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t k = 0, at = i; k < 3; ++k, at /= n)
      std::memcpy(random.buffers[static_cast<size_t>(k + 1)].data() + 4 * i, &numbers[static_cast<size_t>(at % n)], 4);
  random.initial = random.buffers[0];
  return random;
}

}  // namespace cupel
