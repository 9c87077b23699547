// The floating-point setting under which every value of a network is computed, by the interpreter and by kernels alike
// (docs/quantization.md, Subnormal numbers): round to nearest even, subnormal operands and results are zeros of their
// sign, no traps.
#pragma once

#include <cstdint>

namespace cupel {

// Sets it for the current thread; the destructor restores what was there. What is computed from values that are read
// from memory in between stays in between.
class NetworkArithmetic {
 public:
#if defined(__x86_64__)
  // MXCSR: traps masked, results flushed (bit 15), operands flushed (bit 6).
  static constexpr uint32_t kSetting = 0x1f80 | 0x8000 | 0x40;
  NetworkArithmetic() : saved_(__builtin_ia32_stmxcsr()) {
    __builtin_ia32_ldmxcsr(kSetting);
    __asm__ volatile("" : : : "memory");
  }
  ~NetworkArithmetic() {
    __asm__ volatile("" : : : "memory");
    __builtin_ia32_ldmxcsr(saved_);
  }

 private:
  uint32_t saved_;

 public:
#elif defined(__aarch64__)
  // FPCR: FZ (bit 24) alone.
  static constexpr uint64_t kSetting = uint64_t{1} << 24;
  NetworkArithmetic() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(kSetting) : "memory");
  }
  ~NetworkArithmetic() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }

 private:
  uint64_t saved_;

 public:
#else
#error "no setting is known for this architecture"
#endif
  NetworkArithmetic(const NetworkArithmetic&) = delete;
  NetworkArithmetic& operator=(const NetworkArithmetic&) = delete;
};

}  // namespace cupel
