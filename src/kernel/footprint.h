// The bytes of each buffer that a kernel touches for one batch item, read off its spec.
#pragma once

#include <vector>

#include "kernel/byte_runs.h"
#include "kernel/kernel.h"

namespace cupel {

enum class TouchKind : uint8_t {
  reads,          // elements that the result depends on
  reads_beyond,   // whole blocks and runs, of which some elements go nowhere
  writes,         // elements of the result
  writes_beyond,  // what whole blocks of 16 leave behind the last dimension
};

// Bytes first + Σ strideᵢ·jᵢ + [0, bytes) of buffer `operand` (numbered as accesses_of).
struct Touch {
  size_t operand = 0;
  TouchKind kind = TouchKind::reads;
  int64_t first = 0, bytes = 0;
  std::vector<ByteAxis> axes;
};

// Of a kernel that passed check_kernel. No schedule touches more: tiles lie within the space, with its last dimension
// in whole blocks of 16 for contract and window; what is fetched ahead is not read.
// The fault of a call is not listed.
std::vector<Touch> touches_of(const KernelSpec& spec);

}  // namespace cupel
