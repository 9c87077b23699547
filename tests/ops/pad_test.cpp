// Pad: every mode against an index rule written again, cropping, codes, refusals.
#include <algorithm>
#include <cmath>

#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kPad;

Attributes mode(const std::string& name) { return {{"mode", name}}; }

// The index in an axis of `size` that position i of the padded axis shows; −1: the constant. One step at a time.
int64_t shown(const std::string& mode, int64_t i, int64_t before, int64_t size) {
  int64_t j = i - before;
  if (j >= 0 && j < size) return j;
  if (mode == "edge") return std::clamp<int64_t>(j, 0, size - 1);
  if (mode == "wrap") {
    while (j < 0) j += size;
    while (j >= size) j -= size;
    return j;
  }
  if (mode == "reflect") return j < 0 ? -j : size - 1 - (j - (size - 1));
  return -1;
}

TEST(Pad, EveryModeAndWidth) {
  const Dims dims = {3, 4, 5, 6};
  const std::vector<std::vector<int64_t>> pads = {{0, 0, 2, 3, 0, 0, 3, 1}, {1, 2, 0, 0, 2, 1, 0, 0},
                                                  {2, 0, 0, 5, 0, 3, 4, 0}, {0, 0, 0, 0, 0, 0, 0, 0},
                                                  {1, 1, 1, 1, 1, 1, 1, 1}, {0, 3, 0, 0, 0, 0, 0, 0}};
  for (const char* name : {"constant", "edge", "reflect", "wrap"})
    for (DType type : kMovedTypes)
      for (const auto& p : pads) {
        const Tensor x = random_codes(type, dims, 1), value = random_codes(type, {}, 9);
        Dims wanted;
        for (size_t k = 0; k < 4; ++k) wanted.push_back(dims[k] + p[k] + p[k + 4]);
        expect_moved(
            x, run(kPad, {x, known(p), value}, mode(name)), wanted,
            [&](const Dims& i) -> int64_t {
              Dims own;
              for (size_t k = 0; k < 4; ++k) {
                own.push_back(shown(name, i[k], p[k], dims[k]));
                if (own.back() < 0) return -1;
              }
              return flat_index(own, dims);
            },
            value);
      }
}

TEST(Pad, LargeImagesTakeAllThreads) {
  const Tensor x = random_reals({2, 8, 60, 61}, 3);
  const Tensor y = run(kPad, {x, known({0, 0, 1, 1, 0, 0, 1, 1})});
  expect_moved(
      x, y, {2, 8, 62, 63},
      [&](const Dims& i) -> int64_t {
        if (i[2] == 0 || i[2] == 61 || i[3] == 0 || i[3] == 62) return -1;
        return flat_index({i[0], i[1], i[2] - 1, i[3] - 1}, x.dims());
      },
      Tensor::scalar<float>(0));
}

TEST(Pad, NegativePadsCropBeforeTheRestIsAdded) {
  const Tensor x = Tensor::of<float>({5}, {1, 2, 3, 4, 5});
  EXPECT_EQ(run(kPad, {x, known({-1, 2}), Tensor::scalar<float>(9)}), Tensor::of<float>({6}, {2, 3, 4, 5, 9, 9}));
  EXPECT_EQ(run(kPad, {x, known({2, -3})}, mode("edge")), Tensor::of<float>({4}, {1, 1, 1, 2}));
  EXPECT_EQ(run(kPad, {x, known({-2, 2})}, mode("reflect")), Tensor::of<float>({5}, {3, 4, 5, 4, 3}));
  EXPECT_EQ(run(kPad, {x, known({-2, -1})}), Tensor::of<float>({2}, {3, 4}));
  EXPECT_EQ(run(kPad, {x, known({-5, 0})}).dims(), (Dims{0}));
  EXPECT_EQ(run(kPad, {x, known({-5, 2})}), Tensor::of<float>({2}, {0, 0}));
}

TEST(Pad, AxesOperandAndScalars) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(run(kPad, {x, known({1, 0}), Operand(), known({-1})}), Tensor::of<float>({2, 3}, {0, 1, 2, 0, 3, 4}));
  EXPECT_EQ(run(kPad, {x, known({1, 0}), Tensor::of<float>({1}, {7}), known({0})}),
            Tensor::of<float>({3, 2}, {7, 7, 1, 2, 3, 4}));
  EXPECT_EQ(run(kPad, {Tensor::scalar<float>(3), known({})}), Tensor::scalar<float>(3));
  EXPECT_EQ(run(kPad, {Tensor(DType::f32, {0, 2}), known({1, 0, 1, 0}), Tensor::scalar<float>(5)}),
            Tensor::of<float>({2, 2}, {5, 5, 5, 5}));
}

TEST(Pad, CodesArePaddedWithTheCodeOfTheRealNumber) {
  const Tensor x = Tensor::of<uint8_t>({2}, {10, 250}), s = Tensor::of<int8_t>({2}, {-100, 100});
  EXPECT_EQ(run(kPad, {codes(x, 0.5f, 128), known({1, 1})}), Tensor::of<uint8_t>({4}, {128, 10, 250, 128}));
  EXPECT_EQ(run(kPad, {codes(s, 0.5f, -3), known({1, 1}), Tensor::scalar<float>(0)}),
            Tensor::of<int8_t>({4}, {-3, -100, 100, -3}));
  EXPECT_EQ(run(kPad, {codes(x, 0.5f, 128), known({1, 0}), Tensor::scalar<float>(-2.25f)}),
            Tensor::of<uint8_t>({3}, {124, 10, 250}));  // −4.5 steps, ties to even
  EXPECT_EQ(run(kPad, {codes(x, 0.5f, 128), known({1, 0}), Tensor::scalar<float>(-INFINITY)}),
            Tensor::of<uint8_t>({3}, {0, 10, 250}));
  EXPECT_EQ(run(kPad, {codes(x, 0.5f, 128), known({0, 1}), codes(Tensor::scalar<uint8_t>(77), 0.5f, 128)}),
            Tensor::of<uint8_t>({3}, {10, 250, 77}));
  const Tensor wide = Tensor::of<int16_t>({1}, {-30000});
  EXPECT_EQ(run(kPad, {codes(wide, 0.5f, -1000), known({1, 0})}), Tensor::of<int16_t>({2}, {-1000, -30000}));
  EXPECT_EQ(shape_of(kPad, {codes(x, 0.5f, 128), known({1, 1}), Tensor::scalar<uint8_t>(0)}),
            "bad input; the value (operand 2) is u8[], the operand is u8[2] quant(scale=0.5, zero_point=128)\n"
            "  give the value as a real number or with the operand's parameters");
}

TEST(Pad, ShapesAndRefusals) {
  const TensorType x = reals_type({Dim(1, "batch"), 3, 4});
  EXPECT_EQ(shape_of(kPad, {x, known({0, 1, 2, 0, 0, -3})}), "[batch,4,3]");
  EXPECT_EQ(shape_of(kPad, {x, known({1, 0, 0, 0, 0, 0})}),
            "unsupported; the symbolic dimension batch is padded\n  export the model with that dimension constant");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 0, 0})}),
            "bad input; 4 pads for 3 axes, expected 6\n  export the model again");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0}), Operand(), known({3})}),
            "bad input; axis 3 is outside a tensor of rank 3\n  correct the attribute");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 0, 0}), Operand(), known({1, -2})}),
            "bad input; axis 1 is given twice\n  export the model again");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 4, 0, 0, 0})}, mode("reflect")),
            "bad input; pads 4 and 0 ask for more than the 4 elements of dimension 2\n  correct the pads");
  EXPECT_EQ(shape_of(kPad, {reals_type({0}), known({1, 0})}, mode("edge")),
            "bad input; pads 1 and 0 ask for more than the 0 elements of dimension 0\n  correct the pads");
  EXPECT_EQ(shape_of(kPad, {x, known({0, -2, 0, 0, -2, 0})}),
            "bad input; pads -2 and -2 remove more than the 3 elements of dimension 1\n  correct the pads");
  EXPECT_EQ(
      shape_of(kPad, {x, known({0, INT64_MIN, 0, 0, 0, 0})}),
      "bad input; pads -9223372036854775808 and 0 remove more than the 3 elements of dimension 1\n  correct the pads");
  EXPECT_EQ(
      shape_of(kPad, {x, known({0, INT64_MAX, 0, 0, 0, 0})}),
      "resource; a pad of 9223372036854775807 exceeds the limit of 17179869184\n  use a model with smaller tensors");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 0, 0, 0, 0})}, mode("mirror")),
            "bad input; mode is none of constant, reflect, edge and wrap\n  correct the attribute");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 0, 0, 0, 0}), Tensor::scalar<int64_t>(0)}),
            "bad input; operand 2 is s64, operand 0 is f32\n  convert the operand");
  EXPECT_EQ(shape_of(kPad, {x, known({0, 0, 0, 0, 0, 0}), reals_type({2})}),
            "bad input; the value (operand 2) has shape [2], expected one element\n  export the model again");
}

}  // namespace
}  // namespace cupel
