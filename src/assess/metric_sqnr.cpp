// Signal-to-quantization-noise ratio, 10·log10(Σx² / Σ(x − y)²) over the elements of all samples; x of the base.
#include <cmath>
#include <limits>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

void measure(const OutputForm&, const Item& base, const Item& item, const MetricSettings&, std::vector<double>& parts) {
  double signal = 0, noise = 0;
  const bool any = for_finite_pairs(base, item, [&](double x, double y) {
    signal += x * x;
    noise += (x - y) * (x - y);
  });
  if (any) parts.insert(parts.end(), {signal, noise});
}

double figure(const SampleParts& parts, std::span<const uint32_t> weights, const MetricSettings&) {
  const WeightedSum signal = weighted_sum(parts, weights, 0), noise = weighted_sum(parts, weights, 1);
  if (signal.weight == 0) return std::numeric_limits<double>::quiet_NaN();
  if (noise.sum == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal.sum / noise.sum);
}

}  // namespace

extern const MetricDef kSqnr{
    .name = "sqnr",
    .title = "SQNR",
    .unit = "dB",
    .meaning = "power of the base's output over that of the difference; 6 dB less is twice the error",
    .refuses = needs_reals,
    .measure = measure,
    .figure = figure};

}  // namespace cupel::metrics
