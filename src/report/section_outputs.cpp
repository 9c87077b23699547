#include <fmt/format.h>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

std::string value_cell(const MetricDef& metric, const MetricValue& v) {
  const auto shown = [&](double x) { return number(x, metric_text(metric, x, v.samples)); };
  std::string text = "<td>" + shown(v.value);
  if (v.interval)
    text += fmt::format("<span class=\"fine\">{} to {}<br>{}</span>", shown(v.interval->lower),
                        shown(v.interval->upper), v.interval_method);
  if (v.left_out > 0)
    text +=
        fmt::format("<span class=\"fine\">{} samples left out</span>", number(v.left_out, grouped_text(v.left_out)));
  return text + "</td>";
}

std::string difference_cell(const MetricDef& metric, const MetricDifference& d) {
  const auto shown = [&](double x) { return number(x, metric_text(metric, x, d.samples)); };
  std::string text = "<td>" + shown(d.value);
  if (d.interval)
    text += fmt::format("<span class=\"fine\">{} to {}</span>", shown(d.interval->lower), shown(d.interval->upper));
  return text + "</td>";
}

std::string output_table(const Report& report, const OutputComparison& output) {
  std::string text =
      "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Metrics of an output, scrolls "
      "sideways\"><table>\n<thead><tr><th scope=\"col\">Metric</th>";
  for (size_t i = 1; i < report.models.size(); ++i)
    text += "<th scope=\"col\">" + name(report.models[i].name) + "</th>";
  for (size_t i = 2; i < report.models.size(); ++i)
    text +=
        fmt::format("<th scope=\"col\">{} beside {}</th>", name(report.models[i].name), name(report.models[1].name));
  text += "</tr></thead>\n<tbody>\n";
  for (const OutputMetric& m : output.metrics) {
    text += fmt::format("<tr><th scope=\"row\">{}<span class=\"fine\">{}</span></th>",
                        escape(m.metric->title, kNameLimit), sentence(m.metric->meaning));
    for (const MetricValue& v : m.result.models) text += value_cell(*m.metric, v);
    for (const MetricDifference& d : m.result.differences) text += difference_cell(*m.metric, d);
    text += "</tr>\n";
  }
  return text + "</tbody>\n</table></div>\n";
}

}  // namespace

std::string outputs_section(const Report& report) {
  if (report.outputs.empty()) return "";
  std::string text = fmt::format(
      "<section>\n<h2>Outputs</h2>\n<p class=\"quiet\">Each output beside that of {} on the same samples, without "
      "labels; intervals hold with {} confidence.</p>\n",
      name(report.models[0].name),
      number(report.outputs[0].confidence, fmt::format("{:g} %", report.outputs[0].confidence * 100)));
  for (const OutputComparison& output : report.outputs)
    text += fmt::format("<h3>{}</h3>\n<p class=\"quiet\" style=\"margin-bottom:.7rem\">{}; {} {}</p>\n{}",
                        name(output.name), sentence(output_text(output.form)),
                        number(output.samples, grouped_text(output.samples)), output.by_batch ? "batches" : "samples",
                        output_table(report, output));
  return text + "</section>\n";
}

}  // namespace cupel::html
