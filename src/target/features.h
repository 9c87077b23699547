// Instruction sets: the table of base/cpu_features.def, and which of its rows this CPU and operating system offer.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cupel {

enum class Feature : uint8_t {
#define CUPEL_CPUID_FEATURE(id, ...) id,
#define CUPEL_HWCAP_FEATURE(id, ...) id,
#include "base/cpu_features.def"
#undef CUPEL_CPUID_FEATURE
#undef CUPEL_HWCAP_FEATURE
};

enum class Architecture : uint8_t { x86_64, aarch64, other };
// "x86-64", "aarch64", "other".
std::string_view architecture_name(Architecture architecture);
// The architecture this program was compiled for.
Architecture host_architecture();

enum class CpuidRegister : uint8_t { eax, ebx, ecx, edx };
// Registers the operating system has to save for a feature to be usable, by their bits in XCR0.
enum class SavedState : uint32_t { none = 0, ymm = 0x6, zmm = 0xe6, tile = 0x60000 };

struct FeatureRow {
  Feature feature;
  std::string_view name;  // LLVM's name
  Architecture architecture;
  int level;      // x86-64 level that requires it; 0: none
  uint32_t leaf;  // CPUID leaf; on aarch64 1 for AT_HWCAP, 2 for AT_HWCAP2
  uint32_t subleaf;
  CpuidRegister cpuid_register;
  int bit;
  SavedState state;
  std::string_view purpose;
};

// Every row of the table, in the order of Feature.
std::span<const FeatureRow> feature_table();
const FeatureRow& feature_row(Feature feature);
std::optional<Feature> feature_from_name(std::string_view name);

class FeatureSet {
 public:
  FeatureSet() = default;
  FeatureSet(std::initializer_list<Feature> features) {
    for (Feature f : features) add(f);
  }
  void add(Feature feature) { bits_.set(static_cast<size_t>(feature)); }
  bool has(Feature feature) const { return bits_.test(static_cast<size_t>(feature)); }
  bool contains(const FeatureSet& other) const { return (bits_ & other.bits_) == other.bits_; }
  bool empty() const { return bits_.none(); }
  FeatureSet minus(const FeatureSet& other) const {
    FeatureSet rest = *this;
    rest.bits_ &= ~other.bits_;
    return rest;
  }
  FeatureSet plus(const FeatureSet& other) const {
    FeatureSet both = *this;
    both.bits_ |= other.bits_;
    return both;
  }
  bool operator==(const FeatureSet&) const = default;

 private:
  std::bitset<64> bits_;
};
// Names in the order of the table, separated by ", "; "none" when there is none.
std::string to_text(const FeatureSet& features);

// All rows that x86-64 level 1..`level` requires.
FeatureSet x86_64_level_features(int level);
// 4, 3, 2 or 1: the highest level of which no row is missing; 0 when not even level 1 is there (no x86-64).
int x86_64_level(const FeatureSet& features);

using CpuidRegisters = std::array<uint32_t, 4>;  // eax, ebx, ecx, edx
// How the CPU is asked: replaced by tests. An empty `cpuid` stands for a CPU without that instruction.
struct CpuQuery {
  std::function<CpuidRegisters(uint32_t leaf, uint32_t subleaf)> cpuid;
  uint64_t xcr0 = 0;  // what XGETBV(0) says; 0 without OSXSAVE
  uint64_t hwcap = 0;
  uint64_t hwcap2 = 0;

  // The registers of a leaf that the CPU has; zeros otherwise. Subleaf 1 of leaf 7 counts as missing when leaf 7 says
  // so.
  CpuidRegisters registers(uint32_t leaf, uint32_t subleaf = 0) const;
};
CpuQuery host_cpu_query();

struct DetectedFeatures {
  FeatureSet usable;    // the CPU has it and the operating system saves its registers
  FeatureSet withheld;  // the CPU has it, but the operating system does not save its registers
};
// AMX rows mean that the kernel can save tiles; a process still asks it for permission before the first use.
DetectedFeatures detect_features(const CpuQuery& query);

}  // namespace cupel
