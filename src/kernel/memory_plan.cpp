#include "kernel/memory_plan.h"

#include <algorithm>

namespace cupel {
namespace {

struct Interval {
  size_t buffer;
  size_t first, last;  // steps
  int64_t bytes;
};

// For every buffer the one in whose place it lies: its own, or that of an operand which the map that makes it reads for
// the last time, element by element at the same places.
std::vector<size_t> shared_places(const Program& program) {
  const size_t count = program.buffers.size();
  std::vector<size_t> first(count, SIZE_MAX), last(count, 0), place(count);
  for (size_t b = 0; b < count; ++b) place[b] = b;
  for (size_t s = 0; s < program.steps.size(); ++s)
    for (int64_t used : program.steps[s].buffers) {
      const auto b = static_cast<size_t>(used);
      first[b] = std::min(first[b], s);
      last[b] = s;
    }
  for (size_t s = 0; s < program.steps.size(); ++s) {
    const Step& step = program.steps[s];
    const auto* map = std::get_if<MapSpec>(&step.kernel.spec);
    const auto result = static_cast<size_t>(step.buffers[0]);
    if (map == nullptr || program.buffers[result].place != BufferPlace::arena || first[result] != s) continue;
    for (size_t i = 0; i < map->operands.size(); ++i) {
      const Access &read = map->operands[i], &write = map->out;
      const auto operand = static_cast<size_t>(step.buffers[i + 1]);
      const bool same = dtype_bits(read.dtype) == dtype_bits(write.dtype) && read.offset == write.offset &&
                        read.item_stride == write.item_stride && read.strides == write.strides;
      const bool alone = std::count(step.buffers.begin(), step.buffers.end(), step.buffers[i + 1]) == 1;
      if (!same || !alone || program.buffers[operand].place != BufferPlace::arena || last[operand] != s ||
          program.buffers[operand].item_bytes != program.buffers[result].item_bytes)
        continue;
      place[result] = place[operand];
      break;
    }
  }
  return place;
}

// Of the buffers with a place of their own, with those that share it.
std::vector<Interval> lifetimes(const Program& program, const std::vector<size_t>& places) {
  std::vector<Interval> all;
  for (size_t b = 0; b < program.buffers.size(); ++b) {
    if (program.buffers[b].place != BufferPlace::arena || places[b] != b) continue;
    Interval life{b, SIZE_MAX, 0, (program.buffers[b].item_bytes + 64 + 63) / 64 * 64};
    for (size_t s = 0; s < program.steps.size(); ++s) {
      const auto& used = program.steps[s].buffers;
      if (std::none_of(used.begin(), used.end(), [&](int64_t u) { return places[static_cast<size_t>(u)] == b; }))
        continue;
      life.first = std::min(life.first, s);
      life.last = s;
    }
    if (life.first != SIZE_MAX) all.push_back(life);
  }
  return all;
}

}  // namespace

void plan_memory(Program& program) {
  const std::vector<size_t> places = shared_places(program);
  std::vector<Interval> todo = lifetimes(program, places);
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
  for (size_t b = 0; b < places.size(); ++b)
    if (places[b] != b) program.buffers[b].offset = program.buffers[places[b]].offset;
}

int64_t live_bytes(const Program& program) {
  const std::vector<Interval> all = lifetimes(program, shared_places(program));
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
