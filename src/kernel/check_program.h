// The proof that a Program harms nothing: run before any of its kernels becomes code, and before it is evaluated.
#pragma once

#include "kernel/program.h"

namespace cupel {

// Proves, for every batch, number of threads and schedule:
//   - every kernel keeps the rules of check_kernel; its buffers exist and fit their accesses;
//   - every byte that a kernel may touch (tiles, whole blocks of 16, runs of 4, halos, tables, data-chosen rows) lies
//     inside its buffer, and inside its own batch item where it writes; arena and constants are large enough, aligned;
//   - no two buffers that are alive at one step share bytes, but for a map that writes in the place of what it reads;
//   - within a step nothing is read that the step writes, but by such a map at the same element;
//   - what a kernel's result depends on was written before, and no whole block of another kernel went over it since;
//   - caller's inputs and constants are not written; every output is written whole; what a tap shows is whole.
// That no two units of a kernel write one element is check_kernel's (so results do not depend on threads).
// internal, with the step and the buffer, for a Program that breaks a rule: it is Cupel's own. resource for accesses
// that fall into more than about `most_runs` separate runs of bytes.
Status check_program(const Program& program, int64_t most_runs = int64_t{1} << 27);

}  // namespace cupel
