#include "driver/speed.h"

#include <algorithm>
#include <set>

#include "driver/batches.h"
#include "driver/bench.h"

namespace cupel {
namespace {

// The first samples of the report split as the model takes them.
Result<LoadedModel> on_samples(const Model& model, const std::string& name, const Dataset& data, int64_t batch) {
  Feed feed = CUPEL_TRY(feed_for(model.program, data, batch));
  const int64_t count = std::min(feed.batch, CUPEL_TRY(data.size("report")));
  if (!feed.fixed) feed.batch = count;
  const Samples samples = CUPEL_TRY(data.load("report", 0, count));
  return LoadedModel{&model, name, inputs_of(feed, samples.inputs)};
}

int64_t rows_of(const LoadedModel& loaded) { return loaded.inputs.empty() ? 1 : loaded.inputs[0].dims()[0]; }

LatencyRow row_of(const BenchModel& m) {
  const LatencySummary& l = m.latency;
  return {.round_medians_us = m.round_medians,
          .median_us = l.median.value,
          .p90_us = l.p90.value,
          .p95_us = l.p95.value,
          .p99_us = l.p99.value,
          .median_interval_us = l.median.interval,
          .items_per_second = m.items_per_second,
          .arena_bytes = m.arena_bytes,
          .constants_bytes = m.constants_bytes};
}

}  // namespace

Status measure_speed(std::span<const Model> models, std::span<const std::string> names, const Dataset& data,
                     CompileContext& context, const SpeedOptions& options, Report& report) {
  if (options.duration_s <= 0) return {};
  std::set<std::pair<int64_t, int>> measured;
  for (const int64_t wanted : {int64_t{1}, options.batch})
    for (const int threads : {1, context.threads.size()}) {
      std::vector<LoadedModel> loaded;
      for (size_t i = 0; i < models.size(); ++i)
        loaded.push_back(CUPEL_TRY(on_samples(models[i], names[i], data, wanted)));
      const int64_t batch = rows_of(loaded[0]);
      if (!measured.emplace(batch, threads).second) continue;
      if (stop_requested()) {
        report.warnings.push_back({Severity::deviation, "The run was interrupted before all speeds were measured."});
        return {};
      }
      BenchOptions bench;
      bench.batch = batch;
      bench.duration_s = options.duration_s / 4;
      bench.peaks = false;
      const BenchResult result = CUPEL_TRY(bench_loaded(loaded, threads, bench));
      Latency latency{.batch = batch, .threads = threads, .models = {}};
      for (const BenchModel& m : result.models) latency.models.push_back(row_of(m));
      for (size_t i = 0; i < result.comparisons.size(); ++i) latency.models[i + 1].to_base = result.comparisons[i];
      report.latency.push_back(std::move(latency));
      if (options.progress) options.progress("speed", static_cast<int64_t>(report.latency.size()), 4);
    }
  return {};
}

}  // namespace cupel
