#include "profile/doctor.h"

#include <fmt/format.h>

#include "target/targets.h"

namespace cupel {
namespace {

constexpr int64_t kSmallMemory = int64_t{2} << 30;

std::string required_features_text(const Machine& machine) {
  return machine.architecture == Architecture::aarch64 ? "NEON" : "x86-64-v3 (AVX2, FMA, F16C, BMI)";
}

std::optional<Finding> withheld_features(const Diagnosis& d) {
  if (d.machine.features.withheld.empty()) return std::nullopt;
  return Finding{
      "withheld-instructions",
      "the CPU has instructions that the operating system withholds: " + to_text(d.machine.features.withheld),
      "targets that use them cannot run here",
      "enable them in the hypervisor's CPU model, or boot the kernel without clearcpuid and noxsave"};
}

std::optional<Finding> no_cpu_target(const Diagnosis& d) {
  if (best_cpu_target(d.machine) != nullptr) return std::nullopt;
  return Finding{"no-cpu-target",
                 "this CPU runs none of Cupel's CPU targets; the least asks for " + required_features_text(d.machine),
                 "compiled code cannot be run or measured here; the reference interpreter works, slowly",
                 "use a CPU with AVX2 (Intel since 2013, AMD since 2015) or a 64-bit ARM CPU"};
}

std::optional<Finding> no_int8_dot_product(const Diagnosis& d) {
  const FeatureSet& f = d.machine.features.usable;
  if (f.has(Feature::avx512vnni) || f.has(Feature::avxvnni) || f.has(Feature::dotprod)) return std::nullopt;
  const CpuTargetRow* best = best_cpu_target(d.machine);
  if (best == nullptr) return std::nullopt;
  const bool arm = d.machine.architecture == Architecture::aarch64;
  std::string consequence = fmt::format("INT8 layers use {}", best->int8_with);
  if (d.peaks && d.peaks->int8_gops(Cores::one) && d.peaks->fp32_gflops(Cores::one)) {
    consequence += fmt::format(": at most {:.1f} times the speed of FP32 here, as measured",
                               *d.peaks->int8_gops(Cores::one) / *d.peaks->fp32_gflops(Cores::one));
  } else {
    consequence += ": they gain less over FP32 than with one";
  }
  return Finding{"no-int8-dot-product", "this CPU has no INT8 dot product", consequence,
                 arm ? "measure on a CPU with dotprod (ARM since Cortex-A76 and Neoverse-N1)"
                     : "measure on a CPU with AVX-512 VNNI (Intel since Cascade Lake, AMD since Zen 4) or AVX-VNNI "
                       "(Intel since Alder Lake, AMD since Zen 5)"};
}

std::optional<Finding> no_gpu(const Diagnosis& d) {
  if (!d.gpus.devices.empty()) return std::nullopt;
  const bool files = !d.gpus.device_files.empty();
  return Finding{"no-gpu", "no NVIDIA GPU can be used: " + d.gpus.absent_because,
                 "CUDA targets can be neither run nor measured here",
                 files ? "install the driver's user libraries (Debian: libcuda1) that fit the kernel module"
                       : "none needed for CPU targets; for CUDA, use a machine with an NVIDIA GPU and its driver"};
}

std::vector<Finding> missing_datasets(const Diagnosis& d) {
  std::vector<Finding> missing;
  for (const DatasetPresence& set : d.datasets) {
    if (set.installed) continue;
    missing.push_back({"no-dataset-" + set.name,
                       fmt::format("the data set {} is not installed ({} is not there)", set.name, set.folder),
                       "the bundled models cannot be calibrated or assayed", "apt install " + set.package});
  }
  return missing;
}

std::optional<Finding> no_counters(const Diagnosis& d) {
  if (d.counters.available) return std::nullopt;
  return Finding{"no-perf-counters", "performance counters are unavailable: " + d.counters.absent_because,
                 "profiles show times and roofline shares, but no cache misses or cycle counts", d.counters.remedy};
}

std::optional<Finding> cpu_quota(const Diagnosis& d) {
  const auto cores = static_cast<double>(d.machine.core_cpus.size());
  if (!d.machine.limits.cpus || *d.machine.limits.cpus >= cores) return std::nullopt;
  return Finding{
      "cpu-quota",
      fmt::format("a control group grants {:.2f} CPUs of {} cores", *d.machine.limits.cpus, d.machine.core_cpus.size()),
      fmt::format("Cupel uses {} of them; the kernel pauses a program that runs more threads, which shows as outliers "
                  "in latency",
                  d.machine.usable_threads()),
      "raise the container's CPU limit, or measure outside of it"};
}

std::optional<Finding> cpu_affinity(const Diagnosis& d) {
  const auto allowed = static_cast<int>(d.machine.allowed_cpus.size());
  if (allowed >= d.machine.online_cpus) return std::nullopt;
  return Finding{
      "cpu-affinity", fmt::format("this process may use {} of {} logical CPUs", allowed, d.machine.online_cpus),
      "the others are not used and not measured", "widen the affinity (taskset, cpuset) if that is not meant"};
}

std::optional<Finding> small_memory(const Diagnosis& d) {
  const auto bound = d.machine.memory_bound_bytes();
  if (!bound || *bound >= kSmallMemory) return std::nullopt;
  return Finding{"small-memory", fmt::format("only {} of memory may be used", size_text(*bound)),
                 "large models and calibration sets may end with exit code 6",
                 "raise the container's memory limit, or use a machine with 2 GiB or more"};
}

std::optional<Finding> unknown_caches(const Diagnosis& d) {
  if (d.machine.data_cache(1) != nullptr && d.machine.data_cache(2) != nullptr) return std::nullopt;
  return Finding{"unknown-caches", "the cache sizes are not known",
                 "tiles are chosen for assumed sizes (32 KiB and 1 MiB)",
                 "mount /sys, or tune the model on this machine"};
}

std::optional<Finding> busy_machine(const Diagnosis& d) {
  if (!d.peaks) return std::nullopt;
  for (const PeakRow& row : d.peaks->rows) {
    if (!row.disturbed) continue;
    return Finding{"busy-machine", "other programs used the CPUs while the peaks were measured",
                   "figures for all cores are too low, and latencies measured now vary",
                   "stop the other programs and run `cupel doctor` again"};
  }
  return std::nullopt;
}

}  // namespace

std::vector<DatasetPresence> find_datasets(const std::filesystem::path& root) {
  std::vector<DatasetPresence> sets = {
      {"fashion-mnist", "dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist"},
  };
  for (DatasetPresence& set : sets) {
    std::error_code error;
    set.installed = std::filesystem::is_directory(root / set.folder.substr(1), error);
  }
  return sets;
}

Diagnosis diagnose(Measure measure) {
  Diagnosis diagnosis;
  diagnosis.machine = host_machine();
  diagnosis.gpus = host_gpus();
  diagnosis.counters = host_perf_counters();
  diagnosis.datasets = find_datasets("/");
  if (measure != Measure::nothing) diagnosis.peaks = measure_peaks(measure == Measure::quick, diagnosis.machine);
  return diagnosis;
}

std::vector<Finding> findings(const Diagnosis& d) {
  std::vector<Finding> all;
  const auto add = [&all](std::optional<Finding> finding) {
    if (finding) all.push_back(std::move(*finding));
  };
  add(no_cpu_target(d));
  add(no_int8_dot_product(d));
  add(withheld_features(d));
  add(small_memory(d));
  add(cpu_quota(d));
  add(cpu_affinity(d));
  add(busy_machine(d));
  add(unknown_caches(d));
  for (Finding& finding : missing_datasets(d)) all.push_back(std::move(finding));
  add(no_gpu(d));
  add(no_counters(d));
  return all;
}

std::vector<std::pair<std::string, std::string>> target_facts(const Diagnosis& d) {
  std::vector<std::pair<std::string, std::string>> facts;
  for (const CpuTargetRow& row : cpu_target_table()) {
    std::string value;
    if (can_run(d.machine, row)) {
      value = fmt::format("yes, INT8 with {}", row.int8_with);
    } else if (d.machine.architecture != row.architecture) {
      value = fmt::format("no, this machine is {}", architecture_name(d.machine.architecture));
    } else {
      value = "no, this machine has no " + to_text(row.features.minus(d.machine.features.usable));
    }
    facts.emplace_back(row.name, value);
  }
  for (const GpuDevice& device : d.gpus.devices) facts.emplace_back(device.target(), "yes, " + device.name);
  if (d.gpus.devices.empty()) facts.emplace_back("cuda", "no, " + d.gpus.absent_because);
  return facts;
}

}  // namespace cupel
