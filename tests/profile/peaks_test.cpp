#include "profile/peaks.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <set>
#include <thread>

#include "profile/timing.h"

namespace cupel {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Measured once for all tests of this file.
const Peaks& host_peaks() {
  static const Peaks peaks = measure_peaks(true);
  return peaks;
}

TEST(PeakLoops, RowsAreCompleteAndUnique) {
  std::set<std::string_view> ids;
  for (const PeakLoop& loop : peak_loops()) {
    EXPECT_TRUE(ids.insert(loop.id).second) << loop.id;
    EXPECT_GT(loop.work, 0) << loop.id;
    EXPECT_FALSE(loop.instruction.empty()) << loop.id;
  }
  if (host_architecture() == Architecture::other) return;
  EXPECT_EQ(peak_loops().front().kind, PeakKind::clock);
  EXPECT_TRUE(read_loops().back().needs.empty());
}

TEST(PeakLoops, RunAsOftenAsAskedAndLeaveOtherStateAlone) {
  const FeatureSet usable = host_machine().features.usable;
  volatile double before = 1.25;
  for (const PeakLoop& loop : peak_loops()) {
    if (!usable.contains(loop.needs)) continue;
    loop.run(1);
    const int64_t cpu = thread_cpu_ns();
    loop.run(10);
    const int64_t few = thread_cpu_ns() - cpu;
    loop.run(1'000'000);
    const int64_t many = thread_cpu_ns() - cpu - few;
    EXPECT_GT(many, 100'000) << loop.id;  // a million turns take a million cycles or more
  }
  EXPECT_EQ(before, 1.25);
}

TEST(ReadLoops, StayWithinTheBuffer) {
  const int64_t page = host_machine().page_bytes;
  const FeatureSet usable = host_machine().features.usable;
  void* memory = nullptr;
  ASSERT_EQ(posix_memalign(&memory, static_cast<size_t>(page), static_cast<size_t>(4 * kReadBlock)), 0);
  for (const ReadLoop& loop : read_loops()) {
    if (usable.contains(loop.needs)) loop.run(static_cast<const std::byte*>(memory), 4 * kReadBlock, 3);
  }
  free(memory);
}

TEST(Peaks, EveryRowIsPositiveOrSaysWhyNot) {
  const Machine machine = host_machine();
  const Peaks& peaks = host_peaks();
  EXPECT_EQ(peaks.rows.size(), peak_loops().size() + 4);
  EXPECT_GE(peaks.threads, 1);
  EXPECT_TRUE(peaks.quick);
  EXPECT_GT(peaks.duration_ns, 0);
  for (const PeakRow& row : peaks.rows) {
    EXPECT_EQ(row.one_core.has_value(), row.absent_because.empty()) << row.id;
    if (row.one_core) {
      EXPECT_TRUE(std::isfinite(*row.one_core) && *row.one_core > 0) << row.id;
    }
    if (row.all_cores) {
      EXPECT_TRUE(std::isfinite(*row.all_cores) && *row.all_cores > 0) << row.id;
    }
    EXPECT_TRUE(row.all_cores || !row.absent_because.empty() || !row.note.empty()) << row.id;
    EXPECT_FALSE(row.unit.empty()) << row.id;
  }
  for (const PeakLoop& loop : peak_loops()) {
    ASSERT_NE(peaks.find(loop.id), nullptr) << loop.id;
    EXPECT_EQ(peaks.find(loop.id)->one_core.has_value(), machine.features.usable.contains(loop.needs)) << loop.id;
  }
}

// One core is timed by its own CPU time, so these ratios hold on a busy machine too; a second attempt covers a change
// of clock between two rows. The bounds are wide: units and counts are at stake, not the hardware's quality.
TEST(Peaks, OneCoreRatiosAreThoseOfHardware) {
  if (host_architecture() == Architecture::other) GTEST_SKIP() << "no loops for this architecture";
  Peaks peaks = host_peaks();
  for (int attempt = 0;; ++attempt) {
    const double clock = peaks.clock_ghz().value_or(0);
    bool good = clock > 0.2 && clock < 10;
    const auto one = [&peaks](const char* id) {
      const PeakRow* row = peaks.find(id);
      return row != nullptr ? row->one_core : std::nullopt;
    };
    const auto int8 = peaks.int8_gops(Cores::one), fp32 = peaks.fp32_gflops(Cores::one);
    if (int8 && fp32) good = good && *int8 > 0.8 * *fp32;                  // int8 never counts fewer than fp32
    if (fp32) good = good && *fp32 / clock > 0.05 && *fp32 / clock < 520;  // operations a cycle
    if (int8) good = good && *int8 / clock > 0.2 && *int8 / clock < 2100;
    for (const char* kind : {"fp32_fma", "int8_vpdpbusd"}) {
      const auto zmm = one((std::string(kind) + "_zmm").c_str());
      auto ymm = one((std::string(kind) + "_ymm").c_str());
      if (!ymm) ymm = one((std::string(kind) + "_ymm_evex").c_str());
      if (zmm && ymm) good = good && *zmm >= 0.8 * *ymm && *zmm <= 2.5 * *ymm;
    }
    if (const auto l1 = peaks.read_gbps(1, Cores::one)) good = good && *l1 / clock > 0.2 && *l1 / clock < 400;
    if (good) break;
    if (attempt == 3) FAIL() << "clock " << clock << " GHz, INT8 " << int8.value_or(0) << ", FP32 " << fp32.value_or(0);
    peaks = measure_peaks(true);
  }
}

TEST(Peaks, WithoutFeaturesRowsAreAbsentWithTheReason) {
  Machine machine = host_machine();
  machine.features = {};
  machine.caches.clear();
  machine.memory = {int64_t{64} << 20, int64_t{64} << 20};
  const Peaks peaks = measure_peaks(true, machine);
  for (const PeakLoop& loop : peak_loops()) {
    if (loop.needs.empty()) continue;
    const PeakRow* row = peaks.find(loop.id);
    ASSERT_NE(row, nullptr);
    EXPECT_EQ(row->one_core, std::nullopt);
    EXPECT_EQ(row->absent_because, "this machine has no " + to_text(loop.needs));
  }
  EXPECT_EQ(peaks.int8_gops(Cores::one), std::nullopt);
  if (read_loops().empty()) return;
  EXPECT_EQ(peaks.find("read_l2")->absent_because, "this machine shows no level 2 cache");
  EXPECT_EQ(peaks.find("read_memory")->absent_because, "only 8 MiB of memory may be used for it");
}

TEST(Peaks, MoreThreadsThanCpusStillGiveFigures) {
  Machine machine = host_machine();
  machine.core_cpus.assign(4, machine.core_cpus.front());  // four threads on one CPU: never all at once
  machine.limits.cpus.reset();
  machine.caches.resize(std::min<size_t>(machine.caches.size(), 1));
  machine.memory = {int64_t{64} << 20, std::nullopt};
  const Peaks peaks = measure_peaks(true, machine);
  EXPECT_EQ(peaks.threads, 4);
  if (peak_loops().empty()) return;
  const PeakRow* clock = peaks.find("clock");
  ASSERT_TRUE(clock->one_core && clock->all_cores);
  EXPECT_GT(*clock->all_cores, 0);
}

Machine machine_with(std::vector<Cache> caches) {
  Machine machine;
  machine.caches = std::move(caches);
  machine.allowed_cpus = {0, 1, 2, 3};
  machine.core_cpus = {0, 1, 2, 3};
  machine.memory = {int64_t{32} << 30, int64_t{16} << 30};
  return machine;
}

TEST(ReadSize, FollowsTheCaches) {
  const Machine machine = machine_with({{1, CacheKind::data, 32 << 10, 64, 1},
                                        {1, CacheKind::instruction, 64 << 10, 64, 1},
                                        {2, CacheKind::unified, 1 << 20, 64, 1},
                                        {3, CacheKind::unified, 32 << 20, 64, 4}});
  std::string absent, note;
  const auto size = [&](int level, int threads, bool quick = true) {
    const int64_t bytes = read_size(machine, level, threads, quick, &absent, &note);
    EXPECT_EQ(bytes % kReadBlock, 0);
    return bytes;
  };
  EXPECT_EQ(size(1, 1), 16 << 10);
  EXPECT_EQ(size(2, 1), 512 << 10);
  EXPECT_EQ(size(2, 4), 512 << 10);
  EXPECT_EQ(size(3, 1), 16 << 20);
  EXPECT_EQ(size(3, 4), 4 << 20);
  EXPECT_EQ(size(4, 1), 128 << 20);
  EXPECT_EQ(size(4, 4), 32 << 20);
  EXPECT_EQ(note, "");
  EXPECT_EQ(absent, "");
}

TEST(ReadSize, RefusesAThirdLevelThatTheSecondHides) {
  const Machine machine =
      machine_with({{2, CacheKind::unified, 2 << 20, 64, 1}, {3, CacheKind::unified, 8 << 20, 64, 4}});
  std::string absent, note;
  EXPECT_EQ(read_size(machine, 3, 4, true, &absent, &note), 0);
  EXPECT_EQ(absent, "a core's share of level 3 is hardly larger than level 2");
  EXPECT_EQ(read_size(machine, 3, 1, true, &absent, &note), 4 << 20);
  EXPECT_EQ(absent, "");
}

TEST(ReadSize, SaysWhenMemoryIsTooLittleToPassTheLastCache) {
  Machine machine = machine_with({{3, CacheKind::unified, int64_t{260} << 20, 64, 4}});
  std::string absent, note;
  EXPECT_EQ(read_size(machine, 4, 1, true, &absent, &note), 256 * kMiB);
  EXPECT_EQ(note, "may include the last cache: 256 MiB were read, its size is 260 MiB");
  EXPECT_EQ(read_size(machine, 4, 1, false, &absent, &note), 1040 * kMiB);
  EXPECT_EQ(note, "");
  machine.limits.memory_bytes = 64 * kMiB;
  EXPECT_EQ(read_size(machine, 4, 1, true, &absent, &note), 0);
  EXPECT_EQ(absent, "only 8 MiB of memory may be used for it");
}

TEST(PeakFacts, HoldEveryRow) {
  Peaks peaks;
  peaks.threads = 2;
  peaks.rows = {{"clock", "imul chain", "GHz", 3.692, 3.5},
                {"int8_x", "x", "GOPS", 472.6, 945.2},
                {"int8_y", "y", "GOPS"},
                {"read_l1", "vmovaps zmm", "GB/s", 221.5, std::nullopt, 16384}};
  peaks.rows[2].absent_because = "this machine has no y";
  peaks.rows[3].note = "2 threads could not run at once";
  const auto facts = peak_facts(peaks);
  ASSERT_EQ(facts.size(), peaks.rows.size());
  if (host_architecture() != Architecture::other) {
    EXPECT_EQ(facts[0].second, "3.69 GHz on one core, 3.50 GHz on 2 cores");
    EXPECT_EQ(facts[1].second, "473 GOPS on one core, 945 GOPS on 2 cores (128 operations a cycle)");
    EXPECT_EQ(facts[3].second, "222 GB/s on one core (60 bytes a cycle), 16 KiB read; 2 threads could not run at once");
  }
  EXPECT_EQ(facts[2].second, "not measured: this machine has no y");
  EXPECT_EQ(rate_text(std::nullopt, "GOPS"), "-");
  EXPECT_EQ(rate_text(37.44, "GB/s"), "37.4 GB/s");
}

TEST(Timing, PinsToAnAllowedCpuAndRefusesOthers) {
  const int cpu = host_machine().allowed_cpus.front();
  std::thread([cpu] {
    EXPECT_TRUE(pin_current_thread(cpu).has_value());
    EXPECT_EQ(read_allowed_cpus("/").empty(), false);
    const auto refused = pin_current_thread(60000);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(refused.error().message(),
              "logical CPU 60000: a thread cannot be bound to it (Invalid argument)\n"
              "  choose a CPU that `cupel doctor` lists as usable");
    EXPECT_EQ(pin_current_thread(-1).error().message(),
              "logical CPU -1: there is no CPU of this number\n  choose a CPU that `cupel doctor` lists as usable");
  }).join();
}

TEST(Timing, ClocksAdvance) {
  const int64_t wall = now_ns(), cpu = thread_cpu_ns();
  volatile uint64_t x = 1;
  for (int i = 0; i < 2'000'000; ++i) x = x * 3;
  EXPECT_GT(now_ns(), wall);
  EXPECT_GT(thread_cpu_ns(), cpu);
}

}  // namespace
}  // namespace cupel
