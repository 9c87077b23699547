// Limits that a person sets for metrics: METRIC>=X, METRIC<=X.
#pragma once

#include <string>
#include <string_view>

#include "assess/comparison.h"
#include "assess/metric.h"

namespace cupel {

struct Requirement {
  const MetricDef* metric = nullptr;
  bool at_least = true;  // otherwise at most
  double limit = 0;      // as the metric's values are: shares in [0, 1]
  std::string text;      // as it was given
};

// "agreement>=98", "sqnr>=30", "kl<=0.01": shares in percent. usage error for another form, or a metric that is none.
Result<Requirement> parse_requirement(std::string_view text);

// Whether one output of one model meets it.
struct RequirementVerdict {
  std::string requirement;  // as it was given
  std::string metric, output, model;
  VerdictKind kind = VerdictKind::undecided;
  std::string sentence;
};

// Names are made printable in the sentence. Within where the whole interval meets the limit, missed where none of it
// does; a metric without intervals is judged by its value. Undecided without a value, and without an interval where
// there should be one.
RequirementVerdict judged_requirement(const Requirement& requirement, const std::string& output,
                                      const std::string& model, const MetricValue& value);
VerdictKind judge(const Requirement& requirement, const MetricValue& value);

}  // namespace cupel
