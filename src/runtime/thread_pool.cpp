#include "runtime/thread_pool.h"

#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/floating_point.h"

namespace cupel {
namespace {

// Waking a sleeping thread takes some 5 to 50 µs: waiting is spinning first, for about as long as that or as a step
// that one thread computes alone.
constexpr int64_t kSpinNs = 20'000;
// A thread that has not begun its part this long after the caller has finished its own is asleep or without a CPU.
constexpr int64_t kPatienceNs = 2'000;
constexpr int kPausesPerLook = 32;  // at the clock

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// True as soon as `word` differs from `old`; false after `limit_ns`.
bool spin_while_equal(const std::atomic<uint32_t>& word, uint32_t old, int64_t limit_ns) {
  if (word.load(std::memory_order_acquire) != old) return true;
  if (limit_ns <= 0) return false;
  for (int64_t start = 0;;) {
    for (int i = 0; i < kPausesPerLook; ++i) {
      pause();
      if (word.load(std::memory_order_acquire) != old) return true;
    }
    const int64_t now = now_ns();
    if (start == 0) start = now;
    if (now - start >= limit_ns) return false;
  }
}

static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);

// Sleeps unless the word differs from `old`; may return early.
void futex_wait(std::atomic<uint32_t>& word, uint32_t old) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

// CPUs that this process may use; 0 when they cannot be counted.
int usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  return CPU_COUNT(&set);
}

}  // namespace

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads > kMaxThreads ? kMaxThreads : threads) {
  // Spinning with more threads than CPUs keeps the one that is waited for from running.
  spin_ns_ = threads_ > 1 && threads_ <= usable_cpus() ? kSpinNs : 0;
  if (threads_ == 1) return;
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  for (int i = 1; i < threads_; ++i) {
    workers_[i].pool = this;
    workers_[i].index = i;
    if (pthread_create(&workers_[i].handle, nullptr, worker_main, &workers_[i]) != 0) {
      threads_ = i;  // fewer threads than asked for: the split below uses those that started
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  for (int i = 1; i < threads_; ++i) call(workers_[i]);
  for (int i = 1; i < threads_; ++i) pthread_join(workers_[i].handle, nullptr);
}

void ThreadPool::run_part(int part) {
  const int64_t begin = count_ * part / parts_, end = count_ * (part + 1) / parts_;
  if (begin < end) entry_(context_, begin, end);
}

// A worker says that it sleeps before it compares `calls` for the last time (inside futex_wait), and this reads
// `sleeping` after it has written `calls`: one of the two sees the other, so no wake-up is lost. The same holds for
// running_ and caller_sleeping_.
void ThreadPool::call(Worker& worker) {
  worker.calls.fetch_add(1, std::memory_order_seq_cst);
  if (worker.sleeping.load(std::memory_order_seq_cst) != 0) futex_wake(worker.calls);
}

void ThreadPool::run(int64_t count, int64_t grain, Entry entry, void* context) {
  if (count <= 0) return;
  const int64_t pieces = grain > 1 ? count / grain : count;
  const int parts = static_cast<int>(pieces < 1 ? 1 : pieces > threads_ ? threads_ : pieces);
  if (parts == 1) {
    entry(context, 0, count);
    return;
  }
  entry_ = entry;
  context_ = context;
  count_ = count;
  parts_ = parts;
  running_.store(static_cast<uint32_t>(parts - 1), std::memory_order_relaxed);
  for (int i = 1; i < parts; ++i) call(workers_[i]);
  run_part(0);
  bool waited = false;
  for (uint32_t left; (left = running_.load(std::memory_order_acquire)) != 0;) {
    if (spin_while_equal(running_, left, waited || spin_ns_ < kPatienceNs ? spin_ns_ : kPatienceNs)) continue;
    if (!waited) {
      take_over_late_parts();
      waited = true;
      continue;
    }
    caller_sleeping_.store(1, std::memory_order_seq_cst);
    while ((left = running_.load(std::memory_order_seq_cst)) != 0) futex_wait(running_, left);
    caller_sleeping_.store(0, std::memory_order_relaxed);
  }
}

// Whoever raises `claimed` to the call's number computes the part. A call ends when all of its parts are done, so
// success means that the call is the current one.
bool ThreadPool::claim(Worker& worker, uint32_t call) {
  uint32_t before = call - 1;
  return worker.claimed.compare_exchange_strong(before, call, std::memory_order_acq_rel);
}

void ThreadPool::take_over_late_parts() {
  for (int i = 1; i < parts_; ++i) {
    Worker& worker = workers_[i];
    if (!claim(worker, worker.calls.load(std::memory_order_relaxed))) continue;
    run_part(i);
    running_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void* ThreadPool::worker_main(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  ThreadPool& pool = *worker.pool;
  const NetworkArithmetic arithmetic;
  for (uint32_t seen = 0;;) {
    if (!spin_while_equal(worker.calls, seen, pool.spin_ns_)) {
      worker.sleeping.store(1, std::memory_order_seq_cst);
      while (worker.calls.load(std::memory_order_seq_cst) == seen) futex_wait(worker.calls, seen);
      worker.sleeping.store(0, std::memory_order_relaxed);
    }
    seen = worker.calls.load(std::memory_order_acquire);
    if (pool.stopping_.load(std::memory_order_relaxed)) return nullptr;
    if (!pool.claim(worker, seen)) continue;
    pool.run_part(worker.index);
    if (pool.running_.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
        pool.caller_sleeping_.load(std::memory_order_seq_cst) != 0)
      futex_wake(pool.running_);
  }
}

}  // namespace cupel
