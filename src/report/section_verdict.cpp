#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

std::string count(int64_t value) { return number(value, grouped_text(value)); }
std::string percent(double share, int64_t samples) { return number(share, percent_text(share, samples)); }
std::string points(double share, int64_t samples) { return number(share, signed_points_text(share, samples, true)); }

std::string points_interval(const Interval& interval, int64_t samples) {
  return points(interval.lower, samples) + " to " + points(interval.upper, samples);
}

// One row of the table: a label and one cell per model, then the difference.
struct Row {
  std::string label;
  std::vector<std::string> cells;
};

std::string table_row(const Row& row) {
  std::string text = "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">" + row.label + "</th>";
  for (const std::string& cell : row.cells) text += "<td role=\"cell\">" + cell + "</td>";
  return text + "</tr>\n";
}

Row size_row(const char* label, const ModelRow& base, const ModelRow* candidate, int64_t ModelRow::* member,
             std::string (*show)(int64_t)) {
  Row row{label, {number(base.*member, show(base.*member))}};
  if (candidate == nullptr) return row;
  row.cells.push_back(number(candidate->*member, show(candidate->*member)));
  const auto change = relative_change(base.*member, candidate->*member);
  row.cells.push_back(change ? number(*change, change_text(*change, true)) : "–");
  return row;
}

// The first measurement of speed.
Row latency_row(const Latency& latency, size_t candidate) {
  Row row{fmt::format("Latency<span class=\"fine\">batch {}, {} {}</span>", count(latency.batch),
                      count(latency.threads), latency.threads == 1 ? "thread" : "threads"),
          {}};
  const auto time = [](double us) { return number(us, microseconds_text(us) + " µs"); };
  row.cells.push_back(time(latency.models[0].median_us));
  if (candidate == 0) return row;
  const LatencyRow& other = latency.models[candidate];
  row.cells.push_back(time(other.median_us));
  row.cells.push_back(
      other.to_base ? fmt::format("{} times as fast<span class=\"fine\">{}</span>",
                                  number(1 / other.to_base->ratio, fmt::format("{:.3g}", 1 / other.to_base->ratio)),
                                  speed_verdict_name(other.to_base->verdict))
                    : "–");
  return row;
}

std::string precision_cell(const ModelRow& model) {
  std::string text;
  for (const PrecisionCount& p : model.precisions)
    text += fmt::format("{}{} {}", text.empty() ? "" : "<br>", count(p.nodes), name(p.precision));
  return text.empty() ? "–" : text;
}

Row accuracy_row(const AccuracyMetric& metric, size_t candidate) {
  Row row{fmt::format("Top-{} accuracy", number(metric.top_k, fmt::to_string(metric.top_k))), {}};
  auto cell = [](const Accuracy& a) {
    return fmt::format("{}<span class=\"fine\">{} to {}</span>", percent(a.value, a.samples),
                       percent(a.interval.lower, a.samples), percent(a.interval.upper, a.samples));
  };
  row.cells.push_back(metric.models.empty() ? "–" : cell(metric.models[0]));
  if (candidate == 0) return row;
  row.cells.push_back(candidate < metric.models.size() ? cell(metric.models[candidate]) : "–");
  if (candidate - 1 < metric.comparisons.size()) {
    const Comparison& c = metric.comparisons[candidate - 1];
    row.cells.push_back(fmt::format("{} points<span class=\"fine\">{}<br>p = {}</span>",
                                    points(c.difference, c.samples), points_interval(c.interval, c.samples),
                                    number(c.mcnemar_p, p_text(c.mcnemar_p))));
  } else {
    row.cells.push_back("–");
  }
  return row;
}

// A metric that an array of labels judges.
Row task_row(const TaskMetric& task, size_t candidate) {
  const MetricDef& metric = *task.metric;
  const auto cell = [&](const MetricValue& v) {
    const auto shown_value = [&](double x) { return number(x, metric_text(metric, x, v.samples)); };
    return v.interval ? fmt::format("{}<span class=\"fine\">{} to {}</span>", shown_value(v.value),
                                    shown_value(v.interval->lower), shown_value(v.interval->upper))
                      : shown_value(v.value);
  };
  Row row{fmt::format("{}<span class=\"fine\">{}</span>", escape(metric.title, kNameLimit), name(task.output)),
          {cell(task.result.models[0])}};
  if (candidate == 0) return row;
  row.cells.push_back(cell(task.result.models[candidate]));
  const MetricDifference& d = task.result.differences[candidate - 1];
  const auto shown_difference = [&](double x) { return number(x, difference_text(metric, x, d.samples)); };
  row.cells.push_back(fmt::format(
      "{}<span class=\"fine\">{}{}</span>", shown_difference(d.value),
      d.interval ? fmt::format("{} to {}<br>", shown_difference(d.interval->lower), shown_difference(d.interval->upper))
                 : "",
      shown_name(shown(metric, d))));
  return row;
}

// A metric of an output beside the base's.
Row output_row(const Report& report, const OutputComparison& output, const OutputMetric& m, size_t candidate) {
  const MetricValue& v = m.result.models[candidate - 1];
  std::string label = escape(m.metric->title, kNameLimit);
  if (report.outputs.size() > 1) label += "<span class=\"fine\">" + name(output.name) + "</span>";
  std::string cell = number(v.value, metric_text(*m.metric, v.value, v.samples));
  if (v.interval)
    cell += fmt::format("<span class=\"fine\">{} to {}</span>",
                        number(v.interval->lower, metric_text(*m.metric, v.interval->lower, v.samples)),
                        number(v.interval->upper, metric_text(*m.metric, v.interval->upper, v.samples)));
  return {label, {"–", cell, ""}};
}

// Columns: the base, and when `candidate` > 0 that model and the difference.
std::string compare_table(const Report& report, size_t candidate) {
  const ModelRow& base = report.models[0];
  const ModelRow* other = candidate > 0 ? &report.models[candidate] : nullptr;
  std::string text = fmt::format(
      "<div class=\"card\"><table class=\"compare\" role=\"table\" style=\"--columns:{}\" "
      "aria-label=\"{}\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" "
      "role=\"columnheader\"></th>",
      other ? 3 : 1, other ? "The models side by side" : "The model");
  const auto head = [](const std::string& content) {
    return "<th scope=\"col\" role=\"columnheader\">" + content + "</th>";
  };
  text += head(name(base.name));
  if (other != nullptr) text += head(name(other->name)) + head("Difference");
  text += "</tr></thead>\n<tbody role=\"rowgroup\">\n";
  for (const AccuracyMetric& metric : report.accuracy) text += table_row(accuracy_row(metric, candidate));
  for (const TaskMetric& task : report.tasks) text += table_row(task_row(task, candidate));
  if (report.accuracy.empty() && report.tasks.empty() && candidate > 0)
    if (const OutputComparison* output = worst_output(report, candidate - 1))
      for (const OutputMetric& m : output->metrics) text += table_row(output_row(report, *output, m, candidate));
  if (!report.latency.empty() && candidate < report.latency[0].models.size())
    text += table_row(latency_row(report.latency[0], candidate));
  text += table_row(size_row("File", base, other, &ModelRow::file_bytes, bytes_text));
  text += table_row(size_row("Weights", base, other, &ModelRow::weight_bytes, bytes_text));
  text += table_row(size_row("Parameters", base, other, &ModelRow::parameters, count_text));
  text += table_row(
      size_row("Multiply-accumulates<span class=\"fine\">per sample</span>", base, other, &ModelRow::macs, count_text));
  text += table_row(size_row("Bit operations<span class=\"fine\">MACs × weight bits × activation bits</span>", base,
                             other, &ModelRow::bit_operations, count_text));
  if (base.peak_memory_bytes && (other == nullptr || other->peak_memory_bytes)) {
    const int64_t before = *base.peak_memory_bytes;
    Row row{"Peak memory", {number(before, bytes_text(before))}};
    if (other != nullptr) {
      const int64_t after = *other->peak_memory_bytes;
      row.cells.push_back(number(after, bytes_text(after)));
      const auto change = relative_change(before, after);
      row.cells.push_back(change ? number(*change, change_text(*change, true)) : "–");
    }
    text += table_row(row);
  }
  Row precisions{"Nodes by precision", {precision_cell(base)}};
  if (other != nullptr) {
    precisions.cells.push_back(precision_cell(*other));
    precisions.cells.push_back("");
  }
  text += table_row(precisions);
  return text + "</tbody>\n</table></div>\n";
}

// The interval of the difference on a line, with zero and the allowed loss.
std::string range_figure(const Comparison& c) {
  const double limit = c.verdict ? -c.verdict->max_drop_points / 100 : 0;
  double low = std::min({c.interval.lower, limit, 0.0});
  double high = std::max({c.interval.upper, limit, 0.0});
  const double margin = std::max((high - low) * 0.12, 1e-9);
  low -= margin;
  high += margin;
  const auto place = [&](double x) { return 100 * (x - low) / (high - low); };
  const auto side = [&](double x) { return place(x) < 22 ? "start" : place(x) > 78 ? "end" : "middle"; };
  std::string text =
      "<figure class=\"range\" aria-label=\"The interval of the difference beside the limits\"><div "
      "class=\"track\"><div class=\"rail\">";
  if (c.verdict) text += fmt::format("<div class=\"beyond\" style=\"width:{:.2f}%\"></div>", place(limit));
  text += "</div>";
  text += fmt::format("<div class=\"tick\" style=\"left:{:.2f}%\"></div>", place(0));
  text += fmt::format("<span class=\"label up {}\" style=\"left:{:.2f}%\">no difference</span>", side(0), place(0));
  if (c.verdict) {
    text += fmt::format("<div class=\"tick limit\" style=\"left:{:.2f}%\"></div>", place(limit));
    text +=
        fmt::format("<span class=\"label down {}\" style=\"left:{:.2f}%\">allowed loss {} {}</span>", side(limit),
                    place(limit), number(c.verdict->max_drop_points, fmt::format("{:g}", c.verdict->max_drop_points)),
                    c.verdict->max_drop_points == 1 ? "point" : "points");
  }
  text += fmt::format("<div class=\"bar\" style=\"left:{:.2f}%;width:{:.2f}%\"></div>", place(c.interval.lower),
                      place(c.interval.upper) - place(c.interval.lower));
  text += fmt::format("<div class=\"point\" style=\"left:{:.2f}%\"></div></div>", place(c.difference));
  text += fmt::format(
      "<figcaption class=\"fine\">The bar is the {} interval of the difference in top-{} accuracy; the "
      "mark in it is what was measured.</figcaption></figure>\n",
      number(c.confidence, fmt::format("{:g} %", c.confidence * 100)), number(c.top_k, fmt::to_string(c.top_k)));
  return text;
}

std::string flips_block(const Comparison& c) {
  const auto tile = [](const char* label, int64_t value) {
    return fmt::format("<div class=\"card\"><dt>{}</dt><dd>{}</dd></div>", label, count(value));
  };
  return fmt::format(
      "<h3>Predictions that flipped, of {} samples</h3>\n<dl class=\"flips\">{}{}{}{}</dl>\n", count(c.samples),
      tile("Right → wrong", c.flips.right_to_wrong), tile("Wrong → right", c.flips.wrong_to_right),
      tile("Wrong → another wrong", c.flips.wrong_to_other_wrong), tile("Changed in all", c.flips.changed_predictions));
}

std::string alarm_list(const Report& report, Severity severity, const char* title) {
  std::string items;
  for (const Warning& warning : report.warnings)
    if (warning.severity == severity) items += "<li>" + sentence(warning.text) + "</li>";
  if (items.empty()) return items;
  return fmt::format("<aside class=\"alarm\" aria-label=\"{}\"><h2>{}</h2><ul>{}</ul></aside>\n", title, title, items);
}

std::string requirement_list(const Report& report, size_t index) {
  std::string text;
  for (const RequirementVerdict& r : report.requirements)
    if (index + 1 < report.models.size() && r.model == report.models[index + 1].name)
      text += fmt::format("<p class=\"lead\">{}</p>\n", sentence(r.sentence));
  return text;
}

std::string alarms(const Report& report) {
  return alarm_list(report, Severity::deviation, "Did not run as asked") +
         alarm_list(report, Severity::caution, "Read with caution");
}

std::string table_caption(const Report& report) {
  if (report.accuracy.empty()) return "";
  const AccuracyMetric& metric = report.accuracy[0];
  if (metric.models.empty()) return "";
  return fmt::format(
      "<p class=\"quiet\" style=\"margin-bottom:.7rem\">Accuracy on {} samples, with {} intervals.</p>\n",
      count(metric.models[0].samples), number(metric.confidence, fmt::format("{:g} %", metric.confidence * 100)));
}

}  // namespace

std::string verdict_sections(const Report& report) {
  const size_t candidates = report.models.empty() ? 0 : report.models.size() - 1;
  std::string text;
  for (size_t index = 0; index < std::max<size_t>(candidates, 1); ++index) {
    const Comparison* c = first_comparison(report, index);
    const bool judged = c != nullptr && c->verdict;
    const char* mark = "=";
    if (judged)
      mark = c->verdict->kind == VerdictKind::within ? "✓" : c->verdict->kind == VerdictKind::missed ? "✕" : "?";
    else if (c != nullptr && c->difference != 0)
      mark = "Δ";
    const char* level = index == 0 ? "h1" : "h2";
    text += fmt::format("<section class=\"verdict {}\">\n", judged ? verdict_name(c->verdict->kind) : "open");
    std::string models;
    if (candidates > 0)
      models = fmt::format(" · {} → {}", name(report.models[0].name), name(report.models[index + 1].name));
    text += fmt::format("<p class=\"over\"><b>Cupel</b> · {}{}</p>\n", name(report.title), models);
    text += fmt::format("<{0}><span class=\"mark\" aria-hidden=\"true\">{1}</span><span>{2}</span></{0}>\n", level,
                        mark, sentence(headline(report, index)));
    if (c != nullptr) {
      if (judged) text += "<p class=\"lead\">" + sentence(c->verdict->sentence) + "</p>\n";
      for (size_t i = 0; i < c->sentences.size() && i < 2; ++i)
        text +=
            fmt::format("<p class=\"{}\">{}</p>\n", i == 0 && !judged ? "lead" : "quiet", sentence(c->sentences[i]));
      if (!judged) text += "<p class=\"quiet\">No limit was set with --max-drop, so there is no verdict.</p>\n";
    }
    if (report.accuracy.empty() && report.tasks.empty() && !report.outputs.empty())
      text += "<p class=\"quiet\">No labels say what is right: the outputs are compared with those of the base.</p>\n";
    text += requirement_list(report, index);
    if (index == 0) text += alarms(report);
    if (c != nullptr) text += range_figure(*c);
    if (!report.models.empty()) {
      text += table_caption(report);
      text += compare_table(report, candidates > 0 ? index + 1 : 0);
    }
    if (c != nullptr) text += flips_block(*c);
    text += "</section>\n";
  }
  return text;
}

}  // namespace cupel::html
