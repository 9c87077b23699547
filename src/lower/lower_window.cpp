// Depthwise convolution and pooling as window kernels.
#include <fmt/format.h>

#include <algorithm>

#include "lower/contraction.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "lower/windows.h"

namespace cupel {

namespace {

// Weights of a depthwise convolution, taps outermost, channels padded to whole blocks.
Tensor packed_numbers(const Tensor& weights, int64_t channels, int64_t padded, int64_t taps) {
  Tensor packed(DType::f32, {taps, padded});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      packed.mutable_data<float>()[static_cast<size_t>(t * padded + c)] =
          weights.data<float>()[static_cast<size_t>(c * taps + t)];
  return packed;
}

Tensor packed_codes(const Tensor& codes, int64_t padded) {
  const int64_t channels = codes.dims()[0], taps = codes.dims()[1];
  Tensor packed(DType::s8, {taps, padded});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      packed.mutable_data<int8_t>()[static_cast<size_t>(t * padded + c)] =
          codes.data<int8_t>()[static_cast<size_t>(c * taps + t)];
  return packed;
}

std::vector<float> starts_of(const Tensor* bias, int64_t channels, int64_t padded) {
  std::vector<float> start(static_cast<size_t>(padded), 0.0f);
  for (int64_t c = 0; bias && c < channels; ++c)
    start[static_cast<size_t>(c)] = bias->data<float>()[static_cast<size_t>(bias->size() == 1 ? 0 : c)];
  return start;
}

}  // namespace

Status lower_depthwise(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const TensorType &tx = l.graph.type(node.inputs[0]), &tw = l.graph.type(node.inputs[1]),
                   &ty = l.graph.type(node.outputs[0]);
  const auto& weights = l.graph.value(node.inputs[1]).constant;
  const Tensor* bias = constant_operand(l.graph, node, 2);
  CUPEL_TRY(expect_convolution(l.graph, node));
  if (tx.quant && (!weights || (has_operand(node, 2) && !bias)))
    return no_compiled_form("codes of weights computed at run time");
  const Window window = window_of(l.graph, node);
  const Placed x = CUPEL_TRY(l.places.image(node.inputs[0], window.halo, HaloFill::zero));
  const Dims out_dims = CUPEL_TRY(l.facts.item_dims(node.outputs[0]));
  const int64_t channels = out_dims[1], padded = round_up(channels, 16), taps = window.h.kernel * window.w.kernel;
  const Walk walk = image_walk(out_dims);
  const size_t rank = walk.space.size();
  WindowSpec spec;
  spec.kind = WindowKind::dot;
  spec.a = window_access(l.steps, x, window, element_bytes(x.layout.dtype));
  spec.loops = window_taps(x, window);
  Draft draft;
  int64_t start_buffer = 0;
  if (!tx.quant) {
    int64_t buffer = -1;
    if (weights) {
      buffer = l.steps.add_constant(packed_numbers(*weights, channels, padded, taps));
      spec.weights = {.dtype = DType::f32, .constant = true, .strides = std::vector<int64_t>(rank, 0)};
      spec.weights.strides.back() = 4;
      spec.weights_tap_stride = padded * 4;
    } else {
      buffer = CUPEL_TRY(pack_computed_taps(l, node, spec));
    }
    if (has_operand(node, 2) && !bias) {
      start_buffer = CUPEL_TRY(computed_starts(l, node, spec.start, rank, 1));
    } else {
      const std::vector<float> start = starts_of(bias, channels, padded);
      spec.start = l.expressions.column_access(std::as_bytes(std::span(start)), DType::f32, rank, start_buffer);
    }
    Scalar sum = draft.expr.accumulator(0, ScalarType::f32);
    if (!window.halo.empty()) sum = sum + 0.0f;
    return finish_window(l, id, std::move(spec), draft, sum, walk, {x.layout.buffer, buffer, start_buffer});
  }
  const CenteredWeights centered = centered_weights(weights->reshaped({channels, taps}), tw);
  if (const int64_t parts = centered.codes.dims()[1] / taps; parts > 1)
    spec.loops.insert(spec.loops.begin(), {.count = parts, .stride = 0});
  SumScaling scaling = sum_scaling(tx, tw, ty, bias, centered.sums);
  scaling.starts.resize(static_cast<size_t>(padded), 0);
  const int64_t buffer = l.steps.add_constant(packed_codes(centered.codes, padded));
  spec.weights = {.dtype = DType::s8, .constant = true, .strides = std::vector<int64_t>(rank, 0)};
  spec.weights.strides.back() = 1;
  spec.weights_tap_stride = padded;
  spec.start = l.expressions.column_access(std::as_bytes(std::span(scaling.starts)), DType::s32, rank, start_buffer);
  Scalar value = to_f32(draft.expr.accumulator(0, ScalarType::s32)) *
                 l.expressions.column_constant(draft, scaling.multipliers, rank);
  if (ty.quant) value = to_code_within(scaling.reach, value, ty.dtype, ty.quant->zero_point[0]);
  return finish_window(l, id, std::move(spec), draft, value, walk, {x.layout.buffer, buffer, start_buffer});
}

namespace {

// The divisor of an average at each output position: the elements that its window counts, 1 where it counts none.
std::vector<float> average_counts(const Window& w, bool include_pad) {
  std::vector<float> counts;
  for (int64_t y = 0; y < w.h.out; ++y)
    for (int64_t x = 0; x < w.w.out; ++x)
      counts.push_back(static_cast<float>(
          std::max<int64_t>(1, w.h.counted_taps(y, include_pad) * w.w.counted_taps(x, include_pad))));
  return counts;
}

}  // namespace

Status lower_pool(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const TensorType &tx = l.graph.type(node.inputs[0]), &ty = l.graph.type(node.outputs[0]);
  const bool greatest = window_fill(node) == HaloFill::least;
  if (tx.shape.size() != 4)
    return no_compiled_form("pooling other than over one or two dimensions has no compiled form yet");
  const Window window = window_of(l.graph, node);
  const Placed x = CUPEL_TRY(l.places.image(node.inputs[0], window.halo, window_fill(node)));
  const Walk walk = image_walk(CUPEL_TRY(l.facts.item_dims(node.outputs[0])));
  WindowSpec spec;
  spec.kind = greatest ? WindowKind::max : WindowKind::sum;
  spec.a = window_access(l.steps, x, window, element_bytes(x.layout.dtype));
  spec.loops = window_taps(x, window);
  const bool codes = tx.quant.has_value();
  Draft draft;
  Scalar value = draft.expr.accumulator(0, codes ? ScalarType::s32 : ScalarType::f32);
  if (greatest) return finish_window(l, id, std::move(spec), draft, value, walk, {x.layout.buffer});

  // Divisors by position.
  constexpr int64_t kMostPositions = int64_t{1} << 26;
  if (window.h.out > kMostPositions / window.w.out)
    return no_compiled_form(fmt::format("an average at more than {} positions has no compiled form", kMostPositions));
  std::vector<float> factors = average_counts(window, attr_int(node.attributes, "count_include_pad", 0) != 0);
  const bool varies = std::any_of(factors.begin(), factors.end(), [&](float n) { return n != factors[0]; });
  if (codes) {
    value = value - Scalar(static_cast<int32_t>(tx.quant->zero_point[0] * window.h.kernel * window.w.kernel));
    for (float& f : factors)
      f = static_cast<float>(static_cast<double>(tx.quant->scale[0]) /
                             (static_cast<double>(ty.quant->scale[0]) * static_cast<double>(f)));
  }
  Scalar factor = factors[0];
  if (varies) {
    Access by_position{.dtype = DType::f32, .constant = true, .strides = {4 * window.w.out, 4, 0}};
    by_position.strides.insert(by_position.strides.begin(), walk.space.size() - 3, 0);
    factor = draft.add_operand(std::move(by_position), l.steps.add_constant(std::as_bytes(std::span(factors))));
  }
  value = codes ? to_code(to_f32(value) * factor, ty.dtype, ty.quant->zero_point[0]) : value / factor;
  return finish_window(l, id, std::move(spec), draft, value, walk, {x.layout.buffer});
}

}  // namespace cupel
