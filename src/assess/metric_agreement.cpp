// Share of the positions at which the class of the largest score is the base's.
#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

std::string refuses(const OutputForm& output, const OutputForm&) {
  return output.scores == Scores::none ? "it holds no scores of classes" : "";
}

void measure(const OutputForm& form, const Item& base, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  const int64_t classes = form.classes(), stride = form.class_stride(), positions = form.positions();
  int64_t same = 0;
  for (int64_t p = 0; p < positions; ++p) {
    const int64_t first = p / stride * stride * classes + p % stride;
    same +=
        arg_max(base.numbers.data() + first, classes, stride) == arg_max(item.numbers.data() + first, classes, stride);
  }
  parts.push_back(static_cast<double>(same) / static_cast<double>(positions));
}

}  // namespace

extern const MetricDef kAgreement{.name = "agreement",
                                  .title = "agreement",
                                  .unit = "%",
                                  .meaning = "share of the positions whose largest score is that of the same class",
                                  .interval = IntervalKind::share,
                                  .refuses = refuses,
                                  .measure = measure,
                                  .figure = mean_figure};

}  // namespace cupel::metrics
