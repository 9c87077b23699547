#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/file.h"
#include "quant/plan.h"

namespace cupel {

QuantParams activation_params(Range range) {
  const double low = std::min(static_cast<double>(range.min), 0.0),
               high = std::max(static_cast<double>(range.max), 0.0);
  float scale = static_cast<float>((high - low) / 255.0);
  if (!std::isnormal(scale)) scale = 1.0f;
  const double zero = std::nearbyint(-low / static_cast<double>(scale));
  return {.scale = {scale}, .zero_point = {static_cast<int32_t>(std::clamp(zero, 0.0, 255.0))}, .axis = -1};
}

namespace {

// Contractions that read the same constant weights along the same axis, with the scale of each one's input.
struct WeightUsers {
  ValueId weights;
  int64_t axis;
  std::vector<NodeId> nodes;
  std::vector<float> input_scales;
};

// max|w| of each output channel.
Result<std::vector<double>> weight_peaks(const Graph& graph, const WeightUsers& users) {
  const Value& value = graph.value(users.weights);
  const Tensor& w = *value.constant;
  const int64_t channels = w.dims()[static_cast<size_t>(users.axis)];
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(users.axis) + 1; d < w.dims().size(); ++d) inner *= w.dims()[d];
  std::vector<double> peak(static_cast<size_t>(channels), 0.0);
  for (int64_t i = 0; i < w.size(); ++i) {
    const double v = w.at(i);
    if (!std::isfinite(v))
      return bad_input(node_place(graph.node(users.nodes[0])),
                       fmt::format("weight {} of {} is not finite", i, printable(value.name)),
                       "train or export the model again");
    double& p = peak[static_cast<size_t>(i / inner % channels)];
    p = std::max(p, std::abs(v));
  }
  return peak;
}

// Raises scales so that the codes of the node's bias stay below 2^30 and the products of scales are normal numbers.
Status raise_for_bias(const Graph& graph, const Node& node, float input_scale, std::vector<float>& scales) {
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
  const Tensor* bias = has_bias ? &*graph.value(node.inputs[2]).constant : nullptr;
  for (size_t c = 0; c < scales.size(); ++c) {
    if (bias) {
      const double b = bias->at(bias->size() == 1 ? 0 : static_cast<int64_t>(c));
      if (!std::isfinite(b))
        return bad_input(node_place(node), fmt::format("bias {} is not finite", c), "train or export the model again");
      const double least = std::max(std::abs(b) / (static_cast<double>(input_scale) * 0x1p30),
                                    1.0000001 * std::numeric_limits<float>::min() / static_cast<double>(input_scale));
      if (static_cast<double>(scales[c]) < least)
        scales[c] = std::nextafter(static_cast<float>(least), std::numeric_limits<float>::infinity());
    }
    if (!std::isfinite(scales[c]) ||
        static_cast<double>(scales[c]) * static_cast<double>(input_scale) > std::numeric_limits<float>::max())
      return bad_input(node_place(node),
                       fmt::format("the bias and weights of channel {} are too large for the range of the input", c),
                       "train or export the model again");
  }
  return {};
}

Result<WeightPlan> plan_weights(const Graph& graph, const WeightUsers& users) {
  WeightPlan plan{users.weights, users.axis, {}, users.nodes};
  for (const double peak : CUPEL_TRY(weight_peaks(graph, users))) {
    const float scale = peak == 0 ? 1.0f : static_cast<float>(peak / 127.0);
    plan.scale.push_back(std::max(scale, std::numeric_limits<float>::min()));
  }
  // Twice: a scale that one node raises must fit the inputs of the others too.
  for (int round = 0; round < 2; ++round)
    for (size_t i = 0; i < users.nodes.size(); ++i)
      CUPEL_TRY(raise_for_bias(graph, graph.node(users.nodes[i]), users.input_scales[i], plan.scale));
  return plan;
}

// The activation whose codes reach operand `v`: itself, or what the moves before it read.
ValueId quantized_source(const Graph& graph, const std::vector<NodeId>& producers, const QuantPlan& plan, ValueId v) {
  while (!plan.activations.contains(v)) {
    const NodeId p = producers[static_cast<size_t>(v.index)];
    if (!p.valid() || graph.node(p).op->quant_rule != QuantRule::same) return {};
    v = graph.node(p).inputs[0];
  }
  return v;
}

}  // namespace

Result<QuantPlan> choose_parameters(const Graph& graph, const Selection& selection, const Ranges& ranges) {
  QuantPlan plan;
  plan.kept = selection.kept;
  for (ValueId id : selection.activations) {
    const auto range = ranges.find(id);
    if (range == ranges.end())
      return internal_error("value " + printable(graph.value(id).name), "calibration gave no range");
    plan.activations[id] = activation_params(range->second);
  }
  const auto producers = graph.producers();
  std::vector<WeightUsers> groups;
  std::map<std::pair<ValueId, int64_t>, size_t> group_of;
  for (NodeId id : selection.contractions) {
    const Node& node = graph.node(id);
    if (!graph.value(node.inputs[1]).constant) continue;
    const ValueId source = quantized_source(graph, producers, plan, node.inputs[0]);
    if (!source.valid()) return internal_error(node_place(node), "its input has no quantization parameters");
    const int64_t axis = node.op->channel_axis(node.attributes, graph.value(node.inputs[1]).constant->rank());
    const auto [found, fresh] = group_of.try_emplace({node.inputs[1], axis}, groups.size());
    if (fresh) groups.push_back({.weights = node.inputs[1], .axis = axis, .nodes = {}, .input_scales = {}});
    groups[found->second].nodes.push_back(id);
    groups[found->second].input_scales.push_back(plan.activations[source].scale[0]);
  }
  for (const WeightUsers& users : groups) plan.weights.push_back(CUPEL_TRY(plan_weights(graph, users)));
  return plan;
}

}  // namespace cupel
