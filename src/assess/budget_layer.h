// Which nodes of a network with Q/DQ nodes are layers with an error of their own, and what they stand for in the float
// network.
#pragma once

#include <map>
#include <vector>

#include "ir/graph.h"

namespace cupel {

// For each node of `quantized` that is no conversion, the node of `base` of the same op, attributes and number of
// operands that shares an origin with it; the k-th of several stands for the k-th. Nodes without one are absent.
std::map<NodeId, NodeId> counterparts(const Graph& base, const Graph& quantized);

// A node whose operands or result are quantized, with the clamps behind it up to its quantize node: the base's clamps
// are those, and the ones that saturation repeats.
struct BudgetLayer {
  NodeId node, base;
  std::vector<NodeId> clamps, base_clamps;
  NodeId last;          // of `quantized`, that gives `result`
  ValueId result;       // codes, where the layer's result is quantized
  ValueId base_result;  // f32
};

// In order of `quantized`, of stage quantized. What only moves codes is no layer: its error is that of what it reads.
std::vector<BudgetLayer> budget_layers(const Graph& base, const Graph& quantized);

}  // namespace cupel
