// What quantization and assessment need of an engine: run a graph, see its values. The interpreter and compiled code
// fit.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/tensor.h"
#include "ir/graph.h"

namespace cupel {

// Sees every computed value once, in execution order, before its memory is reused. An error stops the run.
using Tap = std::function<Status(ValueId, const Tensor&)>;
// Inputs in graph order; the symbol's value follows from them. Gives the outputs in graph order.
using RunGraph =
    std::function<Result<std::vector<Tensor>>(const Graph&, std::span<const Tensor> inputs, const Tap& tap)>;

}  // namespace cupel
