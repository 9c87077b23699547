#include "driver/progress.h"

#include <atomic>

namespace cupel {
namespace {
std::atomic<bool> g_stop{false};  // lock-free: written by a signal handler
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

bool stop_requested() { return g_stop.load(std::memory_order_relaxed); }
void request_stop() { g_stop.store(true, std::memory_order_relaxed); }

}  // namespace cupel
