#include "kernel/memory_plan.h"

#include <algorithm>

namespace cupel {
namespace {

struct Interval {
  size_t buffer;
  size_t first, last;  // steps
  int64_t bytes;
};

std::vector<Interval> lifetimes(const Program& program) {
  std::vector<Interval> all;
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    if (program.buffers[b].place != BufferPlace::arena) continue;
    Interval life{b, SIZE_MAX, 0, (program.buffers[b].item_bytes + 64 + 63) / 64 * 64};
    for (size_t s = 0; s < program.steps.size(); ++s) {
      const auto& used = program.steps[s].buffers;
      if (std::find(used.begin(), used.end(), static_cast<int64_t>(b)) == used.end()) continue;
      life.first = std::min(life.first, s);
      life.last = s;
    }
    if (life.first != SIZE_MAX) all.push_back(life);
  }
  return all;
}

}  // namespace

void plan_memory(Program& program) {
  std::vector<Interval> todo = lifetimes(program);
  std::stable_sort(todo.begin(), todo.end(), [](const Interval& a, const Interval& b) { return a.bytes > b.bytes; });
  std::vector<Interval> placed;
  program.arena_bytes = 0;
  for (const Interval& life : todo) {
    std::vector<std::pair<int64_t, int64_t>> taken;  // [begin, end) of buffers alive at the same time
    for (const Interval& other : placed)
      if (other.first <= life.last && life.first <= other.last)
        taken.emplace_back(program.buffers[other.buffer].offset, program.buffers[other.buffer].offset + other.bytes);
    std::sort(taken.begin(), taken.end());
    int64_t at = 0;
    for (const auto& [begin, end] : taken) {
      if (begin - at >= life.bytes) break;
      at = std::max(at, end);
    }
    program.buffers[life.buffer].offset = at;
    program.arena_bytes = std::max(program.arena_bytes, at + life.bytes);
    placed.push_back(life);
  }
}

int64_t live_bytes(const Program& program) {
  const std::vector<Interval> all = lifetimes(program);
  int64_t most = 0;
  for (size_t s = 0; s < program.steps.size(); ++s) {
    int64_t sum = 0;
    for (const Interval& life : all)
      if (life.first <= s && s <= life.last) sum += life.bytes;
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace cupel
