#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

std::string share_text(double share) { return fmt::format("{:.1f} %", 100 * share); }

// The parts as one bar; what they come to beyond the total is scaled away.
std::string stack(const ErrorBudget& budget) {
  double sum = std::max(budget.interaction(), 0.0);
  for (const double part : budget.parts) sum += part;
  std::string bar = "<span class=\"stack\" aria-hidden=\"true\">";
  for (size_t i = 0; i < kBudgetParts && sum > 0; ++i)
    bar += fmt::format("<i class=\"part{}\" style=\"width:{:.2f}%\"></i>", i, 100 * budget.parts[i] / sum);
  return bar + "</span>";
}

std::string row(const LayerRow& layer, size_t position) {
  const ErrorBudget& budget = *layer.budget;
  std::string text = fmt::format("<tr><td>{}</td><td class=\"name left\">{}</td><td class=\"left\">{}</td>",
                                 number(static_cast<int64_t>(position), fmt::to_string(position)),
                                 breakable_name(layer.name), name(layer.op));
  const double sqnr = budget.sqnr_db();
  text += fmt::format("<td{}>{}</td><td>{}</td>", rank_of_ratio(sqnr),
                      std::isfinite(sqnr) ? number(sqnr, ratio_text(sqnr)) : "<span>" + ratio_text(sqnr) + "</span>",
                      stack(budget));
  const auto cell = [&](double power) {
    const double share = budget.share(power);
    text += std::isnan(share) ? "<td></td>" : fmt::format("<td>{}</td>", number(share, share_text(share)));
  };
  for (const double part : budget.parts) cell(part);
  cell(budget.interaction());
  return text + "</tr>\n";
}

}  // namespace

std::string budgets_section(const Report& report) {
  if (std::ranges::none_of(report.layers, [](const LayerRow& layer) { return layer.budget.has_value(); })) return "";
  std::string text = fmt::format(
      "<section>\n<h2>What the errors are made of</h2>\n<p class=\"quiet\" style=\"margin-bottom:1rem\">For each "
      "quantized layer, the mean square of its result's error on {} samples, and the share of it that each ingredient "
      "makes alone, put into the float network's layer one at a time. <b>Inherited</b> is what comes from the layers "
      "before. The interaction is what is left: it is below zero where ingredients cancel.</p>\n",
      number(report.budget_samples, grouped_text(report.budget_samples)));
  text += "<p class=\"legend\">";
  for (size_t i = 0; i < kBudgetParts; ++i)
    text += fmt::format("<span><i class=\"part{}\"></i>{}</span>", i, kBudgetPartNames[i].title);
  text +=
      "</p>\n<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Error budgets, scrolls "
      "sideways\"><table class=\"nodes\">\n<thead><tr>";
  const auto head = [&](std::string_view label, bool left) {
    text += fmt::format("<th scope=\"col\"{}><button type=\"button\">{}</button></th>", left ? " class=\"left\"" : "",
                        label);
  };
  head("#", false);
  head("Node", true);
  head("Op", true);
  head("SQNR, dB", false);
  text += "<th scope=\"col\">Parts</th>";
  for (const BudgetPartName& part : kBudgetPartNames) head(part.title, false);
  head("Interaction", false);
  text += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < report.layers.size(); ++i)
    if (report.layers[i].budget) text += row(report.layers[i], i + 1);
  return text + "</tbody>\n</table></div>\n</section>\n";
}

}  // namespace cupel::html
