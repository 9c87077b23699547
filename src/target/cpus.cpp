#include "target/cpus.h"

#include <algorithm>

namespace cupel {

// Sources: Intel 64 and IA-32 Architectures Optimization Reference Manual (execution ports; 512-bit operations fuse
// ports 0 and 1, servers have a second unit on port 5), AMD Software Optimization Guides for Zen 4 (57647: 512-bit
// operations take a 256-bit pipe twice) and Zen 5 (58455: 512-bit pipes, but in mobile parts).
const std::vector<CpuRow>& cpu_table() {
  static const std::vector<CpuRow> table = {
      {"generic", "any", "", 0, {}, 2},  // as most servers with such vectors have it
      {"skylake-avx512", "Intel Skylake-SP, Cascade Lake, Cooper Lake", "GenuineIntel", 6, {{0x55, 0x55}}, 2},
      {"icelake-client", "Intel Ice Lake", "GenuineIntel", 6, {{0x7d, 0x7e}}, 1},
      {"tigerlake", "Intel Tiger Lake", "GenuineIntel", 6, {{0x8c, 0x8d}}, 1},
      {"rocketlake", "Intel Rocket Lake", "GenuineIntel", 6, {{0xa7, 0xa7}}, 1},
      {"icelake-server", "Intel Ice Lake-SP", "GenuineIntel", 6, {{0x6a, 0x6a}, {0x6c, 0x6c}}, 2},
      {"sapphirerapids", "Intel Sapphire Rapids", "GenuineIntel", 6, {{0x8f, 0x8f}}, 2},
      {"emeraldrapids", "Intel Emerald Rapids", "GenuineIntel", 6, {{0xcf, 0xcf}}, 2},
      {"graniterapids", "Intel Granite Rapids", "GenuineIntel", 6, {{0xad, 0xae}}, 2},
      {"znver4", "AMD Zen 4", "AuthenticAMD", 25, {{0x10, 0x1f}, {0x60, 0x7f}, {0xa0, 0xaf}}, 1},
      {"znver5-mobile", "AMD Zen 5 with 256-bit units", "AuthenticAMD", 26, {{0x20, 0x2f}, {0x60, 0x6f}}, 1},
      {"znver5", "AMD Zen 5", "AuthenticAMD", 26, {{0x00, 0x1f}, {0x40, 0x4f}, {0x70, 0x7f}}, 2},
  };
  return table;
}

const CpuRow* find_cpu(std::string_view name) {
  for (const CpuRow& row : cpu_table())
    if (row.name == name) return &row;
  return nullptr;
}

const CpuRow& cpu_of(const Machine& machine) {
  const auto& table = cpu_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const CpuRow& row) {
    return machine.architecture == Architecture::x86_64 && row.vendor == machine.cpu.vendor && !row.vendor.empty() &&
           row.family == machine.cpu.family &&
           std::any_of(row.models.begin(), row.models.end(), [&](const auto& range) {
             return machine.cpu.model >= range.first && machine.cpu.model <= range.second;
           });
  });
  return found != table.end() ? *found : table.front();
}

}  // namespace cupel
