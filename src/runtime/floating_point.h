// The floating-point setting under which kernels run: round to nearest even, subnormal numbers kept, no traps.
#pragma once

#include <cstdint>

namespace cupel {

// Sets it for the current thread; the destructor restores what was there.
class DefaultFloatingPoint {
 public:
#if defined(__x86_64__)
  DefaultFloatingPoint() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr(0x1f80); }
  ~DefaultFloatingPoint() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  uint32_t saved_;

 public:
#elif defined(__aarch64__)
  DefaultFloatingPoint() : saved_(__builtin_aarch64_get_fpcr64()) { __builtin_aarch64_set_fpcr64(0); }
  ~DefaultFloatingPoint() { __builtin_aarch64_set_fpcr64(saved_); }

 private:
  uint64_t saved_;

 public:
#else
  DefaultFloatingPoint() = default;
#endif
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;
};

}  // namespace cupel
