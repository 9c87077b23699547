// Everything that a report says, and its three forms: JSON, one HTML page, ten lines of text.
//
// Strings may come from files and be hostile (any bytes, any length): the writers cut and escape them. Equal reports
// give equal bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "assess/comparison.h"
#include "assess/error_budget.h"
#include "assess/latency.h"
#include "assess/output_comparison.h"
#include "assess/requirement.h"
#include "assess/statistics.h"
#include "assess/task_metric.h"

namespace cupel {

inline constexpr int kReportSchemaVersion = 1;

// A named piece of text: a version, a property of the machine, a setting.
struct Fact {
  std::string name;
  std::string value;
};

enum class Severity {
  note,       // worth knowing; stands in the section of warnings
  caution,    // makes a result weaker than it looks; also on the first screen
  deviation,  // something did not run as asked (a fallback, a subset of the samples); on the first screen, first
};
std::string_view severity_name(Severity severity);

struct Warning {
  Severity severity = Severity::note;
  std::string text;  // what happened and what it means
};

struct SplitFacts {
  std::string name;         // "calibrate", "report"
  std::string source;       // "train"
  int64_t samples = 0;      // used in this run
  int64_t available = 0;    // in the split; equal to samples unless a subset was used
  int64_t dropped = 0;      // removed because their content stands in another split
  std::string sample_hash;  // SHA-256 over the indices and contents used, hexadecimal
};

struct DatasetFacts {
  std::string name;
  std::string path;    // of the TOML file
  std::string sha256;  // of the TOML file
  int64_t classes = 0;
  std::vector<std::string> preprocessing;  // the steps, in order
  std::string layout;                      // "NCHW"
  std::vector<SplitFacts> splits;
};

struct Provenance {
  std::string date;                  // ISO 8601, given by the caller
  std::vector<std::string> command;  // program and arguments; the report quotes them for a POSIX shell
  std::vector<Fact> versions;        // "cupel" first
  std::vector<Fact> machine;         // processor, cores, memory, operating system
  std::vector<Fact> quantization;    // scheme, calibrator and their settings
  std::vector<std::pair<std::string, uint64_t>> seeds;
  std::optional<DatasetFacts> dataset;
};

struct PrecisionCount {
  std::string precision;  // "INT8", "FP32"
  int64_t nodes = 0;
  int64_t macs = 0;
};

enum class ModelRole { base, candidate };

struct ModelRow {
  ModelRole role = ModelRole::candidate;
  std::string name;  // short, heads a column: "FP32", "INT8"
  std::string path;
  std::string sha256;
  int64_t file_bytes = 0;    // with external data
  int64_t weight_bytes = 0;  // constants as the program holds them
  int64_t parameters = 0;
  int64_t macs = 0;            // multiply-accumulates per sample
  int64_t bit_operations = 0;  // Σ MACs · bits of weight · bits of activation, per sample
  std::optional<int64_t> peak_memory_bytes;
  std::vector<PrecisionCount> precisions;
};

// One metric on the report split. `models` and Report.models go in step. comparisons[i] compares models[i + 1] with
// models[0]; empty when there is one model.
struct AccuracyMetric {
  int64_t top_k = 1;
  double confidence = kDefaultConfidence;
  std::vector<Accuracy> models;
  std::vector<Comparison> comparisons;
};

// The error of one node's output against the base model on the same samples.
struct LayerErrorRow {
  int64_t elements = 0;
  double sqnr_db = 0;  // ±infinity is allowed; the JSON then holds null, and "identical" tells which
  double cosine = 0;
  double max_abs_error = 0;
};

// What a network that is quantized in part answers, beside the base.
struct LayerEffect {
  double sqnr_db = 0;                         // of the output that is worst by it
  std::optional<double> accuracy_difference;  // top-1, candidate − base; where labels judge scores
  std::optional<Flips> flips;
  std::optional<double> metric_difference;  // in the first metric that arrays of labels judge, candidate − base
};

struct LayerSensitivity {
  LayerEffect only;     // this layer quantized, all others in float
  LayerEffect without;  // this layer in float, with what cannot be codes without it
};

// What LayerRow::sensitivity was measured on.
struct Sensitivity {
  std::string split;
  int64_t samples = 0;
  int64_t layers = 0;  // measured
  LayerEffect all;     // every layer quantized
};

struct LayerRow {
  std::string name;                    // origins of the node
  std::string op;                      // "Conv"
  std::string precision;               // "INT8"
  std::optional<LayerErrorRow> error;  // absent: no value of this node can be compared
  std::optional<ErrorBudget> budget;   // what the error is made of; absent: no layer of its own, or not measured
  std::optional<LayerSensitivity> sensitivity;
  std::optional<double> clipped_share;  // of the elements, that met the ends of the code range; [0, 1]
  int64_t macs = 0;
  int64_t weight_bytes = 0;
  std::string kernel;  // of the compiled program that computes the node; empty when none does
  std::string reason;  // why the node is not INT8, or has no error; may be empty
};

// Run times of one model, in microseconds, and what a run holds in memory.
struct LatencyRow {
  std::vector<double> round_medians_us;
  double median_us = 0, p90_us = 0, p95_us = 0, p99_us = 0;
  Interval median_interval_us;
  double items_per_second = 0;
  int64_t arena_bytes = 0, constants_bytes = 0;
  std::optional<SpeedComparison> to_base;  // absent for the base
};

// Models that ran in turns.
struct Latency {
  int64_t batch = 1;
  int64_t threads = 1;
  std::vector<LatencyRow> models;  // in step with Report.models
};

struct Report {
  std::string title;  // the network's name: "fashion_resnet"
  Provenance provenance;
  std::vector<ModelRow> models;                  // the base first
  std::vector<AccuracyMetric> accuracy;          // the first metric carries the verdict
  std::vector<TaskMetric> tasks;                 // metrics that arrays of labels judge
  std::vector<OutputComparison> outputs;         // of candidates beside the base's, without labels
  std::vector<RequirementVerdict> requirements;  // the gates of --require, for each output and candidate they are about
  size_t layers_model = 1;                       // index of the model that `layers` describes
  int64_t layers_samples = 0;                    // samples behind the layers' errors
  std::optional<Sensitivity> sensitivity;        // how the answers depend on single layers
  int64_t budget_samples = 0;                    // samples behind the error budgets
  std::vector<LayerRow> layers;                  // in pipeline order
  std::vector<Latency> latency;                  // the first carries the headline
  std::vector<Warning> warnings;
};

// Whether no gate that was set is missed or undecided.
bool passes_gates(const Report& report);

// Requires, here and below, that the vectors said to be in step are (asserted; a missing row is left out in a release).
// UTF-8, indented by two spaces, keys in a fixed order, a newline at the end. Text of at most 4,096 bytes a string.
std::string to_json(const Report& report);

// A complete page without any reference outside itself; its content security policy forbids loading anything.
std::string to_html(const Report& report);

// At most ten lines of ASCII plus names, without colours: verdict, accuracy, flips, sizes, what did not run as asked.
std::string verdict_text(const Report& report);

}  // namespace cupel
