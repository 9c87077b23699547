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
  int64_t count = 0;
  for (size_t i = 0; i < item.numbers.size(); ++i) {
    const double x = base.numbers[i], y = item.numbers[i];
    const auto same = same_non_finite(x, y);
    if (!same) return;
    if (*same) continue;
    ++count;
    xx += x * x;
    yy += y * y;
    xy += x * y;
  }
  if (count == 0) return;
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
