// What Linux says about the machine in procfs, sysfs and control groups. Every function reads beneath `root` ("/" on a
// real machine); a file that is missing or says nonsense gives an absent value, never an error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cupel {

// The first 1 MiB of root/path; nullopt when it cannot be read.
std::optional<std::string> read_system_text(const std::filesystem::path& root, std::string_view path);

// "0-3,8" gives 0 1 2 3 8, ascending. nullopt for anything else, and for CPU numbers of 65,536 or more.
std::optional<std::vector<int>> parse_cpu_list(std::string_view text);
// "32K", "1024K", "8M", "1G" or plain bytes; nullopt for anything else and for sizes of 2^50 bytes or more.
std::optional<int64_t> parse_size(std::string_view text);

enum class CacheKind : uint8_t { data, instruction, unified };
// "data", "instruction", "unified".
std::string_view cache_kind_name(CacheKind kind);
struct Cache {
  int level = 0;
  CacheKind kind = CacheKind::unified;
  int64_t size_bytes = 0;
  int line_bytes = 0;    // 0: not known
  int sharing_cpus = 1;  // logical CPUs that share one such cache
  bool operator==(const Cache&) const = default;
};
// The caches of one logical CPU by /sys/devices/system/cpu/cpuN/cache, by level, data before instruction.
std::vector<Cache> read_caches(const std::filesystem::path& root, int cpu);

// Logical CPUs on which this process may run: those allowed by /proc/self/status that are online; empty when not known.
std::vector<int> read_allowed_cpus(const std::filesystem::path& root);
// Online logical CPUs; empty when not known.
std::vector<int> read_online_cpus(const std::filesystem::path& root);
// The lowest of the given logical CPUs on every physical core (by topology/core_cpus_list or thread_siblings_list).
// A CPU without topology counts as a core of its own.
std::vector<int> one_cpu_per_core(const std::filesystem::path& root, const std::vector<int>& cpus);

struct Memory {
  std::optional<int64_t> total_bytes;      // MemTotal
  std::optional<int64_t> available_bytes;  // MemAvailable
  bool operator==(const Memory&) const = default;
};
Memory read_memory(const std::filesystem::path& root);

// The tightest limits of the control groups (version 1 and 2) that hold this process, ancestors included.
struct GroupLimits {
  std::optional<double> cpus;  // CPU time per time
  std::optional<int64_t> memory_bytes;
  bool operator==(const GroupLimits&) const = default;
};
GroupLimits read_group_limits(const std::filesystem::path& root);

struct CpuNames {
  std::string vendor, model_name;
  int family = 0, model = 0, stepping = 0;  // aarch64: model is the part number, stepping the revision
  bool operator==(const CpuNames&) const = default;
};
// The first processor of /proc/cpuinfo (x86-64 and aarch64 spellings); known aarch64 parts get their names.
CpuNames read_cpu_names(const std::filesystem::path& root);

// PRETTY_NAME of /etc/os-release; empty when not known.
std::string read_operating_system(const std::filesystem::path& root);

}  // namespace cupel
