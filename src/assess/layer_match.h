// Which value of the base network each node of a candidate stands for: they meet by origin (docs/architecture.md 2).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace cupel {

struct LayerMatch {
  NodeId node;                        // of the candidate
  ValueId value;                      // its first result
  std::optional<ValueId> base_value;  // what it stands for in the base
  std::string reason;                 // why there is none
};

// One entry for each node of the candidate that computes something (conversions between codes and numbers do not), in
// order. The base is cut behind the last of its nodes that share an origin with the candidate's node, and behind nodes
// that the candidate no longer has (a clamp that saturation repeats).
std::vector<LayerMatch> match_layers(const Graph& base, const Graph& candidate);

}  // namespace cupel
