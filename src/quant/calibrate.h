// Calibration: what ranges the values of a network take on representative data.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ir/engine.h"
#include "quant/element_scan.h"
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

// Is shown the f32 elements of a value.
using Observe = std::function<Status(ValueId, const ElementRuns& elements)>;
// Runs a batch of inputs and shows the values of a graph that calibration asks for, the inputs and the outputs, each
// once, in order of computation. An error of `observe` ends the run.
using ObservedRun = std::function<Status(std::span<const Tensor> inputs, const Observe& observe)>;
// An engine that gives tensors.
ObservedRun observed(const Graph& graph, RunGraph run);
// The samples of a run: the rows of the first input; 1 where all sizes are constant and an input or the first output
// has another number of rows, so that they are no batch.
int64_t samples_of(const Graph& graph, std::span<const Tensor> inputs);
// A tensor of a run of `batch` samples: rows of a sample lie together; without them it is one of the whole batch.
ElementRuns elements_of(const Tensor& t, int64_t batch);

// The next batch of inputs in graph order; nullopt at the end.
using BatchSource = std::function<Result<std::optional<std::vector<Tensor>>>()>;

// Streaming minimum and maximum of each value over all batches; memory does not grow with their number. Fills
// (quant/fills.h) set no range: they saturate. Neither batches nor threads change anything, the order of samples only
// the number by which a warning names one. What `run` shows beyond them is looked at for errors alone: bad_input when a
// value is NaN, or infinite without a fill (naming the node that computed it), or when there is no batch.
Result<Calibration> calibrate_min_max(const Graph& graph, std::span<const ValueId> values,
                                      const BatchSource& next_batch, const ObservedRun& run, ThreadPool& threads);

}  // namespace cupel
