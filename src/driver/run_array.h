// Runs a model over whole arrays, in chunks of its batch.
#pragma once

#include "driver/progress.h"
#include "ir/engine.h"

namespace cupel {

// `inputs` in graph order, each with `rows` leading entries; a model with a fixed batch B gets chunks of B, the last
// one filled up. Outputs have the same number of leading entries. bad_input when the arrays do not fit the model's
// inputs; unsupported when an output has no leading batch and there is more than one chunk.
Result<std::vector<Tensor>> run_array(const Graph& model, std::span<const Tensor> inputs, int64_t batch,
                                      const RunGraph& run, const Progress& progress);

}  // namespace cupel
