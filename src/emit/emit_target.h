// What kernels are compiled for: a name as `--target` takes it, and what code generation has to know of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "target/cpus.h"
#include "target/targets.h"

namespace cupel {

// How a target multiplies codes: four u8·s8 products to a lane in one instruction, or two s16·s16 products (weights are
// then packed by pack_weights_s16).
enum class ByteProduct : uint8_t { four_u8_s8, two_s16 };

struct EmitTarget {
  std::string name;        // "x86-64-v4+avx512vnni+avx512vbmi"; parses back
  std::string triple;      // LLVM's
  std::string cpu;         // LLVM's
  std::string features;    // LLVM's, "+avx512vnni,+avx512vbmi"
  FeatureSet feature_set;  // all that the code may use
  int vector_lanes = 16;   // of 32 bits in a register
  int vector_registers = 32;
  ByteProduct byte_product = ByteProduct::four_u8_s8;
  const CpuRow* tuning = &cpu_table().front();  // whose schedules are fast; no result depends on it
};

// Name of a row of target/targets.h, more features of base/cpu_features.def separated by "+", or "host": the best row
// that this machine runs with the further features that kernels use. bad usage: the name is unknown (lists the known);
// unsupported: no code generation for the architecture.
// "x86-64-v3+avxvnni-evex" is x86-64-v3+avxvnni in the encoding that CPUs with AVX512VL and AVX512VNNI run.
// `tune_for`: a name of target/cpus.h, or empty: this machine's for "host", else generic, so that a named target means
// the same on every machine. bad usage for an unknown one.
Result<EmitTarget> find_emit_target(std::string_view name, std::string_view tune_for = {});
// Every target that this machine runs, without "host".
std::vector<EmitTarget> runnable_emit_targets();
bool can_run(const Machine& machine, const EmitTarget& target);

}  // namespace cupel
