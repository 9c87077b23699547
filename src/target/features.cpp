#include "target/features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace cupel {
namespace {

constexpr FeatureRow kTable[] = {
#define CUPEL_CPUID_FEATURE(id, name, level, leaf, subleaf, reg, bit, state, purpose) \
  {Feature::id, name, Architecture::x86_64, level, leaf, subleaf, CpuidRegister::reg, bit, SavedState::state, purpose},
#define CUPEL_HWCAP_FEATURE(id, name, word, bit, purpose) \
  {Feature::id, name, Architecture::aarch64, 0, word, 0, CpuidRegister::eax, bit, SavedState::none, purpose},
#include "base/cpu_features.def"
#undef CUPEL_CPUID_FEATURE
#undef CUPEL_HWCAP_FEATURE
};
static_assert(std::size(kTable) <= 64, "FeatureSet holds 64 rows");

#if defined(__aarch64__)
static_assert(HWCAP_ASIMD == 1 << 1 && HWCAP_ASIMDHP == 1 << 10 && HWCAP_ASIMDDP == 1 << 20 && HWCAP_SVE == 1 << 22);
static_assert(HWCAP2_SVE2 == 1 << 1 && HWCAP2_I8MM == 1 << 13 && HWCAP2_BF16 == 1 << 14);
#endif

}  // namespace

std::string_view architecture_name(Architecture architecture) {
  switch (architecture) {
    case Architecture::x86_64: return "x86-64";
    case Architecture::aarch64: return "aarch64";
    case Architecture::other: break;
  }
  return "other";
}

Architecture host_architecture() {
#if defined(__x86_64__)
  return Architecture::x86_64;
#elif defined(__aarch64__)
  return Architecture::aarch64;
#else
  return Architecture::other;
#endif
}

std::span<const FeatureRow> feature_table() { return kTable; }

const FeatureRow& feature_row(Feature feature) { return kTable[static_cast<size_t>(feature)]; }

std::optional<Feature> feature_from_name(std::string_view name) {
  for (const FeatureRow& row : kTable) {
    if (row.name == name) return row.feature;
  }
  return std::nullopt;
}

std::string to_text(const FeatureSet& features) {
  std::string text;
  for (const FeatureRow& row : kTable) {
    if (!features.has(row.feature)) continue;
    if (!text.empty()) text += ", ";
    text += row.name;
  }
  return text.empty() ? "none" : text;
}

FeatureSet x86_64_level_features(int level) {
  FeatureSet features;
  for (const FeatureRow& row : kTable) {
    if (row.level > 0 && row.level <= level) features.add(row.feature);
  }
  return features;
}

int x86_64_level(const FeatureSet& features) {
  for (int level = 4; level >= 1; --level) {
    if (features.contains(x86_64_level_features(level))) return level;
  }
  return 0;
}

CpuidRegisters CpuQuery::registers(uint32_t leaf, uint32_t subleaf) const {
  if (!cpuid) return {};
  const uint32_t range = leaf & 0xf0000000u;  // basic, hypervisor and extended leaves count separately
  const uint32_t highest = cpuid(range, 0)[0];
  if (leaf > highest || (highest & 0xf0000000u) != range) return {};
  if (leaf == 7 && subleaf > cpuid(7, 0)[0]) return {};
  return cpuid(leaf, subleaf);
}

CpuQuery host_cpu_query() {
  CpuQuery query;
#if defined(__x86_64__)
  query.cpuid = [](uint32_t leaf, uint32_t subleaf) {
    CpuidRegisters r{};
    __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
    return r;
  };
  constexpr uint32_t kOsxsave = 1u << 27;
  if (query.registers(1)[2] & kOsxsave) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    query.xcr0 = uint64_t{high} << 32 | low;
  }
#elif defined(__aarch64__)
  query.hwcap = getauxval(AT_HWCAP);
  query.hwcap2 = getauxval(AT_HWCAP2);
#endif
  return query;
}

DetectedFeatures detect_features(const CpuQuery& query) {
  DetectedFeatures found;
  for (const FeatureRow& row : kTable) {
    if (row.architecture == Architecture::aarch64) {
      if ((row.leaf == 1 ? query.hwcap : query.hwcap2) >> row.bit & 1) found.usable.add(row.feature);
      continue;
    }
    const CpuidRegisters registers = query.registers(row.leaf, row.subleaf);
    if (!(registers[static_cast<size_t>(row.cpuid_register)] >> row.bit & 1)) continue;
    const auto state = static_cast<uint64_t>(row.state);
    ((query.xcr0 & state) == state ? found.usable : found.withheld).add(row.feature);
  }
  return found;
}

}  // namespace cupel
