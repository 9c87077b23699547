#include "lower/windows.h"

#include <algorithm>

#include "ops/op_table.h"

namespace cupel {
namespace {

// Pads of a window op before and behind one spatial axis, as the op resolves them.
struct Pads {
  int64_t begin, end;
};
Pads pads_of(const Graph& graph, const Node& node, size_t axis) {
  const bool conv = is(node, ops::kConv);
  const auto kernel_shape = attr_ints(node.attributes, "kernel_shape");
  const int64_t kernel = conv ? graph.type(node.inputs[1]).shape[2 + axis].factor : kernel_shape[axis];
  const int64_t stride = attr_ints(node.attributes, "strides", {1, 1})[axis],
                dilation = attr_ints(node.attributes, "dilations", {1, 1})[axis];
  const int64_t in = graph.type(node.inputs[0]).shape[2 + axis].factor,
                out = graph.type(node.outputs[0]).shape[2 + axis].factor;
  const int64_t span = (kernel - 1) * dilation + 1;
  const std::string mode = attr_text(node.attributes, "auto_pad", "NOTSET");
  int64_t begin = attr_ints(node.attributes, "pads", {0, 0, 0, 0})[axis];
  if (mode == "VALID") begin = 0;
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    const int64_t total = std::max<int64_t>(0, (out - 1) * stride + span - in);
    begin = mode == "SAME_UPPER" ? total / 2 : total - total / 2;
  }
  return {begin, std::max<int64_t>(0, (out - 1) * stride + span - in - begin)};
}

}  // namespace

Window window_of(const Graph& graph, const Node& node) {
  Window w;
  const bool conv = is(node, ops::kConv);
  for (size_t axis = 0; axis < 2; ++axis) {
    WindowAxis& a = axis == 0 ? w.h : w.w;
    const Pads pads = pads_of(graph, node, axis);
    a.kernel =
        conv ? graph.type(node.inputs[1]).shape[2 + axis].factor : attr_ints(node.attributes, "kernel_shape")[axis];
    a.stride = attr_ints(node.attributes, "strides", {1, 1})[axis];
    a.dilation = attr_ints(node.attributes, "dilations", {1, 1})[axis];
    a.pad = pads.begin;
    a.out = graph.type(node.outputs[0]).shape[2 + axis].factor;
    // Steps that nothing takes may be of any size.
    if (a.out == 1) a.stride = 1;
    if (a.kernel == 1) a.dilation = 1;
    (axis == 0 ? w.halo.top : w.halo.left) = pads.begin;
    (axis == 0 ? w.halo.bottom : w.halo.right) = pads.end;
  }
  return w;
}

HaloFill window_fill(const Node& node) {
  return node.op->quant_rule == QuantRule::same ? HaloFill::least : HaloFill::zero;
}

Access window_access(const Steps& steps, const Placed& x, const Window& window, int64_t channel_stride) {
  const int64_t row = x.layout.strides[2], pixel = x.layout.strides[3];
  Access a = steps.first_element(x.layout);
  a.offset -= window.h.pad * row + window.w.pad * pixel;
  a.strides = {window.h.stride * row, window.w.stride * pixel, channel_stride};
  if (x.layout.dims[0] > 1) a.strides.insert(a.strides.begin(), x.layout.strides[0]);
  return a;
}

Border border_of(const TensorType& x, const WindowAxis& axis, int64_t lines) {
  // A window that stays inside has none. A zero of codes has the bits 0 in unsigned ones alone, as s8 lie 128 higher.
  const int64_t last = (axis.out - 1) * axis.stride + (axis.kernel - 1) * axis.dilation - axis.pad;
  if ((axis.pad == 0 && last < lines) || (x.quant && (x.dtype != DType::u8 || x.quant->zero_point[0] != 0))) return {};
  return {.taps = axis.kernel, .stride = axis.stride, .dilation = axis.dilation, .before = axis.pad, .lines = lines};
}

std::vector<ReductionLoop> window_taps(const Placed& x, const Window& window) {
  return {{window.h.kernel, window.h.dilation * x.layout.strides[2]},
          {window.w.kernel, window.w.dilation * x.layout.strides[3]}};
}

}  // namespace cupel
