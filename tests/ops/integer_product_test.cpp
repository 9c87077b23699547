// MatMulInteger, ConvInteger: every sum against one of 64 bits over NumPy's indices.
#include "ops/op_table.h"
#include "run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kConvInteger;
using ops::kMatMulInteger;
using Ints = std::vector<int64_t>;

const Dim kBatch(1, "batch");

int64_t at(const Tensor& t, std::initializer_list<int64_t> index) {
  int64_t flat = 0;
  size_t d = 0;
  for (const int64_t i : index) flat = flat * t.dims()[d++] + i;
  return t.int_at(flat);
}

TEST(MatMulInteger, EveryTypeAndZeroPoint) {
  for (const DType type_a : {DType::u8, DType::s8})
    for (const DType type_b : {DType::u8, DType::s8})
      for (const bool listed : {false, true}) {
        // Longer than a block of the routine.
        const Tensor a = random_codes(type_a, {2, 1, 3, 300}, 1), b = random_codes(type_b, {4, 300, 5}, 2);
        const Tensor za = random_codes(type_a, listed ? Dims{3} : Dims{}, 3);
        const Tensor zb = random_codes(type_b, listed ? Dims{5} : Dims{1}, 4);
        const Tensor y = run(kMatMulInteger, {a, b, za, zb});
        ASSERT_EQ(y.dims(), (Dims{2, 4, 3, 5}));
        for (int64_t i = 0; i < 2; ++i)
          for (int64_t j = 0; j < 4; ++j)
            for (int64_t m = 0; m < 3; ++m)
              for (int64_t n = 0; n < 5; ++n) {
                int64_t sum = 0;
                for (int64_t k = 0; k < 300; ++k)
                  sum += (at(a, {i, 0, m, k}) - za.int_at(listed ? m : 0)) *
                         (at(b, {j, k, n}) - zb.int_at(listed ? n : 0));
                ASSERT_EQ(at(y, {i, j, m, n}), sum);
              }
      }
}

// Weights that are constants lie in panels: more rows, columns and depth than the routine takes at once.
TEST(MatMulInteger, ConstantWeightsInPanels) {
  constexpr int64_t kRows = 7, kDepth = 2051, kColumns = 301;
  for (const DType type_a : {DType::u8, DType::s8})
    for (const DType type_b : {DType::u8, DType::s8}) {
      const Tensor a = random_codes(type_a, {kRows, kDepth}, 1), b = random_codes(type_b, {kDepth, kColumns}, 2);
      const Tensor za = random_codes(type_a, {kRows}, 3), zb = random_codes(type_b, {kColumns}, 4);
      const Tensor y = run(kMatMulInteger, {a, constant(b), za, constant(zb)});
      for (int64_t m = 0; m < kRows; ++m)
        for (int64_t n = 0; n < kColumns; ++n) {
          int64_t sum = 0;
          for (int64_t k = 0; k < kDepth; ++k) sum += (at(a, {m, k}) - za.int_at(m)) * (at(b, {k, n}) - zb.int_at(n));
          ASSERT_EQ(at(y, {m, n}), sum) << m << " " << n;
        }
    }
}

TEST(MatMulInteger, VectorsEmptySumsAndOverflow) {
  const Tensor a = Tensor::of<uint8_t>({2}, {3, 255}), b = Tensor::of<int8_t>({2}, {-128, 127});
  EXPECT_EQ(run(kMatMulInteger, {a, b}), Tensor::scalar<int32_t>(-3 * 128 + 255 * 127));
  EXPECT_EQ(run(kMatMulInteger, {a, b.reshaped({2, 1}), Operand(), Tensor::scalar<int8_t>(-1)}),
            Tensor::of<int32_t>({1}, {-3 * 127 + 255 * 128}));
  EXPECT_EQ(run(kMatMulInteger, {Tensor(DType::u8, {2, 0}), Tensor(DType::u8, {0, 3})}), Tensor(DType::s32, {2, 3}));
  // 40,000 products of 255 · 255 pass 2^31 and wrap around.
  Tensor many(DType::u8, {40000});
  for (uint8_t& x : many.mutable_data<uint8_t>()) x = 255;
  const Tensor y = run(kMatMulInteger, {many, many});
  EXPECT_EQ(y.int_at(0), static_cast<int32_t>(static_cast<uint32_t>(int64_t{40000} * 255 * 255)));
}

TEST(MatMulInteger, Refusals) {
  const Operand a = TensorType{DType::u8, {kBatch, 3, 4}, {}}, b = TensorType{DType::s8, {4, 2}, {}};
  const auto zero = [](DType type, Shape shape) { return Operand(TensorType{type, std::move(shape), {}}); };
  EXPECT_EQ(infer_op(kMatMulInteger, {a, b})->at(0), (TensorType{DType::s32, {kBatch, 3, 2}, {}}));
  EXPECT_EQ(message_of(infer_op(kMatMulInteger, {a, b, zero(DType::u8, {2})})),
            "unsupported; zero points (operand 2) of shape [2]\n  give one, or one for each row or column");
  EXPECT_EQ(message_of(infer_op(kMatMulInteger, {a, b, zero(DType::s8, {})})),
            "bad input; operand 2 is s8, operand 0 is u8\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kMatMulInteger, {a, TensorType{DType::s8, {3, 2}, {}}})),
            "bad input; shapes [batch,3,4] and [3,2] do not multiply\n  correct the model's shapes");
}

TEST(ConvInteger, WindowsGroupsAndZeroPoints) {
  for (const DType type_x : {DType::u8, DType::s8})
    for (const DType type_w : {DType::u8, DType::s8}) {
      const Tensor x = random_codes(type_x, {2, 4, 7, 6}, 5), w = random_codes(type_w, {6, 2, 3, 2}, 6);
      const Tensor zx = random_codes(type_x, {}, 7), zw = random_codes(type_w, {6}, 8);
      const Attributes attributes = {
          {"group", int64_t{2}}, {"strides", Ints{2, 1}}, {"dilations", Ints{1, 3}}, {"pads", Ints{1, 2, 2, 0}}};
      const Tensor y = run(kConvInteger, {x, w, zx, zw}, attributes);
      ASSERT_EQ(y.dims(), (Dims{2, 6, 4, 5}));
      for (int64_t n = 0; n < 2; ++n)
        for (int64_t o = 0; o < 6; ++o)
          for (int64_t r = 0; r < 4; ++r)
            for (int64_t c = 0; c < 5; ++c) {
              int64_t sum = 0;
              for (int64_t k = 0; k < 2; ++k)
                for (int64_t v = 0; v < 3; ++v)
                  for (int64_t h = 0; h < 2; ++h) {
                    const int64_t row = r * 2 - 1 + v, column = c - 2 + h * 3;
                    if (row < 0 || row >= 7 || column < 0 || column >= 6) continue;
                    sum +=
                        (at(x, {n, o / 3 * 2 + k, row, column}) - zx.int_at(0)) * (at(w, {o, k, v, h}) - zw.int_at(o));
                  }
              ASSERT_EQ(at(y, {n, o, r, c}), sum) << n << " " << o << " " << r << " " << c;
            }
    }
}

TEST(ConvInteger, Refusals) {
  const Operand x = TensorType{DType::u8, {kBatch, 4, 7, 6}, {}}, w = TensorType{DType::s8, {6, 2, 3, 2}, {}};
  EXPECT_EQ(message_of(infer_op(kConvInteger, {x, w})),
            "bad input; 4 input channels, 1 groups and weights [6,2,3,2] do not fit\n  correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kConvInteger, {x, w, TensorType{DType::u8, {4}, {}}}, {{"group", int64_t{2}}})),
            "unsupported; zero points (operand 2) of shape [4]\n  give one, or one for each row or column");
}

}  // namespace
}  // namespace cupel
