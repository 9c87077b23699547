// What models answer on the samples of a data set, sample by sample.
#pragma once

#include <string>
#include <vector>

#include "assess/output_comparison.h"
#include "driver/batches.h"
#include "driver/compile.h"
#include "driver/layer_errors.h"

namespace cupel {

// A model with what it takes to ask it.
struct Respondent {
  const Model* model = nullptr;
  std::string name;
  Feed feed;
  Engine engine;

  std::string place() const { return printable(model->path.string()); }
};

// Errors as of feed_for and of compile_for_host. The batch is `wanted` where that changes no answer (narrow_batch).
Result<Respondent> respondent(const Model& model, std::string name, const Dataset& data, CompileContext& context,
                              EngineKind kind, int64_t wanted);

// What a run of `count` samples gave; fewer than the batch only at the end.
using SeeRun = std::function<Status(int64_t first, int64_t count, const std::vector<Tensor>& outputs)>;
// Runs all `samples` in batches of the model; `first` counts from 0.
Status ask(const Respondent& r, const Samples& samples, const SeeRun& see);

// The outputs of the base and those of candidates that stand for them, compared without labels. What an output holds
// for several samples together is compared run by run, where all models have the same batch, and whole batches only.
class OutputComparer {
 public:
  explicit OutputComparer(std::span<const Respondent> models);

  // The outputs of a run of model `model`, kept until all models have answered these samples.
  void see(size_t model, int64_t count, const std::vector<Tensor>& outputs);
  // Compares what was seen, and forgets it.
  Status compare();
  // Cautions for outputs that were left out, and where NaN or infinity came up.
  void finish(const BootstrapOptions& options, std::vector<OutputComparison>& comparisons,
              std::vector<std::string>& cautions) const;

 private:
  struct Output {
    std::string name;
    std::string left_out;  // why; empty: compared
    bool by_batch = false;
    std::vector<size_t> index;              // of each model's outputs
    std::vector<OutputRows> rows;           // in each model
    std::vector<std::vector<Tensor>> seen;  // by each model, sample by sample (batch by batch)
    std::optional<OutputJudge> judge = {};
  };
  void match(std::span<const Respondent> models, size_t base_output);
  std::vector<std::string> names_;
  std::vector<int64_t> batches_;
  std::vector<Output> outputs_;
};

}  // namespace cupel
