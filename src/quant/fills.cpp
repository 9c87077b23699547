#include "quant/fills.h"

#include <algorithm>
#include <cmath>

#include "ops/op_table.h"

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

// Whether each element of the result is, or is computed from, elements at one place of the operands.
bool keeps_fills(const OpDef& op) {
  return op.quant_rule == QuantRule::same || op.quant_rule == QuantRule::add || op.quant_rule == QuantRule::mul ||
         op.quant_rule == QuantRule::concat || op.quant_rule == QuantRule::unary || &op == &ops::kWhere;
}

}  // namespace

std::vector<std::optional<float>> least_fills(const Graph& graph) {
  std::vector<std::optional<float>> least(graph.values().size());
  for (const Node& node : graph.nodes()) {
    if (!keeps_fills(*node.op)) continue;
    std::optional<float> reached;
    for (const ValueId id : node.inputs) {
      if (!id.valid()) continue;
      const auto& constant = graph.value(id).constant;
      const std::optional<float> fill = constant ? fill_of(*constant) : least[static_cast<size_t>(id.index)];
      const float scaled = fill ? (constant ? kScaled * *fill : *fill) : 0;
      if (fill && (!reached || scaled < *reached)) reached = scaled;
    }
    for (const ValueId id : node.outputs) least[static_cast<size_t>(id.index)] = reached;
  }
  return least;
}

}  // namespace cupel
