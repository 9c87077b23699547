// Data set samples as batches that fit a model.
#pragma once

#include "data/dataset.h"
#include "ir/engine.h"
#include "quant/calibrate.h"

namespace cupel {

// Checks that the model has one input that the data set's samples fit and gives the batch size to use: the model's own
// where it is fixed, `wanted` otherwise. bad_input names both shapes.
Result<int64_t> batch_size_for(const Graph& model, const Dataset& data, int64_t wanted);

// Index of the output that holds class scores [batch, classes]; unsupported when there is not exactly one such output.
Result<size_t> score_output(const Graph& model);

// Runs `count` samples through a model whose batch may be fixed: a short last batch is filled up with its last sample
// and the surplus results are cut off (taps then see the filled batch).
Result<std::vector<Tensor>> run_batch(const Graph& model, const Tensor& samples, int64_t batch, const RunGraph& run,
                                      const Tap& tap);

// Index of the first NaN of an f32 or f64 tensor.
std::optional<int64_t> first_nan(const Tensor& t);

// Batches of a split's samples in order, for calibration.
BatchSource split_batches(const Dataset& data, std::string split, int64_t batch, bool fixed);

}  // namespace cupel
