#include "base/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "base/tensor.h"

namespace cupel {
namespace {

constexpr std::array kAll = {DType::f32, DType::f64, DType::f16,     DType::bf16, DType::f8e4m3, DType::f8e5m2,
                             DType::u8,  DType::s8,  DType::u16,     DType::s16,  DType::u32,    DType::s32,
                             DType::u64, DType::s64, DType::boolean, DType::u4,   DType::s4};

TEST(DType, NamesComeBack) {
  for (DType t : kAll) EXPECT_EQ(dtype_from_name(dtype_name(t)), t);
  EXPECT_EQ(dtype_from_name("float"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
  EXPECT_EQ(dtype_from_name("f3"), std::nullopt);
}

TEST(DType, LimitsFitTheirBits) {
  for (DType t : kAll) {
    if (!is_integer(t) || dtype_bits(t) > 32) continue;
    const bool is_signed = dtype_name(t)[0] == 's';
    const int64_t count = int64_t{1} << dtype_bits(t);
    EXPECT_EQ(dtype_min(t), is_signed ? -count / 2 : 0) << dtype_name(t);
    EXPECT_EQ(dtype_max(t), is_signed ? count / 2 - 1 : count - 1) << dtype_name(t);
  }
  EXPECT_EQ(dtype_min(DType::boolean), 0);
  EXPECT_EQ(dtype_max(DType::boolean), 1);
}

// A second reading of the formats: sign, exponent and mantissa by the definition.
double real_of(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto exponent = static_cast<int>(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
  const double mantissa = bits & ((1u << mantissa_bits) - 1);
  const double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1)
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + std::ldexp(1.0, mantissa_bits), exponent - bias - mantissa_bits);
}

TEST(F16, EveryPatternIsReadAndWrittenBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const double expected = real_of(bits, 5, 10);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
      continue;
    }
    ASSERT_EQ(value, expected) << bits;
    ASSERT_EQ(std::signbit(value), bits >= 32768) << bits;
    ASSERT_EQ(f32_to_f16(value), bits);
  }
}

TEST(F16, HalfwayGoesToTheEvenNeighbour) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const double low = real_of(bits, 5, 10), high = real_of(bits + 1, 5, 10);
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(f32_to_f16(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 0)), bits) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 1e9f)), bits + 1) << bits;
    ASSERT_EQ(f32_to_f16(-std::nextafterf(middle, 1e9f)), 0x8000 + bits + 1) << bits;
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7c00);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::max()), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-26f), 0);
}

TEST(BF16, EveryPatternIsReadAndWrittenBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    const double expected = real_of(bits, 8, 7);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
      continue;
    }
    ASSERT_EQ(value, expected) << bits;
    ASSERT_EQ(f32_to_bf16(value), bits);
  }
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {
    const float middle = std::bit_cast<float>(bits << 16 | 0x8000u);
    ASSERT_EQ(f32_to_bf16(middle), bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(f32_to_bf16(std::nextafterf(middle, std::numeric_limits<float>::infinity())), bits + 1) << bits;
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(F8, PatternsMeanWhatTheFormatSays) {
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const auto byte = static_cast<uint8_t>(bits);
    // E4M3FN uses the top exponent for numbers: only its last mantissa is NaN.
    const bool top = (bits & 0x78) == 0x78;
    const double e4m3 = (bits & 0x7f) == 0x7f ? std::nan("")
                        : top                 ? (bits & 0x80 ? -1 : 1) * (256.0 + 32.0 * (bits & 7))
                                              : real_of(bits, 4, 3);
    const double e5m2 = real_of(bits, 5, 2);
    EXPECT_TRUE(f8e4m3_to_f32(byte) == e4m3 || (std::isnan(e4m3) && std::isnan(f8e4m3_to_f32(byte)))) << bits;
    EXPECT_TRUE(f8e5m2_to_f32(byte) == e5m2 || (std::isnan(e5m2) && std::isnan(f8e5m2_to_f32(byte)))) << bits;
  }
  EXPECT_EQ(f8e4m3_to_f32(0x7e), 448);
}

// The nearest of all numbers of the format, of two the one whose last bit is 0; beyond the greatest, half a step of
// which still belongs to it, there is none.
std::optional<uint8_t> nearest(double x, float (*read)(uint8_t), double greatest, double step) {
  if (std::fabs(x) > greatest + step / 2) return std::nullopt;
  std::optional<uint8_t> best;
  for (uint32_t bits = 0; bits < 256; ++bits) {
    const auto byte = static_cast<uint8_t>(bits);
    const double value = read(byte);
    if (!std::isfinite(value) || std::signbit(value) != std::signbit(x)) continue;
    const double apart = std::fabs(value - x), known = best ? std::fabs(read(*best) - x) : INFINITY;
    if (apart < known || (apart == known && (bits & 1) == 0)) best = byte;
  }
  return best;
}

TEST(F8, NumbersAreRoundedToTheNearest) {
  std::vector<float> numbers = {0.0f, -0.0f, 448, 464, 464.1f, 480, 1e30f, 57344, 61439.9f, 65536, 0x1p-10f, 0x1p-17f};
  for (uint32_t bits = 0; bits < 256; ++bits)
    for (const float factor : {1.0f, 1.0625f, 1.06f, 1.125f, 1.13f, 0.9375f, 1.5f, 0.5f}) {
      numbers.push_back(f8e4m3_to_f32(static_cast<uint8_t>(bits)) * factor);
      numbers.push_back(f8e5m2_to_f32(static_cast<uint8_t>(bits)) * factor);
    }
  for (const float x : numbers) {
    if (std::isnan(x)) {
      EXPECT_EQ(f32_to_f8e4m3(x, true) & 0x7f, 0x7f);
      EXPECT_TRUE(std::isnan(f8e5m2_to_f32(f32_to_f8e5m2(x, false))));
      continue;
    }
    const int sign = std::signbit(x) ? 0x80 : 0;
    // 464 lies in the middle, and 448 is even; of 61440 the greatest number, 57344, is odd.
    const auto four = nearest(x, f8e4m3_to_f32, 448, 32);
    EXPECT_EQ(f32_to_f8e4m3(x, true), four.value_or(static_cast<uint8_t>(sign | 0x7e))) << x;
    EXPECT_EQ(f32_to_f8e4m3(x, false), four.value_or(static_cast<uint8_t>(sign | 0x7f))) << x;
    const auto five = std::fabs(x) == 61440 ? std::nullopt : nearest(x, f8e5m2_to_f32, 57344, 8192);
    EXPECT_EQ(f32_to_f8e5m2(x, true), five.value_or(static_cast<uint8_t>(sign | 0x7b))) << x;
    EXPECT_EQ(f32_to_f8e5m2(x, false), five.value_or(static_cast<uint8_t>(sign | 0x7c))) << x;
  }
  EXPECT_EQ(f32_to_f8e4m3(INFINITY, true), 0x7e);
  EXPECT_EQ(f32_to_f8e5m2(-INFINITY, true), 0xfb);
}

TEST(Tensor, ElementsOfEveryTypeAreNumbers) {
  for (DType t : kAll) {
    Tensor tensor(t, {2});
    const auto width = static_cast<size_t>(std::max(1, dtype_bits(t) / 8));
    tensor.mutable_bytes()[0] = std::byte{0x21};  // two elements 1 and 2 of a 4-bit type
    EXPECT_TRUE(std::isfinite(tensor.at(0))) << dtype_name(t);
    if (is_integer(t) && dtype_bits(t) >= 8) {
      EXPECT_EQ(tensor.int_at(0), 0x21);
    }
    if (dtype_bits(t) == 4) {
      EXPECT_EQ(tensor.int_at(0), 1);
      EXPECT_EQ(tensor.int_at(1), 2);
      EXPECT_EQ(tensor.bytes().size(), 1u);
    } else {
      EXPECT_EQ(tensor.bytes().size(), 2 * width);
    }
  }
  Tensor nibbles(DType::s4, {3});
  nibbles.mutable_bytes()[0] = std::byte{0x8f};
  nibbles.mutable_bytes()[1] = std::byte{0x07};
  EXPECT_EQ(nibbles.int_at(0), -1);
  EXPECT_EQ(nibbles.int_at(1), -8);
  EXPECT_EQ(nibbles.int_at(2), 7);
}

TEST(Tensor, SharesRowsAndComparesBytes) {
  const Tensor t = Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor middle = t.rows(1, 2);
  EXPECT_EQ(middle, Tensor::of<float>({2, 2}, {3, 4, 5, 6}));
  EXPECT_EQ(middle.data<float>().data(), t.data<float>().data() + 2);
  EXPECT_EQ(t.rows(3, 0).size(), 0);
  EXPECT_EQ(t.reshaped({6}), Tensor::of<float>({6}, {1, 2, 3, 4, 5, 6}));
  EXPECT_FALSE(t == t.reshaped({6}));
  EXPECT_FALSE(Tensor::scalar(0.0f) == Tensor::scalar(-0.0f));
  EXPECT_EQ(Tensor::scalar(1.0f).bit_cast_to(DType::s32), Tensor::scalar<int32_t>(0x3f800000));
  EXPECT_TRUE(Tensor() == Tensor());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Tensor(DType::u8, {5}).bytes().data()) % 64, 0u);
}

}  // namespace
}  // namespace cupel
