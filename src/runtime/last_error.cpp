#include "runtime/last_error.h"

#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace cupel {
namespace {

struct LastError {
  long thread = 0;  // the kernel's number; 0: free
  char text[256] = "";
};

constexpr int kThreads = 64;
LastError errors[kThreads];
int oldest = 0;
std::atomic_flag locked;

class Lock {
 public:
  Lock() {
    while (locked.test_and_set(std::memory_order_acquire)) sched_yield();
  }
  ~Lock() { locked.clear(std::memory_order_release); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
};

LastError* find(long thread) {
  for (LastError& error : errors)
    if (error.thread == thread) return &error;
  return nullptr;
}

}  // namespace

void set_last_error(const char* format, va_list arguments) {
  const long thread = syscall(SYS_gettid);
  const Lock lock;
  LastError* error = find(thread);
  if (error == nullptr) {
    error = &errors[oldest];
    oldest = (oldest + 1) % kThreads;
    error->thread = thread;
  }
  vsnprintf(error->text, sizeof error->text, format, arguments);
}

const char* last_error() {
  const long thread = syscall(SYS_gettid);
  const Lock lock;
  const LastError* error = find(thread);
  return error == nullptr ? "" : error->text;
}

}  // namespace cupel
