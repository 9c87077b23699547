// Data sets: named splits of preprocessed samples, described by a TOML file (docs/data_sets.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/tensor.h"
#include "data/description.h"

namespace cupel {

struct Samples {
  std::vector<Tensor> inputs;   // one for each input of the data set: [count, sample dimensions]
  std::vector<int64_t> labels;  // one per sample; empty when the split has no labels
  std::vector<Tensor>
      targets;  // of split report: for each metric the labels that judge it, [count, …]; empty for accuracy
};

// An input of a network as the data set gives it, preprocessed.
struct DataInput {
  std::string name;  // of the network's input; empty: the one input, whatever its name
  DType dtype = DType::u8;
  // Of one sample, without the batch: [channels, height, width] for layout NCHW (also the default), [height, width,
  // channels] for NHWC; samples that are no images keep their dimensions.
  Dims dims;
  std::vector<std::string> steps;  // of preprocessing, in one spelling each
  std::string layout;              // of images: "NCHW" or "NHWC"; empty for others
};

// An opened data set; copies share it. Every function is const and may be called from several threads at once.
class Dataset {
 public:
  // Reads the file, opens the sources that a split uses, resolves the splits (splits.h) and checks labels and types.
  // Image files are decoded only in load. bad_input, unsupported or resource, with file and line.
  static Result<Dataset> open(const std::filesystem::path& toml);

  // The file, as errors name it.
  const std::string& place() const;

  // "calibrate", "search", "report": those that the file names, in its order.
  const std::vector<std::string>& split_names() const;
  bool has_split(std::string_view split) const;

  // The functions that take a split fail with bad_input when the file has no such split.
  Result<int64_t> size(std::string_view split) const;
  Result<bool> has_labels(std::string_view split) const;
  // Samples left out of the split since their content equals that of other samples.
  Result<int64_t> dropped(std::string_view split) const;
  // SHA-256 in hexadecimal over position, content and label of the first `count` samples of the split, and all arrays
  // of labels that metrics name.
  Result<std::string> split_hash(std::string_view split, int64_t count) const;
  // The samples' positions in their source, in the order of load, and the name of that source.
  Result<std::vector<int64_t>> source_indices(std::string_view split) const;
  Result<std::string> source_name(std::string_view split) const;

  // Samples begin … begin + count - 1 of the split, preprocessed. internal for a range outside of the split.
  Result<Samples> load(std::string_view split, int64_t begin, int64_t count) const;

  // At least one; several have names.
  const std::vector<DataInput>& inputs() const;
  // The network's output that labels speak of, where the file names it.
  const std::optional<std::string>& labelled_output() const;

  // In the order of the labels; empty when neither the file nor a class folder names them.
  const std::vector<std::string>& class_names() const;
  const std::vector<MetricChoice>& metrics() const;
  // Whatever was dropped, skipped or left unused.
  const std::vector<std::string>& warnings() const;

  // SHA-256 in hexadecimal of preprocessing, class names, metrics, and for every split its name and each sample's
  // content and label. Paths have no part in it. Reads every sample of every split.
  Result<std::string> content_hash() const;

 private:
  struct State;
  explicit Dataset(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace cupel
