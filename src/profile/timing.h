// The clocks that measurements use, and pinning of threads.
#pragma once

#include <time.h>

#include <cstdint>

#include "base/result.h"

namespace cupel {

inline int64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// Nanoseconds of the monotonic clock; only differences mean something.
inline int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

// Nanoseconds that the calling thread has spent on a CPU: what others take from the machine does not count.
inline int64_t thread_cpu_ns() { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

// Binds the calling thread to one logical CPU. unsupported when the system refuses (not in the affinity mask, offline).
Status pin_current_thread(int cpu);

}  // namespace cupel
