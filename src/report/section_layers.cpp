#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "assess/sentences.h"
#include "report/html.h"
#include "report/sections.h"
#include "report/wording.h"

namespace cupel::html {
namespace {

// Beyond this the chart along the network would have bars too thin to tell apart.
constexpr size_t kMostBars = 400;

// The largest finite ratio; 0 when there is none.
double largest_sqnr(const Report& report) {
  double largest = 0;
  for (const LayerRow& layer : report.layers)
    if (layer.error && std::isfinite(layer.error->sqnr_db)) largest = std::max(largest, layer.error->sqnr_db);
  return largest;
}

// Share of the longest bar, [0, 1].
double bar_share(double sqnr_db, double largest) {
  if (std::isinf(sqnr_db)) return sqnr_db > 0 ? 1 : 0;
  return largest > 0 ? std::clamp(sqnr_db / largest, 0.0, 1.0) : 0;
}

std::string chart(const Report& report, double largest) {
  std::vector<const LayerRow*> measured;
  for (const LayerRow& layer : report.layers)
    if (layer.error) measured.push_back(&layer);
  if (measured.size() < 3 || measured.size() > kMostBars || largest <= 0) return "";
  std::string bars;
  for (size_t i = 0; i < measured.size(); ++i) {
    const double sqnr = measured[i]->error->sqnr_db;
    const double height = std::max(100 * bar_share(sqnr, largest), 1.0);
    bars += fmt::format("<rect x=\"{}\" y=\"{:.2f}\" width=\"7.5\" height=\"{:.2f}\"><title>{}: {}</title></rect>",
                        i * 10, 100 - height, height, escape(measured[i]->name, kNameLimit),
                        ratio_text(sqnr) + (std::isinf(sqnr) ? "" : " dB"));
  }
  return fmt::format(
      "<figure class=\"card along\"><svg viewBox=\"0 0 {} 100\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"Signal-to-quantization-noise ratio of each node; the table below has the numbers\">{}</svg>"
      "<figcaption><p>SQNR from the first node to the last; a full bar is {} dB or more. The table has the "
      "numbers.</p></figcaption></figure>\n",
      measured.size() * 10 - 2, bars, number(largest, ratio_text(largest)));
}

std::string row(const LayerRow& layer, size_t position, double largest) {
  std::string text = fmt::format("<tr><td>{}</td>", number(static_cast<int64_t>(position), fmt::to_string(position)));
  text += fmt::format("<td class=\"name left\">{}</td><td class=\"left\">{}</td><td class=\"left\">{}</td>",
                      breakable_name(layer.name), name(layer.op), name(layer.precision));
  if (layer.error) {
    const LayerErrorRow& e = *layer.error;
    const bool finite = std::isfinite(e.sqnr_db);
    text +=
        fmt::format("<td{}><span class=\"meter\" aria-hidden=\"true\"><i style=\"width:{:.1f}%\"></i></span>{}</td>",
                    rank_of_ratio(e.sqnr_db), 100 * bar_share(e.sqnr_db, largest),
                    finite ? number(e.sqnr_db, ratio_text(e.sqnr_db)) : "<span>" + ratio_text(e.sqnr_db) + "</span>");
    text += fmt::format("<td>{}</td>", number(e.cosine, fmt::format("{:.5f}", e.cosine)));
  } else {
    text += "<td></td><td></td>";
  }
  text += fmt::format("<td>{}</td><td>{}</td><td class=\"reason left\">{}</td></tr>\n",
                      number(layer.macs, count_text(layer.macs)),
                      number(layer.weight_bytes, bytes_text(layer.weight_bytes)), sentence(layer.reason));
  return text;
}

}  // namespace

std::string layers_section(const Report& report) {
  if (report.layers.empty()) return "";
  const double largest = largest_sqnr(report);
  std::string text = "<section>\n<h2>Nodes</h2>\n";
  std::string of;
  if (report.layers_model < report.models.size())
    of = fmt::format(" of {}", name(report.models[report.layers_model].name));
  text += fmt::format(
      "<p class=\"quiet\" style=\"margin-bottom:1rem\">How far each node{} moves away from the base model, "
      "measured on {} samples. SQNR is the signal-to-quantization-noise ratio; 6 dB less is twice the "
      "error. Errors add up along the network. Compiled programs show what their kernels leave in memory; the remark "
      "of a node without numbers says where its result is.</p>\n",
      of, number(report.layers_samples, grouped_text(report.layers_samples)));
  text += chart(report, largest);
  text +=
      "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Nodes, scrolls sideways\"><table "
      "class=\"nodes\">\n<thead><tr>";
  struct Column {
    const char* label;
    const char* style;
  };
  for (const auto& [label, style] : {Column{"#", ""},
                                     {"Node", " class=\"left\""},
                                     {"Op", " class=\"left\""},
                                     {"Precision", " class=\"left\""},
                                     {"SQNR, dB", ""},
                                     {"Cosine", ""},
                                     {"MACs", ""},
                                     {"Weights", ""},
                                     {"Remark", " class=\"left\""}})
    text += fmt::format("<th scope=\"col\"{}><button type=\"button\">{}</button></th>", style, label);
  text += "</tr></thead>\n<tbody>\n";
  for (size_t i = 0; i < report.layers.size(); ++i) text += row(report.layers[i], i + 1, largest);
  return text + "</tbody>\n</table></div>\n</section>\n";
}

}  // namespace cupel::html
