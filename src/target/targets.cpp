#include "target/targets.h"

#include <vector>

namespace cupel {

std::span<const CpuTargetRow> cpu_target_table() {
  static const std::vector<CpuTargetRow> table = {
      {"x86-64-v3", Architecture::x86_64, x86_64_level_features(3), "vpmaddwd"},
      {"x86-64-v3+avxvnni", Architecture::x86_64, x86_64_level_features(3).plus({Feature::avxvnni}),
       "vpdpbusd, 256 bits"},
      {"x86-64-v4", Architecture::x86_64, x86_64_level_features(4), "vpmaddwd"},
      {"x86-64-v4+avx512vnni", Architecture::x86_64, x86_64_level_features(4).plus({Feature::avx512vnni}),
       "vpdpbusd, 512 bits"},
      {"aarch64", Architecture::aarch64, {Feature::neon}, "smull and sadalp"},
      {"aarch64+dotprod", Architecture::aarch64, {Feature::neon, Feature::dotprod}, "sdot"},
      {"aarch64+dotprod+i8mm",
       Architecture::aarch64,
       {Feature::neon, Feature::dotprod, Feature::i8mm},
       "smmla, usmmla"},
  };
  return table;
}

bool can_run(const Machine& machine, const CpuTargetRow& target) {
  return machine.architecture == target.architecture && machine.features.usable.contains(target.features);
}

const CpuTargetRow* best_cpu_target(const Machine& machine) {
  const CpuTargetRow* best = nullptr;
  for (const CpuTargetRow& row : cpu_target_table()) {
    if (!can_run(machine, row)) continue;
    // 512 bits without VNNI come behind 256 bits with it.
    if (best != nullptr && best->features.has(Feature::avxvnni) && row.name == "x86-64-v4") continue;
    best = &row;
  }
  return best;
}

}  // namespace cupel
