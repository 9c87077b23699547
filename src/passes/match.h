// Looking backwards and forwards in a graph, for passes that recognise patterns.
#pragma once

#include <cmath>
#include <optional>

#include "ir/graph.h"

namespace cupel {

class Match {
 public:
  explicit Match(const Graph& graph) : graph_(graph), users_(graph.users()), producers_(graph.producers()) {}

  const Graph& graph() const { return graph_; }
  NodeId producer_id(ValueId v) const { return v.valid() ? producers_[static_cast<size_t>(v.index)] : NodeId{}; }
  // The node of that op that computes v; null otherwise.
  const Node* producer(ValueId v, const OpDef& op) const {
    const NodeId id = producer_id(v);
    return id.valid() && is(graph_.node(id), op) ? &graph_.node(id) : nullptr;
  }
  const std::vector<NodeId>& users(ValueId v) const { return users_[static_cast<size_t>(v.index)]; }
  // The only user of v, when v has exactly one use and is no graph output.
  NodeId only_user(ValueId v) const { return users(v).size() == 1 && !graph_.is_output(v) ? users(v)[0] : NodeId{}; }
  // The only user when it is of that op.
  const Node* only_user(ValueId v, const OpDef& op) const {
    const NodeId id = only_user(v);
    return id.valid() && is(graph_.node(id), op) ? &graph_.node(id) : nullptr;
  }
  // The value of a constant f32 of one element.
  std::optional<double> scalar(ValueId v) const {
    if (!v.valid()) return std::nullopt;
    const auto& c = graph_.value(v).constant;
    if (!c || c->dtype() != DType::f32 || c->size() != 1) return std::nullopt;
    return c->at(0);
  }
  // True when v is a scalar within one part in 10⁴ of `expected`.
  bool is_scalar(ValueId v, double expected) const {
    const auto s = scalar(v);
    return s && std::abs(*s - expected) <= 1e-4 * std::abs(expected);
  }
  // The other operand of a two-operand node that reads v; invalid when it does not.
  static ValueId other(const Node& node, ValueId v) {
    if (node.inputs.size() != 2) return {};
    return node.inputs[0] == v ? node.inputs[1] : node.inputs[1] == v ? node.inputs[0] : ValueId{};
  }
  // The operand beside a scalar of about `expected` in a commutative node; invalid when there is none.
  ValueId beside_scalar(const Node& node, double expected) const {
    if (node.inputs.size() != 2) return {};
    if (is_scalar(node.inputs[1], expected)) return node.inputs[0];
    if (is_scalar(node.inputs[0], expected)) return node.inputs[1];
    return {};
  }

 private:
  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<NodeId> producers_;
};

}  // namespace cupel
