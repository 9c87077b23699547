// The main job: quantize a float model, run both on the report split, and say what it cost and gained.
#pragma once

#include <filesystem>

#include "driver/evaluate.h"

namespace cupel {

struct AssayOptions {
  EvaluateOptions evaluate;
  std::vector<std::string> keep_float = {};  // names of nodes that stay in float
  int64_t sensitivity_samples = 0;           // behind the sensitivity to single layers; 0: none
  double speed_s = 4;                        // seconds of timed runs; 0: none. The interpreter's speed is not measured
  std::filesystem::path folder;              // receives <model>.int8.onnx, report.json and report.html
  Provenance provenance;                     // date, command, versions and machine, as the caller knows them
  // Called with the warnings of calibration, once they are known; they stand in the report too. May be empty.
  std::function<void(const std::vector<std::string>&)> warn = {};
};

// quantize → write the INT8 model → read it back → evaluate both → write the report. The model that is assessed is the
// file that was written. All files appear together at the end, or none. After --stop-after the report is empty and
// nothing was written.
Result<Report> assay(const std::filesystem::path& model, const std::filesystem::path& data, CompileContext& context,
                     const AssayOptions& options);

// Calibrates on the data set's calibrate split and quantizes all but the nodes of these names (nodes_named).
Result<QuantizedGraph> quantize_on(const Model& model, const Dataset& data, CompileContext& context, int64_t batch,
                                   const Progress& progress, std::span<const std::string> keep_float = {});

// Name, path and hash of the data set's file, and the calibration's settings, for a report.
Status describe_data(const std::filesystem::path& path, Provenance& provenance);

}  // namespace cupel
