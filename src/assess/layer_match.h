// Which value of the base network each node of a candidate stands for: they meet by origin (docs/architecture.md 2).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace cupel {

struct LayerMatch {
  NodeId node;                        // of the candidate
  ValueId value;                      // its first result
  std::optional<ValueId> base_value;  // what it stands for in the base
  std::string reason;                 // why there is none
  std::string kernel;                 // of the compiled candidate that computes the node; empty: none, or not asked for
};

// One entry for each node of the candidate that computes something (conversions between codes and numbers do not), in
// order. The base is cut behind the last of its nodes that share an origin with the candidate's node, and behind nodes
// that the candidate no longer has (a clamp that saturation repeats).
std::vector<LayerMatch> match_layers(const Graph& base, const Graph& candidate);

// A value that a kernel of a compiled program leaves in memory; what goes on inside the kernel is not to be seen.
struct TapPoint {
  std::string kernel;   // name of the step
  std::string value;    // of the graph
  std::string origins;  // of the nodes that the kernel computes, separated by newlines
};

// Restricts matches to what two compiled programs show: both sides are cut at the results of kernels. A result that is
// quantized inside its kernel is compared as the codes that leave it (`value` then names them). Where a value lives
// inside a kernel of either program, or is a view that no kernel computes, there is no base_value left, and the reason
// says which kernel holds it.
void cut_at_taps(const Graph& base, const Graph& candidate, std::span<const TapPoint> base_taps,
                 std::span<const TapPoint> candidate_taps, std::vector<LayerMatch>& matches);

}  // namespace cupel
