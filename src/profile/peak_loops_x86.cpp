#if defined(__x86_64__)

#include <vector>

#include "profile/peak_loops.h"

namespace cupel {
namespace {

#define CUPEL_VECTOR_CLOBBERS                                                                                       \
  "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
      "xmm12", "xmm13", "xmm14", "xmm15"

// One line per accumulator register 0..13, and 0..7.
#define CUPEL_EACH_14(before, after)                                                                             \
  before "0" after before "1" after before "2" after before "3" after before "4" after before "5" after before   \
         "6" after before "7" after before "8" after before "9" after before "10" after before "11" after before \
         "12" after before "13" after
#define CUPEL_EACH_8(before, after)                                                                            \
  before "0" after before "1" after before "2" after before "3" after before "4" after before "5" after before \
         "6" after before "7" after
#define CUPEL_CLEAR_ALL CUPEL_EACH_14("vxorps %%ymm15, %%ymm15, %%ymm15\n vmovaps %%ymm15, %%ymm", "\n")

// Clears the accumulators, spreads `left` and `right` over registers 14 and 15, runs `body` in a loop.
#define CUPEL_VECTOR_LOOP(name, registers, operands, body)                                          \
  void name(int64_t iterations) {                                                                   \
    __asm__ volatile(CUPEL_CLEAR_ALL "vmovd %[l], %%xmm14\n vpbroadcastd %%xmm14, %%" registers     \
                                     "14\n"                                                         \
                                     "vmovd %[r], %%xmm15\n vpbroadcastd %%xmm15, %%" registers     \
                                     "15\n"                                                         \
                                     ".p2align 6\n1:\n" body "sub $1, %[n]\n jnz 1b\n vzeroupper\n" \
                     : [n] "+r"(iterations)                                                         \
                     : [l] "r"(operands.left), [r] "r"(operands.right)                              \
                     : CUPEL_VECTOR_CLOBBERS);                                                      \
  }

struct Operands {
  uint32_t left, right;
};
constexpr Operands kBytes{0x5d3c7f05, 0x03f90bfe};   // u8 93 60 127 5 and s8 3 -7 11 -2
constexpr Operands kWords{0x005dff7f, 0x0003fff9};   // s16 93 -129 and 3 -7
constexpr Operands kFloats{0x3f000000, 0x3f400000};  // 0.5 and 0.75: sums stay finite and normal
CUPEL_VECTOR_LOOP(dot_zmm, "zmm", kBytes, CUPEL_EACH_14("vpdpbusd %%zmm15, %%zmm14, %%zmm", "\n"))
CUPEL_VECTOR_LOOP(dot_ymm_evex, "ymm", kBytes, CUPEL_EACH_14("%{evex%} vpdpbusd %%ymm15, %%ymm14, %%ymm", "\n"))
CUPEL_VECTOR_LOOP(dot_ymm_vex, "ymm", kBytes, CUPEL_EACH_14("%{vex%} vpdpbusd %%ymm15, %%ymm14, %%ymm", "\n"))
CUPEL_VECTOR_LOOP(fma_zmm, "zmm", kFloats, CUPEL_EACH_14("vfmadd231ps %%zmm15, %%zmm14, %%zmm", "\n"))
CUPEL_VECTOR_LOOP(fma_ymm, "ymm", kFloats, CUPEL_EACH_14("vfmadd231ps %%ymm15, %%ymm14, %%ymm", "\n"))

// 16-bit products summed in pairs, then added: exact for any 8-bit operands once these are widened.
#define CUPEL_WORDS(a, t) "vpmaddwd %%ymm15, %%ymm14, %%ymm" t "\n vpaddd %%ymm" t ", %%ymm" a ", %%ymm" a "\n"
CUPEL_VECTOR_LOOP(words_ymm, "ymm", kWords,
                  CUPEL_WORDS("0", "8") CUPEL_WORDS("1", "9") CUPEL_WORDS("2", "10") CUPEL_WORDS("3", "11")
                      CUPEL_WORDS("4", "8") CUPEL_WORDS("5", "9") CUPEL_WORDS("6", "10") CUPEL_WORDS("7", "11"))

// 32 dependent 32-bit products: 3 cycles each on every x86-64 core since Nehalem and Zen.
void multiply_chain(int64_t iterations) {
  uint32_t value = 3;
#define CUPEL_FOUR "imul %[v], %[v]\n imul %[v], %[v]\n imul %[v], %[v]\n imul %[v], %[v]\n"
  __asm__ volatile(
      ".p2align 6\n1:\n" CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR CUPEL_FOUR
      "sub $1, %[n]\n jnz 1b\n"
      : [n] "+r"(iterations), [v] "+r"(value)
      :
      : "cc");
}

// One pass touches kReadBlock bytes per turn: 16 loads of 64 bytes, 32 of 32, 64 of 16.
#define CUPEL_READ_LOOP(name, finish, loads)                                                       \
  void name(const std::byte* begin, int64_t bytes, int64_t passes) {                               \
    for (int64_t pass = 0; pass < passes; ++pass) {                                                \
      const std::byte* at = begin;                                                                 \
      int64_t blocks = bytes / kReadBlock;                                                         \
      __asm__ volatile(".p2align 6\n1:\n" loads "add $1024, %[p]\n sub $1, %[n]\n jnz 1b\n" finish \
                       : [p] "+r"(at), [n] "+r"(blocks)                                            \
                       :                                                                           \
                       : CUPEL_VECTOR_CLOBBERS);                                                   \
    }                                                                                              \
  }
#define CUPEL_LOAD_4(move, offset, step, reg)                                                                       \
  move " " offset "(%[p]), %%" reg "0\n" move " " offset "+" step "(%[p]), %%" reg "1\n" move " " offset "+2*" step \
       "(%[p]), %%" reg "2\n" move " " offset "+3*" step "(%[p]), %%" reg "3\n"
#define CUPEL_LOAD_ZMM(offset) CUPEL_LOAD_4("vmovaps", offset, "64", "zmm")
#define CUPEL_LOAD_YMM(offset) \
  CUPEL_LOAD_4("vmovaps", offset, "32", "ymm") CUPEL_LOAD_4("vmovaps", offset "+128", "32", "ymm")
#define CUPEL_LOAD_XMM(offset)                      \
  CUPEL_LOAD_4("movaps", offset, "16", "xmm")       \
  CUPEL_LOAD_4("movaps", offset "+64", "16", "xmm") \
  CUPEL_LOAD_4("movaps", offset "+128", "16", "xmm") CUPEL_LOAD_4("movaps", offset "+192", "16", "xmm")
CUPEL_READ_LOOP(read_zmm, "vzeroupper\n",
                CUPEL_LOAD_ZMM("0") CUPEL_LOAD_ZMM("256") CUPEL_LOAD_ZMM("512") CUPEL_LOAD_ZMM("768"))
CUPEL_READ_LOOP(read_ymm, "vzeroupper\n",
                CUPEL_LOAD_YMM("0") CUPEL_LOAD_YMM("256") CUPEL_LOAD_YMM("512") CUPEL_LOAD_YMM("768"))
CUPEL_READ_LOOP(read_xmm, "", CUPEL_LOAD_XMM("0") CUPEL_LOAD_XMM("256") CUPEL_LOAD_XMM("512") CUPEL_LOAD_XMM("768"))

}  // namespace

std::span<const PeakLoop> peak_loops() {
  using enum Feature;
  static const std::vector<PeakLoop> loops = {
      {"clock", "imul chain", PeakKind::clock, {}, 32.0 * 3, multiply_chain},
      {"int8_vpdpbusd_zmm", "vpdpbusd zmm", PeakKind::int8, {avx512f, avx512vnni}, 14.0 * 64 * 2, dot_zmm},
      {"int8_vpdpbusd_ymm_evex",
       "vpdpbusd ymm (AVX-512)",
       PeakKind::int8,
       {avx2, avx512vl, avx512vnni},
       14.0 * 32 * 2,
       dot_ymm_evex},
      {"int8_vpdpbusd_ymm_vex", "vpdpbusd ymm (AVX-VNNI)", PeakKind::int8, {avx2, avxvnni}, 14.0 * 32 * 2, dot_ymm_vex},
      {"int8_vpmaddwd_ymm", "vpmaddwd, vpaddd ymm", PeakKind::int8, {avx2}, 8.0 * 16 * 2, words_ymm},
      {"fp32_fma_zmm", "vfmadd231ps zmm", PeakKind::fp32, {avx512f}, 14.0 * 16 * 2, fma_zmm},
      {"fp32_fma_ymm", "vfmadd231ps ymm", PeakKind::fp32, {avx2, fma}, 14.0 * 8 * 2, fma_ymm},
  };
  return loops;
}

std::span<const ReadLoop> read_loops() {
  static const std::vector<ReadLoop> loops = {
      {"vmovaps zmm", {Feature::avx512f}, read_zmm},
      {"vmovaps ymm", {Feature::avx}, read_ymm},
      {"movaps xmm", {}, read_xmm},
  };
  return loops;
}

}  // namespace cupel

#endif
