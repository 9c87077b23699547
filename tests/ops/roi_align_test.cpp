// RoiAlign: interpolation is exact on planes, so that the mean of a cell's samples is the plane at its center.
#include <gtest/gtest.h>

#include "ops/op_table.h"
#include "run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kRoiAlign;

// [1, 2, height, width]: channel c is (c + 1) · (1 + 2 · row + 3 · column).
Tensor planes(int64_t height, int64_t width) {
  Tensor x(DType::f32, {1, 2, height, width});
  auto* out = x.mutable_data<float>().data();
  for (int64_t c = 0; c < 2; ++c)
    for (int64_t i = 0; i < height; ++i)
      for (int64_t k = 0; k < width; ++k) *out++ = static_cast<float>((c + 1) * (1 + 2 * i + 3 * k));
  return x;
}

TEST(RoiAlign, CellsOfAPlaneAreItsCenters) {
  const Tensor x = planes(12, 16), regions = Tensor::of<float>({2, 4}, {4, 2, 20, 18, 7, 5, 13, 8});
  const Tensor images = Tensor::of<int64_t>({2}, {0, -1});
  for (const int64_t samples : {0, 1, 3})
    for (const bool half : {true, false}) {
      Attributes attributes = {{"output_height", int64_t{3}},
                               {"output_width", int64_t{2}},
                               {"sampling_ratio", samples},
                               {"spatial_scale", 0.5f}};
      if (!half) attributes["coordinate_transformation_mode"] = std::string("output_half_pixel");
      const auto y = run_op(kRoiAlign, {x, regions, images}, attributes);
      ASSERT_TRUE(y) << y.error().message();
      ASSERT_EQ((*y)[0].dims(), (Dims{2, 2, 3, 2}));
      int64_t at = 0;
      for (int64_t r = 0; r < 2; ++r)
        for (int64_t c = 0; c < 2; ++c)
          for (int64_t p = 0; p < 3; ++p)
            for (int64_t q = 0; q < 2; ++q, ++at) {
              const auto corner = [&](int64_t i) { return regions.at(4 * r + i) * 0.5 - (half ? 0.5 : 0.0); };
              const double row = corner(1) + (corner(3) - corner(1)) * (static_cast<double>(p) + 0.5) / 3;
              const double column = corner(0) + (corner(2) - corner(0)) * (static_cast<double>(q) + 0.5) / 2;
              EXPECT_NEAR((*y)[0].at(at), static_cast<double>(c + 1) * (1 + 2 * row + 3 * column), 1e-3)
                  << samples << half << at;
            }
    }
}

TEST(RoiAlign, BeyondOnePixelOutsideIsNothingAndTheGreatestSampleIsTaken) {
  const Tensor x = Tensor::of<float>({1, 1, 2, 2}, {1, 2, 3, 4}), image = Tensor::of<int64_t>({1}, {0});
  const auto pooled = [&](std::initializer_list<float> region, const char* mode) {
    const auto y = run_op(kRoiAlign, {x, Tensor::of<float>({1, 4}, region), image},
                          {{"mode", std::string(mode)},
                           {"sampling_ratio", int64_t{1}},
                           {"coordinate_transformation_mode", std::string("output_half_pixel")}});
    return y ? (*y)[0].at(0) : -1.0;
  };
  EXPECT_EQ(pooled({0.5f, 0.5f, 1.5f, 1.5f}, "avg"), 4);  // the sample (1, 1)
  EXPECT_EQ(pooled({0, 0, 1, 1}, "avg"), 2.5);            // the sample (0.5, 0.5)
  EXPECT_EQ(pooled({0, 0, 1, 1}, "max"), 1);              // of its products 0.25 · x
  EXPECT_EQ(pooled({5, 5, 6, 6}, "avg"), 0);
  EXPECT_EQ(pooled({-0.9f, -0.9f, 0.1f, 0.1f}, "avg"), 1);  // less than one pixel outside: the border
}

TEST(RoiAlign, Refusals) {
  const Tensor x = planes(3, 3), regions = Tensor::of<float>({1, 4}, {0, 0, 2, 2});
  EXPECT_EQ(message_of(run_op(kRoiAlign, {x, regions, Tensor::of<int64_t>({1}, {0})}, {{"mode", std::string("sum")}})),
            "bad input; mode or coordinate_transformation_mode has an unknown name\n  correct the attributes");
  EXPECT_EQ(message_of(run_op(kRoiAlign, {x, regions, Tensor::of<int64_t>({2}, {0, 0})})),
            "bad input; images [1,2,3,3], regions [1,4], indices [2]; expected [N,C,H,W], [R,4], [R]\n  correct the "
            "model's shapes");
}

}  // namespace
}  // namespace cupel
