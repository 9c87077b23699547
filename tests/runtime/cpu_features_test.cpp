#include "runtime/cpu_features.h"

#include <gtest/gtest.h>

namespace cupel {
namespace {

#if defined(__x86_64__)
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
