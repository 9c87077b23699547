// Lowering: Graph → Regions → kernels over planned buffers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "kernel/program.h"
#include "passes/pass.h"

namespace cupel {

// What lowering needs to know of the machine: facts, no names.
struct LowerTarget {
  bool byte_dot_product = true;  // u8·s8 products summed in s32 by one instruction; otherwise weights are stored as s16
  int64_t vector_registers = 32;  // of 16 lanes
  // Multiply-adds of whole vectors that a core begins in a cycle; 1 where vectors are narrower than 16 lanes.
  int64_t products_per_cycle = 1;
  bool byte_tables = false;  // tables of 256 bytes cost less than a requantization
};

// Why a node is or is not part of the kernel before it (docs/architecture.md 2).
struct FusionDecision {
  NodeId node;    // the node in question
  NodeId kernel;  // the node whose kernel it joins or could have joined
  bool accepted = false;
  std::string reason;  // empty when accepted
};

// No option changes a result.
struct LowerOptions {
  bool fuse = true;  // false: no kernel absorbs a further node
  // So many of the graph's outputs, the last ones, are for taps alone: their values leave a kernel and are no output of
  // the Program. One that is a view of another, or is computed beside others, may have no tap.
  size_t tapped_outputs = 0;
};

struct Lowered {
  Program program;
  std::vector<FusionDecision> decisions;
};

// Limits of compiled code, for one batch item.
inline constexpr int64_t kMostBufferBytes = int64_t{1} << 35;
inline constexpr int64_t kMostUnits = int64_t{1} << 40;

// `graph`: stage simplified (float) or integer. unsupported, naming node and op, for an op without lowering; resource,
// naming value and limit, for shapes beyond the limits. The pass kernel_forms runs first; `passes` (may be null) says
// whether it is dumped, or the last thing that is done: then it is stopped, and nothing is lowered.
Result<Lowered> lower_graph(const Graph& graph, std::string model, const LowerTarget& target, LowerOptions options = {},
                            PassOptions* passes = nullptr);

}  // namespace cupel
