// A metric that an array of labels judges, for the base and its candidates.
#pragma once

#include <string>

#include "assess/metric.h"

namespace cupel {

struct TaskMetric {
  const MetricDef* metric = nullptr;
  std::string output;  // of the network
  std::string target;  // the array of labels
  MetricSettings settings;
  double confidence = kDefaultConfidence;
  MetricResult result;  // `models`: the base first
};

// Whether a candidate's difference is shown: its interval does not hold 0. Worse and better go by MetricDef::better.
enum class Shown { worse, better, no_difference };
Shown shown(const MetricDef& metric, const MetricDifference& difference);
// "worse", "better", "no difference shown".
std::string_view shown_name(Shown s);

// "+0.12 dB", "-0.30 points", "+0.0012"; ASCII.
std::string difference_text(const MetricDef& metric, double difference, int64_t samples);

}  // namespace cupel
