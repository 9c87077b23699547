// RoiAlign: regions of images, pooled to one size (He et al. 2017, arXiv:1703.06870). Definition:
// runtime/op_roi_align.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

constexpr int64_t kMostPooled = int64_t{1} << 16;

// −1: an unknown name.
int64_t mode_of(const Attributes& a) {
  const std::string mode = attr_text(a, "mode", "avg");
  return mode == "avg" ? 0 : mode == "max" ? 1 : -1;
}
int64_t half_pixel_of(const Attributes& a) {
  const std::string mode = attr_text(a, "coordinate_transformation_mode", "half_pixel");
  return mode == "half_pixel" ? 1 : mode == "output_half_pixel" ? 0 : -1;
}

Result<Types> infer_roi_align(const InferContext& c) {
  if (mode_of(c.attributes) < 0 || half_pixel_of(c.attributes) < 0)
    return bad_input("", "mode or coordinate_transformation_mode has an unknown name", "correct the attributes");
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  CUPEL_TRY(expect_dtype(c, 1, DType::f32));
  CUPEL_TRY(expect_dtype(c, 2, DType::s64));
  const Shape &x = c.shape(0), &regions = c.shape(1), &images = c.shape(2);
  if (x.size() != 4 || regions.size() != 2 || regions[1] != Dim(4) || images.size() != 1 || images[0] != regions[0])
    return bad_input("",
                     fmt::format("images {}, regions {}, indices {}; expected [N,C,H,W], [R,4], [R]", to_text(x),
                                 to_text(regions), to_text(images)),
                     "correct the model's shapes");
  for (const Dim& d : {x[0], x[1], x[2], x[3], regions[0]})
    if (!d.is_constant())
      return unsupported("", fmt::format("regions {} of {}", to_text(regions), to_text(x)), kGiveSize);
  const int64_t height = attr_int(c.attributes, "output_height", 1), width = attr_int(c.attributes, "output_width", 1);
  const int64_t samples = attr_int(c.attributes, "sampling_ratio", 0);
  for (const int64_t n : {height, width})
    if (n < 1 || n > kMostPooled)
      return bad_input("", fmt::format("pooled to {} by {}", height, width), "correct the attributes");
  if (samples < 0 || samples > 256)
    return bad_input("", fmt::format("sampling_ratio is {}", samples), "correct the attribute");
  return Types{plain(DType::f32, {regions[0], x[1], height, width})};
}

Result<RoutineUse> routine_roi_align(const RoutineContext& c) {
  const Dims& y = c.outputs[0]->dims;
  const float scale = attr_real(c.attributes, "spatial_scale", 1.0f);
  return RoutineUse{
      .name = "roi_align",
      .operands = {0, 1, 2},
      .attributes = {mode_of(c.attributes), half_pixel_of(c.attributes), attr_int(c.attributes, "sampling_ratio", 0),
                     static_cast<int64_t>(std::bit_cast<uint32_t>(scale))},
      .units = std::max<int64_t>(1, y[0] * y[1]),
      .grain = std::max<int64_t>(1, 1024 / (y[2] * y[3])),
      .keeps_items = false};
}

Cost cost_roi_align(const Attributes&, std::span<const TensorType* const>, std::span<const TensorType> outputs) {
  const Dims dims = bind_shape(outputs[0].shape, 1).value_or(Dims{0});
  return {.elementwise = 32 * element_count(dims)};  // about four samples of four taps
}

}  // namespace

namespace ops {
const OpDef kRoiAlign{.name = "RoiAlign",
                      .since_opset = 10,
                      .operand_types = {{kFloatTypes}, {kFloatTypes}, {DType::s64}},
                      .min_inputs = 3,
                      .max_inputs = 3,
                      .attributes = {{"coordinate_transformation_mode", AttributeKind::text},
                                     {"mode", AttributeKind::text},
                                     {"output_height", AttributeKind::integer},
                                     {"output_width", AttributeKind::integer},
                                     {"sampling_ratio", AttributeKind::integer},
                                     {"spatial_scale", AttributeKind::real}},
                      .infer = infer_roi_align,
                      .reference = evaluate_routine,
                      .routine = routine_roi_align,
                      .cost = cost_roi_align,
                      .samples = {R"(graph "roi_align" stage imported opset 16 {
  input %x : f32[2,3,6,5]
  constant %regions : f32[3,4] = [0.5, 1, 4, 5.5, -2, 0, 9, 3, 1, 1, 1.25, 1.5]
  constant %images : s64[3] = [1, 0, 1]
  %y = RoiAlign(%x, %regions, %images) {output_height=2, output_width=3}
  output %y
})",
                                  R"(graph "roi_align_max" stage imported opset 16 {
  input %x : f32[1,2,7,7]
  constant %regions : f32[2,4] = [2, 3, 9, 12, 0, 0, 14, 6]
  constant %images : s64[2] = [0, 0]
  %y = RoiAlign(%x, %regions, %images) {coordinate_transformation_mode="output_half_pixel", mode="max", output_height=2, output_width=2, sampling_ratio=2, spatial_scale=0.5}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
