// Whether this CPU and operating system offer an instruction set, by LLVM's name for it.
#pragma once

#include <cstdint>

namespace cupel {

enum class CpuRegister : uint8_t { eax, ebx, ecx, edx };

// One instruction set: where CPUID names it, and the bits of XCR0 for the registers that the operating system must
// save.
struct CpuFeatureRow {
  const char* name;
  uint32_t leaf, subleaf;
  CpuRegister cpuid_register;
  int bit;
  uint64_t saved_state;
};

// The rows of this architecture; *count says how many. Matrix tiles (AMX) have none: a process has to ask for them
// first.
const CpuFeatureRow* cpu_feature_rows(int* count);

// False for a name without a row.
bool cpu_has(const char* name);

}  // namespace cupel
