#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/file.h"
#include "quant/plan.h"

namespace cupel {

QuantParams activation_params(Range range) {
  const double low = std::min(static_cast<double>(range.min), 0.0),
               high = std::max(static_cast<double>(range.max), 0.0);
  float scale = static_cast<float>((high - low) / 255.0);
  if (!std::isnormal(scale)) scale = 1.0f;
  const double zero = std::nearbyint(-low / static_cast<double>(scale));
  return {{scale}, {static_cast<int32_t>(std::clamp(zero, 0.0, 255.0))}, -1};
}

namespace {

int64_t channel_axis(const Node& node) {
  if (node.op->name == "Conv") return 0;
  if (node.op->name == "MatMul") return 1;
  return attr_int(node.attributes, "transB", 0) != 0 ? 0 : 1;
}

Result<WeightPlan> plan_weights(const Graph& graph, NodeId id, float input_scale) {
  const Node& node = graph.node(id);
  const Value& value = graph.value(node.inputs[1]);
  const Tensor& w = *value.constant;
  WeightPlan plan{id, channel_axis(node), {}};
  const int64_t channels = w.dims()[static_cast<size_t>(plan.axis)];
  int64_t inner = 1;
  for (size_t d = static_cast<size_t>(plan.axis) + 1; d < w.dims().size(); ++d) inner *= w.dims()[d];
  std::vector<double> peak(static_cast<size_t>(channels), 0.0);
  for (int64_t i = 0; i < w.size(); ++i) {
    const double v = w.at(i);
    if (!std::isfinite(v))
      return bad_input(node_place(node), fmt::format("weight {} of {} is not finite", i, printable(value.name)),
                       "train or export the model again");
    double& p = peak[static_cast<size_t>(i / inner % channels)];
    p = std::max(p, std::abs(v));
  }
  const Tensor* bias =
      node.inputs.size() > 2 && node.inputs[2].valid() ? &*graph.value(node.inputs[2]).constant : nullptr;
  for (int64_t c = 0; c < channels; ++c) {
    float scale = peak[static_cast<size_t>(c)] == 0 ? 1.0f : static_cast<float>(peak[static_cast<size_t>(c)] / 127.0);
    scale = std::max(scale, std::numeric_limits<float>::min());
    if (bias) {
      const double b = bias->at(bias->size() == 1 ? 0 : c);
      if (!std::isfinite(b))
        return bad_input(node_place(node), fmt::format("bias {} is not finite", c), "train or export the model again");
      // Keeps the bias's code below 2^30, and the product of scales a normal number.
      const double least = std::max(std::abs(b) / (static_cast<double>(input_scale) * 0x1p30),
                                    1.0000001 * std::numeric_limits<float>::min() / static_cast<double>(input_scale));
      if (static_cast<double>(scale) < least)
        scale = std::nextafter(static_cast<float>(least), std::numeric_limits<float>::infinity());
    }
    if (!std::isfinite(scale) ||
        static_cast<double>(scale) * static_cast<double>(input_scale) > std::numeric_limits<float>::max())
      return bad_input(node_place(node),
                       fmt::format("the bias and weights of channel {} are too large for the range of the input", c),
                       "train or export the model again");
    plan.scale.push_back(scale);
  }
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
  for (NodeId id : selection.contractions) {
    const Node& node = graph.node(id);
    if (!graph.value(node.inputs[1]).constant) continue;
    const ValueId source = quantized_source(graph, producers, plan, node.inputs[0]);
    if (!source.valid()) return internal_error(node_place(node), "its input has no quantization parameters");
    plan.weights.push_back(CUPEL_TRY(plan_weights(graph, id, plan.activations[source].scale[0])));
  }
  return plan;
}

}  // namespace cupel
