// The error of each node of a model: it and its base run on the same samples, and their values are compared.
#pragma once

#include <memory>

#include "data/dataset.h"
#include "driver/batches.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "driver/progress.h"
#include "report/report.h"

namespace cupel {

// What runs a model.
struct Engine {
  RunGraph run;
  std::shared_ptr<CompiledModel> compiled;  // null: the interpreter, which shows every value
};

struct LayerInput {
  const Model &base, &candidate;
  const Engine &base_engine, &candidate_engine;
  const Feed &base_feed, &candidate_feed;
  const Dataset& data;
};

// Fills report.layers and layers_samples from the first `count` samples of the report split, a batch at a time.
// Compiled models show the results of their kernels: where a node's value is inside one, its row says in which. A
// deviation when the run was interrupted before all samples were done, or when the models have two fixed batches, whose
// values do not stand beside each other.
Status compare_layers(const LayerInput& input, int64_t count, const Progress& progress, Report& report);

// Indices into report.layers, made of `program`, of the rows of nodes of the graphs that `program` comes from: that of
// the same op and name, the k-th for the k-th where several have it.
std::vector<std::optional<size_t>> rows_of(const Graph& program, std::span<const Node* const> nodes);

}  // namespace cupel
