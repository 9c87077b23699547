// The outputs of candidates beside the base's, output by output, without labels.
#pragma once

#include <string>
#include <vector>

#include "assess/metric.h"

namespace cupel {

struct OutputMetric {
  const MetricDef* metric = nullptr;
  MetricResult result;  // `models` are the candidates; differences are those of further ones and the first
};

// What is known of one output of the network.
struct OutputComparison {
  std::string name;
  OutputForm form;
  int64_t samples = 0;
  bool by_batch = false;  // a sample is a whole batch: the output has no item for each
  // Samples with NaN or infinity in this output: of the base, then of each candidate.
  std::vector<int64_t> non_finite;
  std::vector<OutputMetric> metrics;
  double confidence = kDefaultConfidence;
};

// Gathers an output sample by sample; what is kept are parts of metrics, no output.
class OutputJudge {
 public:
  // `first`: the base's item of the first sample, which decides what the output holds.
  OutputJudge(std::string name, const Item& first, size_t candidates, bool by_batch);

  const OutputForm& form() const { return form_; }
  // One sample: the base's item and each candidate's. bad_input, naming the output, when types or dimensions differ.
  Status add(const Item& base, std::span<const Item> candidates);
  OutputComparison finish(const BootstrapOptions& options = {}) const;

 private:
  struct Row {
    const MetricDef* metric;
    std::vector<SampleParts> candidates;
  };
  std::string name_;
  OutputForm form_;
  bool by_batch_;
  int64_t samples_ = 0;
  std::vector<int64_t> non_finite_;
  std::vector<Row> rows_;
};

}  // namespace cupel
