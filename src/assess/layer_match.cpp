#include "assess/layer_match.h"

#include <algorithm>
#include <map>
#include <set>

namespace cupel {

std::vector<LayerMatch> match_layers(const Graph& base, const Graph& candidate) {
  std::map<std::string_view, std::vector<size_t>> base_nodes;
  for (size_t n = 0; n < base.nodes().size(); ++n)
    for (const std::string& origin : base.nodes()[n].origin) base_nodes[origin].push_back(n);
  std::set<std::string_view> kept;
  for (const Node& node : candidate.nodes()) kept.insert(node.origin.begin(), node.origin.end());
  const auto users = base.users();
  const auto lost = [&](const Node& node) {
    return std::none_of(node.origin.begin(), node.origin.end(),
                        [&](const std::string& origin) { return kept.contains(origin); });
  };

  std::vector<LayerMatch> matches;
  std::map<ValueId, size_t> owner;  // base value → the match that has it so far
  for (size_t n = 0; n < candidate.nodes().size(); ++n) {
    const Node& node = candidate.nodes()[n];
    const std::string_view op = node.op->name;
    if (op == "Quantize" || op == "Dequantize" || op == "Requantize" || op == "QuantizeLinear" ||
        op == "DequantizeLinear")
      continue;
    LayerMatch match{{static_cast<int32_t>(n)}, node.outputs[0], std::nullopt, {}};
    std::optional<size_t> last;
    for (const std::string& origin : node.origin)
      if (const auto found = base_nodes.find(origin); found != base_nodes.end())
        last = std::max(last.value_or(0), found->second.back());
    if (!last) {
      match.reason = "the base model has no node of this name";
      matches.push_back(std::move(match));
      continue;
    }
    ValueId value = base.nodes()[*last].outputs[0];
    for (;;) {
      const auto& readers = users[static_cast<size_t>(value.index)];
      if (readers.size() != 1 || base.is_output(value)) break;
      const Node& next = base.node(readers[0]);
      if (!lost(next) || next.inputs[0] != value || base.type(next.outputs[0]).shape != base.type(value).shape) break;
      value = next.outputs[0];
    }
    const Shape &ours = candidate.type(match.value).shape, &theirs = base.type(value).shape;
    const bool same_shape = ours.size() == theirs.size() &&
                            std::equal(ours.begin(), ours.end(), theirs.begin(), [](const Dim& a, const Dim& b) {
                              return a.factor == b.factor && a.is_constant() == b.is_constant();
                            });
    if (!same_shape || base.type(value).dtype != DType::f32) {
      match.reason = "its result has another shape in the base model";
    } else if (const auto before = owner.find(value); before != owner.end()) {
      // The last of several nodes that share the value has it whole.
      matches[before->second].base_value.reset();
      matches[before->second].reason = "compared behind node " + node.name;
      before->second = matches.size();
      match.base_value = value;
    } else {
      owner.emplace(value, matches.size());
      match.base_value = value;
    }
    matches.push_back(std::move(match));
  }
  return matches;
}

}  // namespace cupel
