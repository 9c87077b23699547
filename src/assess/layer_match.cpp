#include "assess/layer_match.h"

#include <algorithm>
#include <map>
#include <set>

namespace cupel {
namespace {

// Conversions between codes and numbers: their results stand for the same reals as their operands.
bool is_conversion(const Node& node) { return node.op->conversion != Conversion::none; }

// The kernels of one compiled graph, found by the values they leave.
class TappedGraph {
 public:
  TappedGraph(const Graph& graph, std::span<const TapPoint> taps) : graph_(graph), users_(graph.users()) {
    for (const TapPoint& tap : taps)
      if (const auto id = graph.find_value(tap.value)) by_value_.emplace(*id, &tap);
  }

  bool tapped(ValueId value) const { return by_value_.contains(value); }

  // The kernel that computes the node with these origins, whose result is `value`. Whatever lives inside a kernel leads
  // to its result alone, so any way forward finds it. Null for a view, which no kernel computes.
  const TapPoint* kernel_of(ValueId value, const std::vector<std::string>& origins) const {
    for (;;) {
      if (const auto found = by_value_.find(value); found != by_value_.end())
        return holds(*found->second, origins) ? found->second : nullptr;
      const auto& readers = users_[static_cast<size_t>(value.index)];
      if (readers.empty()) return nullptr;
      value = graph_.node(readers[0]).outputs[0];
    }
  }

  // `value`, or the codes or numbers it is converted to before its kernel ends; nullopt when nothing of it is left.
  std::optional<ValueId> shown(ValueId value) const {
    while (!tapped(value)) {
      const auto& readers = users_[static_cast<size_t>(value.index)];
      const auto conversion = std::find_if(readers.begin(), readers.end(),
                                           [&](NodeId reader) { return is_conversion(graph_.node(reader)); });
      if (conversion == readers.end()) return std::nullopt;
      value = graph_.node(*conversion).outputs[0];
    }
    return value;
  }

 private:
  static bool holds(const TapPoint& tap, const std::vector<std::string>& origins) {
    const std::string all = "\n" + tap.origins + "\n";
    return std::all_of(origins.begin(), origins.end(),
                       [&](const std::string& origin) { return all.find("\n" + origin + "\n") != std::string::npos; });
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::map<ValueId, const TapPoint*> by_value_;
};

}  // namespace

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
    if (is_conversion(node)) continue;
    LayerMatch match{{static_cast<int32_t>(n)}, node.outputs[0], std::nullopt, {}, {}};
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

void cut_at_taps(const Graph& base, const Graph& candidate, std::span<const TapPoint> base_taps,
                 std::span<const TapPoint> candidate_taps, std::vector<LayerMatch>& matches) {
  const TappedGraph below(base, base_taps), above(candidate, candidate_taps);
  const std::vector<NodeId> producers = base.producers();
  for (LayerMatch& match : matches) {
    const TapPoint* kernel = above.kernel_of(match.value, candidate.node(match.node).origin);
    if (kernel != nullptr) match.kernel = kernel->kernel;
    if (!match.base_value) continue;
    if (const auto value = above.shown(match.value)) {
      match.value = *value;
      if (below.tapped(*match.base_value)) continue;
      const Node& node = base.node(producers[static_cast<size_t>(match.base_value->index)]);
      const TapPoint* holder = below.kernel_of(*match.base_value, node.origin);
      match.reason = holder != nullptr ? "inside kernel " + holder->kernel + " of the base model"
                                       : "in the base model a view of another value, without a kernel of its own";
    } else {
      match.reason = kernel != nullptr ? "inside kernel " + kernel->kernel
                                       : "a view of another value, without a kernel of its own";
    }
    match.base_value.reset();
  }
}

}  // namespace cupel
