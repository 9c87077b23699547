// What this machine offers to Cupel and what is missing: the content of `cupel doctor`.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "profile/peaks.h"
#include "profile/perf_counters.h"
#include "target/gpu.h"
#include "target/machine.h"

namespace cupel {

struct DatasetPresence {
  std::string name;     // "fashion-mnist"
  std::string package;  // of Debian
  std::string folder;   // where the package puts it
  bool installed = false;
};

struct Diagnosis {
  Machine machine;
  GpuPresence gpus;
  PerfCounters counters;
  std::vector<DatasetPresence> datasets;
  std::optional<Peaks> peaks;  // absent when they were not measured
};

// The data sets that the bundled models use, looked for beneath `root`.
std::vector<DatasetPresence> find_datasets(const std::filesystem::path& root);

enum class Measure { nothing, quick, thorough };
// Examines this machine; takes under a second with quick peaks. Never fails: what cannot be found out is absent.
Diagnosis diagnose(Measure measure);

// Something that is missing or in the way, what follows from it, and what to do.
struct Finding {
  std::string id;  // "no-int8-dot-product": the key in JSON
  std::string what, consequence, remedy;
  bool operator==(const Finding&) const = default;
};
// The weightiest first.
std::vector<Finding> findings(const Diagnosis& diagnosis);

// Targets by name ("x86-64-v3", …, "cuda-sm_90") with "yes", or what this machine lacks for them.
std::vector<std::pair<std::string, std::string>> target_facts(const Diagnosis& diagnosis);

// For people: sections of rows, lines of at most about 120 characters where the facts permit, ending in a newline.
std::string doctor_text(const Diagnosis& diagnosis);
// For programs: every fact of the text; numbers are numbers (bytes, 10^9 per second), null is "not known".
nlohmann::ordered_json doctor_json(const Diagnosis& diagnosis);
// Its part for the peaks.
nlohmann::ordered_json peaks_json(const Peaks& peaks);

}  // namespace cupel
