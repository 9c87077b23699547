// Share of the elements of integers and booleans that are the base's.
#include <cstring>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

std::string refuses(const OutputForm& output, const OutputForm&) {
  return is_float(output.dtype) ? "it holds floats" : "";
}

void measure(const OutputForm&, const Item& base, const Item& item, const MetricSettings&, std::vector<double>& parts) {
  const int64_t count = item.tensor.size();
  if (count == 0) return;
  const auto width = static_cast<size_t>(dtype_bits(item.tensor.dtype()) / 8);
  const std::byte *a = base.tensor.bytes().data(), *b = item.tensor.bytes().data();
  int64_t same = 0;
  for (int64_t i = 0; i < count; ++i, a += width, b += width) same += std::memcmp(a, b, width) == 0;
  parts.push_back(static_cast<double>(same) / static_cast<double>(count));
}

}  // namespace

extern const MetricDef kEqual{.name = "equal",
                              .title = "equal elements",
                              .unit = "%",
                              .meaning = "share of the elements that are the same integers",
                              .interval = IntervalKind::share,
                              .refuses = refuses,
                              .measure = measure,
                              .figure = mean_figure};

}  // namespace cupel::metrics
