// Peak signal-to-noise ratio 10·log10(range² / mean square of the difference) of each sample, and the mean over
// samples.
#include <cmath>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& label, const Item& item, const MetricSettings& settings,
             std::vector<double>& parts) {
  double squares = 0;
  for (size_t i = 0; i < item.numbers.size(); ++i) {
    const double d = item.numbers[i] - label.numbers[i];
    squares += d * d;
  }
  if (!std::isfinite(squares) || item.numbers.empty()) return;
  const double range = settings.find("range")->second;
  parts.push_back(10 * std::log10(range * range * static_cast<double>(item.numbers.size()) / squares));
}

}  // namespace

extern const MetricDef kPsnr{
    .name = "psnr",
    .title = "PSNR",
    .unit = "dB",
    .meaning = "power of the full range over that of the difference from the label, the mean over samples",
    .judge = Judge::labels,
    .settings = {{"range", 1, 1e-30, 1e30}},
    .refuses = needs_equal_dims,
    .measure = measure,
    .figure = mean_figure};

}  // namespace cupel::metrics
