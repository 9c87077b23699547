#include "runtime/cpu_features.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

namespace cupel {
namespace {

#if defined(__x86_64__)
// The rows of the compiler's table (target/features.def), which this folder may not link.
std::map<std::string, CpuFeatureRow> target_rows() {
  constexpr auto eax = CpuRegister::eax, ebx = CpuRegister::ebx, ecx = CpuRegister::ecx, edx = CpuRegister::edx;
  constexpr uint64_t none = 0, ymm = 0x6, zmm = 0xe6, tile = 0x60000;
  std::map<std::string, CpuFeatureRow> rows;
#define CUPEL_CPUID_FEATURE(id, name, level, leaf, subleaf, cpuid_register, bit, state, purpose) \
  rows[name] = {name, leaf, subleaf, cpuid_register, bit, state};
#define CUPEL_HWCAP_FEATURE(...)
#include "target/features.def"
#undef CUPEL_CPUID_FEATURE
#undef CUPEL_HWCAP_FEATURE
  std::erase_if(rows, [](const auto& row) { return row.second.saved_state == tile; });
  return rows;
}

TEST(CpuFeatures, TheTableAgreesWithTheCompilers) {
  const auto expected = target_rows();
  int count = 0;
  const CpuFeatureRow* rows = cpu_feature_rows(&count);
  EXPECT_EQ(static_cast<size_t>(count), expected.size());
  for (int i = 0; i < count; ++i) {
    const auto found = expected.find(rows[i].name);
    ASSERT_NE(found, expected.end()) << rows[i].name;
    EXPECT_EQ(rows[i].leaf, found->second.leaf) << rows[i].name;
    EXPECT_EQ(rows[i].subleaf, found->second.subleaf) << rows[i].name;
    EXPECT_EQ(rows[i].cpuid_register, found->second.cpuid_register) << rows[i].name;
    EXPECT_EQ(rows[i].bit, found->second.bit) << rows[i].name;
    EXPECT_EQ(rows[i].saved_state, found->second.saved_state) << rows[i].name;
  }
}

TEST(CpuFeatures, AgreeWithTheCompilersOwnCheck) {
  EXPECT_TRUE(cpu_has("sse2"));
  EXPECT_EQ(cpu_has("sse4.2"), __builtin_cpu_supports("sse4.2") != 0);
  EXPECT_EQ(cpu_has("avx2"), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(cpu_has("fma"), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(cpu_has("bmi2"), __builtin_cpu_supports("bmi2") != 0);
  EXPECT_EQ(cpu_has("avx512f"), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(cpu_has("avx512bw"), __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ(cpu_has("avx512vl"), __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(cpu_has("avx512vnni"), __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(cpu_has("avx512vbmi"), __builtin_cpu_supports("avx512vbmi") != 0);
  EXPECT_EQ(cpu_has("avx512bf16"), __builtin_cpu_supports("avx512bf16") != 0);
  EXPECT_EQ(cpu_has("gfni"), __builtin_cpu_supports("gfni") != 0);
}
#endif

TEST(CpuFeatures, AnUnknownNameIsLacking) {
  EXPECT_FALSE(cpu_has("none-such"));
  EXPECT_FALSE(cpu_has(""));
  EXPECT_FALSE(cpu_has("avx2 "));
  EXPECT_FALSE(cpu_has("amx-int8"));
}

}  // namespace
}  // namespace cupel
