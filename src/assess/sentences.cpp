#include "assess/sentences.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace cupel {
namespace {

int decimals(int64_t samples) { return samples <= 10'000 ? 2 : samples <= 100'000 ? 3 : 4; }

std::string metric_name(int64_t top_k) { return fmt::format("top-{} accuracy", top_k); }

std::string counted(int64_t count, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", grouped_text(count), count == 1 ? singular : plural);
}

// "a loss of 0.29 points", "a gain of 0.03 points", "no difference".
std::string effect(double difference, int64_t samples) {
  if (difference == 0) return "no difference";
  return fmt::format("a {} of {}", difference < 0 ? "loss" : "gain", points_text(difference, samples));
}

}  // namespace

std::string percent_text(double share, int64_t samples) {
  return fmt::format("{:.{}f} %", share * 100, decimals(samples));
}

std::string points_text(double share, int64_t samples) {
  return fmt::format("{:.{}f} points", std::abs(share) * 100, decimals(samples));
}

std::string grouped_text(int64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string p_text(double p) {
  if (p >= 0.995) return "1";
  if (p < 1e-4) return fmt::format("{:.1e}", p);
  return fmt::format("{:.2g}", p);
}

std::vector<std::string> describe(const Comparison& c, const Names& names, int64_t base_right,
                                  int64_t candidate_right) {
  const double n = static_cast<double>(c.samples);
  std::vector<std::string> sentences;
  const std::string scores = fmt::format(
      "{} instead of {} of {}", percent_text(static_cast<double>(candidate_right) / n, c.samples),
      percent_text(static_cast<double>(base_right) / n, c.samples), counted(c.samples, "sample", "samples"));
  if (c.difference == 0) {
    sentences.push_back(fmt::format("{} has the same {} as {}: {} of {}.", names.candidate, metric_name(c.top_k),
                                    names.base, percent_text(static_cast<double>(base_right) / n, c.samples),
                                    counted(c.samples, "sample", "samples")));
  } else {
    sentences.push_back(fmt::format("{} {} {} of {}: {}.", names.candidate, c.difference < 0 ? "loses" : "gains",
                                    points_text(c.difference, c.samples), metric_name(c.top_k), scores));
  }
  const std::string range =
      fmt::format("With {:g} % confidence the true difference lies between {} and {}", c.confidence * 100,
                  effect(c.interval.lower, c.samples), effect(c.interval.upper, c.samples));
  if (c.flips.right_to_wrong + c.flips.wrong_to_right == 0) {
    sentences.push_back(range + ".");
  } else if (c.mcnemar_p <= 1 - c.confidence) {
    sentences.push_back(
        fmt::format("{}; it is more than chance explains (exact McNemar p = {}).", range, p_text(c.mcnemar_p)));
  } else {
    sentences.push_back(fmt::format("{}; it may be chance (exact McNemar p = {}).", range, p_text(c.mcnemar_p)));
  }
  const Flips& f = c.flips;
  if (f.changed_predictions == 0 && f.right_to_wrong + f.wrong_to_right == 0) {
    sentences.push_back("No prediction changed.");
  } else {
    sentences.push_back(fmt::format(
        "{} changed; judged by {}: {} from right to wrong, {} from wrong to right, {} from wrong to another wrong "
        "class.",
        counted(f.changed_predictions, "prediction", "predictions"), metric_name(c.top_k),
        grouped_text(f.right_to_wrong), grouped_text(f.wrong_to_right), grouped_text(f.wrong_to_other_wrong)));
  }
  return sentences;
}

std::string describe_verdict(const Comparison& c, const Names& names) {
  const std::string limit =
      fmt::format("{:g} {}", c.verdict->max_drop_points, c.verdict->max_drop_points == 1 ? "point" : "points");
  const double allowed = -c.verdict->max_drop_points / 100;
  const std::string rule = fmt::format("{} may lose at most {} of {}", names.candidate, limit, metric_name(c.top_k));
  switch (c.verdict->kind) {
    case VerdictKind::within:
      return fmt::format("{}; even the unfavourable end of the interval, {}, stays inside.", rule,
                         effect(c.interval.lower, c.samples));
    case VerdictKind::missed:
      return fmt::format("{}; even the favourable end of the interval, {}, is beyond that.", rule,
                         effect(c.interval.upper, c.samples));
    case VerdictKind::undecided: break;
  }
  return fmt::format(
      "{}; the measured difference, {}, is {}, but the interval reaches across that limit, so {} cannot "
      "decide. More samples would narrow it.",
      rule, effect(c.difference, c.samples), c.difference >= allowed ? "inside" : "beyond",
      counted(c.samples, "sample", "samples"));
}

}  // namespace cupel
