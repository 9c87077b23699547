// Calibration: what ranges the values of a network take on representative data.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "ir/engine.h"

namespace cupel {

struct Range {
  float min, max;
};
using Ranges = std::map<ValueId, Range>;

// The next batch of inputs in graph order; nullopt at the end.
using BatchSource = std::function<Result<std::optional<std::vector<Tensor>>>()>;

// Streaming minimum and maximum of each value over all batches; memory does not grow with their number. bad_input when
// a value is NaN or infinite (naming the node that computed it), or when there is no batch.
Result<Ranges> calibrate_min_max(const Graph& graph, std::span<const ValueId> values, const BatchSource& next_batch,
                                 const RunGraph& run);

}  // namespace cupel
