// Runs models on a data set's report split and fills a Report.
#pragma once

#include <optional>

#include "data/dataset.h"
#include "driver/compile.h"
#include "driver/progress.h"
#include "report/report.h"

namespace cupel {

struct EvaluateOptions {
  int64_t batch = 50;
  std::optional<int64_t> samples;         // only the first so many of the report split
  int64_t layer_samples = 200;            // behind the layers' errors; 0: none
  std::optional<double> max_drop_points;  // the gate
  std::vector<int64_t> top_k;             // empty: as the data set says
  std::string output;                     // that labels speak of; empty: as the data set says, or the only one
  Progress progress;
  EngineKind engine = EngineKind::compiled;  // that answers, and whose values the layers' errors are
  std::vector<Requirement> require = {};     // further gates
  // Behind the error budgets; 0: none; nullopt: default_budget_samples, and none without layer_samples.
  std::optional<int64_t> budget_samples = {};
};

// The first model is the base. Fills models, accuracy (where labels judge an output with scores of classes), outputs
// (of candidates beside the base's), layers and the data-set facts of the report; a deviation when fewer samples were
// used than the split has (also after Ctrl-C, with the samples that were done).
Status evaluate_models(std::span<const Model> models, std::span<const std::string> names, const Dataset& data,
                       CompileContext& context, const EvaluateOptions& options, Report& report);

// bad_input when the data set has no report split, or no labels for it although accuracy is asked for.
Status check_report_split(const Dataset& data, const EvaluateOptions& options);

// The row of one model for a report.
ModelRow model_row(const Model& model, std::string name, ModelRole role);

}  // namespace cupel
