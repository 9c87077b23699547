// A fixed set of threads that split an index range statically. No exceptions, no RTTI (this folder ships without the
// compiler); where the code that uses it has exceptions, they are kept.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#if defined(__cpp_exceptions)
#include "base/first_exception.h"
#endif

namespace cupel {

class ThreadPool {
 public:
  // `threads` ≥ 1 counts the calling thread. Threads are started once and joined by the destructor. They block signals
  // but those of faults, and compute as networks do (runtime/floating_point.h).
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls body(begin, end) on disjoint ranges that cover [0, count), at most as many as threads, each of at least
  // `grain` indices (except when count < grain). Returns when all are done. The split depends on count, grain and
  // size() alone; the caller also computes the ranges of threads that are late to begin. One caller at a time; body
  // must not call the pool again. count < 2⁵⁴. An exception ends the range whose body threw it; when no body runs any
  // more, the first one is thrown on, and ranges that had not begun may be left out.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
#if defined(__cpp_exceptions)
    FirstException exception;
    const auto kept = [&](int64_t begin, int64_t end) {
      if (!exception.caught()) exception.keep([&] { body(begin, end); });
    };
    call_all(count, grain, kept);
    exception.rethrow();
#else
    call_all(count, grain, body);
#endif
  }

 private:
  template <class Body>
  void call_all(int64_t count, int64_t grain, Body& body) {
    run(
        count, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Body*>(context))(begin, end); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  using Entry = void (*)(void* context, int64_t begin, int64_t end);
  static constexpr int kMaxThreads = 256;
  // One thread's place to wait at; a cache line of its own.
  struct alignas(64) Worker {
    std::atomic<uint32_t> calls = 0;    // how often it was called; a futex
    std::atomic<uint32_t> claimed = 0;  // the last call whose part somebody has begun
    std::atomic<uint32_t> sleeping = 0;
    ThreadPool* pool = nullptr;
    int index = 0;
    pthread_t handle = {};
  };

  void run(int64_t count, int64_t grain, Entry entry, void* context);
  void run_part(int part);
  void call(Worker& worker);
  bool claim(Worker& worker, uint32_t call);
  void take_over_late_parts();
  static void* worker_main(void* worker);

  int threads_;
  int64_t spin_ns_;
  std::atomic<bool> stopping_ = false;
  // The current call: written while no part is claimed, read by those who have claimed one.
  Entry entry_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  int parts_ = 0;
  alignas(64) std::atomic<uint32_t> running_ = 0;  // parts but the first that are not finished; a futex
  std::atomic<uint32_t> caller_sleeping_ = 0;
  Worker workers_[kMaxThreads];
};

}  // namespace cupel
