#include "ops/window.h"

#include <fmt/format.h>

#include "base/file.h"

namespace cupel::ops {
namespace {

// What differs between the ops.
struct WindowRules {
  std::string_view action, noun;  // what messages call the whole, and one window
  size_t most_dimensions = 1;     // spatial ones
  int limit_log2 = 31;            // sizes, steps and pads are below that power of two
  bool rounds_up = false;         // ONNX's ceil_mode
  bool pads_below_span = false;   // so that no window can lie in the padding alone
};

// The attributes of windows, one entry for each spatial dimension; of pads two.
struct WindowAttributes {
  std::vector<int64_t> strides, dilations, pads;
  std::string auto_pad;
  bool same() const { return auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER"; }
};

Result<WindowAttributes> window_attributes(const Attributes& attributes, size_t kernel, size_t spatial) {
  WindowAttributes w{.strides = attr_ints(attributes, "strides", std::vector<int64_t>(spatial, 1)),
                     .dilations = attr_ints(attributes, "dilations", std::vector<int64_t>(spatial, 1)),
                     .pads = attr_ints(attributes, "pads", std::vector<int64_t>(2 * spatial, 0)),
                     .auto_pad = attr_text(attributes, "auto_pad", "NOTSET")};
  if (kernel != spatial || w.strides.size() != spatial || w.dilations.size() != spatial || w.pads.size() != 2 * spatial)
    return bad_input(
        "",
        fmt::format(
            "kernel_shape, strides, dilations and pads have {}, {}, {} and {} entries, expected {}, {}, {} and {}",
            kernel, w.strides.size(), w.dilations.size(), w.pads.size(), spatial, spatial, spatial, 2 * spatial),
        "correct the attributes");
  if (!w.same() && w.auto_pad != "NOTSET" && w.auto_pad != "VALID")
    return bad_input(
        "", fmt::format("auto_pad is {}, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", printable(w.auto_pad)),
        "correct the attribute");
  return w;
}

Status expect_bounded(const WindowAxis& a, const WindowRules& rules) {
  const auto numbers = [&](std::string_view rule) {
    return fmt::format("{} {}, stride {}, dilation {}, pads {} and {}: {}", rules.noun, a.kernel, a.stride, a.dilation,
                       a.pad_begin, a.pad_end, rule);
  };
  if (a.kernel < 1 || a.stride < 1 || a.dilation < 1 || a.pad_begin < 0 || a.pad_end < 0)
    return bad_input("",
                     numbers(fmt::format("{}, stride and dilation must be at least 1, pads at least 0", rules.noun)),
                     "correct the attributes");
  if (std::max({a.kernel, a.stride, a.dilation, a.pad_begin, a.pad_end}) >> rules.limit_log2 != 0)
    return resource_error("", numbers(fmt::format("these must be below 2^{}", rules.limit_log2)),
                          "use a model with smaller windows");
  constexpr int64_t kMostElements = int64_t{1} << 31;
  if (a.in >= kMostElements)
    return resource_error("", fmt::format("a spatial dimension of {} elements; it must be below 2^31", a.in),
                          "use a model with smaller tensors");
  return {};
}

// SAME: as many windows as strides fit, the padding spread over both ends.
void pad_same(WindowAxis& a, bool upper) {
  a.out = (a.in + a.stride - 1) / a.stride;
  const int64_t total = std::max<int64_t>(0, (a.out - 1) * a.stride + a.span() - a.in);
  a.pad_begin = upper ? total / 2 : total - total / 2;
  a.pad_end = total - a.pad_begin;
}

// As many windows as the padded input holds. Rounded up, the last may overhang it at its end, but starts inside the
// input or its leading padding.
Status count_windows(WindowAxis& a, const WindowRules& rules) {
  const int64_t span = a.span(), padded = a.in + a.pad_begin + a.pad_end, room = padded - span;
  if (rules.pads_below_span && (a.pad_begin >= span || a.pad_end >= span))
    return unsupported("",
                       fmt::format("pads {} and {} of a {} spanning {}: a {} could lie in the padding alone",
                                   a.pad_begin, a.pad_end, rules.noun, span, rules.noun),
                       fmt::format("pad less than the {} spans", rules.noun));
  if (room < 0)
    return bad_input("", fmt::format("a {} spanning {} does not fit the padded size {}", rules.noun, span, padded),
                     "correct the model's shapes");
  a.out = (rules.rounds_up ? room + a.stride - 1 : room) / a.stride + 1;
  if (rules.rounds_up && (a.out - 1) * a.stride >= a.in + a.pad_begin) --a.out;
  return {};
}

Result<std::vector<WindowAxis>> axes_of(const Attributes& attributes, const Shape& x,
                                        const std::vector<int64_t>& kernel, const WindowRules& rules) {
  CUPEL_TRY(expect_image(x));
  const size_t spatial = x.size() - 2;
  if (spatial > rules.most_dimensions)
    return unsupported("", fmt::format("{} over {} spatial dimensions", rules.action, spatial),
                       fmt::format("use one to {} spatial dimensions", rules.most_dimensions));
  for (size_t i = 2; i < x.size(); ++i)
    if (!x[i].is_constant())
      return unsupported("", fmt::format("the symbolic dimension {} of operand 0 {}", to_text(x[i]), to_text(x)),
                         kGiveSize);
  const WindowAttributes w = CUPEL_TRY(window_attributes(attributes, kernel.size(), spatial));
  std::vector<WindowAxis> axes;
  for (size_t i = 0; i < spatial; ++i) {
    WindowAxis a{.in = x[2 + i].factor,
                 .kernel = kernel[i],
                 .stride = w.strides[i],
                 .dilation = w.dilations[i],
                 .pad_begin = w.pads[i],
                 .pad_end = w.pads[i + spatial]};
    CUPEL_TRY(expect_bounded(a, rules));
    if (w.auto_pad == "VALID") a.pad_begin = a.pad_end = 0;
    if (w.same()) {
      pad_same(a, w.auto_pad == "SAME_UPPER");
    } else {
      CUPEL_TRY(count_windows(a, rules));
    }
    if (a.out == 1) a.stride = 1;
    if (a.kernel == 1) a.dilation = 1;
    axes.push_back(a);
  }
  return axes;
}

}  // namespace

Status expect_image(const Shape& x) {
  if (x.size() >= 3) return {};
  return bad_input(
      "",
      fmt::format("operand 0 has shape {}, expected a batch, channels and at least one spatial dimension", to_text(x)),
      "correct the model's shapes");
}

Result<std::vector<WindowAxis>> convolution_axes(const Attributes& attributes, const Shape& x, const Shape& w,
                                                 size_t most_dimensions) {
  if (x.size() != w.size() || x.size() < 3)
    return bad_input("", fmt::format("input {} and weights {} do not fit a convolution", to_text(x), to_text(w)),
                     "correct the model's shapes");
  if (!is_static(w))
    return unsupported("", fmt::format("weights of symbolic shape {}", to_text(w)), "use constant weights");
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < w.size(); ++i) kernel.push_back(w[i].factor);
  const auto declared = attr_ints(attributes, "kernel_shape");
  if (!declared.empty() && declared != kernel)
    return bad_input("", fmt::format("kernel_shape differs from weights {}", to_text(w)), "correct the attribute");
  return axes_of(attributes, x, kernel,
                 {.action = "a convolution", .noun = "kernel", .most_dimensions = most_dimensions, .limit_log2 = 31});
}

Result<std::vector<WindowAxis>> pooling_axes(const Attributes& attributes, const Shape& x) {
  const int64_t ceil_mode = attr_int(attributes, "ceil_mode", 0);
  if (ceil_mode != 0 && ceil_mode != 1)
    return bad_input("", fmt::format("ceil_mode is {}, expected 0 or 1", ceil_mode), "correct the attribute");
  return axes_of(attributes, x, attr_ints(attributes, "kernel_shape"),
                 {.action = "pooling",
                  .noun = "window",
                  .most_dimensions = 3,
                  .limit_log2 = 20,
                  .rounds_up = ceil_mode == 1,
                  .pads_below_span = true});
}

Result<std::vector<WindowAxis>> window_axes(const OpDef& op, const Attributes& attributes,
                                            std::span<const TensorType* const> inputs) {
  return op.quant_rule == QuantRule::contraction ? convolution_axes(attributes, inputs[0]->shape, inputs[1]->shape)
                                                 : pooling_axes(attributes, inputs[0]->shape);
}

}  // namespace cupel::ops
