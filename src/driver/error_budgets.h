// The error budget of each quantized layer, on samples of the report split.
#pragma once

#include <optional>

#include "driver/layer_errors.h"

namespace cupel {

// Samples behind the budgets where none are asked for: as many as keep the interpreter's work bounded, at least one.
int64_t default_budget_samples(const Graph& base);

// Fills report.layers[].budget and budget_samples from the first `count` samples (nullopt: the default), at most
// `available`. Needs the rows of compare_layers. Nothing where the base is quantized, or the candidate is not.
Status measure_budgets(const LayerInput& input, std::optional<int64_t> count, int64_t available, ThreadPool& threads,
                       const Progress& progress, Report& report);

}  // namespace cupel
