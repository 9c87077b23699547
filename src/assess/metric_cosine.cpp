// Σxy / sqrt(Σx²·Σy²) of each sample, and the mean over samples. 1 where both are zero everywhere, 0 where just one is.
#include <algorithm>
#include <cmath>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

std::string refuses(const OutputForm& output, const OutputForm&) {
  if (!is_float(output.dtype)) return "it holds integers";
  int64_t elements = 1;
  for (const int64_t d : output.dims) elements *= d;
  return elements > 1 ? "" : "an item of one number has no direction";
}

void measure(const OutputForm&, const Item& base, const Item& item, const MetricSettings&, std::vector<double>& parts) {
  double xx = 0, yy = 0, xy = 0;
  const bool any = for_finite_pairs(base, item, [&](double x, double y) {
    xx += x * x;
    yy += y * y;
    xy += x * y;
  });
  if (!any) return;
  if (xx == 0 || yy == 0) {
    parts.push_back(xx == yy ? 1 : 0);
  } else {
    parts.push_back(std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0));
  }
}

}  // namespace

extern const MetricDef kCosine{.name = "cosine",
                               .title = "cosine similarity",
                               .unit = "",
                               .meaning = "cosine of the angle between the two outputs of a sample, the mean of all",
                               .brief = false,
                               .refuses = refuses,
                               .measure = measure,
                               .figure = mean_figure};

}  // namespace cupel::metrics
