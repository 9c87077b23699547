// What Cupel compiles for on CPUs: the table of target names, and which of them a machine can run.
#pragma once

#include <span>
#include <string_view>

#include "target/machine.h"

namespace cupel {

struct CpuTargetRow {
  std::string_view name;  // as `--target` takes it
  Architecture architecture;
  FeatureSet features;         // all that its code may use
  std::string_view int8_with;  // the instructions that its INT8 contractions use
};

// From the least to the most capable within an architecture.
std::span<const CpuTargetRow> cpu_target_table();
bool can_run(const Machine& machine, const CpuTargetRow& target);
// The last row that the machine can run; nullptr when it can run none.
const CpuTargetRow* best_cpu_target(const Machine& machine);

}  // namespace cupel
