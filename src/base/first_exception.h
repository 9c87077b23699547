// Exceptions of threads that work together. They end no thread: the one that waits for all of them throws the first.
#pragma once

#include <atomic>
#include <exception>
#include <utility>

namespace cupel {

class FirstException {
 public:
  // Calls `work`, from any thread; what it throws is kept.
  template <class Work>
  void keep(Work&& work) noexcept {
    try {
      work();
    } catch (...) {
      if (!caught_.exchange(true, std::memory_order_relaxed)) first_ = std::current_exception();
    }
  }
  // Whether the others may as well stop.
  bool caught() const { return caught_.load(std::memory_order_relaxed); }
  // When all threads are done: throws what was kept, if anything was.
  void rethrow() {
    if (!first_) return;
    caught_.store(false, std::memory_order_relaxed);
    std::rethrow_exception(std::exchange(first_, nullptr));
  }

 private:
  std::atomic<bool> caught_ = false;
  std::exception_ptr first_;
};

}  // namespace cupel
