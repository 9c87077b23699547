// Resize: result[o] = Σ over taps of weight · x[index], axis by axis; the taps of each axis follow ONNX's definition of
// Resize (coordinates and weights in binary32). ResizeNearest is Resize of mode nearest, which computes nothing and so
// moves codes as they are; a crop, which may insert a number, is a Resize in every mode.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ir/graph.h"
#include "ops/known.h"
#include "ops/op_table.h"
#include "ops/resize_taps.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Status expect_known_text(const Attributes& attributes, const char* name, const char* otherwise,
                         std::initializer_list<std::string_view> known) {
  const std::string found = attr_text(attributes, name, otherwise);
  if (std::find(known.begin(), known.end(), found) != known.end()) return {};
  return bad_input("", fmt::format("{} is {}", name, found), "correct the attribute");
}

Status expect_attributes(const Attributes& a) {
  CUPEL_TRY(expect_known_text(a, "mode", "nearest", {"nearest", "linear", "cubic"}));
  CUPEL_TRY(expect_known_text(a, "coordinate_transformation_mode", "half_pixel",
                              {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                               "asymmetric", "tf_crop_and_resize"}));
  CUPEL_TRY(expect_known_text(a, "nearest_mode", "round_prefer_floor",
                              {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}));
  return expect_known_text(a, "keep_aspect_ratio_policy", "stretch", {"stretch", "not_larger", "not_smaller"});
}

// The axes that scales, sizes and roi speak of, in their order.
Result<std::vector<size_t>> resized_axes(const Attributes& attributes, size_t rank) {
  std::vector<size_t> axes;
  for (const int64_t axis : attr_ints(attributes, "axes"))
    axes.push_back(static_cast<size_t>(CUPEL_TRY(normalize_axis(axis, static_cast<int64_t>(rank)))));
  if (!attributes.contains("axes")) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), size_t{0});
  }
  std::vector<size_t> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return bad_input("", "axes name an axis twice", "correct the attribute");
  return axes;
}

bool crops(const Attributes& attributes) {
  return attr_text(attributes, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
}

// The region that is cut out has a begin and an end for each axis.
Status expect_region(const InferContext& c, size_t axes) {
  if (!crops(c.attributes)) return {};
  const Tensor* roi = c.has(1) ? c.constants[1] : nullptr;
  if (c.has(1) && roi == nullptr)
    return computed_at_run_time("roi (operand 1) is computed at run time", kGiveParameters);
  if (roi != nullptr && roi->dtype() != DType::f32)
    return unsupported("", fmt::format("roi is {}, expected f32", dtype_name(roi->dtype())), "convert the operand");
  if (roi != nullptr && roi->dims() == Dims{static_cast<int64_t>(2 * axes)}) return {};
  return bad_input("", fmt::format("roi is no f32[{}]", 2 * axes), "correct the model");
}

bool is_given(const InferContext& c, size_t i) { return c.has(i) && c.shape(i) != Shape{Dim(0)}; }

Result<std::vector<float>> known_scales(const InferContext& c, size_t count) {
  const Tensor* scales = c.constants[2];
  if (scales == nullptr) return computed_at_run_time("scales (operand 2) are computed at run time", kGiveParameters);
  if (scales->dtype() != DType::f32 || scales->dims() != Dims{static_cast<int64_t>(count)})
    return bad_input(
        "",
        fmt::format("scales are {}{}, expected f32[{}]", dtype_name(scales->dtype()), to_text(scales->dims()), count),
        "correct the scales");
  const auto values = scales->data<float>();
  if (!std::ranges::all_of(values, [](float s) { return s > 0 && std::isfinite(s); }))
    return bad_input("", "a scale is not above 0", "correct the scales");
  return std::vector<float>(values.begin(), values.end());
}

Result<Dim> scaled(const Dim& dim, float scale) {
  if (scale == 1.0f) return dim;
  if (!dim.is_constant())
    return unsupported("", fmt::format("the symbolic dimension {} is resized", to_text(dim)), kGiveSize);
  const double size = std::floor(static_cast<double>(static_cast<float>(dim.factor) * scale));
  if (size > static_cast<double>(kMaxElements))
    return resource_error("", "the result is too large", "use smaller scales");
  return Dim(static_cast<int64_t>(size));
}

// Sizes of the resized axes by ONNX's keep_aspect_ratio_policy.
Result<std::vector<Dim>> kept_aspect(std::vector<Dim> sizes, const Shape& x, const std::vector<size_t>& axes,
                                     const std::string& policy) {
  if (policy == "stretch") return sizes;
  float scale = 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const Dim& from = x[axes[i]];
    if (!from.is_constant() || !sizes[i].is_constant() || from.factor == 0)
      return unsupported("", "keep_aspect_ratio_policy of a symbolic dimension", kGiveSize);
    const float s = static_cast<float>(sizes[i].factor) / static_cast<float>(from.factor);
    if (i == 0 || (policy == "not_larger" ? s < scale : s > scale)) scale = s;
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const float size = std::floor(scale * static_cast<float>(x[axes[i]].factor) + 0.5f);
    if (!(size <= static_cast<float>(kMaxElements)))
      return resource_error("", "the result is too large", "use smaller sizes");
    sizes[i] = Dim(static_cast<int64_t>(size));
  }
  return sizes;
}

Result<Shape> resized_shape(const InferContext& c) {
  const Shape& x = c.shape(0);
  const std::vector<size_t> axes = CUPEL_TRY(resized_axes(c.attributes, x.size()));
  CUPEL_TRY(expect_region(c, axes.size()));
  Shape shape = x;
  if (is_given(c, 2) == is_given(c, 3))
    return bad_input("", "expected scales or sizes, one of the two", "correct the model");
  if (is_given(c, 2)) {
    const std::vector<float> scales = CUPEL_TRY(known_scales(c, axes.size()));
    for (size_t i = 0; i < axes.size(); ++i) shape[axes[i]] = CUPEL_TRY(scaled(x[axes[i]], scales[i]));
    return shape;
  }
  std::vector<Dim> sizes = CUPEL_TRY(known_dims(c, 3, "sizes"));
  if (sizes.size() != axes.size())
    return bad_input("", fmt::format("{} sizes for {} axes", sizes.size(), axes.size()), "correct the sizes");
  sizes =
      CUPEL_TRY(kept_aspect(std::move(sizes), x, axes, attr_text(c.attributes, "keep_aspect_ratio_policy", "stretch")));
  for (size_t i = 0; i < axes.size(); ++i) {
    if (sizes[i].factor < 1) return bad_input("", fmt::format("a size is {}", to_text(sizes[i])), "correct the sizes");
    if (sizes[i] != x[axes[i]] && !(sizes[i].is_constant() && x[axes[i]].is_constant()))
      return unsupported("", fmt::format("the symbolic dimension {} is resized", to_text(x[axes[i]])), kGiveSize);
    shape[axes[i]] = sizes[i];
  }
  return shape;
}

Result<Types> infer_resize(const InferContext& c) {
  CUPEL_TRY(expect_attributes(c.attributes));
  if (attr_text(c.attributes, "mode", "nearest") == "nearest" && !crops(c.attributes))
    return bad_input("", "mode nearest is the operator ResizeNearest", "correct the graph");
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  return Types{plain(DType::f32, CUPEL_TRY(resized_shape(c)))};
}

Result<Types> infer_nearest(const InferContext& c) {
  CUPEL_TRY(expect_attributes(c.attributes));
  if (crops(c.attributes)) return bad_input("", "a crop is the operator Resize", "correct the graph");
  return Types{CUPEL_TRY(moved_type(c, 0, CUPEL_TRY(resized_shape(c))))};
}

// How each axis of x becomes that of the result.
Result<std::vector<ResizedAxis>> axes_of(const RoutineContext& c) {
  const Dims &x = c.inputs[0]->dims, &y = c.outputs[0]->dims;
  const std::vector<size_t> axes = CUPEL_TRY(resized_axes(c.attributes, x.size()));
  const auto constant = [&](size_t i) -> const Tensor* {
    return i < c.constants.size() && c.constants[i] != nullptr && !c.constants[i]->empty() ? c.constants[i] : nullptr;
  };
  const Tensor *roi = constant(1), *scales = constant(2);
  std::vector<ResizedAxis> resized(x.size());
  for (size_t d = 0; d < x.size(); ++d) resized[d] = {.from = x[d], .to = y[d]};
  for (size_t i = 0; i < axes.size(); ++i) {
    ResizedAxis& axis = resized[axes[i]];
    axis.scale = scales ? scales->data<float>()[i] : static_cast<float>(axis.to) / static_cast<float>(axis.from);
    if (roi && crops(c.attributes)) {
      axis.begin = roi->data<float>()[i];
      axis.end = roi->data<float>()[i + axes.size()];
    }
  }
  return resized;
}

// Whether the axis is as it was.
bool is_copied(const ResizedAxis& axis, bool crop) {
  return axis.from == axis.to && axis.scale == 1.0f && (!crop || (axis.begin == 0.0f && axis.end == 1.0f));
}

bool keeps_leading(const std::vector<ResizedAxis>& axes, bool crop) { return axes.empty() || is_copied(axes[0], crop); }

// Tables hold an index and a weight for each of them.
Status expect_few_taps(const Attributes& attributes, const ResizedAxis& axis) {
  constexpr double kMostTaps = 1 << 26;
  const double taps = static_cast<double>(taps_count(attributes, axis)) * static_cast<double>(axis.to);
  if (taps <= kMostTaps) return {};
  return resource_error(
      "",
      fmt::format("an axis of {} elements is resized to {} by {:.3g} taps, more than 2^26", axis.from, axis.to, taps),
      "resize in several steps");
}

// A use on x with a mark for each axis, and tables for each that is not copied, which `add_tables` makes of its taps.
template <class AddTables>
Result<RoutineUse> use_of(const RoutineContext& c, std::string_view routine, AddTables add_tables) {
  RoutineUse use{.name = routine, .operands = {0}};
  const bool crop = crops(c.attributes);
  const auto axes = CUPEL_TRY(axes_of(c));
  for (const ResizedAxis& axis : axes) {
    use.attributes.push_back(is_copied(axis, crop) ? 0 : 1);
    if (is_copied(axis, crop)) continue;
    CUPEL_TRY(expect_few_taps(c.attributes, axis));
    add_tables(use, axis, taps_of(c.attributes, axis));
  }
  const int64_t row = std::max<int64_t>(1, c.outputs[0]->dims.back());
  use.units = element_count(c.outputs[0]->dims) / row;
  use.grain = std::max<int64_t>(1, 4096 / row);
  use.keeps_items = keeps_leading(axes, crop);
  return use;
}

Result<RoutineUse> routine_resize(const RoutineContext& c) {
  RoutineUse use = CUPEL_TRY(use_of(c, "interpolate", [](RoutineUse& u, const ResizedAxis& axis, const Taps& taps) {
    const Dims dims = {axis.to, taps.count};
    u.constants.push_back(Tensor::of<int32_t>(dims, std::span<const int32_t>(taps.indices)));
    u.constants.push_back(Tensor::of<float>(dims, std::span<const float>(taps.weights)));
  }));
  use.attributes.push_back(real_attribute(attr_real(c.attributes, "extrapolation_value", 0.0f)));
  return use;
}

Result<RoutineUse> routine_nearest(const RoutineContext& c) {
  return use_of(c, "pick", [](RoutineUse& u, const ResizedAxis& axis, const Taps& taps) {
    u.constants.push_back(Tensor::of<int32_t>({axis.to}, std::span<const int32_t>(taps.indices)));
  });
}

const std::vector<AttributeSpec> kAttributes = {{"antialias", AttributeKind::integer},
                                                {"axes", AttributeKind::integers},
                                                {"coordinate_transformation_mode", AttributeKind::text},
                                                {"cubic_coeff_a", AttributeKind::real},
                                                {"exclude_outside", AttributeKind::integer},
                                                {"extrapolation_value", AttributeKind::real},
                                                {"keep_aspect_ratio_policy", AttributeKind::text},
                                                {"mode", AttributeKind::text},
                                                {"nearest_mode", AttributeKind::text}};

Cost cost_resize(const Attributes& attributes, std::span<const TensorType* const>,
                 std::span<const TensorType> outputs) {
  const Dims dims = bind_shape(outputs[0].shape, 1).value_or(Dims{0});
  const int64_t taps = attr_text(attributes, "mode", "nearest") == "cubic" ? 16 : 4;
  return {.elementwise = 2 * taps * element_count(dims)};
}

}  // namespace

namespace ops {
const OpDef kResize{.name = "Resize",
                    .since_opset = 10,
                    .operand_types = {{kAnyType}, {kFloatTypes}, {kFloatTypes}, {kIndexTypes}},
                    .min_inputs = 1,
                    .max_inputs = 4,
                    .attributes = kAttributes,
                    .parameters_from = 1,
                    .infer = infer_resize,
                    .reference = evaluate_routine,
                    .routine = routine_resize,
                    .cost = cost_resize,
                    .samples = {R"(graph "resize_linear" stage imported opset 19 {
  input %x : f32[batch,2,3,4]
  constant %scales : f32[4] = [0x1p+0, 0x1p+0, 0x1p+1, 0x1.8p+0]
  %y = Resize(%x, _, %scales) {mode="linear"}
  output %y
})",
                                R"(graph "resize_cubic_sizes" stage imported opset 19 {
  input %x : f32[batch,1,5,4]
  constant %sizes : s64[2] = [3, 9]
  %y = Resize(%x, _, _, %sizes) {axes=[2,3], mode="cubic", cubic_coeff_a=-0x1p-1, exclude_outside=1, coordinate_transformation_mode="align_corners"}
  output %y
})",
                                R"(graph "resize_antialias" stage imported opset 19 {
  input %x : f32[batch,7,6]
  constant %sizes : s64[2] = [3, 4]
  %y = Resize(%x, _, _, %sizes) {axes=[-2,-1], mode="linear", antialias=1, coordinate_transformation_mode="pytorch_half_pixel"}
  output %y
})",
                                R"(graph "resize_crop" stage imported opset 19 {
  input %x : f32[batch,1,4,4]
  constant %roi : f32[4] = [0x1p-2, -0x1p-1, 0x1.8p-1, 0x1.4p+0]
  constant %sizes : s64[2] = [3, 5]
  %y = Resize(%x, %roi, _, %sizes) {axes=[2,3], mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0x1.4p+3}
  output %y
})",
                                R"(graph "resize_nearest_crop" stage imported opset 19 {
  input %x : f32[batch,1,4,4]
  constant %roi : f32[4] = [0x1p-2, -0x1p-1, 0x1.8p-1, 0x1.4p+0]
  constant %sizes : s64[2] = [3, 5]
  %y = Resize(%x, %roi, _, %sizes) {axes=[2,3], mode="nearest", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0x1.4p+3}
  output %y
})"}};

const OpDef kResizeNearest{.name = "ResizeNearest",
                           .since_opset = 0,
                           .operand_types = {{kAnyType}, {kFloatTypes}, {kFloatTypes}, {kIndexTypes}},
                           .min_inputs = 1,
                           .max_inputs = 4,
                           .attributes = kAttributes,
                           .quant_rule = QuantRule::same,
                           .codes_since_opset = 11,
                           .elements = Elements::moved,
                           .parameters_from = 1,
                           .infer = infer_nearest,
                           .reference = evaluate_routine,
                           .routine = routine_nearest,
                           .spelled_by = "Resize(mode=nearest)",
                           .samples = {R"(graph "resize_nearest" stage imported opset 19 {
  input %x : f32[batch,3,2,5]
  constant %scales : f32[4] = [0x1p+0, 0x1p+0, 0x1p+1, 0x1.8p+1]
  %y = ResizeNearest(%x, _, %scales) {mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"}
  output %y
})",
                                       R"(graph "resize_nearest_down" stage imported opset 19 {
  input %x : f32[batch,1,5,7]
  constant %sizes : s64[2] = [3, 11]
  %y = ResizeNearest(%x, _, _, %sizes) {mode="nearest", axes=[2,3], nearest_mode="ceil"}
  output %y
})",
                                       R"(graph "resize_nearest_codes" stage imported opset 19 {
  input %x : u8[batch,20,3,3] quant(scale=[0x1p-4], zero_point=[7])
  constant %scales : f32[4] = [0x1p+0, 0x1p+0, 0x1p+1, 0x1p+1]
  %y = ResizeNearest(%x, _, %scales) {mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
