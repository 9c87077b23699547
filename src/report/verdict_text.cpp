#include <fmt/format.h>

#include <algorithm>

#include "assess/sentences.h"
#include "base/file.h"
#include "report/report.h"
#include "report/wording.h"

namespace cupel {
namespace {

constexpr size_t kLines = 10;

std::string size_line(const Report& report, std::string_view label, int64_t ModelRow::* member,
                      std::string (*show)(int64_t)) {
  std::string line = fmt::format("  {:<15}", label);
  const int64_t base = report.models[0].*member;
  for (size_t i = 0; i < report.models.size() && i < 4; ++i) {
    const int64_t value = report.models[i].*member;
    line += fmt::format("  {} {}", display_name(report.models[i].name), show(value));
    if (i > 0)
      if (const auto change = relative_change(base, value)) line += fmt::format(" ({})", change_text(*change, false));
  }
  return line;
}

std::string accuracy_line(const Report& report, const AccuracyMetric& metric) {
  std::string line = fmt::format("  {:<15}", fmt::format("top-{} accuracy", metric.top_k));
  for (size_t i = 0; i < metric.models.size() && i < report.models.size() && i < 4; ++i) {
    const Accuracy& a = metric.models[i];
    line += fmt::format("  {} {}", display_name(report.models[i].name), percent_text(a.value, a.samples));
    if (i > 0 && i - 1 < metric.comparisons.size()) {
      const Comparison& c = metric.comparisons[i - 1];
      line += fmt::format(" ({} points [{}, {}], p = {})", signed_points_text(c.difference, c.samples, false),
                          signed_points_text(c.interval.lower, c.samples, false),
                          signed_points_text(c.interval.upper, c.samples, false), p_text(c.mcnemar_p));
    }
  }
  return line;
}

std::string task_line(const Report& report, const TaskMetric& task) {
  std::string line = fmt::format("  {:<15}", task.metric->title);
  for (size_t i = 0; i < task.result.models.size() && i < report.models.size() && i < 4; ++i) {
    const MetricValue& v = task.result.models[i];
    line += fmt::format("  {} {}", display_name(report.models[i].name), metric_text(*task.metric, v.value, v.samples));
    if (i == 0 || i - 1 >= task.result.differences.size()) continue;
    const MetricDifference& d = task.result.differences[i - 1];
    const auto shown_difference = [&](double x) { return difference_text(*task.metric, x, d.samples); };
    const auto bare = [&](double x) {
      const std::string end = shown_difference(x);
      return end.substr(0, end.find(' '));
    };
    line += fmt::format(" ({}{}; {})", shown_difference(d.value),
                        d.interval ? fmt::format(" [{}, {}]", bare(d.interval->lower), bare(d.interval->upper)) : "",
                        shown_name(shown(*task.metric, d)));
  }
  return line;
}

// Outputs beside the base's, of at most three candidates together.
std::string output_line(const Report& report, const OutputComparison& output) {
  std::string line = fmt::format("  {:<15}", printable(output.name, 40));
  for (size_t i = 1; i < report.models.size() && i < 4; ++i)
    line += fmt::format("  {} {}", display_name(report.models[i].name), output_summary(output, i - 1));
  return line;
}

// Of the first measurement of speed.
std::string speed_line(const Report& report) {
  const Latency& latency = report.latency[0];
  std::string line = fmt::format("  {:<15}", "latency");
  for (size_t i = 0; i < latency.models.size() && i < report.models.size() && i < 4; ++i) {
    const LatencyRow& row = latency.models[i];
    line += fmt::format("  {} {} us", display_name(report.models[i].name), microseconds_text(row.median_us));
    if (!row.to_base) continue;
    const Interval interval = speed_up_interval(*row.to_base);
    line +=
        fmt::format(" ({:.3g} times as fast [{:.3g}, {:.3g}])", 1 / row.to_base->ratio, interval.lower, interval.upper);
  }
  return line +
         fmt::format(", batch {}, {} {}", latency.batch, latency.threads, latency.threads == 1 ? "thread" : "threads");
}

}  // namespace

std::string verdict_text(const Report& report) {
  std::vector<std::string> lines;
  const size_t candidates = report.models.empty() ? 0 : report.models.size() - 1;
  lines.push_back(fmt::format("{}: {}", display_name(report.title), headline(report, 0)));
  for (size_t i = 1; i < candidates && i < 3; ++i)
    if (first_comparison(report, i) != nullptr || !report.outputs.empty())
      lines.push_back(fmt::format("{}: {}", display_name(report.models[i + 1].name), headline(report, i)));
  if (const Comparison* c = first_comparison(report, 0); c != nullptr && candidates == 1)
    lines.push_back("  " + (c->verdict             ? display_text(c->verdict->sentence)
                            : c->sentences.empty() ? std::string("no limit was set with --max-drop")
                                                   : display_text(c->sentences[0])));
  for (size_t i = 0; i < report.accuracy.size() && i < 2; ++i)
    lines.push_back(accuracy_line(report, report.accuracy[i]));
  if (const Comparison* c = first_comparison(report, 0))
    lines.push_back(
        fmt::format("  {:<15}  {} right to wrong, {} wrong to right, {} wrong to another wrong, of {} samples", "flips",
                    grouped_text(c->flips.right_to_wrong), grouped_text(c->flips.wrong_to_right),
                    grouped_text(c->flips.wrong_to_other_wrong), grouped_text(c->samples)));
  for (size_t i = 0; i < report.tasks.size() && i < 3; ++i) lines.push_back(task_line(report, report.tasks[i]));
  if (report.accuracy.empty() && report.tasks.empty())
    for (size_t i = 0; i < report.outputs.size() && i < 3; ++i) {
      const bool more = i == 2 && report.outputs.size() > 3;
      lines.push_back(more ? fmt::format("  {} further outputs: see the report", report.outputs.size() - i)
                           : output_line(report, report.outputs[i]));
    }
  for (size_t i = 0; i < report.requirements.size() && i < 3; ++i)
    lines.push_back("  " + display_text(report.requirements[i].sentence));
  if (!report.latency.empty()) lines.push_back(speed_line(report));
  if (!report.models.empty()) {
    lines.push_back(size_line(report, "file", &ModelRow::file_bytes, bytes_text));
    lines.push_back(size_line(report, "weights", &ModelRow::weight_bytes, bytes_text));
    lines.push_back(size_line(report, "bit operations", &ModelRow::bit_operations, count_text));
  }
  std::vector<const Warning*> shown;
  for (const Severity severity : {Severity::deviation, Severity::caution})
    for (const Warning& warning : report.warnings)
      if (warning.severity == severity) shown.push_back(&warning);
  const size_t room = kLines - std::min(kLines, lines.size());
  for (size_t i = 0; i < shown.size() && i < room; ++i) {
    if (i + 1 == room && shown.size() > room) {
      lines.push_back(fmt::format("  and {} more to know before trusting this; see the report", shown.size() - i));
      break;
    }
    lines.push_back(fmt::format("  {}: {}", shown[i]->severity == Severity::deviation ? "not as asked" : "caution",
                                printable(shown[i]->text, 400)));
  }
  std::string result;
  for (size_t i = 0; i < lines.size() && i < kLines; ++i) result += lines[i] + "\n";
  return result;
}

}  // namespace cupel
