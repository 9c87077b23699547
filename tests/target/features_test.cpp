#include "target/features.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "target/targets.h"

namespace cupel {
namespace {

constexpr uint64_t kXcr0Ymm = 0x7, kXcr0Zmm = 0xe7, kXcr0All = 0x600e7;

// A CPU that answers CPUID with exactly the bits of the given features.
CpuQuery fake_cpu(const FeatureSet& features, uint64_t xcr0) {
  std::map<std::pair<uint32_t, uint32_t>, CpuidRegisters> leaves;
  leaves[{0, 0}] = {7, 0, 0, 0};
  leaves[{7, 0}] = {1, 0, 0, 0};
  leaves[{0x80000000, 0}] = {0x80000001, 0, 0, 0};
  for (const FeatureRow& row : feature_table()) {
    if (row.architecture != Architecture::x86_64 || !features.has(row.feature)) continue;
    leaves[{row.leaf, row.subleaf}][static_cast<size_t>(row.cpuid_register)] |= 1u << row.bit;
  }
  CpuQuery query;
  query.cpuid = [leaves](uint32_t leaf, uint32_t subleaf) {
    const auto it = leaves.find({leaf, subleaf});
    return it == leaves.end() ? CpuidRegisters{} : it->second;
  };
  query.xcr0 = xcr0;
  return query;
}

FeatureSet all_x86() {
  FeatureSet all;
  for (const FeatureRow& row : feature_table()) {
    if (row.architecture == Architecture::x86_64) all.add(row.feature);
  }
  return all;
}

TEST(FeatureTable, RowsStandAtTheirOwnIndexWithUniqueNamesAndBits) {
  std::set<std::string_view> names;
  std::set<std::tuple<Architecture, uint32_t, uint32_t, CpuidRegister, int>> bits;
  size_t index = 0;
  for (const FeatureRow& row : feature_table()) {
    EXPECT_EQ(static_cast<size_t>(row.feature), index++) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(bits.insert({row.architecture, row.leaf, row.subleaf, row.cpuid_register, row.bit}).second) << row.name;
    EXPECT_TRUE(row.bit >= 0 && row.bit < 32) << row.name;
    EXPECT_FALSE(row.purpose.empty()) << row.name;
    EXPECT_EQ(feature_from_name(row.name), row.feature);
    EXPECT_EQ(&feature_row(row.feature), &row);
  }
  EXPECT_EQ(feature_from_name("avx9000"), std::nullopt);
}

TEST(FeatureTable, VectorFeaturesAskForTheirRegisters) {
  for (const FeatureRow& row : feature_table()) {
    if (row.name.starts_with("avx512")) {
      EXPECT_EQ(row.state, SavedState::zmm) << row.name;
    }
    if (row.name.starts_with("avx") && !row.name.starts_with("avx512")) {
      EXPECT_EQ(row.state, SavedState::ymm) << row.name;
    }
    if (row.name.starts_with("amx")) {
      EXPECT_EQ(row.state, SavedState::tile) << row.name;
    }
  }
}

TEST(DetectFeatures, FindsEveryRowAlone) {
  for (const FeatureRow& row : feature_table()) {
    if (row.architecture != Architecture::x86_64) continue;
    const DetectedFeatures found = detect_features(fake_cpu({row.feature}, kXcr0All));
    EXPECT_EQ(found.usable, FeatureSet{row.feature}) << row.name << " gave " << to_text(found.usable);
    EXPECT_TRUE(found.withheld.empty());
  }
}

TEST(DetectFeatures, KnowsTheBitsOfAKnownCpu) {
  // CPUID of a Zen 4 (AMD 19h model 11h): leaf 1, leaf 7.0, leaf 7.1, leaf 80000001.
  CpuQuery query;
  query.cpuid = [](uint32_t leaf, uint32_t subleaf) -> CpuidRegisters {
    if (leaf == 0) return {0x10, 0, 0, 0};
    if (leaf == 1) return {0, 0, 0x7ef8320b, 0x178bfbff};
    if (leaf == 7 && subleaf == 0) return {1, 0xf1bf97a9, 0x00405fce, 0x10000010};
    if (leaf == 7 && subleaf == 1) return {0x00000020, 0, 0, 0};
    if (leaf == 0x80000000) return {0x80000028, 0, 0, 0};
    if (leaf == 0x80000001) return {0, 0, 0x75c237ff, 0x2fd3fbff};
    return {};
  };
  query.xcr0 = kXcr0Zmm;
  const DetectedFeatures found = detect_features(query);
  EXPECT_EQ(to_text(found.usable),
            "sse2, cx16, sahf, popcnt, sse3, ssse3, sse4.1, sse4.2, avx, avx2, fma, f16c, bmi, bmi2, lzcnt, movbe, "
            "avx512f, avx512bw, avx512cd, avx512dq, avx512vl, avx512vnni, avx512bf16, avx512vbmi, avx512vbmi2, gfni");
  EXPECT_EQ(to_text(found.withheld), "none");
  EXPECT_EQ(x86_64_level(found.usable), 4);
}

TEST(DetectFeatures, WithholdsWhatTheOperatingSystemDoesNotSave) {
  const DetectedFeatures ymm_only = detect_features(fake_cpu(all_x86(), kXcr0Ymm));
  EXPECT_TRUE(ymm_only.usable.has(Feature::avx2));
  EXPECT_TRUE(ymm_only.usable.has(Feature::avxvnni));
  EXPECT_FALSE(ymm_only.usable.has(Feature::avx512f));
  EXPECT_TRUE(ymm_only.withheld.has(Feature::avx512vnni));
  EXPECT_TRUE(ymm_only.withheld.has(Feature::amx_int8));
  EXPECT_EQ(x86_64_level(ymm_only.usable), 3);

  const DetectedFeatures nothing_saved = detect_features(fake_cpu(all_x86(), 0));
  EXPECT_EQ(x86_64_level(nothing_saved.usable), 2);
  EXPECT_TRUE(nothing_saved.withheld.has(Feature::avx));

  const DetectedFeatures no_tiles = detect_features(fake_cpu(all_x86(), kXcr0Zmm));
  EXPECT_EQ(to_text(no_tiles.withheld), "amx-tile, amx-int8, amx-bf16");
}

TEST(DetectFeatures, DoesNotReadLeavesThatTheCpuLacks) {
  CpuQuery query;  // an old CPU answers a leaf beyond its last one with what its last leaf says
  query.cpuid = [](uint32_t leaf, uint32_t) -> CpuidRegisters {
    if (leaf == 0) return {1, 0, 0, 0};
    if (leaf == 0x80000000) return {0x80000000, 0, 0, 0};
    if (leaf == 1) return {0, 0, 0, 1u << 26};
    return {~0u, ~0u, ~0u, ~0u};
  };
  query.xcr0 = ~uint64_t{0};
  EXPECT_EQ(detect_features(query).usable, FeatureSet{Feature::sse2});
  EXPECT_EQ(detect_features(CpuQuery{}).usable, FeatureSet{});
}

TEST(DetectFeatures, ReadsHardwareCapabilities) {
  CpuQuery query;
  query.hwcap = 1 << 1 | 1 << 20;
  query.hwcap2 = 1 << 13;
  EXPECT_EQ(to_text(detect_features(query).usable), "neon, dotprod, i8mm");
}

TEST(X86Level, NeedsEveryRowOfTheLevel) {
  EXPECT_EQ(x86_64_level({}), 0);
  for (int level = 1; level <= 4; ++level) {
    const FeatureSet whole = x86_64_level_features(level);
    EXPECT_EQ(x86_64_level(whole), level);
    for (const FeatureRow& row : feature_table()) {
      if (row.level == level) {
        EXPECT_EQ(x86_64_level(whole.minus({row.feature})), level - 1) << row.name;
      }
    }
  }
}

TEST(Targets, RunWhereTheirFeaturesAre) {
  Machine machine;
  machine.architecture = Architecture::x86_64;
  const auto best = [&machine](const FeatureSet& features) -> std::string_view {
    machine.features.usable = features;
    const CpuTargetRow* row = best_cpu_target(machine);
    return row == nullptr ? "none" : row->name;
  };
  EXPECT_EQ(best(x86_64_level_features(2)), "none");
  EXPECT_EQ(best(x86_64_level_features(3)), "x86-64-v3");
  EXPECT_EQ(best(x86_64_level_features(3).plus({Feature::avxvnni})), "x86-64-v3+avxvnni");
  EXPECT_EQ(best(x86_64_level_features(4)), "x86-64-v4");
  EXPECT_EQ(best(x86_64_level_features(4).plus({Feature::avxvnni})), "x86-64-v3+avxvnni");
  EXPECT_EQ(best(x86_64_level_features(4).plus({Feature::avx512vnni, Feature::avxvnni})), "x86-64-v4+avx512vnni");
  machine.architecture = Architecture::aarch64;
  EXPECT_EQ(best(x86_64_level_features(4)), "none");
  EXPECT_EQ(best({Feature::neon, Feature::dotprod}), "aarch64+dotprod");
}

TEST(HostCpu, AgreesWithItself) {
  const DetectedFeatures found = detect_features(host_cpu_query());
#if defined(__x86_64__)
  EXPECT_GE(x86_64_level(found.usable), 1);
  EXPECT_EQ(found.usable.has(Feature::avx2), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(found.usable.has(Feature::fma), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(found.usable.has(Feature::sse4_2), __builtin_cpu_supports("sse4.2") != 0);
  EXPECT_EQ(found.usable.has(Feature::avx512f), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(found.usable.has(Feature::avx512bw), __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(found.usable.has(Feature::avx512vl), __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(found.usable.has(Feature::avx512vnni), __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(found.usable.has(Feature::avx512vbmi), __builtin_cpu_supports("avx512vbmi") != 0);
#elif defined(__aarch64__)
  EXPECT_TRUE(found.usable.has(Feature::neon));
#endif
  EXPECT_FALSE(found.usable.contains(found.withheld) && !found.withheld.empty());
}

}  // namespace
}  // namespace cupel
