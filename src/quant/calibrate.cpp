#include "quant/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/file.h"

namespace cupel {
namespace {

struct Extent {
  float min = std::numeric_limits<float>::infinity(), max = -std::numeric_limits<float>::infinity();
  bool finite = true;
};

Extent extent_of(std::span<const float> x) {
  Extent e;
  // A NaN or an infinity makes the sum of x − x not zero; the loop stays free of branches.
  float poison = 0;
  for (float v : x) {
    e.min = v < e.min ? v : e.min;
    e.max = v > e.max ? v : e.max;
    poison += v - v;
  }
  e.finite = poison == 0;
  return e;
}

}  // namespace

Result<Ranges> calibrate_min_max(const Graph& graph, std::span<const ValueId> values, const BatchSource& next_batch,
                                 const RunGraph& run) {
  Ranges ranges;
  std::vector<bool> wanted(graph.values().size(), false);
  for (ValueId id : values) wanted[static_cast<size_t>(id.index)] = true;
  const auto producers = graph.producers();
  const Tap tap = [&](ValueId id, const Tensor& t) -> Status {
    if (t.dtype() != DType::f32) return {};
    const Extent e = extent_of(t.data<float>());
    if (!e.finite) {
      const NodeId producer = producers[static_cast<size_t>(id.index)];
      return bad_input(producer.valid() ? node_place(graph.node(producer)) : "input " + printable(graph.value(id).name),
                       "a value is NaN or infinite during calibration",
                       "check the calibration data and its preprocessing, and the model's weights");
    }
    if (!wanted[static_cast<size_t>(id.index)] || t.empty()) return {};
    const auto [entry, fresh] = ranges.try_emplace(id, Range{e.min, e.max});
    if (!fresh) entry->second = {std::min(entry->second.min, e.min), std::max(entry->second.max, e.max)};
    return {};
  };
  bool any = false;
  for (;;) {
    const auto batch = CUPEL_TRY(next_batch());
    if (!batch) break;
    any = true;
    CUPEL_TRY(run(graph, *batch, tap));
  }
  if (!any) return bad_input("calibration", "there is no sample", "give the calibrate split at least one sample");
  // A value that was empty in every batch holds no number but 0.
  for (ValueId id : values) ranges.try_emplace(id, Range{0, 0});
  return ranges;
}

}  // namespace cupel
