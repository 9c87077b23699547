#include "runtime/cpu_features.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace cupel {
namespace {

#if defined(__x86_64__)
// Where CPUID names an instruction set, and the bits of XCR0 for the registers that the operating system must save.
// Intel 64 and IA-32 Software Developer's Manual, volume 2A, CPUID; AMD64 Programmer's Manual, volume 3, appendix E.
struct Row {
  const char* name;
  uint32_t leaf, subleaf;
  int cpuid_register, bit;
  uint64_t saved_state;
};
enum { eax, ebx, ecx, edx };
constexpr uint64_t none = 0, ymm = 0x6, zmm = 0xe6, tile = 0x60000;

constexpr Row kRows[] = {
#define CUPEL_CPUID_FEATURE(id, name, level, leaf, subleaf, cpuid_register, bit, state, purpose) \
  {name, leaf, subleaf, cpuid_register, bit, state},
#define CUPEL_HWCAP_FEATURE(...)
#include "base/cpu_features.def"
#undef CUPEL_CPUID_FEATURE
#undef CUPEL_HWCAP_FEATURE
};

uint64_t saved_registers() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c >> 27 & 1) == 0) return 0;  // OSXSAVE: XGETBV may be used
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool has(const Row& row) {
  if (row.saved_state == tile) return false;
  uint32_t registers[4] = {};
  if (row.subleaf > 0) {  // the leaf says in eax which subleaf is its last
    if (!__get_cpuid_count(row.leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3])) return false;
    if (registers[0] < row.subleaf) return false;
  }
  if (!__get_cpuid_count(row.leaf, row.subleaf, &registers[0], &registers[1], &registers[2], &registers[3]))
    return false;
  if ((registers[row.cpuid_register] >> row.bit & 1) == 0) return false;
  return (saved_registers() & row.saved_state) == row.saved_state;
}
#elif defined(__aarch64__)
// word 1: AT_HWCAP, 2: AT_HWCAP2 (Linux, arch/arm64/include/uapi/asm/hwcap.h).
struct Row {
  const char* name;
  int word, bit;
};

constexpr Row kRows[] = {
#define CUPEL_CPUID_FEATURE(...)
#define CUPEL_HWCAP_FEATURE(id, name, word, bit, purpose) {name, word, bit},
#include "base/cpu_features.def"
#undef CUPEL_CPUID_FEATURE
#undef CUPEL_HWCAP_FEATURE
};

bool has(const Row& row) { return (getauxval(row.word == 1 ? AT_HWCAP : AT_HWCAP2) >> row.bit & 1) != 0; }
#endif

}  // namespace

bool cpu_has(const char* name) {
  for (const Row& row : kRows)
    if (std::strcmp(row.name, name) == 0) return has(row);
  return false;
}

}  // namespace cupel
