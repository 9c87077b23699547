#include "runtime/cpu_features.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace cupel {
namespace {

constexpr CpuRegister eax = CpuRegister::eax, ebx = CpuRegister::ebx, ecx = CpuRegister::ecx, edx = CpuRegister::edx;

#if defined(__x86_64__)
constexpr uint64_t kNone = 0, kYmm = 0x6, kZmm = 0xe6;

// Intel 64 and IA-32 Software Developer's Manual, volume 2A, CPUID; AMD64 Programmer's Manual, volume 3, appendix E.
constexpr CpuFeatureRow kRows[] = {
    {"sse2", 1, 0, edx, 26, kNone},        {"cx16", 1, 0, ecx, 13, kNone},      {"sahf", 0x80000001, 0, ecx, 0, kNone},
    {"popcnt", 1, 0, ecx, 23, kNone},      {"sse3", 1, 0, ecx, 0, kNone},       {"ssse3", 1, 0, ecx, 9, kNone},
    {"sse4.1", 1, 0, ecx, 19, kNone},      {"sse4.2", 1, 0, ecx, 20, kNone},    {"avx", 1, 0, ecx, 28, kYmm},
    {"avx2", 7, 0, ebx, 5, kYmm},          {"fma", 1, 0, ecx, 12, kYmm},        {"f16c", 1, 0, ecx, 29, kYmm},
    {"bmi", 7, 0, ebx, 3, kNone},          {"bmi2", 7, 0, ebx, 8, kNone},       {"lzcnt", 0x80000001, 0, ecx, 5, kNone},
    {"movbe", 1, 0, ecx, 22, kNone},       {"avx512f", 7, 0, ebx, 16, kZmm},    {"avx512bw", 7, 0, ebx, 30, kZmm},
    {"avx512cd", 7, 0, ebx, 28, kZmm},     {"avx512dq", 7, 0, ebx, 17, kZmm},   {"avx512vl", 7, 0, ebx, 31, kZmm},
    {"avx512vnni", 7, 0, ecx, 11, kZmm},   {"avxvnni", 7, 1, eax, 4, kYmm},     {"avxvnniint8", 7, 1, edx, 4, kYmm},
    {"avxvnniint16", 7, 1, edx, 10, kYmm}, {"avx512bf16", 7, 1, eax, 5, kZmm},  {"avx512fp16", 7, 0, edx, 23, kZmm},
    {"avx512vbmi", 7, 0, ecx, 1, kZmm},    {"avx512vbmi2", 7, 0, ecx, 6, kZmm}, {"gfni", 7, 0, ecx, 8, kNone},
};

uint64_t saved_registers() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c >> 27 & 1) == 0) return 0;  // OSXSAVE: XGETBV may be used
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool has(const CpuFeatureRow& row) {
  uint32_t registers[4] = {};
  if (row.subleaf > 0) {  // the leaf says in eax which subleaf is its last
    if (!__get_cpuid_count(row.leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3])) return false;
    if (registers[0] < row.subleaf) return false;
  }
  if (!__get_cpuid_count(row.leaf, row.subleaf, &registers[0], &registers[1], &registers[2], &registers[3]))
    return false;
  if ((registers[static_cast<int>(row.cpuid_register)] >> row.bit & 1) == 0) return false;
  return (saved_registers() & row.saved_state) == row.saved_state;
}
#elif defined(__aarch64__)
// leaf 1: AT_HWCAP, 2: AT_HWCAP2 (Linux, arch/arm64/include/uapi/asm/hwcap.h).
constexpr CpuFeatureRow kRows[] = {
    {"neon", 1, 0, eax, 1, 0}, {"fullfp16", 1, 0, eax, 10, 0}, {"dotprod", 1, 0, eax, 20, 0}, {"sve", 1, 0, eax, 22, 0},
    {"sve2", 2, 0, eax, 1, 0}, {"i8mm", 2, 0, eax, 13, 0},     {"bf16", 2, 0, eax, 14, 0},    {"sme", 2, 0, eax, 23, 0},
};

bool has(const CpuFeatureRow& row) { return (getauxval(row.leaf == 1 ? AT_HWCAP : AT_HWCAP2) >> row.bit & 1) != 0; }
#endif

}  // namespace

const CpuFeatureRow* cpu_feature_rows(int* count) {
  *count = static_cast<int>(sizeof(kRows) / sizeof(kRows[0]));
  return kRows;
}

bool cpu_has(const char* name) {
  for (const CpuFeatureRow& row : kRows)
    if (std::strcmp(row.name, name) == 0) return has(row);
  return false;
}

}  // namespace cupel
