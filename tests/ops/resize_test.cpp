// Resize by numbers worked out by hand from ONNX's definition, and by the rules that hold for all of them; ONNX's suite
// has the values of every mode.
#include <cmath>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kResize, ops::kResizeNearest;

const Attributes kLinear = {{"mode", "linear"}};

Tensor reals(Dims dims, std::initializer_list<float> values) { return Tensor::of<float>(std::move(dims), values); }
Operand scales(std::initializer_list<float> values) {
  return constant(Tensor::of<float>({static_cast<int64_t>(values.size())}, values));
}
Operand sizes(std::initializer_list<int64_t> values) {
  return constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

TEST(Resize, Linear) {
  const Tensor x = reals({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(run(kResize, {x, Operand(), scales({2, 2})}, kLinear),
            reals({4, 4}, {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4}));
  EXPECT_EQ(run(kResize, {x, Operand(), Operand(), sizes({3, 3})},
                {{"mode", "linear"}, {"coordinate_transformation_mode", "align_corners"}}),
            reals({3, 3}, {1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4}));
  EXPECT_EQ(run(kResize, {x, Operand(), scales({1, 2})},
                {{"mode", "linear"}, {"coordinate_transformation_mode", "asymmetric"}}),
            reals({2, 4}, {1, 1.5, 2, 2, 3, 3.5, 4, 4}));
}

TEST(Resize, CubicKeepsWhatIsHit) {
  // Half-pixel coordinates at a scale of 1/3 hit elements 1 and 4: their weight is 1, and the others' 0.
  EXPECT_EQ(run(kResize, {reals({6}, {5, 7, 1, 2, -3, 8}), Operand(), Operand(), sizes({2})}, {{"mode", "cubic"}}),
            reals({2}, {7, -3}));
}

TEST(Resize, AntialiasedMeans) {
  // Halving: weights 1/8, 3/8, 3/8, 1/8 of the elements around, which are repeated at the ends.
  EXPECT_EQ(run(kResize, {reals({4}, {8, 16, 32, 64}), Operand(), Operand(), sizes({2})},
                {{"mode", "linear"}, {"antialias", int64_t{1}}}),
            reals({2}, {14, 46}));
}

TEST(Resize, Crop) {
  const auto cropped = run(
      kResize, {reals({3}, {10, 20, 30}), constant(reals({2}, {0.5f, 1.5f})), Operand(), sizes({3})},
      {{"mode", "linear"}, {"coordinate_transformation_mode", "tf_crop_and_resize"}, {"extrapolation_value", -1.0f}});
  EXPECT_EQ(cropped, reals({3}, {20, 30, -1}));
  const Attributes nearest = {
      {"mode", "nearest"}, {"coordinate_transformation_mode", "tf_crop_and_resize"}, {"extrapolation_value", -1.0f}};
  const std::vector<Operand> operands = {reals({3}, {10, 20, 30}), constant(reals({2}, {0.5f, 1.5f})), Operand(),
                                         sizes({3})};
  EXPECT_EQ(run(kResize, operands, nearest), reals({3}, {20, 30, -1}));
  EXPECT_EQ(message_of(infer_op(kResizeNearest, operands, nearest)),
            "bad input; a crop is the operator Resize\n  correct the graph");
}

TEST(Resize, NearestModes) {
  const Tensor x = reals({4}, {1, 2, 3, 4});
  const auto nearest = [&](const char* mode) {
    return run(kResizeNearest, {x, Operand(), Operand(), sizes({2})},
               {{"mode", "nearest"}, {"nearest_mode", mode}});  // at 0.5 and 2.5
  };
  EXPECT_EQ(nearest("round_prefer_floor"), reals({2}, {1, 3}));
  EXPECT_EQ(nearest("round_prefer_ceil"), reals({2}, {2, 4}));
  EXPECT_EQ(nearest("floor"), reals({2}, {1, 3}));
  EXPECT_EQ(nearest("ceil"), reals({2}, {2, 4}));
}

TEST(Resize, NearestHasATapWhereTheWeightsOfOthersWouldBeLeftOut) {
  // At −0.25, 0.25, … 1.25 of two elements: floor asks for −1 first.
  const auto enlarged = run(kResizeNearest, {reals({2}, {1, 2}), Operand(), scales({2})},
                            {{"mode", "nearest"}, {"nearest_mode", "floor"}, {"exclude_outside", int64_t{1}}});
  EXPECT_EQ(enlarged, reals({4}, {1, 1, 1, 2}));
}

TEST(Resize, NearestMovesEveryType) {
  const auto enlarged =
      run(kResizeNearest, {Tensor::of<int64_t>({2}, {-1, int64_t{1} << 40}), Operand(), scales({2})},
          {{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"}});
  EXPECT_EQ(enlarged, Tensor::of<int64_t>({4}, {-1, -1, int64_t{1} << 40, int64_t{1} << 40}));
}

TEST(Resize, Shapes) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, 3, 5, 7}, {}};
  const auto shape_of = [&](const Operand& s, const Operand& n, Attributes attributes = {}) {
    attributes.emplace("mode", "linear");
    const auto types = infer_op(kResize, {x, Operand(), s, n}, attributes);
    return types ? to_text((*types)[0].shape) : message_of(types);
  };
  EXPECT_EQ(shape_of(scales({1, 1, 1.5f, 0.4f}), Operand()), "[batch,3,7,2]");
  EXPECT_EQ(shape_of(Operand(), sizes({10, 20}), {{"axes", std::vector<int64_t>{2, 3}}}), "[batch,3,10,20]");
  EXPECT_EQ(shape_of(Operand(), sizes({10, 20}),
                     {{"axes", std::vector<int64_t>{2, 3}}, {"keep_aspect_ratio_policy", "not_larger"}}),
            "[batch,3,10,14]");
  EXPECT_EQ(shape_of(Operand(), sizes({10, 20}),
                     {{"axes", std::vector<int64_t>{2, 3}}, {"keep_aspect_ratio_policy", "not_smaller"}}),
            "[batch,3,14,20]");
}

TEST(Resize, Refusals) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, 4}, {}};
  EXPECT_EQ(message_of(infer_op(kResize, {x}, kLinear)),
            "bad input; expected scales or sizes, one of the two\n  correct the model");
  EXPECT_EQ(message_of(infer_op(kResize, {x, Operand(), scales({2, 1})}, kLinear)),
            "unsupported; the symbolic dimension batch is resized\n  give its size with --dim or --shape");
  EXPECT_EQ(message_of(infer_op(kResize, {x, Operand(), scales({1, 0})}, kLinear)),
            "bad input; a scale is not above 0\n  correct the scales");
  EXPECT_EQ(message_of(infer_op(kResize, {x, Operand(), scales({1})}, kLinear)),
            "bad input; scales are f32[1], expected f32[2]\n  correct the scales");
  EXPECT_EQ(message_of(infer_op(kResize, {x, Operand(), scales({1, 2})}, {{"mode", "area"}})),
            "bad input; mode is area\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kResize, {x, Operand(), scales({1, 0x1p60f})}, kLinear)),
            "resource; the result is too large\n  use smaller scales");
}

}  // namespace
}  // namespace cupel
