#include "quant/fills.h"

#include <algorithm>
#include <cmath>

namespace cupel {
namespace {

constexpr float kLeastFill = 1e4f;
constexpr float kScaled = 1e-3f;

// The one magnitude from kLeastFill on that the constant holds; nullopt when there is none or more than one.
std::optional<float> fill_of(const Tensor& constant) {
  if (constant.dtype() != DType::f32) return std::nullopt;
  std::optional<float> fill;
  for (const float x : constant.data<float>()) {
    const float magnitude = std::abs(x);
    if (!(magnitude >= kLeastFill)) continue;
    if (fill && *fill != magnitude) return std::nullopt;
    fill = magnitude;
  }
  return fill;
}

// Whether each element of the result is one of an operand's, or is computed from elements at one place of the operands.
bool keeps_fills(const OpDef& op) {
  return op.quant_rule == QuantRule::same || is_elementwise(op) || changes_shape(op) || op.elements == Elements::moved;
}

}  // namespace

std::vector<std::optional<float>> least_fills(const Graph& graph) {
  std::vector<std::optional<float>> least(graph.values().size());
  for (size_t v = 0; v < graph.values().size(); ++v)
    if (const auto& constant = graph.values()[v].constant)
      if (const auto fill = fill_of(*constant)) least[v] = kScaled * *fill;
  for (const Node& node : graph.nodes()) {
    if (!keeps_fills(*node.op)) continue;
    std::optional<float> reached;
    for (const ValueId id : node.inputs) {
      if (!id.valid()) continue;
      const std::optional<float> fill = least[static_cast<size_t>(id.index)];
      if (fill && (!reached || *fill < *reached)) reached = fill;
    }
    for (const ValueId id : node.outputs) least[static_cast<size_t>(id.index)] = reached;
  }
  return least;
}

}  // namespace cupel
