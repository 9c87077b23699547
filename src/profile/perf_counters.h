// Whether the kernel lends this process the CPU's performance counters.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace cupel {

struct PerfCounters {
  bool available = false;       // cycles of the own process in user mode can be counted
  std::optional<int> paranoid;  // /proc/sys/kernel/perf_event_paranoid
  std::string absent_because;   // set exactly when not available
  std::string remedy;           // likewise
};

// Opens and closes a counter of cycles; 0 or errno. Replaced by tests.
int try_cycle_counter();
// Reads the setting beneath `root` and explains `error`, what try_cycle_counter said.
PerfCounters read_perf_counters(const std::filesystem::path& root, int error);
PerfCounters host_perf_counters();

}  // namespace cupel
