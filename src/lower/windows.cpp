#include "lower/windows.h"

namespace cupel {

Window window_of(const Graph& graph, const Node& node) {
  std::vector<const TensorType*> inputs;
  for (const ValueId input : node.inputs) inputs.push_back(input.valid() ? &graph.type(input) : nullptr);
  const std::vector<WindowAxis> axes = *ops::window_axes(*node.op, node.attributes, inputs);
  const WindowAxis &h = axes[0], &w = axes[1];
  return {.h = h,
          .w = w,
          .halo = {.top = h.pad_begin, .left = w.pad_begin, .bottom = h.read_behind(), .right = w.read_behind()}};
}

HaloFill window_fill(const Node& node) {
  return node.op->quant_rule == QuantRule::same ? HaloFill::least : HaloFill::zero;
}

Access window_access(const Steps& steps, const Placed& x, const Window& window, int64_t channel_stride) {
  const int64_t row = x.layout.strides[2], pixel = x.layout.strides[3];
  Access a = steps.first_element(x.layout);
  a.offset -= window.h.pad_begin * row + window.w.pad_begin * pixel;
  a.strides = {window.h.stride * row, window.w.stride * pixel, channel_stride};
  if (x.layout.dims[0] > 1) a.strides.insert(a.strides.begin(), x.layout.strides[0]);
  return a;
}

Border border_of(const TensorType& x, const WindowAxis& axis) {
  // A window that stays inside has none. A zero of codes has the bits 0 in unsigned ones alone, as s8 lie 128 higher.
  if (!axis.reads_padding() || (x.quant && (x.dtype != DType::u8 || x.quant->zero_point[0] != 0))) return {};
  return {.taps = axis.kernel,
          .stride = axis.stride,
          .dilation = axis.dilation,
          .before = axis.pad_begin,
          .lines = axis.in};
}

std::vector<ReductionLoop> window_taps(const Placed& x, const Window& window) {
  return {{.count = window.h.kernel, .stride = window.h.dilation * x.layout.strides[2]},
          {.count = window.w.kernel, .stride = window.w.dilation * x.layout.strides[3]}};
}

}  // namespace cupel
