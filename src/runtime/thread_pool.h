// A fixed set of threads that split an index range statically. No exceptions, no RTTI (this folder ships without the
// compiler).
#pragma once

#include <pthread.h>

#include <cstdint>

namespace cupel {

class ThreadPool {
 public:
  // `threads` ≥ 1 counts the calling thread. Threads are started once and joined by the destructor.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return threads_; }

  // Calls body(begin, end) on disjoint ranges that cover [0, count), at most one per thread, each of at least `grain`
  // indices (except when count < grain). Returns when all are done. The split depends on count, grain and size() alone.
  // One caller at a time; body must not call the pool again.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    run(count, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Body*>(context))(begin, end); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Entry = void (*)(void* context, int64_t begin, int64_t end);
  static constexpr int kMaxThreads = 256;
  struct Worker {
    ThreadPool* pool;
    int index;
  };

  void run(int64_t count, int64_t grain, Entry entry, void* context);
  void run_part(int part);
  static void* worker_main(void* worker);

  int threads_;
  pthread_t handles_[kMaxThreads];
  Worker workers_[kMaxThreads];
  pthread_mutex_t mutex_;
  pthread_cond_t start_, done_;
  // Under mutex_: the current call.
  uint64_t call_ = 0;
  int running_ = 0;
  bool stopping_ = false;
  Entry entry_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  int parts_ = 0;
};

}  // namespace cupel
