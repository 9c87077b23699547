#include "report/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "assess/sentences.h"
#include "base/file.h"

namespace cupel {
namespace {

// Three significant digits of value ≥ 0 in the largest unit that keeps it at least 1; whole below 1000 of the first.
std::string scaled_text(int64_t value, const std::array<std::string_view, 7>& units) {
  double scaled = static_cast<double>(value);
  size_t unit = 0;
  // 999.5 would round up to 1000.
  while (std::abs(scaled) >= 999.5 && unit + 1 < units.size()) {
    scaled /= 1000;
    ++unit;
  }
  std::string number = fmt::format("{}", value);
  if (unit > 0) {
    const double size = std::abs(scaled);
    number = fmt::format("{:.{}f}", scaled, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
  }
  return units[unit].empty() ? number : fmt::format("{} {}", number, units[unit]);
}

std::string with_sign(std::string text, bool typographic) {
  if (text.find_first_of("123456789") == std::string::npos) return text.substr(1);  // rounded to 0
  if (typographic && text[0] == '-') return "\u2212" + text.substr(1);
  return text;
}

}  // namespace

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::note: return "note";
    case Severity::caution: return "caution";
    case Severity::deviation: return "deviation";
  }
  return "note";
}

std::string display_name(std::string_view name) { return printable(name, kNameLimit); }
std::string display_text(std::string_view text) { return printable(text, kTextLimit); }

std::string bytes_text(int64_t bytes) { return scaled_text(bytes, {"B", "kB", "MB", "GB", "TB", "PB", "EB"}); }
std::string count_text(int64_t count) { return scaled_text(count, {"", "k", "M", "G", "T", "P", "E"}); }

std::optional<double> relative_change(int64_t base, int64_t candidate) {
  if (base == 0) return std::nullopt;
  return static_cast<double>(candidate) / static_cast<double>(base) - 1;
}

std::string change_text(double change, bool typographic) {
  return with_sign(fmt::format("{:+.1f}", change * 100), typographic) + " %";
}

std::string signed_points_text(double share, int64_t samples, bool typographic) {
  const int decimals = samples <= 10'000 ? 2 : samples <= 100'000 ? 3 : 4;
  return with_sign(fmt::format("{:+.{}f}", share * 100, decimals), typographic);
}

const Comparison* first_comparison(const Report& report, size_t index) {
  if (report.accuracy.empty() || index >= report.accuracy[0].comparisons.size()) return nullptr;
  return &report.accuracy[0].comparisons[index];
}

std::string microseconds_text(double us) {
  return fmt::format("{:.{}f}", us, us >= 100 ? 0 : us >= 10 ? 1 : us >= 1 ? 2 : 3);
}

Interval speed_up_interval(const SpeedComparison& comparison) {
  return {1 / comparison.interval.upper, 1 / comparison.interval.lower};
}

std::string speed_words(const Report& report, size_t index) {
  if (report.latency.empty() || index + 1 >= report.latency[0].models.size()) return "";
  const auto& speed = report.latency[0].models[index + 1].to_base;
  if (!speed) return "";
  switch (speed->verdict) {
    case SpeedVerdict::faster: return fmt::format("runs {:.3g} times as fast", 1 / speed->ratio);
    case SpeedVerdict::slower: return fmt::format("takes {:.3g} times as long", speed->ratio);
    case SpeedVerdict::no_difference_shown: break;
  }
  return "is not shown to run faster or slower";
}

std::string output_text(const OutputForm& form) {
  std::string text = fmt::format("{} {}", dtype_name(form.dtype), to_text(form.dims));
  switch (form.scores) {
    case Scores::none: return text;
    case Scores::scores: return text + ", taken for scores of classes";
    case Scores::probabilities: return fmt::format("{}, probabilities along axis {} of an item", text, form.axis);
    case Scores::log_probabilities:
      return fmt::format("{}, logarithms of probabilities along axis {} of an item", text, form.axis);
  }
  return text;
}

std::string output_summary(const OutputComparison& output, size_t index) {
  std::string text;
  for (const OutputMetric& m : output.metrics)
    if (index < m.result.models.size() && m.metric->brief)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", m.metric->title,
                          metric_text(*m.metric, m.result.models[index]));
  return text;
}

namespace {

const OutputMetric* metric_of(const OutputComparison& output, std::string_view name) {
  for (const OutputMetric& m : output.metrics)
    if (m.metric->name == name) return &m;
  return nullptr;
}

// How close the outputs of candidate `index` are to the base's; empty where nothing says so.
std::string output_words(const Report& report, size_t index) {
  const OutputComparison* output = worst_output(report, index);
  if (output == nullptr || index + 1 >= report.models.size()) return "";
  const std::string name = display_name(report.models[index + 1].name), base = display_name(report.models[0].name);
  const std::string where = report.outputs.size() > 1 ? " in output " + display_name(output->name) : "";
  if (const OutputMetric* m = metric_of(*output, "agreement"))
    return fmt::format("{} agrees with {} {} {} of the {}{}", name, base, output->form.positions() > 1 ? "at" : "on",
                       metric_text(*m->metric, m->result.models[index].value, output->samples),
                       output->form.positions() > 1 ? "positions" : "samples", where);
  if (const OutputMetric* m = metric_of(*output, "equal"))
    return fmt::format("{} gives {} of {}'s integers{}", name,
                       metric_text(*m->metric, m->result.models[index].value, output->samples), base, where);
  const double sqnr = metric_of(*output, "sqnr")->result.models[index].value;
  if (std::isnan(sqnr)) return fmt::format("{} gives no numbers that {}'s could be compared with{}", name, base, where);
  if (std::isinf(sqnr) && sqnr > 0) return fmt::format("{} gives the same as {}{}", name, base, where);
  return fmt::format("{} differs from {} by {:.2g} %{}", name, base, 100 * std::pow(10, -sqnr / 20), where);
}

// The first metric that labels judge; empty without one.
std::string task_words(const Report& report, size_t index) {
  if (report.tasks.empty() || index >= report.tasks[0].result.differences.size() || index + 1 >= report.models.size())
    return "";
  const TaskMetric& task = report.tasks[0];
  const double difference = task.result.differences[index].value;
  const std::string name = display_name(report.models[index + 1].name), base = display_name(report.models[0].name);
  if (std::isnan(difference)) return fmt::format("{} has no {} beside {}", name, task.metric->title, base);
  if (difference == 0) return fmt::format("{} has the same {} as {}", name, task.metric->title, base);
  std::string amount = difference_text(*task.metric, difference, task.result.differences[index].samples);
  if (amount[0] == '+' || amount[0] == '-') amount.erase(0, 1);
  return fmt::format("{} is {} by {} in {}", name,
                     (difference > 0) == (task.metric->better == Better::higher) ? "better" : "worse", amount,
                     task.metric->title);
}

}  // namespace

const OutputComparison* worst_output(const Report& report, size_t index) {
  const OutputComparison* worst = nullptr;
  double least = 0;
  for (const char* name : {"sqnr", "equal"}) {
    for (const OutputComparison& output : report.outputs) {
      const OutputMetric* m = metric_of(output, name);
      if (m == nullptr || index >= m->result.models.size()) continue;
      const double value = m->result.models[index].value;
      if (worst == nullptr || std::isnan(value) || value < least) worst = &output, least = value;
    }
    if (worst != nullptr) return worst;
  }
  return worst;
}

std::string accuracy_words(const Report& report, size_t index) {
  const Comparison* c = first_comparison(report, index);
  if (c == nullptr && report.accuracy.empty())
    if (std::string words = task_words(report, index); !words.empty()) return words;
  if (c == nullptr && report.accuracy.empty())
    if (std::string words = output_words(report, index); !words.empty()) return words;
  if (c == nullptr || index + 1 >= report.models.size()) {
    if (report.accuracy.empty() || report.accuracy[0].models.empty() || report.models.empty())
      return "No accuracy was measured";
    const Accuracy& a = report.accuracy[0].models[0];
    return fmt::format("{} is right on {} of the samples", display_name(report.models[0].name),
                       percent_text(a.value, a.samples));
  }
  const std::string name = display_name(report.models[index + 1].name);
  if (c->verdict) {
    switch (c->verdict->kind) {
      case VerdictKind::within: return name + " stays within the allowed loss";
      case VerdictKind::missed: return name + " loses more than is allowed";
      case VerdictKind::undecided: return "Undecided: too few samples to tell";
    }
  }
  if (c->difference == 0) return fmt::format("{} is as accurate as {}", name, display_name(report.models[0].name));
  return fmt::format("{} {} {}", name, c->difference < 0 ? "loses" : "gains", points_text(c->difference, c->samples));
}

std::string headline(const Report& report, size_t index) {
  const std::string accuracy = accuracy_words(report, index), speed = speed_words(report, index);
  if (speed.empty()) return accuracy;
  const Comparison* c = first_comparison(report, index);
  const bool undecided = c != nullptr && c->verdict && c->verdict->kind == VerdictKind::undecided;
  return undecided ? fmt::format("{}; {} {}", accuracy, display_name(report.models[index + 1].name), speed)
                   : fmt::format("{} and {}", accuracy, speed);
}

bool passes_gates(const Report& report) {
  for (const AccuracyMetric& metric : report.accuracy)
    for (const Comparison& c : metric.comparisons)
      if (c.verdict && c.verdict->kind != VerdictKind::within) return false;
  return std::ranges::all_of(report.requirements,
                             [](const RequirementVerdict& r) { return r.kind == VerdictKind::within; });
}

std::string shell_text(const std::vector<std::string>& command) {
  static constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-";
  std::string text;
  for (const std::string& word : command) {
    if (!text.empty()) text += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char c : word) {
      if (c == '\'') {
        text += "'\\''";
      } else {
        text += c;
      }
    }
    text += '\'';
  }
  return text;
}

}  // namespace cupel
