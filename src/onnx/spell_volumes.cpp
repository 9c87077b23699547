// Convolution and pooling over three spatial dimensions, [batch, channels, depth, height, width], as such over two.
// Each spelling ends with the shape of the operator that it replaces.
#include <fmt/format.h>

#include "onnx/spelling.h"
#include "ops/window.h"

namespace cupel {
namespace {

Attributes pooling_of(const Attributes& all, const WindowAxis& y, const WindowAxis& x) {
  Attributes out = {{"kernel_shape", std::vector<int64_t>{y.kernel, x.kernel}},
                    {"strides", std::vector<int64_t>{y.stride, x.stride}},
                    {"dilations", std::vector<int64_t>{y.dilation, x.dilation}},
                    {"pads", std::vector<int64_t>{y.pad_begin, x.pad_begin, y.pad_end, x.pad_end}}};
  for (const char* key : {"ceil_mode", "count_include_pad"})
    if (const auto found = all.find(key); found != all.end()) out.insert(*found);
  return out;
}

// x padded by zeros in depth and height, such that the height is a multiple of the stride.
Result<std::string> padded(Spelling& s, const std::string& x, const WindowAxis& depth, const WindowAxis& height) {
  const int64_t extra = (height.in + height.pad_begin + height.pad_end) % height.stride,
                end = height.pad_end + (extra == 0 ? 0 : height.stride - extra);
  if (depth.pad_begin == 0 && depth.pad_end == 0 && height.pad_begin == 0 && end == 0) return x;
  return s.add("Pad", "padded",
               {x, s.list("pads", {0, 0, depth.pad_begin, height.pad_begin, 0, 0, 0, depth.pad_end, end, 0})});
}

// [batch, channels, depth, …] as [batch, groups · taps of the kernel's depth · channels of a group, windows, …]: the
// planes that each tap meets.
Result<std::string> planes_by_tap(Spelling& s, const std::string& x, int64_t groups, const WindowAxis& depth) {
  const Shape from = CUPEL_TRY(s.shape(x));
  const int64_t channels = from[1].factor / groups, last = (depth.out - 1) * depth.stride + 1;
  std::vector<std::string> taps;
  for (int64_t k = 0; k < depth.kernel; ++k) {
    const std::string part = fmt::format("plane_{}", k);
    const std::string planes = CUPEL_TRY(
        s.add("Slice", part,
              {x, s.list(part + "_start", {k * depth.dilation}), s.list(part + "_end", {k * depth.dilation + last}),
               s.list(part + "_axis", {2}), s.list(part + "_step", {depth.stride})}));
    taps.push_back(
        CUPEL_TRY(s.reshape(part + "_grouped", planes, {from[0], groups, channels, depth.out, from[3], from[4]})));
  }
  if (taps.size() == 1) return taps[0];
  return s.add("Concat", "planes", taps, {{"axis", int64_t{2}}});
}

// Where there is one window its stride is that of the attribute too, so that nothing else becomes more of them.
std::vector<WindowAxis> with_strides(const Spelling& s, std::vector<WindowAxis> axes) {
  const auto strides = attr_ints(s.attributes(), "strides", {1, 1, 1});
  for (size_t i = 0; i < axes.size(); ++i) axes[i].stride = strides[i];
  return axes;
}

bool is_volume(Importer& importer, const NodeDraft& draft) {
  if (!draft.has_input(0)) return false;
  const auto shape = importer.shape_of(draft.inputs[0]);
  return shape && shape->size() == 5;
}

}  // namespace

bool is_volume_convolution(Importer& importer, const NodeDraft& draft) { return is_volume(importer, draft); }

// The places of the greatest elements are those of the operator, not of two behind each other.
bool is_volume_pooling(Importer& importer, const NodeDraft& draft) {
  return draft.outputs.size() == 1 && is_volume(importer, draft);
}

// The taps along the depth become channels, and the planes of the result lie below each other in one image, whose
// convolution gives, beside the rows that are wanted, some that straddle two planes.
Status spell_volume_convolution(Spelling& s) {
  const Shape x = CUPEL_TRY(s.shape(s.in(0))), w = CUPEL_TRY(s.shape(s.in(1)));
  const auto axes = with_strides(s, CUPEL_TRY(ops::convolution_axes(s.attributes(), x, w, 3)));
  const WindowAxis &depth = axes[0], &height = axes[1], &width = axes[2];
  const int64_t groups = attr_int(s.attributes(), "group", 1);
  if (!x[1].is_constant() || groups < 1 || x[1].factor % groups != 0 || w[1].factor != x[1].factor / groups)
    return bad_input("", fmt::format("{} groups of input {} and weights {}", groups, to_text(x), to_text(w)),
                     "correct the model's shapes");
  constexpr int64_t kMostPlanes = 1024;  // each becomes nodes
  if (depth.kernel > kMostPlanes)
    return resource_error("", fmt::format("a kernel of {} planes, more than {}", depth.kernel, kMostPlanes),
                          "use a model with smaller windows");
  const std::string volume = CUPEL_TRY(padded(s, s.in(0), depth, height));
  const int64_t rows = CUPEL_TRY(s.shape(volume))[3].factor, channels = x[1].factor * depth.kernel;
  const std::string planes = CUPEL_TRY(planes_by_tap(s, volume, groups, depth));
  const std::string image = CUPEL_TRY(s.reshape("image", planes, {x[0], channels, depth.out * rows, width.in}));
  const std::string turned =
      CUPEL_TRY(s.add("Transpose", "depth_first", {s.in(1)}, {{"perm", std::vector<int64_t>{0, 2, 1, 3, 4}}}));
  std::vector<std::string> operands = {
      image, CUPEL_TRY(s.reshape("weights", turned, {w[0], channels / groups, height.kernel, width.kernel}))};
  if (s.has(2)) operands.push_back(s.in(2));
  const int64_t below = std::max<int64_t>(0, height.span() - height.stride), of_plane = rows / height.stride;
  const std::string y = CUPEL_TRY(s.add("Conv", "conv", std::move(operands),
                                        {{"group", groups},
                                         {"strides", std::vector<int64_t>{height.stride, width.stride}},
                                         {"dilations", std::vector<int64_t>{height.dilation, width.dilation}},
                                         {"pads", std::vector<int64_t>{0, width.pad_begin, below, width.pad_end}}}));
  const Shape apart = {x[0], w[0], depth.out, of_plane, width.out};
  if (of_plane == height.out) return s.finish_reshape(y, apart);
  return s.finish("Slice", {CUPEL_TRY(s.reshape("planes_apart", y, apart)), s.list("first", {0}),
                            s.list("rows", {height.out}), s.list("height", {3})});
}

// Windows of height and width, of the results windows of the depth. Of averages each counts the elements that its own
// windows hold, and their product is the number that the whole window holds.
Status spell_volume_pooling(Spelling& s) {
  const Shape x = CUPEL_TRY(s.shape(s.in(0)));
  const auto axes = with_strides(s, CUPEL_TRY(ops::pooling_axes(s.attributes(), x)));
  const WindowAxis &depth = axes[0], &height = axes[1], &width = axes[2];
  if (!x[1].is_constant())
    return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(x)), kGiveSize);
  const std::string planes =
      CUPEL_TRY(s.reshape("planes", s.in(0), {x[0], x[1].factor * depth.in, height.in, width.in}));
  const std::string pooled =
      CUPEL_TRY(s.add(s.op(), "plane_pool", {planes}, pooling_of(s.attributes(), height, width)));
  const std::string columns = CUPEL_TRY(s.reshape("columns", pooled, {x[0], x[1], depth.in, height.out * width.out}));
  const std::string y = CUPEL_TRY(s.add(s.op(), "depth_pool", {columns}, pooling_of(s.attributes(), depth, {})));
  return s.finish_reshape(y, {x[0], x[1], depth.out, height.out, width.out});
}

}  // namespace cupel
