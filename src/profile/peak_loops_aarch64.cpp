#if defined(__aarch64__)

#include <vector>

#include "profile/peak_loops.h"

namespace cupel {
namespace {

#define CUPEL_VECTOR_CLOBBERS                                                                                    \
  "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
      "v15", "v16", "v17", "v18", "v19", "v30", "v31"

// One line per accumulator register 0..19: enough for latency 4 on four pipes.
#define CUPEL_EACH_20(before, after)                                                                                 \
  before "0" after before "1" after before "2" after before "3" after before "4" after before "5" after before       \
         "6" after before "7" after before "8" after before "9" after before "10" after before "11" after before     \
         "12" after before "13" after before "14" after before "15" after before "16" after before "17" after before \
         "18" after before "19" after

#define CUPEL_VECTOR_LOOP(name, extension, operands, before, after)                                          \
  void name(int64_t iterations) {                                                                            \
    __asm__ volatile(extension CUPEL_EACH_20("movi v", ".4s, #0\n")                                        \
                     "dup v30.4s, %w[l]\n dup v31.4s, %w[r]\n"                                             \
                     ".p2align 6\n1:\n" CUPEL_EACH_20(before, after) "subs %[n], %[n], #1\n b.ne 1b\n"     \
                     : [n] "+r"(iterations)                                                                \
                     : [l] "r"(operands.left), [r] "r"(operands.right)                                     \
                     : CUPEL_VECTOR_CLOBBERS); \
  }
struct Operands {
  uint32_t left, right;
};
constexpr Operands kBytes{0x5d3c7f05, 0x03f90bfe};   // s8 93 60 127 5 and 3 -7 11 -2
constexpr Operands kFloats{0x3f000000, 0x3f400000};  // 0.5 and 0.75: sums stay finite and normal
CUPEL_VECTOR_LOOP(dot, ".arch_extension dotprod\n", kBytes, "sdot v", ".4s, v30.16b, v31.16b\n")
CUPEL_VECTOR_LOOP(matrix, ".arch_extension i8mm\n", kBytes, "smmla v", ".4s, v30.16b, v31.16b\n")
CUPEL_VECTOR_LOOP(fma, "", kFloats, "fmla v", ".4s, v30.4s, v31.4s\n")

// 32 dependent additions of one cycle each.
void add_chain(int64_t iterations) {
  uint64_t value = 3;
#define CUPEL_FOUR "add %[v], %[v], %[v]\n add %[v], %[v], %[v]\n add %[v], %[v], %[v]\n add %[v], %[v], %[v]\n"
  __asm__ volatile(
      ".p2align 6\n1:\n" CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR
      "subs %[n], %[n], #1\n b.ne 1b\n"
      : [n] "+r"(iterations), [v] "+r"(value)
      :
      : "cc");
}

// 32 loads of 32 bytes: kReadBlock per turn.
void read_pairs(const std::byte* begin, int64_t bytes, int64_t passes) {
#define CUPEL_LOAD_128                                                                                 \
  "ldp q0, q1, [%[p]]\n ldp q2, q3, [%[p], #32]\n ldp q4, q5, [%[p], #64]\n ldp q6, q7, [%[p], #96]\n" \
  "add %[p], %[p], #128\n"
  for (int64_t pass = 0; pass < passes; ++pass) {
    const std::byte* at = begin;
    int64_t blocks = bytes / kReadBlock;
    __asm__ volatile(".p2align 6\n1:\n" CUPEL_LOAD_128 CUPEL_LOAD_128 CUPEL_LOAD_128 CUPEL_LOAD_128 CUPEL_LOAD_128
                         CUPEL_LOAD_128 CUPEL_LOAD_128 CUPEL_LOAD_128 "subs %[n], %[n], #1\n b.ne 1b\n"
                     : [p] "+r"(at), [n] "+r"(blocks)
                     :
                     : CUPEL_VECTOR_CLOBBERS);
  }
}

}  // namespace

std::span<const PeakLoop> peak_loops() {
  static const std::vector<PeakLoop> loops = {
      {"clock", "add chain", PeakKind::clock, {}, 32.0, add_chain},
      {"int8_smmla", "smmla", PeakKind::int8, {Feature::neon, Feature::i8mm}, 20.0 * 32 * 2, matrix},
      {"int8_sdot", "sdot", PeakKind::int8, {Feature::neon, Feature::dotprod}, 20.0 * 16 * 2, dot},
      {"fp32_fmla", "fmla", PeakKind::fp32, {Feature::neon}, 20.0 * 4 * 2, fma},
  };
  return loops;
}

std::span<const ReadLoop> read_loops() {
  static const std::vector<ReadLoop> loops = {{"ldp q", {}, read_pairs}};
  return loops;
}

}  // namespace cupel

#endif
