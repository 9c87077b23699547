// Which kernel computes each node of a graph, as lowering decided it.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "lower/lower.h"

namespace cupel {

struct NodeKernel {
  std::string step;                     // name of the step that computes the node; empty: its result is a view
  NodeId joined;                        // the node whose kernel it joined; invalid: it begins its kernel or is a view
  std::vector<FusionDecision> refused;  // kernels that it did not join, with the reasons
};

// One row for each node, in the graph's order. `lowered`: what lower_graph made of this graph.
std::vector<NodeKernel> node_kernels(const Graph& graph, const Lowered& lowered);

}  // namespace cupel
