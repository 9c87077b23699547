// Runs a model over whole arrays, in chunks of its batch.
#pragma once

#include <functional>
#include <memory>

#include "driver/engine.h"
#include "driver/progress.h"
#include "ir/engine.h"

namespace cupel {

// A model by its inputs and outputs alone, whatever runs it.
struct ArrayModel {
  struct Port {
    std::string name;
    Shape shape;
    DType dtype = DType::f32;
  };
  std::vector<Port> inputs, outputs;
  std::function<Result<std::vector<Tensor>>(std::span<const Tensor>)> run;
  // Whether each item of an open batch is known to be computed from that item alone.
  std::function<bool()> keeps_items;
};
// Whether that is known of a graph: whether compiled code would take one item at a time.
bool keeps_items(const Graph& graph);
// `graph` must outlive the result.
ArrayModel array_model(const Graph& graph, RunGraph run);
// `sizes`: one of the model's, whose inputs and outputs it has.
ArrayModel array_model(std::shared_ptr<CompiledModel> model, const CupelImage& sizes);

// `inputs` in the model's order, each with `rows` leading entries; a model with a fixed batch B gets chunks of B, the
// last one filled up; one whose open batch does not keep its items apart gets all rows at once. Outputs have the same
// number of leading entries. bad_input when the arrays do not fit the model's inputs; unsupported when an output has no
// leading batch and there is more than one chunk.
Result<std::vector<Tensor>> run_array(const ArrayModel& model, std::span<const Tensor> inputs, int64_t batch,
                                      const Progress& progress);

}  // namespace cupel
