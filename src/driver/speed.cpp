#include "driver/speed.h"

#include <algorithm>
#include <set>

#include "driver/batches.h"
#include "driver/bench.h"

namespace cupel {
namespace {

// The batches that are measured: one sample, and `wanted`, as the model takes them.
Result<std::vector<Feed>> feeds_of(const Model& model, const Dataset& data, int64_t wanted) {
  std::vector<Feed> feeds;
  for (const int64_t batch : {int64_t{1}, std::min(wanted, CUPEL_TRY(data.size("report")))}) {
    Feed feed = CUPEL_TRY(feed_for(model.program, data, batch));
    if (feeds.empty() || feed.batch != feeds[0].batch) feeds.push_back(std::move(feed));
  }
  return feeds;
}

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

// All models on the first samples of the report split.
Result<std::vector<BenchSubject>> subjects_of(std::span<const Model> models, std::span<const std::string> names,
                                              std::span<const Bytes> images, const Dataset& data, int64_t batch) {
  std::vector<BenchSubject> subjects;
  for (size_t i = 0; i < models.size(); ++i) {
    const Feed feed = CUPEL_TRY(feed_for(models[i].program, data, batch));
    const int64_t count = std::min(feed.batch, CUPEL_TRY(data.size("report")));
    const Samples samples = CUPEL_TRY(data.load("report", 0, count));
    subjects.push_back({&models[i], &images[i], names[i], inputs_of(feed, samples.inputs)});
  }
  return subjects;
}

Latency latency_of(const BenchResult& result) {
  Latency latency{.batch = result.models[0].batch, .threads = result.threads, .models = {}};
  for (const BenchModel& m : result.models) latency.models.push_back(row_of(m));
  for (size_t i = 0; i < result.comparisons.size(); ++i) latency.models[i + 1].to_base = result.comparisons[i];
  return latency;
}

}  // namespace

Status measure_speed(std::span<const Model> models, std::span<const std::string> names, const Dataset& data,
                     CompileContext& context, const SpeedOptions& options, Report& report) {
  if (options.duration_s <= 0) return {};
  std::vector<Bytes> images;
  for (const Model& model : models)
    images.push_back(CUPEL_TRY(image_for_host(model.program, model.path.stem().string())));
  const std::vector<Feed> feeds = CUPEL_TRY(feeds_of(models[0], data, options.batch));
  const std::set<int> threads = {1, context.threads.size()};
  const size_t settings = feeds.size() * threads.size();
  for (const Feed& feed : feeds)
    for (const int count : threads) {
      BenchOptions bench;
      bench.batch = feed.batch;
      bench.duration_s = options.duration_s / static_cast<double>(settings);
      bench.peaks = false;
      const auto result = bench_images(CUPEL_TRY(subjects_of(models, names, images, data, feed.batch)), count, bench);
      // What was assessed before stays; a setting that is not complete is left out.
      if (stop_requested()) {
        report.warnings.push_back({Severity::deviation, "The run was interrupted before all speeds were measured."});
        return {};
      }
      report.latency.push_back(latency_of(CUPEL_TRY(result)));
      if (options.progress)
        options.progress("speed", static_cast<int64_t>(report.latency.size()), static_cast<int64_t>(settings));
    }
  return {};
}

}  // namespace cupel
