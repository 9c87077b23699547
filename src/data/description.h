// The content of a data-set file, checked for form but not yet against the files it names.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/preprocess.h"
#include "data/source.h"

namespace cupel {

struct SplitDescription {
  std::string name;   // calibrate, search or report
  std::string place;  // "x.toml:20: splits.search"
  std::string source;
  std::optional<std::string> indices;  // a file, as written
  std::optional<int64_t> count;
  int64_t seed = 0;  // with count
};

// What is measured on the report split, as the file names it.
struct MetricChoice {
  std::string kind;         // "accuracy", judged by the class of a sample; others by an array of labels
  std::string place;        // "x.toml:30: metric.kind"
  int64_t top_k = 1;        // of accuracy: correct when the label is among this many highest outputs
  std::string output = {};  // of the network, that is judged; empty: the only one
  std::string target = {};  // the array of labels in the sources' target files
  std::map<std::string, double> settings = {};  // numbers by name, as the metric's row defines them
};

// How one array of a sample becomes an input of the network.
struct InputDescription {
  std::string name;   // of the network's input; empty: the one input, whatever its name
  std::string place;  // of the steps: "x.toml:9: preprocess.steps"
  std::vector<PreprocessStep> steps;
  std::optional<ImageLayout> layout;
};

struct DatasetDescription {
  std::string place;             // the file
  std::filesystem::path folder;  // where it lies
  std::vector<SourceDescription> sources;
  std::vector<std::string> classes;
  std::optional<std::string> labelled_output;  // the network's output that labels speak of
  // Of [inputs], by name, which the sources know too; else the one of [preprocess].
  std::vector<InputDescription> inputs;
  std::vector<SplitDescription> splits;  // in the order of the file
  std::vector<MetricChoice> metrics;
};

// bad_input with file and line for anything that is malformed, unknown, missing or of a wrong type; unsupported for
// steps and algorithms that are not known. Kinds of metrics beside accuracy are not looked at.
Result<DatasetDescription> read_description(const std::filesystem::path& path);

}  // namespace cupel
