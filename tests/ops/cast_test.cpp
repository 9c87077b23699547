// Cast: all pairs of types against an exact model in long double, rounding, refusals; ONNX's numbers of types.
#include <cmath>
#include <limits>

#include "ops/moved.h"
#include "ops/onnx_dtype.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kCast;

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::s8,  DType::u8,     DType::s16,
                            DType::u16, DType::s32, DType::u32, DType::s64,  DType::u64, DType::boolean};

Attributes to(DType type) { return {{"to", onnx_dtype(type)}}; }

Tensor cast(const Tensor& x, DType type) { return run(kCast, {x}, to(type)); }

TEST(Cast, SmallNumbersBetweenAllPairs) {
  // 0, 1, 2 and 100 are exact in every type but bool.
  const Tensor reals = Tensor::of<float>({4}, {0, 1, 2, 100});
  for (DType from : kTypes)
    for (DType type : kTypes) {
      const Tensor x = cast(reals, from), y = cast(x, type);
      ASSERT_EQ(y.dtype(), type);
      for (int64_t i = 0; i < 4; ++i) {
        double wanted = reals.at(i);
        if (from == DType::boolean || type == DType::boolean) wanted = wanted != 0;
        ASSERT_EQ(y.at(i), wanted) << dtype_name(from) << " to " << dtype_name(type);
      }
    }
}

TEST(Cast, ToIntegersTruncates) {
  const Tensor x = Tensor::of<float>({6}, {-1.9f, -0.99f, 0.99f, 1.5f, 2.5f, 126.99f});
  EXPECT_EQ(cast(x, DType::s8), Tensor::of<int8_t>({6}, {-1, 0, 0, 1, 2, 126}));
  EXPECT_EQ(cast(x, DType::s64), Tensor::of<int64_t>({6}, {-1, 0, 0, 1, 2, 126}));
  EXPECT_EQ(cast(Tensor::of<float>({3}, {-0.99f, 255.99f, 0}), DType::u8), Tensor::of<uint8_t>({3}, {0, 255, 0}));
  EXPECT_EQ(cast(Tensor::of<double>({2}, {-128.999, 127.999}), DType::s8), Tensor::of<int8_t>({2}, {-128, 127}));
  EXPECT_EQ(cast(Tensor::of<double>({2}, {-0x1p63, 0x1.fffffffffffffp62}), DType::s64),
            Tensor::of<int64_t>({2}, {INT64_MIN, INT64_MAX - 1023}));
  EXPECT_EQ(cast(Tensor::of<float>({1}, {-0x1p63f}), DType::s64), Tensor::of<int64_t>({1}, {INT64_MIN}));
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.fffffffffffffp63}), DType::u64),
            Tensor::of<uint64_t>({1}, {UINT64_MAX - 2047}));
}

// ONNX: integers keep their low bits. It leaves open what becomes of real numbers; see docs/quantization.md.
TEST(Cast, OutsideTheTypeIntegersWrapAndRealNumbersStopAtTheBounds) {
  EXPECT_EQ(cast(Tensor::of<int16_t>({2}, {200, -129}), DType::s8), Tensor::of<int8_t>({2}, {-56, 127}));
  EXPECT_EQ(cast(Tensor::of<int64_t>({2}, {256 + 7, -1}), DType::u8), Tensor::of<uint8_t>({2}, {7, 255}));
  EXPECT_EQ(cast(Tensor::of<int64_t>({1}, {-1}), DType::u64), Tensor::of<uint64_t>({1}, {UINT64_MAX}));
  EXPECT_EQ(cast(Tensor::of<uint64_t>({1}, {UINT64_MAX}), DType::s64), Tensor::of<int64_t>({1}, {-1}));
  EXPECT_EQ(cast(Tensor::of<float>({5}, {0, 256, -1, INFINITY, NAN}), DType::u8),
            Tensor::of<uint8_t>({5}, {0, 255, 0, 255, 0}));
  EXPECT_EQ(cast(Tensor::of<float>({4}, {-129, 128, -INFINITY, NAN}), DType::s8),
            Tensor::of<int8_t>({4}, {-128, 127, -128, -128}));
  EXPECT_EQ(cast(Tensor::of<float>({4}, {0x1p31f, -0x1.000002p31f, NAN, 0x1.fffffep30f}), DType::s32),
            Tensor::of<int32_t>({4}, {INT32_MAX, INT32_MIN, INT32_MIN, INT32_MAX - 127}));
  EXPECT_EQ(cast(Tensor::of<float>({3}, {INFINITY, -INFINITY, NAN}), DType::s64),
            Tensor::of<int64_t>({3}, {INT64_MAX, INT64_MIN, INT64_MIN}));
  EXPECT_EQ(cast(Tensor::of<double>({2}, {0x1p64, -0.5}), DType::u64), Tensor::of<uint64_t>({2}, {UINT64_MAX, 0}));
}

// The nearest number of `bits` significant bits, ties to even, for numbers in the normal range.
long double rounded(long double v, int bits) {
  if (v == 0) return 0;
  int exponent = 0;
  const long double mantissa = std::frexp(v, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(mantissa, bits)), exponent - bits);
}

TEST(Cast, IntegersToFloatsRoundOnce) {
  std::vector<int64_t> values;
  for (int shift = 0; shift < 63; ++shift)
    for (int64_t base : {int64_t{1} << shift, int64_t{3} << std::min(shift, 61)})
      for (int64_t d : {-3, -2, -1, 0, 1, 2, 3, 255, 257})
        for (int64_t e : {0, 8, 23, 38})
          if (const __int128 v = __int128{base} + (int64_t{d} << e); v > INT64_MIN && v < INT64_MAX) {
            values.push_back(static_cast<int64_t>(v));
            values.push_back(-static_cast<int64_t>(v));
          }
  const Tensor x = integers(values);
  const Tensor f64 = cast(x, DType::f64), f32 = cast(x, DType::f32), f16 = cast(x, DType::f16),
               bf16 = cast(x, DType::bf16);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const auto v = static_cast<long double>(values[i]);
    ASSERT_EQ(f64.at(at), static_cast<double>(rounded(v, 53))) << values[i];
    ASSERT_EQ(f32.at(at), static_cast<double>(rounded(v, 24))) << values[i];
    ASSERT_EQ(bf16.at(at), static_cast<double>(rounded(v, 8))) << values[i];
    const long double half = rounded(v, 11);
    ASSERT_EQ(f16.at(at),
              std::fabs(half) > 65504 ? std::copysign(INFINITY, static_cast<double>(v)) : static_cast<double>(half))
        << values[i];
  }
  const Tensor big = Tensor::of<uint64_t>({2}, {UINT64_MAX, 0x8080000000000001u});
  EXPECT_EQ(cast(big, DType::bf16).at(0), 0x1p64);
  EXPECT_EQ(cast(big, DType::bf16).at(1), 0x1.02p63);
}

TEST(Cast, DoublesToNarrowFloatsRoundOnce) {
  // In binary32 these round to a tie first; rounding twice would go to the even neighbour, away from the number.
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.0020000001p0}), DType::f16).at(0), 0x1.004p0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {-0x1.0020000001p0}), DType::f16).at(0), -0x1.004p0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.005ffffffp0}), DType::f16).at(0), 0x1.004p0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.0100000001p0}), DType::bf16).at(0), 0x1.02p0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.02ffffffffp0}), DType::bf16).at(0), 0x1.02p0);
  // Least subnormal of binary16 is 2^-24; half of it is a tie, to 0.
  EXPECT_EQ(cast(Tensor::of<double>({4}, {0x1p-25, 0x1.0000000001p-25, 0x1p-300, -0x1.8p-25}), DType::f16).at(0), 0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.0000000001p-25}), DType::f16).at(0), 0x1p-24);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {1e-300}), DType::f16).at(0), 0);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {1e300}), DType::f16).at(0), INFINITY);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {1e300}), DType::bf16).at(0), INFINITY);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {65519.999}), DType::f16).at(0), 65504);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {65520}), DType::f16).at(0), INFINITY);
  EXPECT_TRUE(std::isnan(cast(Tensor::of<double>({1}, {NAN}), DType::f16).at(0)));
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.0000010000001p0}), DType::f32).at(0), 0x1.000002p0);
}

TEST(Cast, EveryHalfGoesThroughEveryWiderFloat) {
  for (DType narrow : {DType::f16, DType::bf16}) {
    Tensor all(DType::u16, {65536});
    for (int64_t i = 0; i < 65536; ++i) all.mutable_data<uint16_t>()[static_cast<size_t>(i)] = static_cast<uint16_t>(i);
    const Tensor x = all.bit_cast_to(narrow);
    for (DType wide : {DType::f32, DType::f64}) {
      const Tensor back = cast(cast(x, wide), narrow).bit_cast_to(DType::u16);
      for (int64_t i = 0; i < 65536; ++i) {
        // Subnormal numbers of bfloat16 are zeros; those of binary16 are normal numbers of the wider types.
        const bool zero = narrow == DType::bf16 && (i & 0x7f80) == 0;
        ASSERT_TRUE(std::isnan(x.at(i)) || back.int_at(i) == (zero ? i & 0x8000 : i)) << dtype_name(narrow) << " " << i;
      }
    }
  }
}

TEST(Cast, EveryFloatOf8BitsGoesThroughEveryWiderFloat) {
  for (DType narrow : {DType::f8e4m3, DType::f8e5m2}) {
    Tensor all(DType::u8, {256});
    for (int64_t i = 0; i < 256; ++i) all.mutable_data<uint8_t>()[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
    const Tensor x = all.bit_cast_to(narrow);
    for (DType wide : {DType::f32, DType::f64, DType::f16, DType::bf16}) {
      const Tensor back = run(kCast, {cast(x, wide)}, {{"to", onnx_dtype(narrow)}, {"saturate", int64_t{0}}});
      for (int64_t i = 0; i < 256; ++i) {
        const auto bits = std::to_integer<int64_t>(back.bytes()[static_cast<size_t>(i)]);
        ASSERT_TRUE(std::isnan(x.at(i)) ? std::isnan(back.at(i)) : bits == i) << dtype_name(narrow) << " " << i;
      }
    }
  }
  // 1.0625 and the smallest bit: rounded once.
  EXPECT_EQ(cast(Tensor::of<double>({2}, {0x1.1000000001p0, 0x1.1p0}), DType::f8e4m3).at(0), 1.125);
  EXPECT_EQ(cast(Tensor::of<double>({1}, {0x1.1p0}), DType::f8e4m3).at(0), 1);
  EXPECT_EQ(cast(Tensor::of<int64_t>({2}, {1000, -1000}), DType::f8e4m3).at(1), -448);
}

TEST(Cast, ToBoolAnythingButZeroIsTrue) {
  EXPECT_EQ(cast(Tensor::of<float>({6}, {0, -0.0f, 1e-45f, NAN, -2, INFINITY}), DType::boolean),
            Tensor::of<bool>({6}, {false, false, false, true, true, true}));  // a subnormal number equals 0
  EXPECT_EQ(cast(Tensor::of<int32_t>({3}, {0, 256, -1}), DType::boolean), Tensor::of<bool>({3}, {false, true, true}));
}

TEST(Cast, Refusals) {
  const std::string remedy = "\n  cast between floats, bool and integers of 8 to 64 bits";
  EXPECT_EQ(shape_of(kCast, {reals_type({2})}, {{"to", int64_t{8}}}),
            "unsupported; a cast to ONNX's element type 8" + remedy);
  EXPECT_EQ(shape_of(kCast, {TensorType{DType::u4, {2}, {}}}, to(DType::u8)),
            "unsupported; a cast from u4 to u8" + remedy);
  EXPECT_EQ(shape_of(kCast, {codes_type(DType::u8, {2}, 0.5f, 0)}, to(DType::f32)),
            "bad input; the operand u8[2] quant(scale=0.5, zero_point=0) holds codes\n  dequantize it first");
}

TEST(Cast, FoldsIntegers) {
  const Operand shape = known_shape({Dim(1, "batch"), 300, -1});
  EXPECT_EQ(contents_text(fold_op(kCast, {shape}, to(DType::s32))), "[batch,300,-1]");
  EXPECT_EQ(contents_text(fold_op(kCast, {shape}, to(DType::s64))), "[batch,300,-1]");
  EXPECT_EQ(contents_text(fold_op(kCast, {shape}, to(DType::f32))), "unknown");
  EXPECT_EQ(contents_text(fold_op(kCast, {shape}, to(DType::s16))), "unknown");
  EXPECT_EQ(contents_text(fold_op(kCast, {known({300, 4})}, to(DType::s16))), "[300,4]");
  EXPECT_EQ(contents_text(fold_op(kCast, {known({300, 4})}, to(DType::u8))), "unknown");
  EXPECT_EQ(contents_text(fold_op(kCast, {known({300, 0, -1})}, to(DType::boolean))), "[1,0,1]");
}

TEST(OnnxTypes, NumbersGoBothWays) {
  int known_numbers = 0;
  for (int64_t number = -1; number < 64; ++number)
    if (const auto type = dtype_from_onnx(number)) {
      EXPECT_EQ(onnx_dtype(*type), number);
      ++known_numbers;
    }
  EXPECT_EQ(known_numbers, 17);
  EXPECT_EQ(dtype_from_onnx(1), DType::f32);
  EXPECT_EQ(dtype_from_onnx(7), DType::s64);
  EXPECT_EQ(dtype_from_onnx(8), std::nullopt);
}

}  // namespace
}  // namespace cupel
