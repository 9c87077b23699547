// Loops of known work that run at the speed of one instruction: what peaks are measured with. One row per loop; every
// loop keeps its work in registers, with more independent accumulators than latency times issue width asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "target/features.h"

namespace cupel {

enum class PeakKind : uint8_t {
  clock,  // dependent operations of known latency: cycles
  int8,   // 8-bit multiply-adds into 32 bits, two operations each
  fp32,   // binary32 multiply-adds, two operations each
};

struct PeakLoop {
  std::string_view id;           // "int8_vpdpbusd_zmm": the key in JSON
  std::string_view instruction;  // "vpdpbusd zmm"
  PeakKind kind;
  FeatureSet needs;
  double work;                      // operations (cycles for the clock) of one iteration
  void (*run)(int64_t iterations);  // iterations ≥ 1
};
// The loops of the architecture that this program was compiled for; the clock first. Empty on other architectures.
std::span<const PeakLoop> peak_loops();

// Reads `bytes` (a positive multiple of kReadBlock, 64-byte aligned) `passes` ≥ 1 times, with vector loads.
struct ReadLoop {
  std::string_view instruction;
  FeatureSet needs;
  void (*run)(const std::byte* begin, int64_t bytes, int64_t passes);
};
inline constexpr int64_t kReadBlock = 1024;
// From the widest loads to the narrowest; the last one needs nothing beyond the architecture. Empty on other ones.
std::span<const ReadLoop> read_loops();

}  // namespace cupel
