// Where constants that only say "nothing is here" reach: what a Pad, a Where or a mask puts beside the data.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph.h"

namespace cupel {

// For each value of the graph the least magnitude that a fill in it has, nullopt where none can be. A fill is an
// element of a constant, infinite or at least 10⁴ in magnitude and the only such magnitude of its constant, that
// elementwise, moving and selecting ops bring there. Arithmetic on the way may scale it: an element below a thousandth
// of the constant's is no fill.
std::vector<std::optional<float>> least_fills(const Graph& graph);

}  // namespace cupel
