#include "profile/peaks.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <system_error>
#include <thread>

#include "profile/timing.h"

namespace cupel {
namespace {

struct Effort {
  int windows;        // wanted
  int64_t window_ns;  // length of one
  int64_t limit_ns;   // after which no further window begins
};
constexpr Effort kQuick{5, 1'000'000, 50'000'000}, kThorough{40, 1'500'000, 400'000'000};
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kReadSlice = kMiB / 2;  // larger buffers are read in parts, so that windows can be short

// Private memory that is there before the clock starts; no memory when the system has none.
class ReadBuffer {
 public:
  explicit ReadBuffer(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
    if (bytes_ == 0) return;
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = static_cast<std::byte*>(memory);
    madvise(memory_, bytes_, MADV_HUGEPAGE);  // fewer page walks; a refusal does no harm
    for (size_t i = 0; i < bytes_; i += 4096) memory_[i] = std::byte{1};
  }
  ~ReadBuffer() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  const std::byte* get() const { return memory_; }

 private:
  size_t bytes_;
  std::byte* memory_ = nullptr;
};

// What one thread repeats on a buffer of `bytes`; `position` is where it stands in it, from one call to the next.
struct Task {
  std::function<void(const std::byte* buffer, int64_t& position, int64_t iterations)> run;
  double work = 0;  // of one iteration: operations, cycles or bytes
  int64_t bytes = 0;
};

// Waits until `count` threads have come to the given round. Spins, and yields when that takes long.
class Meeting {
 public:
  explicit Meeting(int count) : count_(count) {}
  void wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.fetch_add(1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
      if (spins > 20000) std::this_thread::yield();
    }
  }

 private:
  const int count_;
  std::atomic<int> arrived_{0}, round_{0};
};

// Seconds of CPU time that the calling thread needs for the iterations; wall time where CPU time makes no sense.
double cpu_seconds(const std::function<void()>& work) {
  const int64_t wall = now_ns(), cpu = thread_cpu_ns();
  work();
  const int64_t cpu_taken = thread_cpu_ns() - cpu, wall_taken = now_ns() - wall;
  const bool sensible = cpu_taken > wall_taken / 20 && cpu_taken <= wall_taken + wall_taken / 20;
  return 1e-9 * static_cast<double>(std::max<int64_t>(sensible ? cpu_taken : wall_taken, 1));
}

struct OneCore {
  bool ran = false;
  double iterations_per_second = 0;
  int64_t window_iterations = 1;
};

OneCore run_one_core(const Task& task, int cpu, const Effort& effort) {
  OneCore result;
  const auto body = [&] {
    (void)pin_current_thread(cpu);  // a refusal leaves the choice of CPU to the scheduler
    const ReadBuffer buffer(task.bytes);
    if (task.bytes > 0 && buffer.get() == nullptr) return;
    int64_t n = 1, position = 0;
    double seconds = 0;
    for (;;) {  // warms up as it finds the iterations of a window
      seconds = cpu_seconds([&] { task.run(buffer.get(), position, n); });
      if (seconds * 1e9 >= 0.25 * static_cast<double>(effort.window_ns) || n > int64_t{1} << 40) break;
      n *= 2;
    }
    n = std::max<int64_t>(
        1, static_cast<int64_t>(static_cast<double>(n) * 1e-9 * static_cast<double>(effort.window_ns) / seconds));
    const int64_t limit = now_ns() + effort.limit_ns;
    for (int window = 0; window < effort.windows && (window == 0 || now_ns() < limit); ++window) {
      seconds = cpu_seconds([&] { task.run(buffer.get(), position, n); });
      result.iterations_per_second = std::max(result.iterations_per_second, static_cast<double>(n) / seconds);
    }
    result.window_iterations = n;
    result.ran = true;
  };
  try {
    std::thread(body).join();
  } catch (const std::exception&) {
    result.ran = false;
  }
  return result;
}

struct AllCores {
  double total_per_second = 0;    // iterations of all threads in the time from the first start to the last end
  double slowest_per_second = 0;  // iterations of the slowest thread, in the best window
  bool disturbed = true;          // in every window some thread had to wait for its CPU
};

// One thread's part of a window, in nanoseconds.
struct Span {
  int64_t begin = 0, end = 0, on_cpu = 0;
};

void add_window(AllCores& best, const std::vector<Span>& spans, int64_t iterations) {
  int64_t begin = spans[0].begin, end = spans[0].end, longest = 1, shortest_on_cpu = spans[0].on_cpu;
  for (const Span& span : spans) {
    begin = std::min(begin, span.begin);
    end = std::max(end, span.end);
    longest = std::max(longest, span.end - span.begin);
    shortest_on_cpu = std::min(shortest_on_cpu, span.on_cpu);
  }
  const double n = static_cast<double>(iterations), whole = static_cast<double>(std::max<int64_t>(end - begin, 1));
  best.total_per_second = std::max(best.total_per_second, 1e9 * n * static_cast<double>(spans.size()) / whole);
  best.slowest_per_second = std::max(best.slowest_per_second, 1e9 * n / static_cast<double>(longest));
  if (static_cast<double>(shortest_on_cpu) > 0.95 * whole) best.disturbed = false;
}

// Windows in which all threads run at once, until as many as wanted were undisturbed or the time is over.
// nullopt when a thread could not be started or had no memory.
std::optional<AllCores> run_all_cores(const Task& task, const std::vector<int>& cpus, int64_t iterations,
                                      const Effort& effort) {
  AllCores best;
  std::vector<Span> spans(cpus.size());
  Meeting meeting(static_cast<int>(cpus.size()));
  std::atomic<bool> failed{false}, go{false};
  bool more = true;  // written by the first thread between two meetings
  const auto body = [&](size_t index) {
    while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
    if (failed.load(std::memory_order_acquire)) return;  // not all threads are there: no meeting would end
    (void)pin_current_thread(cpus[index]);
    const ReadBuffer buffer(task.bytes);
    if (task.bytes > 0 && buffer.get() == nullptr) failed.store(true, std::memory_order_release);
    meeting.wait();
    if (failed.load(std::memory_order_acquire)) return;
    int64_t position = 0;
    task.run(buffer.get(), position, iterations);  // warm-up
    const int64_t limit = now_ns() + effort.limit_ns;
    int good = 0;
    while (more) {
      meeting.wait();
      Span& span = spans[index];
      const int64_t cpu = thread_cpu_ns();
      span.begin = now_ns();
      task.run(buffer.get(), position, iterations);
      span.end = now_ns();
      span.on_cpu = thread_cpu_ns() - cpu;
      meeting.wait();
      if (index == 0) {
        AllCores window;
        add_window(window, spans, iterations);
        if (!window.disturbed) ++good;
        add_window(best, spans, iterations);
        more = good < effort.windows && now_ns() < limit;
      }
      meeting.wait();
    }
  };
  std::vector<std::thread> team;
  try {
    team.reserve(cpus.size());
    for (size_t i = 0; i < cpus.size(); ++i) team.emplace_back(body, i);
  } catch (const std::exception&) {
    failed.store(true, std::memory_order_release);
  }
  go.store(true, std::memory_order_release);
  for (std::thread& thread : team) thread.join();
  if (failed.load()) return std::nullopt;
  return best;
}

// The CPUs that "all cores" means: one per physical core, as many as there are threads worth running.
std::vector<int> team_cpus(const Machine& machine) {
  std::vector<int> cpus = machine.core_cpus;
  cpus.resize(std::min(cpus.size(), static_cast<size_t>(machine.usable_threads())));
  return cpus;
}

std::string_view unit_of(PeakKind kind) {
  switch (kind) {
    case PeakKind::clock: return "GHz";
    case PeakKind::int8: return "GOPS";
    case PeakKind::fp32: break;
  }
  return "GFLOPS";
}

void add_note(PeakRow& row, const std::string& note) {
  if (note.empty() || row.note == note) return;
  row.note += row.note.empty() ? note : "; " + note;
}

// Runs the one-core task and then the team's, and fills the row with 10^9 of their work per second.
void measure_row(PeakRow& row, const Task& one, const Task& all, bool slowest, const Machine& machine,
                 const Effort& effort) {
  const std::vector<int> cpus = team_cpus(machine);
  const OneCore single = run_one_core(one, cpus.front(), effort);
  if (!single.ran) {
    row.absent_because = one.bytes > 0 ? fmt::format("no thread with {} of memory could run", size_text(one.bytes))
                                       : "no thread could be started";
    return;
  }
  row.one_core = single.iterations_per_second * one.work * 1e-9;
  if (cpus.size() == 1) {
    row.all_cores = row.one_core;
    return;
  }
  // As long a window as one core's, whatever an iteration of the team's threads is.
  const double iterations = static_cast<double>(single.window_iterations) * one.work / all.work;
  const auto team = run_all_cores(all, cpus, std::max<int64_t>(1, static_cast<int64_t>(iterations)), effort);
  if (!team) {
    add_note(row, fmt::format("{} threads could not run at once", cpus.size()));
    return;
  }
  row.disturbed = team->disturbed;
  if (team->disturbed) add_note(row, "other programs took CPU time: the figure for all cores is too low");
  row.all_cores = (slowest ? team->slowest_per_second : team->total_per_second) * all.work * 1e-9;
}

// Reads a buffer of `bytes` slice by slice, an iteration each, around and around.
Task read_task(const ReadLoop& loop, int64_t bytes) {
  const int64_t slice = std::min(bytes, kReadSlice);
  const auto run = [&loop, bytes, slice](const std::byte* buffer, int64_t& position, int64_t iterations) {
    if (slice == bytes) return loop.run(buffer, bytes, iterations);
    for (int64_t i = 0; i < iterations; ++i) {
      loop.run(buffer + position, slice, 1);
      position = position + 2 * slice > bytes ? 0 : position + slice;
    }
  };
  return {run, static_cast<double>(slice), bytes};
}

PeakRow measure_loop(const PeakLoop& loop, const Machine& machine, const Effort& effort) {
  PeakRow row{std::string(loop.id), std::string(loop.instruction), std::string(unit_of(loop.kind))};
  const FeatureSet missing = loop.needs.minus(machine.features.usable);
  if (!missing.empty()) {
    row.absent_because = "this machine has no " + to_text(missing);
    return row;
  }
  const Task task{[&loop](const std::byte*, int64_t&, int64_t n) { loop.run(n); }, loop.work};
  measure_row(row, task, task, loop.kind == PeakKind::clock, machine, effort);
  return row;
}

PeakRow measure_read(int level, const Machine& machine, bool quick, const Effort& effort) {
  PeakRow row{level == 4 ? "read_memory" : fmt::format("read_l{}", level), "", "GB/s"};
  const ReadLoop* loop = nullptr;
  for (const ReadLoop& candidate : read_loops()) {
    if (loop == nullptr && machine.features.usable.contains(candidate.needs)) loop = &candidate;
  }
  if (loop == nullptr) {
    row.absent_because = "there is no measuring loop for this architecture";
    return row;
  }
  row.instruction = loop->instruction;
  std::string team_absent;
  row.bytes = read_size(machine, level, 1, quick, &row.absent_because, &row.note);
  if (row.bytes == 0) return row;
  const auto threads = static_cast<int>(team_cpus(machine).size());
  std::string team_note;  // says the same as that of one core
  const int64_t share = read_size(machine, level, threads, quick, &team_absent, &team_note);
  Machine measured = machine;
  if (share == 0) measured.core_cpus.resize(1);
  measure_row(row, read_task(*loop, row.bytes), read_task(*loop, share == 0 ? row.bytes : share), false, measured,
              effort);
  if (share == 0) {
    row.all_cores.reset();
    add_note(row, "all cores: " + team_absent);
  }
  return row;
}

std::optional<double> best_of(const Peaks& peaks, PeakKind kind, Cores cores) {
  std::optional<double> best;
  for (const PeakLoop& loop : peak_loops()) {
    const PeakRow* row = loop.kind == kind ? peaks.find(loop.id) : nullptr;
    if (row == nullptr) continue;
    const std::optional<double>& value = cores == Cores::one ? row->one_core : row->all_cores;
    if (value && (!best || *value > *best)) best = value;
  }
  return best;
}

}  // namespace

const PeakRow* Peaks::find(std::string_view id) const {
  for (const PeakRow& row : rows) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

std::optional<double> Peaks::int8_gops(Cores cores) const { return best_of(*this, PeakKind::int8, cores); }
std::optional<double> Peaks::fp32_gflops(Cores cores) const { return best_of(*this, PeakKind::fp32, cores); }
std::optional<double> Peaks::clock_ghz() const { return best_of(*this, PeakKind::clock, Cores::one); }

std::optional<double> Peaks::read_gbps(int level, Cores cores) const {
  const PeakRow* row = find(level == 4 ? "read_memory" : fmt::format("read_l{}", level));
  if (row == nullptr) return std::nullopt;
  return cores == Cores::one ? row->one_core : row->all_cores;
}

int64_t read_size(const Machine& machine, int level, int threads, bool quick, std::string* absent_because,
                  std::string* note) {
  absent_because->clear();
  note->clear();
  const auto whole = [](int64_t bytes) {
    const int64_t unit = bytes > kReadSlice ? kReadSlice : kReadBlock;
    return std::max<int64_t>(bytes / unit, 1) * unit;
  };
  if (level <= 3) {
    const Cache* cache = machine.data_cache(level);
    if (cache == nullptr) {
      *absent_because = fmt::format("this machine shows no level {} cache", level);
      return 0;
    }
    // Half of what the level holds, divided among the cores that share it; level 3 at most 16 MiB, to save time.
    const int sharing = std::min(threads, cache->sharing_cpus);
    int64_t bytes = cache->size_bytes / 2 / std::max(level == 1 ? 1 : sharing, 1);
    if (level == 3) bytes = std::min(bytes, 16 * kMiB);
    const Cache* inner = level > 1 ? machine.data_cache(level - 1) : nullptr;
    if (inner != nullptr && 2 * bytes < 3 * inner->size_bytes) {
      // Reading more than half is fair as long as it is well beyond the level before.
      bytes = std::max(bytes, cache->size_bytes * 3 / 4 / std::max(sharing, 1));
      if (2 * bytes < 3 * inner->size_bytes) {
        *absent_because = fmt::format("a core's share of level {} is hardly larger than level {}", level, level - 1);
        return 0;
      }
    }
    return whole(bytes);
  }
  // Four times the last level's caches, so that hardly anything is found there.
  int64_t last = 0;
  for (const Cache& cache : machine.caches) {
    const auto cores = static_cast<int64_t>(machine.allowed_cpus.size());
    const int64_t instances = std::max<int64_t>(1, cores / std::max(cache.sharing_cpus, 1));
    if (cache.kind != CacheKind::instruction) last = cache.size_bytes * instances;  // by level: the last one stays
  }
  int64_t total = std::max(4 * last, 64 * kMiB);
  total = std::min(total, quick ? 256 * kMiB : 4096 * kMiB);
  if (const auto bound = machine.memory_bound_bytes()) total = std::min(total, *bound / 8);
  if (machine.memory.available_bytes) total = std::min(total, *machine.memory.available_bytes / 4);
  if (total < 16 * kMiB) {
    *absent_because = fmt::format("only {} of memory may be used for it", size_text(std::max<int64_t>(total, 0)));
    return 0;
  }
  if (total < 2 * last) {
    *note = fmt::format("may include the last cache: {} were read, its size is {}", size_text(total), size_text(last));
  }
  return whole(total / std::max(threads, 1));
}

Peaks measure_peaks(bool quick, const Machine& machine) {
  const int64_t begin = now_ns();
  const Effort& effort = quick ? kQuick : kThorough;
  Peaks peaks;
  peaks.quick = quick;
  peaks.threads = static_cast<int>(team_cpus(machine).size());
  for (const PeakLoop& loop : peak_loops()) peaks.rows.push_back(measure_loop(loop, machine, effort));
  for (int level = 1; level <= 4; ++level) peaks.rows.push_back(measure_read(level, machine, quick, effort));
  peaks.duration_ns = now_ns() - begin;
  return peaks;
}

Peaks measure_peaks(bool quick) { return measure_peaks(quick, host_machine()); }

std::string rate_text(std::optional<double> value, std::string_view unit) {
  if (!value) return "-";
  if (*value >= 100) return fmt::format("{:.0f} {}", *value, unit);
  return fmt::format("{:.{}f} {}", *value, *value >= 10 ? 1 : 2, unit);
}

std::string per_cycle_text(double value) { return fmt::format("{:.{}f}", value, value < 10 ? 1 : 0); }

std::vector<std::pair<std::string, std::string>> peak_facts(const Peaks& peaks) {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto clock = peaks.clock_ghz();
  for (const PeakRow& row : peaks.rows) {
    std::string value;
    if (!row.absent_because.empty()) {
      value = "not measured: " + row.absent_because;
    } else {
      value = fmt::format("{} on one core", rate_text(row.one_core, row.unit));
      if (row.all_cores) {
        value += fmt::format(", {} on {} cores", rate_text(row.all_cores, row.unit), peaks.threads);
      }
      if (clock && row.one_core && row.unit != "GHz") {
        value += fmt::format(" ({} {} a cycle)", per_cycle_text(*row.one_core / *clock),
                             row.unit == "GB/s" ? "bytes" : "operations");
      }
      if (row.bytes > 0) value += fmt::format(", {} read", size_text(row.bytes));
      if (!row.note.empty()) value += "; " + row.note;
    }
    facts.emplace_back(row.id, value);
  }
  return facts;
}

}  // namespace cupel
