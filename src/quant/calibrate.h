// Calibration: what ranges the values of a network take on representative data.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/engine.h"
#include "runtime/thread_pool.h"

namespace cupel {

struct Range {
  float min, max;
};
using Ranges = std::map<ValueId, Range>;

struct Calibration {
  Ranges ranges;
  // Ranges that one sample, or one element in a million, sets alone: without it they would be less than half as wide.
  // Each text names value and node, and says what a percentile would be. In order of computation.
  std::vector<std::string> warnings;
};

// The next batch of inputs in graph order; nullopt at the end.
using BatchSource = std::function<Result<std::optional<std::vector<Tensor>>>()>;

// Streaming minimum and maximum of each value over all batches; memory does not grow with their number. Fills
// (quant/fills.h) set no range: they saturate. Neither batches nor threads change anything, the order of samples only
// the number by which a warning names one. `run` shows its tap the values at least; others are looked at for the errors
// alone: bad_input when a value is NaN, or infinite without a fill (naming the node that computed it), or when there is
// no batch.
Result<Calibration> calibrate_min_max(const Graph& graph, std::span<const ValueId> values,
                                      const BatchSource& next_batch, const RunGraph& run, ThreadPool& threads);

}  // namespace cupel
