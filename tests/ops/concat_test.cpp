// Concat: elements in place, codes against the formula of Requantize, shapes with a symbolic batch.
#include <cmath>

#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kConcat;

const Dim kBatch(1, "batch");

TEST(Concat, EveryAxisAndWidth) {
  for (DType type : kMovedTypes)
    for (size_t axis = 0; axis < 3; ++axis) {
      const Dims base = {21, 40, 33};
      std::vector<Operand> operands;
      std::vector<Tensor> parts;
      for (int64_t size : {3, 0, 1, 60}) {
        Dims dims = base;
        dims[axis] = size;
        parts.push_back(random_codes(type, dims, static_cast<uint32_t>(size)));
        operands.emplace_back(parts.back());
      }
      const Tensor y = run(kConcat, operands, {{"axis", static_cast<int64_t>(axis)}});
      Dims dims = base;
      dims[axis] = 64;
      ASSERT_EQ(y.dims(), dims);
      int64_t begin = 0;
      const auto bytes = static_cast<size_t>(dtype_bits(type) / 8);
      for (const Tensor& part : parts) {
        for (int64_t i = 0; i < part.size(); ++i) {
          Dims index(3);
          int64_t rest = i;
          for (size_t k = 3; k-- > 0; rest /= part.dims()[k]) index[k] = rest % part.dims()[k];
          index[axis] += begin;
          ASSERT_EQ(std::memcmp(part.bytes().data() + static_cast<size_t>(i) * bytes,
                                y.bytes().data() + static_cast<size_t>(flat_index(index, dims)) * bytes, bytes),
                    0);
        }
        begin += part.dims()[axis];
      }
    }
}

// docs/quantization.md 1 and 3, written again.
int requantized(int code, float sx, int zx, float sy, int zy, int low, int high) {
  const float m = static_cast<float>(static_cast<double>(sx) / static_cast<double>(sy));
  const double v = static_cast<float>(code - zx) * m;
  return static_cast<int>(std::nearbyint(std::min(std::max(v, double(low - zy)), double(high - zy)))) + zy;
}

TEST(Concat, CodesTakeTheParametersOfTheResult) {
  const Tensor a = random_codes(DType::u8, {40, 3, 50}, 1), b = random_codes(DType::u8, {40, 5, 50}, 2),
               s = random_codes(DType::s8, {40, 2, 50}, 3);
  const std::vector<Operand> operands = {codes(a, 0.5f, 128), codes(b, 0.3f, 7), codes(s, 0.9f, -3)};
  const Tensor y = run(kConcat, operands, {{"axis", int64_t{-2}}}, {codes_type(DType::u8, {40, 10, 50}, 0.5f, 128)});
  ASSERT_EQ(y.dims(), (Dims{40, 10, 50}));
  for (int64_t i = 0; i < y.size(); ++i) {
    const int64_t n = i / 500, c = i / 50 % 10, k = i % 50;
    const int got = y.data<uint8_t>()[static_cast<size_t>(i)];
    if (c < 3) {
      ASSERT_EQ(got, a.int_at((n * 3 + c) * 50 + k));
    } else if (c < 8) {
      ASSERT_EQ(got, requantized(static_cast<int>(b.int_at((n * 5 + c - 3) * 50 + k)), 0.3f, 7, 0.5f, 128, 0, 255));
    } else {
      ASSERT_EQ(got, requantized(static_cast<int>(s.int_at((n * 2 + c - 8) * 50 + k)), 0.9f, -3, 0.5f, 128, 0, 255));
    }
  }
  // 99 − 7 = 92 steps of 0.3 are 55.2 steps of 0.5; saturation at both ends.
  const Tensor x = Tensor::of<uint8_t>({3}, {99, 0, 255});
  EXPECT_EQ(run(kConcat, {codes(x, 0.3f, 7)}, {{"axis", int64_t{0}}}, {codes_type(DType::s8, {3}, 0.5f, 0)}),
            Tensor::of<int8_t>({3}, {55, -4, 127}));
}

TEST(Concat, EqualScalesOfAnotherTypeAreRequantized) {
  const Tensor x = Tensor::of<int8_t>({3}, {-128, 0, 127});
  EXPECT_EQ(run(kConcat, {codes(x, 0.5f, 0)}, {{"axis", int64_t{0}}}, {codes_type(DType::u8, {3}, 0.5f, 0)}),
            Tensor::of<uint8_t>({3}, {0, 0, 127}));
}

TEST(Concat, Shapes) {
  const auto shape = [](std::vector<Operand> operands, int64_t axis) {
    return shape_of(kConcat, operands, {{"axis", axis}});
  };
  const TensorType x = reals_type({kBatch, 3});
  EXPECT_EQ(shape({x, reals_type({kBatch, 4})}, 1), "[batch,7]");
  EXPECT_EQ(shape({x, reals_type({Dim(2, "batch"), 3})}, 0), "[3*batch,3]");
  EXPECT_EQ(shape({x, reals_type({0, 3})}, 0), "[batch,3]");
  EXPECT_EQ(shape({x, reals_type({1, 3})}, 0),
            "unsupported; shape arithmetic: batch + 1 adds to a symbolic dimension\n"
            "  give its size with --dim or --shape");
  EXPECT_EQ(shape({x, reals_type({2, 4})}, 1),
            "bad input; operand 1 has shape [2,4], operand 0 has [batch,3]; they may differ in dimension 1 only\n"
            "  correct the model's shapes");
  EXPECT_EQ(shape({x, reals_type({kBatch})}, 0),
            "bad input; operand 1 has shape [batch], operand 0 has [batch,3]; they may differ in dimension 0 only\n"
            "  correct the model's shapes");
  EXPECT_EQ(shape({reals_type({})}, 0),
            "bad input; operand 0 is a scalar, expected at least one dimension\n  correct the model's shapes");
  EXPECT_EQ(shape({x, TensorType{DType::s64, {kBatch, 3}, {}}}, 1),
            "bad input; operand 1 is s64, operand 0 is f32\n  convert the operand");
  EXPECT_EQ(shape({x, Operand()}, 1), "bad input; operand 1 is missing\n  give every required operand");
  EXPECT_EQ(shape({x}, 2), "bad input; axis 2 is outside a tensor of rank 2\n  correct the attribute");
}

TEST(Concat, RefusedCodes) {
  const Attributes axis = {{"axis", int64_t{0}}};
  const TensorType x = codes_type(DType::u8, {3}, 0.5f, 1);
  EXPECT_EQ(shape_of(kConcat, {x, TensorType{DType::u8, {3}, {}}}, axis),
            "bad input; operand 1 is u8[3], operand 0 is u8[3] quant(scale=0.5, zero_point=1)\n"
            "  quantize all operands or none");
  EXPECT_EQ(shape_of(kConcat, {x}, axis),
            "bad input; an op on codes has no declared result type\n  give the result a quantized type");
  EXPECT_EQ(shape_of(kConcat, {codes_type(DType::s32, {3}, 0.5f, 0)}, axis),
            "unsupported; operand 0 is s32[3] quant(scale=0.5, zero_point=0), expected u8 or s8 codes with one scale\n"
            "  keep this op in float");
  EXPECT_EQ(
      message_of(infer_op(kConcat, {x}, axis, {TensorType{DType::u8, {3}, QuantParams{{1, 1, 1}, {0, 0, 0}, 0}}})),
      "unsupported; the result is u8[3] quant(axis=0, scale=1…, zero_point=0…), expected u8 or s8 codes with one "
      "scale\n  keep this op in float");
}

TEST(Concat, FoldsVectors) {
  EXPECT_EQ(contents_text(fold_op(kConcat, {known_shape({kBatch}), known({196, -1}), known({})})), "[batch,196,-1]");
  EXPECT_EQ(contents_text(fold_op(kConcat, {known({1}), integers({2})})), "unknown");
}

}  // namespace
}  // namespace cupel
