#include "target/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "target/fake_root.h"

namespace cupel {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Pair;

// Leaves of an Intel CPU in a KVM guest, cut down to identity and caches.
CpuQuery intel_guest() {
  CpuQuery query;
  query.cpuid = [](uint32_t leaf, uint32_t subleaf) -> CpuidRegisters {
    switch (leaf) {
      case 0: return {0x16, 0x756e6547, 0x6c65746e, 0x49656e69};
      case 1: return {0x000c06f2, 0, 1u << 31, 0};
      case 4:
        if (subleaf == 0) return {0x04004121, 11u << 22 | 63, 63, 0};    // L1 data, 12 ways x 64 sets
        if (subleaf == 1) return {0x04004122, 7u << 22 | 63, 63, 0};     // L1 instruction, 8 ways x 64 sets
        if (subleaf == 2) return {0x04004143, 15u << 22 | 63, 2047, 0};  // L2, 16 ways x 2048 sets
        if (subleaf == 3) return {0x3u | 3u << 5 | 63u << 14, 14u << 22 | 63, 114687, 0};
        return {};
      case 0x40000000: return {0x40000001, 0x4b4d564b, 0x564b4d56, 0x0000004d};
      case 0x80000000: return {0x80000008, 0, 0, 0};
      case 0x80000002: return {0x20202020, 0x65746e49, 0x2952286c, 0x6f655820};  // "    Intel(R) Xeo"
      case 0x80000003: return {0x0000006e, 0, 0, 0};                             // "n"
      default: return {};
    }
  };
  return query;
}

TEST(CpuidNames, ReadsVendorBrandAndSignature) {
  EXPECT_EQ(cpuid_names(intel_guest()), (CpuNames{"GenuineIntel", "Intel(R) Xeon", 6, 0xcf, 2}));
  EXPECT_EQ(cpuid_names(CpuQuery{}), CpuNames{});
}

TEST(CpuidNames, AddsTheExtendedFamilyOfAmd) {
  CpuQuery query;
  query.cpuid = [](uint32_t leaf, uint32_t) -> CpuidRegisters {
    if (leaf == 0) return {1, 0x68747541, 0x444d4163, 0x69746e65};
    if (leaf == 1) return {0x00a10f11, 0, 0, 0};
    return {};
  };
  EXPECT_EQ(cpuid_names(query), (CpuNames{"AuthenticAMD", "", 25, 17, 1}));
}

TEST(CpuidCaches, MultipliesWaysPartitionsLinesAndSets) {
  EXPECT_THAT(cpuid_caches(intel_guest()),
              ElementsAre(Cache{1, CacheKind::data, 48 << 10, 64, 2}, Cache{1, CacheKind::instruction, 32 << 10, 64, 2},
                          Cache{2, CacheKind::unified, 2 << 20, 64, 2},
                          Cache{3, CacheKind::unified, int64_t{15} * 114688 * 64, 64, 64}));
}

TEST(CpuidCaches, AsksAmdByItsOwnLeafOnlyWhenItHasOne) {
  CpuQuery query;
  bool extensions = true;
  query.cpuid = [&extensions](uint32_t leaf, uint32_t subleaf) -> CpuidRegisters {
    if (leaf == 0) return {0x10, 0, 0, 0};
    if (leaf == 0x80000000) return {0x8000001d, 0, 0, 0};
    if (leaf == 0x80000001) return {0, 0, extensions ? 1u << 22 : 0u, 0};
    if (leaf == 0x8000001d && subleaf == 0) return {0x121, 7u << 22 | 63, 63, 0};
    return {};
  };
  EXPECT_THAT(cpuid_caches(query), ElementsAre(Cache{1, CacheKind::data, 32 << 10, 64, 1}));
  extensions = false;
  EXPECT_TRUE(cpuid_caches(query).empty());
}

TEST(Hypervisor, IsNamedWhenItsBitIsSet) {
  EXPECT_EQ(cpuid_hypervisor(intel_guest()), "KVM");
  CpuQuery metal = intel_guest();
  metal.cpuid = [inner = metal.cpuid](uint32_t leaf, uint32_t subleaf) {
    return leaf == 1 ? CpuidRegisters{} : inner(leaf, subleaf);
  };
  EXPECT_EQ(cpuid_hypervisor(metal), "");
}

TEST(ReadMachine, PutsFilesAndCpuidTogether) {
  const FakeRoot root;
  root.write("proc/self/status", "Cpus_allowed_list:\t0-3\n");
  root.write("sys/devices/system/cpu/online", "0-7\n");
  for (int cpu = 0; cpu < 4; ++cpu) {
    root.write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_cpus_list",
               cpu < 2 ? "0-1\n" : "2-3\n");
  }
  root.write("proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n");
  root.write("proc/self/cgroup", "0::/\n");
  root.write("proc/self/mountinfo", "31 20 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  root.write("cg/cpu.max", "170000 100000\n");
  root.write("cg/memory.max", "1073741824\n");
  root.write("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n");
  root.write("etc/os-release", "PRETTY_NAME=Debian\n");
  const Machine machine = read_machine(root.path(), intel_guest(), Architecture::x86_64);
  EXPECT_EQ(machine.online_cpus, 8);
  EXPECT_THAT(machine.core_cpus, ElementsAre(0, 2));
  EXPECT_EQ(machine.usable_threads(), 1);  // two cores, 1.7 CPUs
  EXPECT_EQ(machine.memory_bound_bytes(), int64_t{1} << 30);
  ASSERT_NE(machine.data_cache(2), nullptr);
  EXPECT_EQ(machine.data_cache(2)->size_bytes, 2 << 20);  // CPUID, as sysfs shows none
  EXPECT_EQ(machine.data_cache(4), nullptr);

  const auto facts = machine_facts(machine);
  EXPECT_THAT(facts, Contains(Pair("cpu", "Intel(R) Xeon")));
  EXPECT_THAT(facts, Contains(Pair("cpu family, model, stepping", "6, 207, 2")));
  EXPECT_THAT(facts, Contains(Pair("logical cpus", "8 online, 4 usable")));
  EXPECT_THAT(facts, Contains(Pair("physical cores", "2 usable")));
  EXPECT_THAT(facts, Contains(Pair("cpu quota", "1.70 CPUs")));
  EXPECT_THAT(facts, Contains(Pair("L1 data cache", "48 KiB, shared by 2 cpus")));
  EXPECT_THAT(facts, Contains(Pair("memory", "8 GiB")));
  EXPECT_THAT(facts, Contains(Pair("memory limit", "1 GiB")));
  EXPECT_THAT(facts, Contains(Pair("kernel", "Linux 6.1.0-13-amd64")));
  EXPECT_THAT(facts, Contains(Pair("operating system", "Debian")));
  EXPECT_THAT(facts, Contains(Pair("hypervisor", "KVM")));
}

TEST(ReadMachine, AnEmptySystemStillHasOneCpu) {
  const FakeRoot root;
  const Machine machine = read_machine(root.path(), CpuQuery{}, Architecture::other);
  EXPECT_FALSE(machine.allowed_cpus.empty());
  EXPECT_FALSE(machine.core_cpus.empty());
  EXPECT_GE(machine.usable_threads(), 1);
  EXPECT_EQ(machine.memory_bound_bytes(), std::nullopt);
  const auto facts = machine_facts(machine);
  EXPECT_THAT(facts, Contains(Pair("caches", "not known")));
  EXPECT_THAT(facts, Contains(Pair("memory", "not known")));
  EXPECT_THAT(facts, Contains(Pair("hypervisor", "none seen")));
}

TEST(HostMachine, IsPlausibleAndItsFactNamesAreUnique) {
  const Machine machine = host_machine();
  EXPECT_EQ(machine.architecture, host_architecture());
  EXPECT_GE(machine.allowed_cpus.size(), machine.core_cpus.size());
  EXPECT_GE(machine.online_cpus, static_cast<int>(machine.allowed_cpus.size()));
  EXPECT_GE(machine.page_bytes, 4096);
  ASSERT_TRUE(machine.memory.total_bytes.has_value());
  EXPECT_GT(*machine.memory.total_bytes, int64_t{64} << 20);
  std::set<std::string> names;
  for (const auto& [name, value] : machine_facts(machine)) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_FALSE(value.empty()) << name;
  }
}

TEST(SizeText, UsesBinaryUnits) {
  EXPECT_EQ(size_text(12), "12 bytes");
  EXPECT_EQ(size_text(32768), "32 KiB");
  EXPECT_EQ(size_text((int64_t{3} << 30) / 2), "1.5 GiB");
}

}  // namespace
}  // namespace cupel
