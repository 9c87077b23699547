#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

// SQNR, change of accuracy, changed predictions and change of the metric, as many as `all` has.
std::string cells(const LayerEffect& effect, const LayerEffect& all, int64_t samples) {
  const double sqnr = effect.sqnr_db;
  std::string text =
      fmt::format("<td{}>{}</td>", rank_of_ratio(sqnr),
                  std::isfinite(sqnr) ? number(sqnr, ratio_text(sqnr)) : "<span>" + ratio_text(sqnr) + "</span>");
  if (all.accuracy_difference && effect.accuracy_difference)
    text += fmt::format("<td>{}</td>", number(*effect.accuracy_difference,
                                              signed_points_text(*effect.accuracy_difference, samples, true)));
  if (all.flips && effect.flips)
    text += fmt::format("<td>{}</td>",
                        number(effect.flips->changed_predictions, grouped_text(effect.flips->changed_predictions)));
  if (all.metric_difference && effect.metric_difference)
    text += fmt::format("<td>{}</td>",
                        number(*effect.metric_difference, fmt::format("{:+.4g}", *effect.metric_difference)));
  return text;
}

std::string heads(const LayerEffect& all, std::string_view which) {
  std::string text;
  const auto head = [&](std::string_view label) {
    text += fmt::format("<th scope=\"col\"><button type=\"button\">{}: {}</button></th>", which, label);
  };
  head("SQNR, dB");
  if (all.accuracy_difference) head("points");
  if (all.flips) head("changed answers");
  if (all.metric_difference) head("metric");
  return text;
}

}  // namespace

std::string sensitivity_section(const Report& report) {
  if (!report.sensitivity) return "";
  const Sensitivity& s = *report.sensitivity;
  std::string text = fmt::format(
      "<section>\n<h2>Sensitivity to single layers</h2>\n<p class=\"quiet\" style=\"margin-bottom:1rem\">Networks with "
      "the ranges of this one in which one layer alone is quantized (only), or it stays in float with what cannot be "
      "codes without it (without), beside the "
      "float network on {} samples of split {}. SQNR is that of the output; with all layers quantized it is {} "
      "dB.</p>\n",
      number(s.samples, grouped_text(s.samples)), name(s.split),
      std::isfinite(s.all.sqnr_db) ? number(s.all.sqnr_db, ratio_text(s.all.sqnr_db)) : ratio_text(s.all.sqnr_db));
  text +=
      "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Sensitivity, scrolls sideways\"><table "
      "class=\"nodes\">\n<thead><tr><th scope=\"col\"><button type=\"button\">#</button></th><th scope=\"col\" "
      "class=\"left\"><button type=\"button\">Node</button></th>";
  text += heads(s.all, "only") + heads(s.all, "without") + "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < report.layers.size(); ++i) {
    const LayerRow& layer = report.layers[i];
    if (!layer.sensitivity) continue;
    text += fmt::format("<tr><td>{}</td><td class=\"name left\">{}</td>",
                        number(static_cast<int64_t>(i) + 1, fmt::to_string(i + 1)), breakable_name(layer.name));
    text += cells(layer.sensitivity->only, s.all, s.samples) + cells(layer.sensitivity->without, s.all, s.samples);
    text += "</tr>\n";
  }
  return text + "</tbody>\n</table></div>\n</section>\n";
}

}  // namespace cupel::html
