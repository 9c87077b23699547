// ConvTranspose in ops of the table. A transposed convolution of stride s scatters: input i adds its product with tap k
// to output i·s + k·dilation − pad. Read the other way, the outputs whose places are r modulo s are a convolution of
// stride 1 by every s-th tap, so that all of them are one Conv with s times as many output channels (sub-pixel
// convolution: Shi et al. 2016, arXiv:1609.07009), whose channels then become pixels. It quantizes, fuses and runs as
// any Conv does.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/spelling.h"

namespace cupel {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// One spatial dimension. Places count from the first that any tap reaches (place p is output p − pad).
struct Axis {
  int64_t in, kernel, stride, dilation;
  int64_t pad = 0;  // before the first output; below 0 the output starts before what taps reach
  int64_t out = 0;

  int64_t span() const { return (kernel - 1) * dilation + 1; }
  // Taps of each phase of the convolution, and how far apart they are.
  int64_t taps() const { return stride == 1 ? kernel : (span() + stride - 1) / stride; }
  int64_t step() const { return stride == 1 ? dilation : 1; }
  int64_t reach() const { return (taps() - 1) * step(); }  // inputs before place q·stride that add to it
  // Windows of the convolution are those of places [first·stride, …): none is before the first that its padding may
  // give, and the last holds the last output.
  int64_t before() const { return std::max<int64_t>(0, reach() - floor_div(pad, stride)); }
  int64_t first() const { return reach() - before(); }
  int64_t after() const { return std::max<int64_t>(0, floor_div(pad + out - 1, stride) + 1 - in); }
  int64_t windows() const { return in + before() + after() - reach(); }
  int64_t cropped() const { return pad - first() * stride; }  // outputs before the first that is wanted

  // The taps in the order of (phase, tap of the convolution); `kernel` for those that are none.
  std::vector<int64_t> order() const {
    std::vector<int64_t> taps_in_order;
    for (int64_t r = 0; r < stride; ++r)
      for (int64_t j = taps(); j-- > 0;) {
        const int64_t place = j * step() * stride + r;
        taps_in_order.push_back(place % dilation == 0 && place / dilation < kernel ? place / dilation : kernel);
      }
    return taps_in_order;
  }
};

// Sizes of a model's numbers, so that nothing here overflows.
constexpr int64_t kMost = int64_t{1} << 31;
constexpr int64_t kMostTaps = int64_t{1} << 26;  // of an axis, which are listed

struct Form {
  Shape x;
  Shape w;
  int64_t groups = 1;
  std::vector<Axis> axes;

  int64_t channels() const { return w[0].factor; }
  int64_t outputs() const { return w[1].factor; }  // of a group
  int64_t phases() const {
    int64_t n = 1;
    for (const Axis& a : axes) n *= a.stride;
    return n;
  }
};

struct Lists {
  std::vector<int64_t> strides, dilations, pads, output_padding, output_shape, kernel_shape;
  std::string auto_pad;
  bool same() const { return auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER"; }
};

Result<Lists> lists_of(const Spelling& s, size_t spatial) {
  const Attributes& a = s.attributes();
  Lists l{.strides = attr_ints(a, "strides", std::vector<int64_t>(spatial, 1)),
          .dilations = attr_ints(a, "dilations", std::vector<int64_t>(spatial, 1)),
          .pads = attr_ints(a, "pads", std::vector<int64_t>(2 * spatial, 0)),
          .output_padding = attr_ints(a, "output_padding", std::vector<int64_t>(spatial, 0)),
          .output_shape = attr_ints(a, "output_shape"),
          .kernel_shape = attr_ints(a, "kernel_shape"),
          .auto_pad = attr_text(a, "auto_pad", "NOTSET")};
  // Some exporters write the batch and the channels too.
  if (l.output_shape.size() == spatial + 2) l.output_shape.erase(l.output_shape.begin(), l.output_shape.begin() + 2);
  if (l.strides.size() != spatial || l.dilations.size() != spatial || l.pads.size() != 2 * spatial ||
      l.output_padding.size() != spatial || (!l.output_shape.empty() && l.output_shape.size() != spatial))
    return bad_input("",
                     fmt::format("strides, dilations, output_padding, pads and output_shape have {}, {}, {}, {} and {} "
                                 "entries for {} spatial dimensions",
                                 l.strides.size(), l.dilations.size(), l.output_padding.size(), l.pads.size(),
                                 l.output_shape.size(), spatial),
                     "correct the attributes");
  if (!l.same() && l.auto_pad != "NOTSET" && l.auto_pad != "VALID")
    return bad_input(
        "", fmt::format("auto_pad is {}, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", printable(l.auto_pad)),
        "correct the attribute");
  return l;
}

// Padding and size of the output, by the formulas of ONNX's ConvTranspose.
Result<Axis> axis_of(const Lists& l, size_t i, size_t spatial, int64_t in, int64_t kernel) {
  Axis a{.in = in, .kernel = kernel, .stride = l.strides[i], .dilation = l.dilations[i]};
  const int64_t extra = l.output_padding[i], before = l.pads[i], after = l.pads[spatial + i];
  if (a.stride < 1 || a.dilation < 1 || a.kernel < 1 || extra < 0 || before < 0 || after < 0)
    return bad_input("",
                     fmt::format("kernel {}, stride {}, dilation {}, output_padding {}, pads {} and {}: kernel, stride "
                                 "and dilation must be at least 1, the others at least 0",
                                 a.kernel, a.stride, a.dilation, extra, before, after),
                     "correct the attributes");
  if (std::max({a.in, a.kernel, a.stride, a.dilation, extra, before, after}) >= kMost || a.in * a.stride >= kMost ||
      a.span() >= kMost)
    return resource_error("",
                          fmt::format("a transposed convolution of {} elements by {} taps, stride {}, dilation {}, "
                                      "output_padding {}, pads {} and {}; these must stay below 2^31",
                                      a.in, a.kernel, a.stride, a.dilation, extra, before, after),
                          "use a model with smaller tensors");
  if (a.in == 1) a.stride = 1;  // which nothing takes
  if (a.stride * a.taps() > kMostTaps)
    return resource_error("", fmt::format("{} taps in {} phases, more than 2^26", a.taps(), a.stride),
                          "use a model with smaller windows");
  const int64_t whole = a.stride * (a.in - 1) + extra + a.span();
  if (l.auto_pad == "VALID" || (l.output_shape.empty() && !l.same())) {
    const bool padded = l.auto_pad == "NOTSET";
    a.pad = padded ? before : 0;
    a.out = whole - a.pad - (padded ? after : 0);
  } else {
    a.out = l.output_shape.empty() ? a.in * l.strides[i] : l.output_shape[i];
    const int64_t total = std::max<int64_t>(0, whole - a.out);
    a.pad = l.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
  }
  if (a.out < 0 || a.out >= kMost)
    return bad_input("", fmt::format("a spatial dimension of {} elements would become {}", a.in, a.out),
                     "correct the attributes");
  return a;
}

Result<Form> form_of(const Spelling& s) {
  Form f{.x = CUPEL_TRY(s.shape(s.in(0))), .w = CUPEL_TRY(s.shape(s.in(1)))};
  if (f.x.size() < 3 || f.w.size() != f.x.size())
    return bad_input(
        "", fmt::format("input {} and weights {} do not fit a transposed convolution", to_text(f.x), to_text(f.w)),
        "correct the model's shapes");
  if (!is_static(f.w))
    return unsupported("", fmt::format("weights of symbolic shape {}", to_text(f.w)), "use constant weights");
  if (!is_static({f.x.begin() + 1, f.x.end()}))
    return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(f.x)), kGiveSize);
  f.groups = attr_int(s.attributes(), "group", 1);
  if (f.groups < 1 || f.channels() % f.groups != 0 || f.x[1] != f.w[0])
    return bad_input("", fmt::format("{} groups of input {} and weights {}", f.groups, to_text(f.x), to_text(f.w)),
                     "correct the model's shapes");
  const size_t spatial = f.x.size() - 2;
  const Lists lists = CUPEL_TRY(lists_of(s, spatial));
  for (size_t i = 0; i < spatial; ++i) {
    if (!lists.kernel_shape.empty() &&
        (lists.kernel_shape.size() != spatial || lists.kernel_shape[i] != f.w[2 + i].factor))
      return bad_input("", fmt::format("kernel_shape differs from weights {}", to_text(f.w)), "correct the attribute");
    f.axes.push_back(CUPEL_TRY(axis_of(lists, i, spatial, f.x[2 + i].factor, f.w[2 + i].factor)));
  }
  return f;
}

// x as the shape `apart`, its dimensions in the order `perm`, as the shape `to`. Dimensions of 1 take no part, so that
// volumes stay within the greatest rank.
Result<std::string> regrouped(Spelling& s, const std::string& part, const std::string& x, const Shape& apart,
                              const std::vector<int64_t>& perm, const Shape& to) {
  std::vector<int64_t> place(apart.size(), -1), order;
  Shape dims;
  for (size_t d = 0; d < apart.size(); ++d) {
    if (apart[d] == Dim(1)) continue;
    place[d] = static_cast<int64_t>(dims.size());
    dims.push_back(apart[d]);
  }
  for (const int64_t d : perm)
    if (place[static_cast<size_t>(d)] >= 0) order.push_back(place[static_cast<size_t>(d)]);
  if (dims.size() < 2) return s.reshape(part, x, to);
  const std::string split = CUPEL_TRY(s.reshape(part + "_apart", x, dims));
  return s.reshape(part, CUPEL_TRY(s.add("Transpose", part + "_moved", {split}, {{"perm", order}})), to);
}

// Weights of the Conv, [groups · phases · outputs, channels of a group, taps…], of w, [channels, outputs, taps…].
Result<std::string> convolution_weights(Spelling& s, const Form& f) {
  std::string w = s.in(1);
  const size_t spatial = f.axes.size();
  std::vector<int64_t> pads(2 * (spatial + 2), 0);
  std::fill(pads.end() - static_cast<std::ptrdiff_t>(spatial), pads.end(), 1);  // a tap of zeros behind each axis
  w = CUPEL_TRY(s.add("Pad", "taps", {w, s.list("tap_pads", pads)}));
  for (size_t i = 0; i < spatial; ++i) {
    const std::string at = fmt::format("taps_{}", i);
    w = CUPEL_TRY(
        s.add("Gather", at, {w, s.list(at + "_order", f.axes[i].order())}, {{"axis", static_cast<int64_t>(2 + i)}}));
  }
  Shape apart = {f.groups, f.channels() / f.groups, f.outputs()};
  std::vector<int64_t> perm = {0};
  for (size_t i = 0; i < spatial; ++i) {
    perm.push_back(static_cast<int64_t>(3 + 2 * i));
    apart.emplace_back(f.axes[i].stride);
    apart.emplace_back(f.axes[i].taps());
  }
  perm.insert(perm.end(), {2, 1});
  Shape to = {f.groups * f.phases() * f.outputs(), f.channels() / f.groups};
  for (size_t i = 0; i < spatial; ++i) {
    perm.push_back(static_cast<int64_t>(4 + 2 * i));
    to.emplace_back(f.axes[i].taps());
  }
  return regrouped(s, "weights", w, apart, perm, to);
}

// The bias of each output channel for all of its phases.
Result<std::string> convolution_bias(Spelling& s, const Form& f) {
  const Shape given = CUPEL_TRY(s.shape(s.in(2)));
  if (given != Shape{f.groups * f.outputs()})
    return bad_input("", fmt::format("a bias of shape {} for {} channels", to_text(given), f.groups * f.outputs()),
                     "correct the model's shapes");
  const std::string apart = CUPEL_TRY(s.reshape("bias_apart", s.in(2), {f.groups, 1, f.outputs()}));
  const std::string all =
      CUPEL_TRY(s.add("Expand", "bias_by_phase", {apart, s.list("bias_shape", {f.groups, f.phases(), f.outputs()})}));
  return s.reshape("bias", all, {f.groups * f.phases() * f.outputs()});
}

// Channels (group, phases, output) become pixels: [batch, groups · outputs, windows · strides…].
Result<std::string> pixels_of(Spelling& s, const Form& f, const std::string& y) {
  Shape apart = {f.x[0], f.groups}, to = {f.x[0], f.groups * f.outputs()};
  for (const Axis& a : f.axes) apart.emplace_back(a.stride);
  apart.emplace_back(f.outputs());
  for (const Axis& a : f.axes) apart.emplace_back(a.windows());
  const auto spatial = static_cast<int64_t>(f.axes.size());
  std::vector<int64_t> perm = {0, 1, 2 + spatial};
  for (int64_t i = 0; i < spatial; ++i) {
    const Axis& a = f.axes[static_cast<size_t>(i)];
    perm.insert(perm.end(), {3 + spatial + i, 2 + i});
    to.emplace_back(a.windows() * a.stride);
  }
  return regrouped(s, "image", y, apart, perm, to);
}

}  // namespace

Status spell_conv_transpose(Spelling& s) {
  const Form f = CUPEL_TRY(form_of(s));
  std::vector<std::string> operands = {s.in(0), CUPEL_TRY(convolution_weights(s, f))};
  if (s.has(2)) operands.push_back(CUPEL_TRY(convolution_bias(s, f)));
  std::vector<int64_t> pads, ends, dilations, starts, axes;
  bool crops = false;
  for (size_t i = 0; i < f.axes.size(); ++i) {
    const Axis& a = f.axes[i];
    pads.push_back(a.before());
    dilations.push_back(a.step());
    starts.push_back(a.cropped());
    axes.push_back(static_cast<int64_t>(2 + i));
    crops = crops || a.cropped() != 0 || a.windows() * a.stride != a.out;
  }
  for (const Axis& a : f.axes) {
    pads.push_back(a.after());
    ends.push_back(a.cropped() + a.out);
  }
  std::string y = CUPEL_TRY(s.add_as_read("Conv", "conv", std::move(operands),
                                          {{"pads", pads}, {"dilations", dilations}, {"group", f.groups}}));
  if (f.phases() > 1) y = CUPEL_TRY(pixels_of(s, f, y));
  if (!crops) return s.finish("Identity", {y});
  return s.finish("Slice", {y, s.list("starts", starts), s.list("ends", ends), s.list("axes", axes)});
}

}  // namespace cupel

namespace cupel {
namespace {

std::vector<int64_t> per_axis(const Spelling& s, const std::string& key, size_t count, int64_t value) {
  const auto found = s.attributes().find(key);
  return found == s.attributes().end() ? std::vector<int64_t>(count, value)
                                       : std::get<std::vector<int64_t>>(found->second);
}

// [channels · K, 1, block…]: the k-th column of a channel is the k-th element of its block.
Tensor block_places(int64_t channels, const std::vector<int64_t>& block) {
  const int64_t count = element_count(block);
  Dims dims = {channels * count, 1};
  dims.insert(dims.end(), block.begin(), block.end());
  Tensor places(DType::f32, dims);
  const auto out = places.mutable_data<float>();
  for (int64_t i = 0; i < channels * count; ++i) out[static_cast<size_t>(i * count + i % count)] = 1;
  return places;
}

}  // namespace

// [N, C · K, L] -> [N, C, image…]: column l holds block l of the image, and blocks that overlap are added: the
// transposed convolution whose kernels put each of the K elements in its place.
Status spell_col2im(Spelling& s) {
  const std::vector<int64_t> image = CUPEL_TRY(s.integers(1, "the image's shape")),
                             block = CUPEL_TRY(s.integers(2, "the block's shape"));
  const size_t axes = image.size();
  const Shape x = CUPEL_TRY(s.shape(s.in(0)));
  const auto strides = per_axis(s, "strides", axes, 1), dilations = per_axis(s, "dilations", axes, 1),
             pads = per_axis(s, "pads", 2 * axes, 0);
  const auto is_positive = [](int64_t n) { return n > 0 && n < kSymbolLimit; };
  if (axes == 0 || block.size() != axes || strides.size() != axes || dilations.size() != axes ||
      pads.size() != 2 * axes || x.size() != 3 || !std::ranges::all_of(image, is_positive) ||
      !std::ranges::all_of(block, is_positive) || !std::ranges::all_of(strides, is_positive) ||
      !std::ranges::all_of(dilations, is_positive) ||
      !std::ranges::all_of(pads, [](int64_t p) { return p >= 0 && p < kSymbolLimit; }))
    return bad_input("", "shapes, strides, dilations and pads do not fit", "correct the model");
  const int64_t count = CUPEL_TRY(count_elements(block));
  if (!x[1].is_constant() || !x[2].is_constant())
    return unsupported("", fmt::format("columns {}", to_text(x)), kGiveSize);
  Shape columns = {x[0], x[1]};
  std::vector<int64_t> more;
  int64_t blocks = 1;
  for (size_t i = 0; i < axes; ++i) {
    const int64_t reach = dilations[i] * (block[i] - 1) + 1, room = image[i] + pads[i] + pads[axes + i] - reach;
    if (room < 0) return bad_input("", "a block is larger than the image", "correct the model");
    blocks = CUPEL_TRY(checked_mul(blocks, room / strides[i] + 1));
    columns.emplace_back(room / strides[i] + 1);
    more.push_back(room % strides[i]);
  }
  if (x[1].factor % count != 0 || x[2].factor != blocks)
    return bad_input("", fmt::format("columns {}, expected {} of blocks of {}", to_text(x), blocks, count),
                     "correct the model");
  const int64_t channels = x[1].factor / count;
  const std::string images = CUPEL_TRY(s.reshape("columns", s.in(0), columns));
  return s.finish_as_read("ConvTranspose", {images, s.reals_like(s.in(0), "places", block_places(channels, block))},
                          {{"dilations", dilations},
                           {"group", channels},
                           {"kernel_shape", block},
                           {"output_padding", more},
                           {"pads", pads},
                           {"strides", strides}});
}

}  // namespace cupel
