// How fast the models of a report run, on samples of its data set.
#pragma once

#include "driver/evaluate.h"

namespace cupel {

struct SpeedOptions {
  double duration_s = 4;  // of all counted runs together; 0: none
  int64_t batch = 50;     // beside batch 1, where a model leaves it open
  Progress progress;
};

// Fills `latency` of the report: one sample and a batch of them, on one thread and on all that the context has, models
// in turns; what is the same is measured once. A model with a batch of its own runs with that. A deviation when it was
// interrupted. Errors as of image_for_host and of the data set.
Status measure_speed(std::span<const Model> models, std::span<const std::string> names, const Dataset& data,
                     CompileContext& context, const SpeedOptions& options, Report& report);

}  // namespace cupel
