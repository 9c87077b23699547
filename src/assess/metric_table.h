// The rows of metrics.def.
#pragma once

#include "assess/metric.h"

namespace cupel::metrics {

#define CUPEL_METRIC(name) extern const MetricDef k##name;
#include "assess/metrics.def"
#undef CUPEL_METRIC

}  // namespace cupel::metrics
