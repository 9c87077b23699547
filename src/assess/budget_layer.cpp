#include "assess/budget_layer.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "ops/op_table.h"
#include "quant/plan.h"

namespace cupel {
namespace {

bool is_conversion(const Node& node) { return node.op->conversion != Conversion::none; }

using OriginAndOp = std::pair<std::string_view, const OpDef*>;
using NodesOf = std::map<OriginAndOp, std::vector<NodeId>>;

NodesOf nodes_by_origin(const Graph& graph) {
  NodesOf found;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (is_conversion(node)) continue;
    for (const std::string& origin : node.origin) found[{origin, node.op}].push_back({static_cast<int32_t>(n)});
  }
  return found;
}

class LayerFinder {
 public:
  LayerFinder(const Graph& base, const Graph& quantized)
      : base_(base),
        quantized_(quantized),
        counterparts_(counterparts(base, quantized)),
        base_users_(base.users()),
        users_(quantized.users()),
        producers_(quantized.producers()) {
    for (const Node& node : quantized.nodes()) origins_.insert(node.origin.begin(), node.origin.end());
  }

  std::vector<BudgetLayer> find() const {
    std::vector<BudgetLayer> layers;
    std::set<NodeId> clamps;  // of layers before
    for (const auto& [node, base] : counterparts_) {
      if (clamps.contains(node)) continue;
      const auto layer = layer_of(node, base);
      if (!layer) continue;
      clamps.insert(layer->clamps.begin(), layer->clamps.end());
      layers.push_back(*layer);
    }
    return layers;
  }

 private:
  std::optional<BudgetLayer> layer_of(NodeId id, NodeId base_id) const {
    const Node &node = quantized_.node(id), &base = base_.node(base_id);
    BudgetLayer layer{id, base_id, {}, {}, id, node.outputs[0], base.outputs[0]};
    if (quantized_.type(layer.result).dtype != DType::f32 || base_.type(layer.base_result).dtype != DType::f32)
      return std::nullopt;
    follow_to_quantize(layer);
    follow_base(layer);
    const bool quantized_result = quantized_.type(layer.result).quant.has_value();
    if (!quantized_result && std::ranges::none_of(node.inputs, [&](ValueId v) { return is_dequantized(v); }))
      return std::nullopt;
    if (quantized_.type(layer.result).shape.size() != base_.type(layer.base_result).shape.size()) return std::nullopt;
    return layer;
  }

  bool is_dequantized(ValueId v) const {
    const NodeId producer = v.valid() ? producers_[static_cast<size_t>(v.index)] : NodeId{};
    return producer.valid() && is(quantized_.node(producer), ops::kDequantizeLinear);
  }

  // The quantize node behind the result, or behind clamps that alone read it.
  void follow_to_quantize(BudgetLayer& layer) const {
    std::vector<NodeId> clamps;
    for (ValueId v = layer.result;;) {
      const auto& readers = users_[static_cast<size_t>(v.index)];
      const auto quantize = std::ranges::find_if(
          readers, [&](NodeId reader) { return is(quantized_.node(reader), ops::kQuantizeLinear); });
      if (quantize != readers.end()) {
        layer.clamps = std::move(clamps);
        layer.last = *quantize;
        layer.result = quantized_.node(*quantize).outputs[0];
        return;
      }
      if (readers.size() != 1 || quantized_.is_output(v) || !is_clamp_of(quantized_.node(readers[0]), v)) return;
      clamps.push_back(readers[0]);
      v = quantized_.node(readers[0]).outputs[0];
    }
  }

  // The clamps behind the base's node that stand for those of the layer, or that `quantized` has no more.
  void follow_base(BudgetLayer& layer) const {
    for (;;) {
      const ValueId v = layer.base_result;
      const auto& readers = base_users_[static_cast<size_t>(v.index)];
      if (readers.size() != 1 || base_.is_output(v) || !is_clamp_of(base_.node(readers[0]), v)) return;
      const Node& clamp = base_.node(readers[0]);
      const bool lost =
          std::ranges::none_of(clamp.origin, [&](const std::string& origin) { return origins_.contains(origin); });
      const bool ours = std::ranges::any_of(layer.clamps, [&](NodeId id) {
        const auto found = counterparts_.find(id);
        return found != counterparts_.end() && found->second == readers[0];
      });
      if (!lost && !ours) return;
      layer.base_clamps.push_back(readers[0]);
      layer.base_result = clamp.outputs[0];
    }
  }

  static bool is_clamp_of(const Node& node, ValueId v) { return is_clamp(node) && node.inputs[0] == v; }

  const Graph &base_, &quantized_;
  std::map<NodeId, NodeId> counterparts_;
  std::vector<std::vector<NodeId>> base_users_, users_;
  std::vector<NodeId> producers_;
  std::set<std::string_view> origins_;
};

}  // namespace

std::map<NodeId, NodeId> counterparts(const Graph& base, const Graph& quantized) {
  const NodesOf theirs = nodes_by_origin(base);
  std::map<NodeId, NodeId> found;
  for (const auto& [key, nodes] : nodes_by_origin(quantized)) {
    const auto same = theirs.find(key);
    if (same == theirs.end() || same->second.size() != nodes.size()) continue;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node &node = quantized.node(nodes[i]), &base_node = base.node(same->second[i]);
      if (node.inputs.size() == base_node.inputs.size() && node.outputs.size() == base_node.outputs.size() &&
          node.attributes == base_node.attributes)
        found.try_emplace(nodes[i], same->second[i]);
    }
  }
  return found;
}

std::vector<BudgetLayer> budget_layers(const Graph& base, const Graph& quantized) {
  return LayerFinder(base, quantized).find();
}

}  // namespace cupel
