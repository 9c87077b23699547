#include "assess/requirement.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/file.h"

namespace cupel {

Result<Requirement> parse_requirement(std::string_view text) {
  const auto wrong = [&](const std::string& expected) {
    return usage_error("--require", fmt::format("found \"{}\", expected {}", printable(text), expected),
                       "write a metric, >= or <=, and a number: --require 'sqnr>=30'");
  };
  const size_t at = text.find_first_of("<>");
  if (at == std::string_view::npos || at + 1 >= text.size() || text[at + 1] != '=')
    return wrong("METRIC>=X or METRIC<=X");
  Requirement r{find_metric(text.substr(0, at)), text[at] == '>', 0, std::string(text)};
  if (r.metric == nullptr) {
    std::string names;
    for (const MetricDef* m : all_metrics()) names += (names.empty() ? "" : ", ") + std::string(m->name);
    return wrong("one of the metrics " + names);
  }
  const std::string_view number = text.substr(at + 2);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), r.limit);
  if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(r.limit))
    return wrong("a number behind it");
  if (r.metric->unit == "%") r.limit /= 100;
  return r;
}

RequirementVerdict judged_requirement(const Requirement& requirement, const std::string& output,
                                      const std::string& model, const MetricValue& value) {
  RequirementVerdict v{
      requirement.text, std::string(requirement.metric->name), output, model, judge(requirement, value), {}};
  const std::string words = v.kind == VerdictKind::within   ? "met"
                            : v.kind == VerdictKind::missed ? "missed"
                                                            : "undecided";
  v.sentence = fmt::format("--require {}: {} by {} in output {}, {}.", printable(requirement.text), words,
                           printable(model), printable(output), metric_text(*requirement.metric, value));
  return v;
}

VerdictKind judge(const Requirement& requirement, const MetricValue& value) {
  if (std::isnan(value.value)) return VerdictKind::undecided;
  Interval interval{value.value, value.value};
  if (requirement.metric->interval != IntervalKind::none) {
    if (!value.interval) return VerdictKind::undecided;
    interval = *value.interval;
  }
  const auto meets = [&](double x) { return requirement.at_least ? x >= requirement.limit : x <= requirement.limit; };
  const bool lower = meets(interval.lower), upper = meets(interval.upper);
  if (lower && upper) return VerdictKind::within;
  return lower || upper ? VerdictKind::undecided : VerdictKind::missed;
}

}  // namespace cupel
