#include <fmt/format.h>

#include <cmath>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

std::string count(int64_t value) { return number(value, grouped_text(value)); }

std::string fact(const std::string& label, const std::string& content) {
  return "<dt>" + label + "</dt><dd>" + content + "</dd>";
}

std::string fact_list(const char* title, const std::string& content) {
  if (content.empty()) return "";
  return fmt::format("<h3>{}</h3>\n<dl class=\"facts\">{}</dl>\n", title, content);
}

std::string facts(const char* title, const std::vector<Fact>& list) {
  std::string content;
  for (const Fact& f : list) content += fact(name(f.name), sentence(f.value));
  return fact_list(title, content);
}

std::string hash(const std::string& value) { return "<span class=\"hash\">" + sentence(value) + "</span>"; }

std::string dataset(const DatasetFacts& d) {
  std::string content = fact("Name", name(d.name));
  content += fact("Description", sentence(d.path) + (d.sha256.empty() ? "" : "<br>" + hash(d.sha256)));
  if (d.classes > 0) content += fact("Classes", count(d.classes));
  std::string steps;
  for (const std::string& step : d.preprocessing) steps += (steps.empty() ? "" : ", then ") + sentence(step);
  if (!steps.empty()) content += fact("Preprocessing", steps);
  if (!d.layout.empty()) content += fact("Layout", name(d.layout));
  for (const SplitFacts& s : d.splits) {
    std::string line = fmt::format("{} samples from {}", count(s.samples), name(s.source));
    if (s.available != s.samples) line += fmt::format(", of {} in the split", count(s.available));
    if (s.dropped > 0) line += fmt::format("; {} dropped, their content stands in another split", count(s.dropped));
    if (!s.sample_hash.empty()) line += "<br>" + hash(s.sample_hash);
    content += fact("Split " + name(s.name), line);
  }
  return fact_list("Data set", content);
}

}  // namespace

std::string warnings_section(const Report& report) {
  if (report.warnings.empty()) return "";
  std::string text = "<section>\n<h2>Warnings</h2>\n<ul class=\"list\">\n";
  for (const Severity severity : {Severity::deviation, Severity::caution, Severity::note})
    for (const Warning& warning : report.warnings)
      if (warning.severity == severity)
        text += fmt::format("<li><span class=\"tag {0}\">{0}</span> {1}</li>\n", severity_name(severity),
                            sentence(warning.text));
  return text + "</ul>\n</section>\n";
}

std::string provenance_section(const Report& report) {
  const Provenance& p = report.provenance;
  std::string text = "<section>\n<h2>Provenance</h2>\n";
  if (!p.command.empty())
    text += fmt::format(
        "<p class=\"quiet\" style=\"margin-bottom:.6rem\">This command repeats the run:</p>\n"
        "<pre class=\"card\"><code>{}</code></pre>\n",
        sentence(shell_text(p.command)));
  std::string run;
  if (!p.date.empty()) run += fact("Date", sentence(p.date));
  for (const auto& [label, seed] : p.seeds)
    run += fact("Seed " + name(label), fmt::format("<data value=\"{0}\">{0}</data>", seed));
  text += fact_list("Run", run);
  std::string models;
  for (const ModelRow& model : report.models)
    models += fact(name(model.name), sentence(model.path) + (model.sha256.empty() ? "" : "<br>" + hash(model.sha256)));
  text += fact_list("Models", models);
  if (p.dataset) text += dataset(*p.dataset);
  text += facts("Quantization", p.quantization);
  text += facts("Machine", p.machine);
  text += facts("Versions", p.versions);
  return text + "</section>\n";
}

}  // namespace cupel::html
