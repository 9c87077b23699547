// The limits of this machine, measured: multiply-adds, clock and read bandwidth, of one core and of all cores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "profile/peak_loops.h"
#include "target/machine.h"

namespace cupel {

enum class Cores : uint8_t { one, all };

// One measured limit. A multiply-add counts as two operations. one_core and all_cores are absent together, exactly when
// absent_because says why; all_cores alone is absent when the threads could not run.
struct PeakRow {
  std::string id;           // "int8_vpdpbusd_zmm", "read_l2"
  std::string instruction;  // what was run
  std::string unit;         // "GOPS", "GFLOPS", "GHz", "GB/s" (10^9 each)
  std::optional<double> one_core;
  std::optional<double> all_cores;  // the clock: of the slowest core while all run
  int64_t bytes = 0;                // of memory read by one core (reads only)
  bool disturbed = false;           // other programs kept the threads of all_cores from running at once
  std::string absent_because;
  std::string note;  // a reservation about the figure; often empty
};

struct Peaks {
  std::vector<PeakRow> rows;  // one per peak_loops() row, then read_l1, read_l2, read_l3, read_memory
  int threads = 1;            // that measured all_cores, one pinned to each physical core
  bool quick = true;
  int64_t duration_ns = 0;  // of the whole measurement

  const PeakRow* find(std::string_view id) const;
  // The best row of the kind; absent when there is none.
  std::optional<double> int8_gops(Cores cores) const;
  std::optional<double> fp32_gflops(Cores cores) const;
  std::optional<double> clock_ghz() const;
  // Level 1..3, 4 for memory.
  std::optional<double> read_gbps(int level, Cores cores) const;
};

// Measures every row in several short windows after a warm-up and keeps the best window. One core is timed by its
// thread's CPU time, so that other programs on the machine do not lower it; all cores by the monotonic clock, with a
// note when other programs were in the way of every window. `quick`
// takes about half a second, the other form several. Never fails: what cannot be measured is absent with its reason.
Peaks measure_peaks(bool quick, const Machine& machine);
Peaks measure_peaks(bool quick);

// The sizes in bytes that one of `threads` cores reads to measure level 1..3 or 4 (memory): a multiple of kReadBlock,
// or 0 with a reason in *absent_because. *note gets a reservation, if any.
int64_t read_size(const Machine& machine, int level, int threads, bool quick, std::string* absent_because,
                  std::string* note);

// "473 GOPS", "3.69 GHz": three significant digits, "-" when absent.
std::string rate_text(std::optional<double> value, std::string_view unit);
// "128", "7.9": operations or bytes of a clock cycle.
std::string per_cycle_text(double value);
// Rows (name, value) for reports: every row of `peaks`.
std::vector<std::pair<std::string, std::string>> peak_facts(const Peaks& peaks);

}  // namespace cupel
