// drop_redundant_clamps: a Relu or Clip that only feeds quantize nodes whose saturation repeats it goes away. Exact:
// the bounds of the clamp map to codes at or beyond the ends of the type, and quantization is monotone.
//   %r = Relu(%c); %q = QuantizeLinear(%r) {zero_point=[0], dtype="u8"}     ->     %q = QuantizeLinear(%c)
#include <limits>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "ops/requantize.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace cupel {
namespace {

// Bounds of the clamp; nullopt for any other node.
std::optional<std::pair<float, float>> clamp_bounds(const Match& m, const Node& node) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (is(node, ops::kRelu)) return std::pair(0.0f, kInfinity);
  if (!is(node, ops::kClip)) return std::nullopt;
  std::pair<float, float> bounds{-kInfinity, kInfinity};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (!node.inputs[i].valid()) continue;
    const auto s = m.scalar(node.inputs[i]);
    if (!s) return std::nullopt;
    (i == 1 ? bounds.first : bounds.second) = static_cast<float>(*s);
  }
  return bounds;
}

bool saturation_repeats(const TensorType& codes, std::pair<float, float> bounds) {
  const QuantParams& q = *codes.quant;
  for (size_t i = 0; i < q.scale.size(); ++i) {
    const ops::CodeRange range(codes.dtype, q.zero_point[i]);
    if (ops::to_code(bounds.first / q.scale[i], range) != dtype_min(codes.dtype) ||
        ops::to_code(bounds.second / q.scale[i], range) != dtype_max(codes.dtype))
      return false;
  }
  return true;
}

}  // namespace

Result<Graph> run_drop_redundant_clamps(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const Match m(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const auto bounds = clamp_bounds(m, node);
    if (!bounds || graph.type(node.outputs[0]).quant || graph.is_output(node.outputs[0]) ||
        m.users(node.outputs[0]).empty())
      continue;
    bool redundant = true;
    for (NodeId user : m.users(node.outputs[0])) {
      const Node& q = graph.node(user);
      redundant = redundant && is(q, ops::kQuantizeLinear) && saturation_repeats(graph.type(q.outputs[0]), *bounds);
    }
    if (!redundant) continue;
    const NodeId clamp{static_cast<int32_t>(n)};
    patch.begin_edit();
    patch.remove(clamp);
    for (NodeId user : m.users(node.outputs[0])) {
      // The quantize node stands for the clamp from now on.
      const Node& q = graph.node(user);
      patch.begin_edit();
      patch.stands_for(clamp);
      patch.remove(user);
      patch.replace(q.outputs[0],
                    patch.add_named(*q.op, q.name, graph.value(q.outputs[0]).name, {node.inputs[0]}, q.attributes));
    }
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
