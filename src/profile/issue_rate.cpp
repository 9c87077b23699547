#include "profile/issue_rate.h"

#include <algorithm>

#include "profile/peak_loops.h"
#include "profile/timing.h"
#include "target/machine.h"

namespace cupel {
namespace {

// Work in a nanosecond of CPU time, the best of some short windows.
double rate(const PeakLoop& loop) {
  constexpr int kWindows = 4;
  constexpr int64_t kWindowNs = 250'000;
  double best = 0;
  int64_t iterations = 64;
  for (int window = 0; window < kWindows;) {
    const int64_t before = thread_cpu_ns();
    loop.run(iterations);
    const int64_t taken = std::max<int64_t>(1, thread_cpu_ns() - before);
    if (taken < kWindowNs / 2) {
      iterations *= 2;
      continue;
    }
    best = std::max(best, loop.work * static_cast<double>(iterations) / static_cast<double>(taken));
    ++window;
  }
  return best;
}

int measure() {
  const FeatureSet usable = host_machine().features.usable;
  const PeakLoop *clock = nullptr, *widest = nullptr;
  for (const PeakLoop& loop : peak_loops()) {
    if (!usable.contains(loop.needs)) continue;
    if (loop.kind == PeakKind::clock) clock = &loop;
    // A dot product of bytes is the better measure: multiply-adds of floats lower the clock of some CPUs.
    if (loop.id == "int8_vpdpbusd_zmm" || (loop.id == "fp32_fma_zmm" && widest == nullptr)) widest = &loop;
  }
  if (clock == nullptr || widest == nullptr) return 0;
  const double operations = widest->kind == PeakKind::int8 ? 2 * 64 : 2 * 16;  // of one multiply-add of 512 bits
  return rate(*widest) / operations > 1.5 * rate(*clock) ? 2 : 1;
}

}  // namespace

int widest_products_per_cycle() {
  static const int measured = measure();
  return measured;
}

}  // namespace cupel
