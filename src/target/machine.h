// The machine this process runs on: CPU, caches, memory, operating system, and how much of it the process may use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "target/features.h"
#include "target/system_files.h"

namespace cupel {

struct Machine {
  Architecture architecture = Architecture::other;
  CpuNames cpu;
  DetectedFeatures features;
  std::vector<Cache> caches;      // of the first usable CPU; empty when neither sysfs nor CPUID tells
  int online_cpus = 1;            // logical
  std::vector<int> allowed_cpus;  // logical CPUs this process may run on (affinity); never empty
  std::vector<int> core_cpus;     // one of them per physical core; never empty
  Memory memory;
  GroupLimits limits;  // of control groups
  int64_t page_bytes = 4096;
  std::string kernel;  // "Linux 6.1.0"
  std::string operating_system;
  std::string hypervisor;  // "KVM", …; empty on bare metal or when not known

  // Threads worth running: physical cores of allowed_cpus, at most the whole CPUs that the quota grants, at least 1.
  int usable_threads() const;
  // Memory that may be used in all: the smaller of total and limit; nullopt when neither is known.
  std::optional<int64_t> memory_bound_bytes() const;
  // The data or unified cache of a level; nullptr when there is none.
  const Cache* data_cache(int level) const;
};

// Reads the machine. `root` stands for "/" and `query` for the CPU, so that tests bring their own.
Machine read_machine(const std::filesystem::path& root, const CpuQuery& query, Architecture architecture);
Machine host_machine();

// The caches by CPUID leaf 4 (Intel) or 0x8000001D (AMD); empty when the CPU has neither.
std::vector<Cache> cpuid_caches(const CpuQuery& query);
// Vendor, brand string, family, model and stepping by CPUID; empty strings on other CPUs.
CpuNames cpuid_names(const CpuQuery& query);
// By CPUID leaf 0x40000000; empty when the hypervisor bit is clear.
std::string cpuid_hypervisor(const CpuQuery& query);

// "1.5 GiB", "32 KiB", "12 bytes".
std::string size_text(int64_t bytes);
// Rows (name, value) for reports; a fact that is not known has the value "not known".
std::vector<std::pair<std::string, std::string>> machine_facts(const Machine& machine);

}  // namespace cupel
