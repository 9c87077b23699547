#include <cmath>

#include "base/file.h"
#include "driver/bench.h"
#include "profile/doctor.h"

namespace cupel {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json interval_json(const Interval& interval) { return {{"lower", interval.lower}, {"upper", interval.upper}}; }

void put_quantile(Json& json, const std::string& name, const QuantileEstimate& q) {
  json["latency_" + name + "_us"] = q.value;
  json["latency_" + name + "_interval_us"] = interval_json(q.interval);
  json["latency_" + name + "_interval_coverage"] = q.coverage;
}

Json kernel_json(const BenchKernel& k, size_t position) {
  Json origins = Json::array();
  for (const std::string& origin : k.origins) origins.push_back(printable(origin, 4096));
  return {{"position", position},
          {"name", printable(k.name, 4096)},
          {"origins", std::move(origins)},
          {"median_us", k.median_us},
          {"share", k.share},
          {"multiply_adds", k.multiply_adds},
          {"gops", or_null(k.gops)},
          {"peak_share", or_null(k.peak_share)},
          {"bytes", k.bytes},
          {"gb_per_s", k.gbps}};
}

Json model_json(const BenchModel& m) {
  Json json;
  json["name"] = m.name;
  json["path"] = printable(m.path.string(), 4096);
  json["kind"] = m.artifact ? "artifact" : "onnx";
  json["target"] = printable(m.target, 4096);
  json["tuned_for"] = printable(m.tuned_for);
  json["file_bytes"] = m.file_bytes;
  json["constants_bytes"] = m.constants_bytes;
  json["arena_bytes"] = m.arena_bytes;
  json["batch"] = m.batch;
  json["warm_up_runs"] = m.warm_up_runs;
  json["runs"] = m.latency.runs;
  json["latency_mean_us"] = m.latency.mean;
  put_quantile(json, "median", m.latency.median);
  put_quantile(json, "p90", m.latency.p90);
  put_quantile(json, "p95", m.latency.p95);
  put_quantile(json, "p99", m.latency.p99);
  json["throughput_items_per_s"] = m.items_per_second;
  json["waited_share"] = or_null(m.waited_share);
  json["round_medians_us"] = m.round_medians;
  if (m.kernels.empty()) return json;
  json["kernel_runs"] = m.kernel_runs;
  json["kernels_sum_us"] = m.kernels_sum_us;
  json["kernels"] = Json::array();
  for (const BenchKernel& k : m.kernels) json["kernels"].push_back(kernel_json(k, json["kernels"].size()));
  json["kernel_forms"] = Json::array();
  for (const BenchForm& form : m.forms)
    json["kernel_forms"].push_back({{"name", printable(form.name, 4096)},
                                    {"kernels", form.kernels},
                                    {"sum_us", form.sum_us},
                                    {"share", form.share},
                                    {"gops", or_null(form.gops)}});
  return json;
}

}  // namespace

nlohmann::ordered_json bench_json(const BenchResult& result) {
  Json json;
  json["threads"] = result.threads;
  json["placement"] = result.placement;
  json["clock"] = result.clock == BenchClock::cpu ? "cpu" : "wall";
  json["confidence"] = kDefaultConfidence;
  json["rounds"] = result.rounds;
  json["planned_rounds"] = result.planned_rounds;
  json["interrupted"] = result.interrupted;
  json["int8_peak_gops"] = or_null(result.int8_gops());
  json["fp32_peak_gflops"] = or_null(result.fp32_gflops());
  json["models"] = Json::array();
  for (const BenchModel& m : result.models) json["models"].push_back(model_json(m));
  json["comparisons"] = Json::array();
  for (size_t i = 0; i < result.comparisons.size(); ++i) {
    const SpeedComparison& c = result.comparisons[i];
    json["comparisons"].push_back({{"base", result.models[0].name},
                                   {"candidate", result.models[i + 1].name},
                                   {"rounds", c.rounds},
                                   {"time_ratio", c.ratio},
                                   {"time_ratio_interval", interval_json(c.interval)},
                                   {"time_ratio_interval_coverage", c.coverage},
                                   {"verdict", speed_verdict_name(c.verdict)}});
  }
  json["warnings"] = result.warnings;
  json["peaks"] = peaks_json(result.peaks);
  json["peaks_after"] = result.peaks_after ? peaks_json(*result.peaks_after) : Json(nullptr);
  return json;
}

}  // namespace cupel
