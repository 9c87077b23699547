#include "target/system_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "target/fake_root.h"

namespace cupel {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParseCpuList, TakesNumbersAndRangesOnly) {
  EXPECT_EQ(parse_cpu_list("0-3,8\n"), (std::vector<int>{0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_cpu_list("5"), std::vector<int>{5});
  EXPECT_EQ(parse_cpu_list("2,0-2"), (std::vector<int>{0, 1, 2}));
  for (const char* bad : {"", "\n", "a", "1-", "-1", "3-1", "1,,2", "0-65536", "99999999999", "0-3;8", "1.5"}) {
    EXPECT_EQ(parse_cpu_list(bad), std::nullopt) << bad;
  }
}

TEST(ParseSize, KnowsUnitsAndRefusesNonsense) {
  EXPECT_EQ(parse_size("32K\n"), 32768);
  EXPECT_EQ(parse_size("8M"), 8 << 20);
  EXPECT_EQ(parse_size("1G"), 1 << 30);
  EXPECT_EQ(parse_size("512"), 512);
  for (const char* bad : {"", "K", "-1K", "32k", "1048576G", "9223372036854775807K", "12Kx"}) {
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
  }
}

TEST(Parsers, SurviveAnyText) {
  rc::check([](const std::string& text) {
    (void)parse_cpu_list(text);
    (void)parse_size(text);
    const FakeRoot root;
    for (const char* file : {"proc/cpuinfo", "proc/meminfo", "proc/self/cgroup", "proc/self/mountinfo",
                             "proc/self/status", "etc/os-release", "sys/devices/system/cpu/online"}) {
      root.write(file, text);
    }
    (void)read_cpu_names(root.path());
    (void)read_memory(root.path());
    (void)read_group_limits(root.path());
    (void)read_allowed_cpus(root.path());
    (void)read_operating_system(root.path());
  });
}

void write_cache(const FakeRoot& root, int index, const char* level, const char* type, const char* size,
                 const char* sharers) {
  const std::string folder = "sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
  root.write(folder + "level", std::string(level) + "\n");
  root.write(folder + "type", std::string(type) + "\n");
  root.write(folder + "size", std::string(size) + "\n");
  root.write(folder + "shared_cpu_list", std::string(sharers) + "\n");
  root.write(folder + "coherency_line_size", "64\n");
}

TEST(ReadCaches, SortsByLevelAndSkipsNonsense) {
  const FakeRoot root;
  write_cache(root, 0, "3", "Unified", "32768K", "0-15");
  write_cache(root, 1, "1", "Instruction", "32K", "0,8");
  write_cache(root, 2, "1", "Data", "48K", "0,8");
  write_cache(root, 3, "two", "Unified", "1024K", "0");
  write_cache(root, 4, "2", "Unified", "big", "0");
  write_cache(root, 5, "2", "Unified", "2M", "0,8");
  write_cache(root, 6, "4", "Magic", "2M", "0");
  write_cache(root, 7, "4", "Unified", "0K", "0");
  EXPECT_THAT(
      read_caches(root.path(), 0),
      ElementsAre(Cache{1, CacheKind::data, 48 << 10, 64, 2}, Cache{1, CacheKind::instruction, 32 << 10, 64, 2},
                  Cache{2, CacheKind::unified, 2 << 20, 64, 2}, Cache{3, CacheKind::unified, 32 << 20, 64, 16}));
  EXPECT_THAT(read_caches(root.path(), 1), IsEmpty());
}

TEST(ReadCpus, IntersectsAffinityWithOnlineAndCountsCores) {
  const FakeRoot root;
  root.write("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-3,6-7\nMems_allowed:\t1\n");
  root.write("sys/devices/system/cpu/online", "0-6\n");
  const std::vector<int> allowed = read_allowed_cpus(root.path());
  EXPECT_THAT(allowed, ElementsAre(0, 1, 2, 3, 6));
  root.write("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,2\n");
  root.write("sys/devices/system/cpu/cpu2/topology/core_cpus_list", "0,2\n");
  root.write("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n");
  root.write("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n");
  EXPECT_THAT(one_cpu_per_core(root.path(), allowed), ElementsAre(0, 1, 6));
  EXPECT_THAT(one_cpu_per_core(root.path(), {2, 3}), ElementsAre(2, 3));
  const FakeRoot empty;
  EXPECT_THAT(read_allowed_cpus(empty.path()), IsEmpty());
}

TEST(ReadMemory, ReadsKilobytes) {
  const FakeRoot root;
  root.write("proc/meminfo", "MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\n");
  EXPECT_EQ(read_memory(root.path()), (Memory{int64_t{24684096} * 1024, int64_t{20000000} * 1024}));
  root.write("proc/meminfo", "MemTotal: 12 MB\nMemAvailable: -5 kB\n");
  EXPECT_EQ(read_memory(root.path()), Memory{});
}

TEST(GroupLimits, Version2TakesTheTightestAncestor) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/work.slice/job one\n");
  root.write("proc/self/mountinfo",
             "20 1 0:5 / /proc rw - proc proc rw\n31 20 0:28 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
  root.write("sys/fs/cgroup/work.slice/cpu.max", "150000 100000\n");
  root.write("sys/fs/cgroup/work.slice/memory.max", "4294967296\n");
  root.write("sys/fs/cgroup/work.slice/job one/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/work.slice/job one/memory.max", "8589934592\n");
  EXPECT_EQ(read_group_limits(root.path()), (GroupLimits{1.5, int64_t{4} << 30}));
  root.write("sys/fs/cgroup/work.slice/job one/cpu.max", "50000 100000\n");
  root.write("sys/fs/cgroup/work.slice/memory.max", "max\n");
  EXPECT_EQ(read_group_limits(root.path()), (GroupLimits{0.5, int64_t{8} << 30}));
}

TEST(GroupLimits, Version1ReadsItsOwnMounts) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "4:memory:/a/b\n3:cpu,cpuacct:/docker/77\n0::/\n");
  root.write("proc/self/mountinfo",
             "32 31 0:29 /docker/77 /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
             "35 31 0:32 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/my memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/my memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read_group_limits(root.path()), (GroupLimits{3.0, std::nullopt}));
  root.write("sys/fs/cgroup/my memory/a/memory.limit_in_bytes", "1073741824\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(read_group_limits(root.path()), (GroupLimits{std::nullopt, int64_t{1} << 30}));
}

TEST(GroupLimits, ANamespaceOutsideTheMountIsSeenAtTheMountPoint) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/../../elsewhere\n");
  root.write("proc/self/mountinfo", "31 20 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  root.write("sys/fs/cgroup/memory.max", "2147483648\n");
  root.write("elsewhere/memory.max", "1\n");
  EXPECT_EQ(read_group_limits(root.path()), (GroupLimits{std::nullopt, int64_t{2} << 30}));
  EXPECT_EQ(read_group_limits(FakeRoot().path()), GroupLimits{});
}

TEST(CpuNames, ReadsBothSpellingsOfCpuinfo) {
  const FakeRoot root;
  root.write("proc/cpuinfo",
             "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Xeon\x1b[0m\n"
             "stepping\t: 8\n\nprocessor\t: 1\nmodel name\t: Other\n");
  EXPECT_EQ(read_cpu_names(root.path()), (CpuNames{"GenuineIntel", "Xeon\\x1b[0m", 6, 143, 8}));
  root.write("proc/cpuinfo",
             "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n"
             "CPU revision\t: 1\n");
  EXPECT_EQ(read_cpu_names(root.path()), (CpuNames{"ARM", "Neoverse-N1", 8, 0xd0c, 1}));
}

TEST(OperatingSystem, TakesThePrettyName) {
  const FakeRoot root;
  root.write("etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
  EXPECT_EQ(read_operating_system(root.path()), "Debian GNU/Linux 12 (bookworm)");
}

}  // namespace
}  // namespace cupel
