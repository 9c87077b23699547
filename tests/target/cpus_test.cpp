#include "target/cpus.h"

#include <gtest/gtest.h>

#include <set>

namespace cupel {
namespace {

std::string_view name_of(std::string_view vendor, int family, int model) {
  Machine machine;
  machine.architecture = Architecture::x86_64;
  machine.cpu = {std::string(vendor), "", family, model, 0};
  return cpu_of(machine).name;
}

TEST(Cpus, AreKnownByVendorFamilyAndModel) {
  EXPECT_EQ(name_of("AuthenticAMD", 25, 17), "znver4");
  EXPECT_EQ(name_of("AuthenticAMD", 25, 1), "generic");  // Zen 3 has no vectors of 512 bits
  EXPECT_EQ(name_of("AuthenticAMD", 26, 2), "znver5");
  EXPECT_EQ(name_of("AuthenticAMD", 26, 0x24), "znver5-mobile");
  EXPECT_EQ(name_of("GenuineIntel", 6, 0x55), "skylake-avx512");
  EXPECT_EQ(name_of("GenuineIntel", 6, 0x6a), "icelake-server");
  EXPECT_EQ(name_of("GenuineIntel", 6, 0x8f), "sapphirerapids");
  EXPECT_EQ(name_of("GenuineIntel", 6, 0xcf), "emeraldrapids");
  EXPECT_EQ(name_of("GenuineIntel", 19, 1), "generic");
  EXPECT_EQ(name_of("", 0, 0), "generic");
}

TEST(Cpus, OneRowForEachNameAndModel) {
  std::set<std::string_view> names;
  std::set<std::tuple<std::string_view, int, int>> models;
  EXPECT_EQ(cpu_table().front().name, "generic");
  for (const CpuRow& row : cpu_table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_cpu(row.name), &row);
    EXPECT_TRUE(row.wide_products_per_cycle == 1 || row.wide_products_per_cycle == 2) << row.name;
    EXPECT_EQ(row.vendor.empty(), row.models.empty()) << row.name;
    for (const auto& [first, last] : row.models)
      for (int model = first; model <= last; ++model)
        EXPECT_TRUE(models.emplace(row.vendor, row.family, model).second) << row.name << " " << model;
  }
  EXPECT_EQ(find_cpu("none"), nullptr);
}

}  // namespace
}  // namespace cupel
