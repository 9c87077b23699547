// Which nodes join which kernel.
#pragma once

#include "lower/expressions.h"

namespace cupel {

class Absorption {
 public:
  Absorption(GraphFacts& facts, const Places& places, Expressions& expressions, const LowerOptions& options)
      : facts_(facts), graph_(facts.graph), places_(places), expressions_(expressions), fuse_(options.fuse) {}

  // The elementwise nodes behind `value` that the kernel of node `anchor` takes in. Decisions are recorded for it.
  Absorbed behind(NodeId anchor, ValueId value);
  // Marks the nodes as taken, adds their origins, and gives the value behind them.
  ValueId take(NodeId anchor, const Absorbed& nodes, ValueId anchor_value, Draft& draft);
  // The kernel of `anchor`, whose result is `value`, can take in nothing.
  void refuse_all(NodeId anchor, ValueId value, std::string_view reason);

  std::vector<FusionDecision> take_decisions() { return std::move(decisions_); }

 private:
  struct Candidates;
  // Whether a node changes the shape and leaves that of the items alone (f·batch rows become batch and f rows).
  bool keeps_items(const Node& node) const;
  // Why a node does not join a kernel whose expression knows the values `inside`, all of one shape; empty when it can.
  std::string refusal(const Node& node, const std::set<ValueId>& inside);
  // Nodes in the graph's order as long as they can join.
  Candidates candidates(ValueId value);
  void note(NodeId anchor, const Candidates& found);

  GraphFacts& facts_;
  const Graph& graph_;
  const Places& places_;
  Expressions& expressions_;
  bool fuse_;
  std::vector<FusionDecision> decisions_;
};

}  // namespace cupel
