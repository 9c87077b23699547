// What each layer's quantization alone does to the answers: networks with one layer quantized, and with one layer
// in float.
#pragma once

#include "data/dataset.h"
#include "driver/compile.h"
#include "driver/progress.h"
#include "report/report.h"

namespace cupel {

struct SensitivityOptions {
  int64_t samples = 0;  // of the split; 0: none
  int64_t batch = 50;
  EngineKind engine = EngineKind::compiled;
  std::string output;  // that labels speak of, as EvaluateOptions
  Progress progress;
};

// Fills report.sensitivity and report.layers[].sensitivity. Every network has the ranges of `quantized`, and is judged
// beside the base on the first samples of the data set's search split, of its report split where it has none. Needs the
// rows of compare_layers, which are those of `program`. Nothing where no layer is quantized. After Ctrl-C the layers
// that are done, and a deviation.
Status measure_sensitivity(const Model& base, const QuantizedGraph& quantized, const Graph& program,
                           const Dataset& data, CompileContext& context, const SensitivityOptions& options,
                           Report& report);

}  // namespace cupel
