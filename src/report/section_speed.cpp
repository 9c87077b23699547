#include <fmt/format.h>

#include <algorithm>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

std::string time(double us) { return number(us, microseconds_text(us)); }

std::string speed_cell(const LatencyRow& row) {
  if (!row.to_base) return "–";
  const SpeedComparison& c = *row.to_base;
  const Interval interval = speed_up_interval(c);
  const auto times = [](double speed_up) { return number(speed_up, fmt::format("{:.3g}", speed_up)); };
  return fmt::format("{} times as fast<span class=\"fine\">{} to {}<br>{}</span>", times(1 / c.ratio),
                     times(interval.lower), times(interval.upper), speed_verdict_name(c.verdict));
}

std::string model_row(const Report& report, const Latency& latency, size_t i) {
  const LatencyRow& row = latency.models[i];
  return fmt::format(
      "<tr><th scope=\"row\">{}</th><td>{}<span class=\"fine\">{} to {}</span></td><td>{}</td><td>{}</td><td>{}</td>"
      "<td>{}</td><td>{}</td></tr>\n",
      name(report.models[i].name), time(row.median_us), time(row.median_interval_us.lower),
      time(row.median_interval_us.upper), time(row.p90_us), time(row.p99_us),
      number(row.items_per_second, count_text(static_cast<int64_t>(row.items_per_second + 0.5))),
      number(row.arena_bytes, bytes_text(row.arena_bytes)), speed_cell(row));
}

}  // namespace

std::string speed_section(const Report& report) {
  if (report.latency.empty()) return "";
  std::string text =
      "<section>\n<h2>Speed</h2>\n<p class=\"quiet\" style=\"margin-bottom:1rem\">The compiled programs on samples of "
      "the data set, in turns, round by round. Microseconds of a run of the whole batch.</p>\n";
  for (const Latency& latency : report.latency) {
    text += fmt::format("<h3>Batch {}, {} {}</h3>\n", number(latency.batch, grouped_text(latency.batch)),
                        number(latency.threads, grouped_text(latency.threads)),
                        latency.threads == 1 ? "thread" : "threads");
    text +=
        "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Speed, scrolls sideways\"><table>\n"
        "<thead><tr><th scope=\"col\">Model</th><th scope=\"col\">Median</th><th scope=\"col\">p90</th>"
        "<th scope=\"col\">p99</th><th scope=\"col\">Samples a second</th><th scope=\"col\">Working memory</th>"
        "<th scope=\"col\">Beside the base</th></tr></thead>\n<tbody>\n";
    for (size_t i = 0; i < latency.models.size() && i < report.models.size(); ++i)
      text += model_row(report, latency, i);
    text += "</tbody>\n</table></div>\n";
  }
  return text + "</section>\n";
}

}  // namespace cupel::html
