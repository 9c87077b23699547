// The metrics of a data set that arrays of labels judge.
#pragma once

#include <vector>

#include "assess/task_metric.h"
#include "driver/answers.h"

namespace cupel {

class LabelMetrics {
 public:
  // Of the data set's [[metric]] beside accuracy. bad_input, naming the line, for a kind, a setting or an output that
  // is none, and where it has to be said which output is meant.
  static Result<LabelMetrics> make(std::span<const Respondent> models, const Dataset& data);

  bool empty() const { return rows_.empty(); }
  // The outputs of a run of model `model` on samples `first` … `first` + `count` − 1 of `samples`. bad_input when the
  // metric refuses the output or the labels.
  Status see(size_t model, const Samples& samples, int64_t first, int64_t count, const std::vector<Tensor>& outputs);
  std::vector<TaskMetric> finish(const BootstrapOptions& options = {}) const;

 private:
  struct Row {
    size_t choice = 0;  // of the data set's metrics
    std::string place;
    const MetricDef* metric = nullptr;
    std::string output, target;
    MetricSettings settings;
    std::vector<size_t> index;     // of each model's outputs
    std::vector<OutputRows> rows;  // in each model
    std::vector<SampleParts> parts;
  };
  std::vector<Row> rows_;
};

}  // namespace cupel
