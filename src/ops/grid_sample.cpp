// GridSample: the elements of images at places that a grid names, between them by interpolation.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"
#include "ops/window.h"

namespace cupel {
namespace {

using namespace ops;

// The number of a mode or a padding; unsupported names are −1. Names of opset 16 stand beside those of opset 20.
int64_t mode_of(const Attributes& attributes) {
  const std::string mode = attr_text(attributes, "mode", "linear");
  return mode == "nearest"                        ? 0
         : mode == "linear" || mode == "bilinear" ? 1
         : mode == "cubic" || mode == "bicubic"   ? 2
                                                  : -1;
}
int64_t padding_of(const Attributes& attributes) {
  const std::string padding = attr_text(attributes, "padding_mode", "zeros");
  return padding == "zeros" ? 0 : padding == "border" ? 1 : padding == "reflection" ? 2 : -1;
}

Result<Types> infer_grid_sample(const InferContext& c) {
  if (mode_of(c.attributes) < 0 || padding_of(c.attributes) < 0)
    return bad_input(
        "",
        fmt::format("mode is \"{}\" and padding_mode \"{}\"", printable(attr_text(c.attributes, "mode", "linear")),
                    printable(attr_text(c.attributes, "padding_mode", "zeros"))),
        "correct the attributes");
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  CUPEL_TRY(expect_dtype(c, 1, DType::f32));
  const Shape &x = c.shape(0), &grid = c.shape(1);
  CUPEL_TRY(expect_image(x));
  const size_t spatial = x.size() - 2;
  if (grid.size() != x.size() || grid[0] != x[0] || grid.back() != Dim(static_cast<int64_t>(spatial)))
    return bad_input("", fmt::format("a grid {} for images {}", to_text(grid), to_text(x)),
                     "correct the model's shapes");
  if (spatial > 3)
    return unsupported("", fmt::format("a grid over {} spatial dimensions", spatial),
                       "use one to 3 spatial dimensions");
  Shape shape = {x[0], x[1]};
  for (size_t d = 0; d < spatial; ++d) {
    const Dim &from = x[2 + d], &to = grid[1 + d];
    if (!from.is_constant() || !to.is_constant())
      return unsupported("", fmt::format("a grid {} for images {}", to_text(grid), to_text(x)), kGiveSize);
    if (from.factor < 1)
      return bad_input("", fmt::format("images {} without elements", to_text(x)), "correct the model's shapes");
    if (from.factor > int64_t{1} << 24)
      return resource_error("", fmt::format("a spatial dimension of {} elements, more than 2^24", from.factor),
                            "use a model with smaller tensors");
    shape.push_back(to);
  }
  return Types{plain(DType::f32, std::move(shape))};
}

Result<RoutineUse> routine_grid_sample(const RoutineContext& c) {
  const Dims& y = c.outputs[0]->dims;
  const int64_t row = std::max<int64_t>(1, y.back());
  return RoutineUse{
      .name = "sample_grid",
      .operands = {0, 1},
      .attributes = {mode_of(c.attributes), padding_of(c.attributes), attr_int(c.attributes, "align_corners", 0) != 0},
      .units = element_count(y) / row,
      .grain = std::max<int64_t>(1, 1024 / row)};
}

Cost cost_grid_sample(const Attributes& attributes, std::span<const TensorType* const> inputs,
                      std::span<const TensorType> outputs) {
  const Dims dims = bind_shape(outputs[0].shape, 1).value_or(Dims{0});
  const int64_t of_axis = mode_of(attributes) == 0 ? 1 : mode_of(attributes) == 1 ? 2 : 4;
  int64_t taps = 1;
  for (size_t d = 2; d < inputs[0]->shape.size(); ++d) taps *= of_axis;
  return {.elementwise = 2 * taps * element_count(dims)};
}

}  // namespace

namespace ops {
const OpDef kGridSample{.name = "GridSample",
                        .since_opset = 16,
                        .operand_types = {{kAnyType}, {kFloatTypes}},
                        .min_inputs = 2,
                        .max_inputs = 2,
                        .attributes = {{"align_corners", AttributeKind::integer},
                                       {"mode", AttributeKind::text},
                                       {"padding_mode", AttributeKind::text}},
                        .infer = infer_grid_sample,
                        .reference = evaluate_routine,
                        .routine = routine_grid_sample,
                        .cost = cost_grid_sample,
                        .samples = {R"(graph "grid_sample" stage imported opset 20 {
  input %x : f32[batch,2,4,5]
  input %grid : f32[batch,3,7,2]
  %y = GridSample(%x, %grid) {mode="linear"}
  output %y
})",
                                    R"(graph "grid_sample_cubic" stage imported opset 20 {
  input %x : f32[batch,1,4,5]
  input %grid : f32[batch,2,3,2]
  %y = GridSample(%x, %grid) {mode="cubic", padding_mode="border", align_corners=1}
  output %y
})",
                                    R"(graph "grid_sample_volume" stage imported opset 20 {
  input %x : f32[batch,1,3,4,2]
  input %grid : f32[batch,2,2,3,3]
  %y = GridSample(%x, %grid) {mode="nearest", padding_mode="reflection"}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
