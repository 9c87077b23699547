// Places buffers in one arena from their lifetimes.
#pragma once

#include "kernel/program.h"

namespace cupel {

// Sets Buffer::offset of every arena buffer and Program::arena_bytes (for one batch item). Greedy by size, first gap;
// two buffers share bytes only when no step uses both. 64-byte aligned, with 64 spare bytes behind each.
void plan_memory(Program& program);

// Largest sum of the buffers alive at one step, padding and spare bytes included: no plan can be smaller.
int64_t live_bytes(const Program& program);

}  // namespace cupel
