// Depthwise convolution and pooling as window kernels.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "lower/lowering.h"
#include "lower/schedule.h"
#include "ops/requantize.h"

namespace cupel {

Result<Placed> Lowering::channels_place(ValueId value, int dim, Scalar& x) {
  int64_t item_bytes = 0;
  Placed place = CUPEL_TRY(planned_place(value, true, item_bytes));
  const Dims& dims = place.layout.dims;
  const int64_t elem = element_bytes(place.layout.dtype);
  const auto channels = static_cast<size_t>(dim);
  if (dim < 0 || dims[channels] == 1 || place.layout.strides[channels] == elem) return result_place(value, true, x);
  // Dimensions behind the channels have extent 1.
  place = {{-1, place.layout.dtype, dims, 0, std::vector<int64_t>(dims.size(), 0)}, {}, HaloFill::zero};
  int64_t stride = round_up(dims[channels], 16) * elem;
  place.layout.strides[channels] = elem;
  for (size_t d = dims.size(); d-- > 0;) {
    if (d == channels) continue;
    place.layout.strides[d] = stride;
    stride *= dims[d];
  }
  place.layout.buffer = add_buffer(graph_.value(value).name, BufferPlace::arena, round_up(stride, 64));
  return place;
}

Status Lowering::finish_window(NodeId id, WindowSpec spec, Draft& draft, Scalar value, Walk walk,
                               std::vector<int64_t> buffers) {
  walk.whole_blocks = true;
  const Node& node = graph_.node(id);
  const Absorbed nodes = absorbable(id, node.outputs[0]);
  spec.space = walk.space;
  value = CUPEL_TRY(absorb(draft, node.outputs[0], value, nodes, walk));
  const ValueId result = take(id, nodes, node.outputs[0], draft);
  const Placed place = CUPEL_TRY(channels_place(result, walk.item_dim.back(), value));
  spec.epilogue = draft.expr.finish(value);
  spec.out = access(place, walk);
  spec.out.strides.back() = element_bytes(spec.out.dtype);
  for (Access& a : draft.operands) a.strides.resize(walk.space.size(), 0);
  spec.operands = std::move(draft.operands);
  buffers.insert(buffers.begin(), place.layout.buffer);
  buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
  const WindowSchedule schedule = start_schedule(spec);
  add_step({std::move(spec), schedule}, std::move(buffers), draft.origins, result, &place);
  places_[result] = place;
  return {};
}

Status Lowering::lower_depthwise(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &tw = graph_.type(node.inputs[1]),
                   &ty = graph_.type(node.outputs[0]);
  const auto& weights = graph_.value(node.inputs[1]).constant;
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
  const Tensor* bias =
      has_bias && graph_.value(node.inputs[2]).constant ? &*graph_.value(node.inputs[2]).constant : nullptr;
  if (tx.shape.size() != 4 || !weights || (has_bias && !bias))
    return not_compiled("", "this depthwise convolution has no compiled form yet");
  const Window window = window_of(graph_, node);
  const Placed x = CUPEL_TRY(image_place(node.inputs[0], window.halo, HaloFill::zero));
  const Dims out_dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  const int64_t channels = out_dims[0], padded = round_up(channels, 16), taps = window.h.kernel * window.w.kernel;
  const Walk walk = image_walk(out_dims);
  WindowSpec spec;
  spec.kind = WindowKind::dot;
  spec.a = window_access(x, window, element_bytes(x.layout.dtype));
  spec.loops = window_taps(x, window);
  Draft draft;
  int64_t start_buffer = 0;
  if (!tx.quant) {
    Tensor packed(DType::f32, {taps, padded});
    std::vector<float> start(static_cast<size_t>(padded), 0.0f);
    for (int64_t c = 0; c < channels; ++c) {
      if (bias) start[static_cast<size_t>(c)] = bias->data<float>()[static_cast<size_t>(bias->size() == 1 ? 0 : c)];
      for (int64_t t = 0; t < taps; ++t)
        packed.mutable_data<float>()[static_cast<size_t>(t * padded + c)] =
            weights->data<float>()[static_cast<size_t>(c * taps + t)];
    }
    const int64_t buffer = add_constant(packed);
    spec.weights = {DType::f32, true, 0, 0, {0, 0, 4}};
    spec.weights_tap_stride = padded * 4;
    spec.start = column_access(std::as_bytes(std::span(start)), DType::f32, 3, start_buffer);
    Scalar sum = draft.expr.accumulator(0, ScalarType::f32);
    if (!window.halo.empty()) sum = sum + 0.0f;
    return finish_window(id, std::move(spec), draft, sum, walk, {x.layout.buffer, buffer, start_buffer});
  }
  const CenteredWeights centered = centered_weights(weights->reshaped({channels, taps}), tw);
  const int64_t all_taps = centered.codes.dims()[1];
  if (all_taps > taps) spec.loops.insert(spec.loops.begin(), {all_taps / taps, 0});
  Tensor packed(DType::s8, {all_taps, padded});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < all_taps; ++t)
      packed.mutable_data<int8_t>()[static_cast<size_t>(t * padded + c)] =
          centered.codes.data<int8_t>()[static_cast<size_t>(c * all_taps + t)];
  SumScaling scaling = sum_scaling(tx, tw, ty, bias, centered.sums);
  scaling.starts.resize(static_cast<size_t>(padded), 0);
  const int64_t buffer = add_constant(packed);
  spec.weights = {DType::s8, true, 0, 0, {0, 0, 1}};
  spec.weights_tap_stride = padded;
  spec.start = column_access(std::as_bytes(std::span(scaling.starts)), DType::s32, 3, start_buffer);
  Scalar value = to_f32(draft.expr.accumulator(0, ScalarType::s32)) * column_constant(draft, scaling.multipliers, 3);
  if (ty.quant) value = to_code_within(scaling.reach, value, ty.dtype, ty.quant->zero_point[0]);
  return finish_window(id, std::move(spec), draft, value, walk, {x.layout.buffer, buffer, start_buffer});
}

namespace {

// The divisor of an average at each output position: the elements of the image that its window counts, 1 where it
// counts none. Padding counts with count_include_pad; what a window of ceil_mode has beyond the padding never does.
std::vector<float> average_counts(const Window& w, int64_t height, int64_t width, const Attributes& attributes) {
  std::vector<float> counts;
  const bool include_pad = attr_int(attributes, "count_include_pad", 0) != 0;
  const std::vector<int64_t> pads = attr_text(attributes, "auto_pad", "NOTSET") == "NOTSET"
                                        ? attr_ints(attributes, "pads", {0, 0, 0, 0})
                                        : std::vector<int64_t>{w.h.pad, w.w.pad, w.halo.bottom, w.halo.right};
  // Taps of window `at` along one axis at or above −pad and below `end`, or from 0 on.
  const auto along = [&](const WindowAxis& a, int64_t at, int64_t extent, int64_t pad_end) {
    const int64_t start = at * a.stride - a.pad, end = include_pad ? extent + pad_end : extent;
    const auto below = [&](int64_t limit) {
      return start >= limit ? 0 : std::min(a.kernel, (limit - 1 - start) / a.dilation + 1);
    };
    return below(end) - (include_pad ? 0 : below(0));
  };
  for (int64_t y = 0; y < w.h.out; ++y)
    for (int64_t x = 0; x < w.w.out; ++x)
      counts.push_back(
          static_cast<float>(std::max<int64_t>(1, along(w.h, y, height, pads[2]) * along(w.w, x, width, pads[3]))));
  return counts;
}

}  // namespace

Status Lowering::lower_pool(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &ty = graph_.type(node.outputs[0]);
  const bool greatest = node.op->name == "MaxPool";
  if (tx.shape.size() != 4)
    return not_compiled("", "pooling other than over one or two dimensions has no compiled form yet");
  const Dims in_dims = CUPEL_TRY(item_dims(graph_, batch_, node.inputs[0]));
  const Window window = window_of(graph_, node);
  const Placed x = CUPEL_TRY(image_place(node.inputs[0], window.halo, greatest ? HaloFill::least : HaloFill::zero));
  const Walk walk = image_walk(CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0])));
  WindowSpec spec;
  spec.kind = greatest ? WindowKind::max : WindowKind::sum;
  spec.a = window_access(x, window, element_bytes(x.layout.dtype));
  spec.loops = window_taps(x, window);
  const bool codes = tx.quant.has_value();
  Draft draft;
  Scalar value = draft.expr.accumulator(0, codes ? ScalarType::s32 : ScalarType::f32);
  if (greatest) return finish_window(id, std::move(spec), draft, value, walk, {x.layout.buffer});

  // Divisors by position.
  constexpr int64_t kMostPositions = int64_t{1} << 26;
  if (walk.space[0] > kMostPositions / walk.space[1])
    return not_compiled("", fmt::format("an average at more than {} positions has no compiled form", kMostPositions));
  std::vector<float> factors = average_counts(window, in_dims[1], in_dims[2], node.attributes);
  const bool varies = std::any_of(factors.begin(), factors.end(), [&](float n) { return n != factors[0]; });
  if (codes) {
    value = value - Scalar(static_cast<int32_t>(tx.quant->zero_point[0] * window.h.kernel * window.w.kernel));
    for (float& f : factors)
      f = static_cast<float>(static_cast<double>(tx.quant->scale[0]) /
                             (static_cast<double>(ty.quant->scale[0]) * static_cast<double>(f)));
  }
  Scalar factor = factors[0];
  if (varies) {
    draft.operand_buffers.push_back(add_constant(std::as_bytes(std::span(factors))));
    draft.operands.push_back({DType::f32, true, 0, 0, {4 * walk.space[1], 4, 0}});
    factor = draft.expr.operand(0, DType::f32);
  }
  value = codes ? to_code(to_f32(value) * factor, ty.dtype, ty.quant->zero_point[0]) : value / factor;
  return finish_window(id, std::move(spec), draft, value, walk, {x.layout.buffer});
}

}  // namespace cupel
