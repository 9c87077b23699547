#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/page_style.h"
#include "report/report.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel {

std::string to_html(const Report& report) {
  std::string page = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += fmt::format(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n",
      html::script_hash(html::kScript));
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  page += "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"Cupel\">\n";
  page += fmt::format("<title>{}: {}</title>\n", html::escape(report.title, kNameLimit),
                      html::escape(headline(report, 0), kTextLimit));
  page += fmt::format("<style>{}</style>\n</head>\n<body>\n<main>\n", html::kStyle);
  page += html::verdict_sections(report);
  page += html::outputs_section(report);
  page += html::layers_section(report);
  page += html::budgets_section(report);
  page += html::sensitivity_section(report);
  page += html::speed_section(report);
  page += html::warnings_section(report);
  page += html::provenance_section(report);
  page +=
      "</main>\n<footer>Written by Cupel. Every number on this page is in report.json; this page loads nothing from "
      "anywhere.</footer>\n";
  page += fmt::format("<script>{}</script>\n</body>\n</html>\n", html::kScript);
  return page;
}

}  // namespace cupel
