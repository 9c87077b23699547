// Data set samples as batches that fit a model.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "ir/engine.h"
#include "quant/calibrate.h"

namespace cupel {

// How a data set feeds a model.
struct Feed {
  std::vector<size_t> inputs;  // for each input of the graph, that of the data set
  std::vector<bool> whole;     // for each, whether it takes a sample as it is, without a batch: one sample a run
  int64_t batch = 1;           // samples of a run
  bool fixed = false;          // the model takes no other number: a short last batch is filled up
};

// Finds the data set's input for each of the model's, by name; a data set of one unnamed input is that of a model with
// one. The batch is the model's own where it is fixed, `wanted` otherwise. Errors name the input and both types:
// bad_input where the data set lacks one or it is of another type, unsupported for a model without inputs, or with one
// that holds no samples. An input of the very dimensions of a sample has no batch.
Result<Feed> feed_for(const Graph& model, const Dataset& data, int64_t wanted);

// What an output holds of each sample of a run.
struct OutputRows {
  int64_t each = 0;        // rows of a sample, which lie together; 0: the output belongs to the run as a whole
  bool drop_lead = false;  // one row, of the dimensions behind the batch
};
OutputRows output_rows(const Graph& model, const Feed& feed, size_t output);
// The part of sample `i` of a run.
Tensor sample_of_output(const Tensor& output, const OutputRows& rows, int64_t i);

// A batch of one where items of larger ones would not be what each gives alone: where the open batch of the model does
// not keep its items apart (keeps_items), or an output has no batch.
void narrow_batch(const Graph& model, bool keeps_items, Feed& feed);

// Index of the output that holds class scores, f32 [batch, classes]: the one called `name`, or the only one where
// `name` is empty. Errors list the outputs with their types: bad_input for a name that is none, unsupported where none
// or several hold scores. And whether any does.
bool has_score_output(const Graph& model);
Result<size_t> score_output(const Graph& model, const std::string& name);

// The tensors of a data set's samples that the model takes, in its order; filled up by the last sample where its batch
// is fixed.
std::vector<Tensor> inputs_of(const Feed& feed, std::span<const Tensor> samples);

// Runs `count` samples, at most a batch; surplus results of a batch that was filled up are cut off (taps see the filled
// batch). `samples`: the data set's inputs, count rows each.
Result<std::vector<Tensor>> run_batch(const Graph& model, const Feed& feed, std::span<const Tensor> samples,
                                      const RunGraph& run, const Tap& tap);

// Index of the first NaN of an f32 or f64 tensor.
std::optional<int64_t> first_nan(const Tensor& t);

// Batches of a split's samples in order, for calibration.
BatchSource split_batches(const Dataset& data, std::string split, const Feed& feed);

}  // namespace cupel
