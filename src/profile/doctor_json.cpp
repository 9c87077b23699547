#include <string>

#include "profile/doctor.h"
#include "target/targets.h"

namespace cupel {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json names(const FeatureSet& features) {
  Json list = Json::array();
  for (const FeatureRow& row : feature_table()) {
    if (features.has(row.feature)) list.push_back(std::string(row.name));
  }
  return list;
}

Json machine_json(const Machine& m) {
  Json caches = Json::array();
  for (const Cache& cache : m.caches) {
    caches.push_back({{"level", cache.level},
                      {"kind", std::string(cache_kind_name(cache.kind))},
                      {"bytes", cache.size_bytes},
                      {"line_bytes", cache.line_bytes > 0 ? Json(cache.line_bytes) : Json(nullptr)},
                      {"sharing_cpus", cache.sharing_cpus}});
  }
  Json json;
  json["architecture"] = std::string(architecture_name(m.architecture));
  json["cpu"] = {{"name", text_or_null(m.cpu.model_name)},
                 {"vendor", text_or_null(m.cpu.vendor)},
                 {"family", m.cpu.family},
                 {"model", m.cpu.model},
                 {"stepping", m.cpu.stepping}};
  json["logical_cpus_online"] = m.online_cpus;
  json["logical_cpus_usable"] = m.allowed_cpus;
  json["core_cpus"] = m.core_cpus;
  json["cpu_quota"] = or_null(m.limits.cpus);
  json["threads"] = m.usable_threads();
  json["x86_64_level"] = m.architecture == Architecture::x86_64 ? Json(x86_64_level(m.features.usable)) : Json(nullptr);
  json["instructions"] = names(m.features.usable);
  json["instructions_withheld"] = names(m.features.withheld);
  json["caches"] = std::move(caches);
  json["memory_bytes"] = or_null(m.memory.total_bytes);
  json["memory_available_bytes"] = or_null(m.memory.available_bytes);
  json["memory_limit_bytes"] = or_null(m.limits.memory_bytes);
  json["page_bytes"] = m.page_bytes;
  json["operating_system"] = text_or_null(m.operating_system);
  json["kernel"] = text_or_null(m.kernel);
  json["hypervisor"] = text_or_null(m.hypervisor);
  return json;
}

Json gpus_json(const GpuPresence& gpus) {
  Json devices = Json::array();
  for (const GpuDevice& device : gpus.devices) {
    devices.push_back({{"name", device.name},
                       {"target", device.target()},
                       {"memory_bytes", device.memory_bytes},
                       {"multiprocessors", device.multiprocessors}});
  }
  return {{"devices", std::move(devices)},
          {"device_files", gpus.device_files},
          {"driver_version", or_null(gpus.driver_version)},
          {"absent_because", text_or_null(gpus.absent_because)}};
}

}  // namespace

nlohmann::ordered_json peaks_json(const Peaks& peaks) {
  Json rows = Json::array();
  for (const PeakRow& row : peaks.rows) {
    rows.push_back({{"id", row.id},
                    {"instruction", text_or_null(row.instruction)},
                    {"unit", row.unit},
                    {"one_core", or_null(row.one_core)},
                    {"all_cores", or_null(row.all_cores)},
                    {"bytes", row.bytes > 0 ? Json(row.bytes) : Json(nullptr)},
                    {"disturbed", row.disturbed},
                    {"absent_because", text_or_null(row.absent_because)},
                    {"note", text_or_null(row.note)}});
  }
  return {{"threads", peaks.threads},
          {"form", peaks.quick ? "quick" : "thorough"},
          {"duration_ns", peaks.duration_ns},
          {"rows", std::move(rows)}};
}

nlohmann::ordered_json doctor_json(const Diagnosis& d) {
  Json json;
  json["machine"] = machine_json(d.machine);
  json["gpus"] = gpus_json(d.gpus);
  Json datasets = Json::array();
  for (const DatasetPresence& set : d.datasets) {
    datasets.push_back(
        {{"name", set.name}, {"package", set.package}, {"folder", set.folder}, {"installed", set.installed}});
  }
  json["datasets"] = std::move(datasets);
  json["perf_counters"] = {{"available", d.counters.available},
                           {"paranoid", or_null(d.counters.paranoid)},
                           {"absent_because", text_or_null(d.counters.absent_because)}};
  Json targets = Json::array();
  for (const CpuTargetRow& row : cpu_target_table()) {
    const bool runs = can_run(d.machine, row);
    const bool same = d.machine.architecture == row.architecture;
    targets.push_back({{"name", std::string(row.name)},
                       {"architecture", std::string(architecture_name(row.architecture))},
                       {"runs", runs},
                       {"int8_with", std::string(row.int8_with)},
                       {"missing", same ? names(row.features.minus(d.machine.features.usable)) : Json(nullptr)}});
  }
  for (const GpuDevice& device : d.gpus.devices) {
    targets.push_back({{"name", device.target()}, {"architecture", "cuda"}, {"runs", true}});
  }
  json["targets"] = std::move(targets);
  const CpuTargetRow* best = best_cpu_target(d.machine);
  json["host_target"] = best != nullptr ? Json(std::string(best->name)) : Json(nullptr);
  json["peaks"] = d.peaks ? peaks_json(*d.peaks) : Json(nullptr);
  Json missing = Json::array();
  for (const Finding& finding : findings(d)) {
    missing.push_back(
        {{"id", finding.id}, {"what", finding.what}, {"consequence", finding.consequence}, {"remedy", finding.remedy}});
  }
  json["missing"] = std::move(missing);
  return json;
}

}  // namespace cupel
