// Exact products of rows of bytes with a matrix in panels (runtime/byte_panels.h). Header of routines: no exceptions,
// nothing of the C++ library.
#pragma once

#include <string.h>

#include "runtime/byte_panels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "runtime/cpu_features.h"
#endif

namespace cupel {

// What the products are of. x: rows of `depth` bytes; sizes are whole. The panels are of `panel_depth` rows, of which
// those from `panels` on are read. sums[r · stride + n] is written.
struct ByteProduct {
  const uint8_t* const* x;
  const int8_t* panels;
  int64_t panel_depth, depth, columns;
  int32_t* sums;
  int64_t stride;
};

namespace byte_parts {

// Rows [first, first + kRows) and kPanels panels from column n on.
using Part = void (*)(const ByteProduct& p, int64_t first, int64_t n);

template <int kRows, int kPanels>
void part_by_integers(const ByteProduct& p, int64_t first, int64_t n) {
  for (int r = 0; r < kRows; ++r) {
    uint32_t sums[kPanels * kByteColumns] = {};
    for (int j = 0; j < kPanels; ++j) {
      const int8_t* w = p.panels + (n + j * kByteColumns) * p.panel_depth;
      for (int64_t k = 0; k < p.depth; k += kByteDepth, w += kByteColumns * kByteDepth)
        for (int c = 0; c < kByteColumns; ++c)
          for (int i = 0; i < kByteDepth; ++i)
            sums[j * kByteColumns + c] += static_cast<uint32_t>(p.x[first + r][k + i] * w[c * kByteDepth + i]);
    }
    memcpy(p.sums + (first + r) * p.stride + n, sums, sizeof sums);
  }
}

#if defined(__x86_64__)
inline int32_t four_bytes(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return four;
}

// Four columns in 8 sums of pairs.
template <int kRows, int kPanels>
__attribute__((target("avx2"))) void part_by_avx2(const ByteProduct& p, int64_t first, int64_t n) {
  for (int j = 0; j < kPanels; ++j) {
    __m256i sums[kRows][4];
    for (auto& row : sums)
      for (auto& s : row) s = _mm256_setzero_si256();
    const int8_t* w = p.panels + (n + j * kByteColumns) * p.panel_depth;
    for (int64_t k = 0; k < p.depth; k += kByteDepth, w += kByteColumns * kByteDepth)
      for (int c = 0; c < 4; ++c) {
        const __m256i four = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 16 * c)));
        for (int r = 0; r < kRows; ++r) {
          const __m256i x = _mm256_cvtepu8_epi16(_mm_set1_epi32(four_bytes(p.x[first + r] + k)));
          sums[r][c] = _mm256_add_epi32(sums[r][c], _mm256_madd_epi16(x, four));
        }
      }
    for (int r = 0; r < kRows; ++r)
      for (int c = 0; c < 4; c += 2) {
        const __m256i eight = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sums[r][c], sums[r][c + 1]), 0xd8);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p.sums + (first + r) * p.stride + n + j * kByteColumns + 4 * c),
                            eight);
      }
  }
}

template <int kRows, int kPanels>
__attribute__((target("avx512f,avx512vnni"))) void part_by_vnni(const ByteProduct& p, int64_t first, int64_t n) {
  __m512i sums[kRows][kPanels];
  for (auto& row : sums)
    for (auto& s : row) s = _mm512_setzero_si512();
  const int64_t panel = kByteColumns * p.panel_depth;
  const int8_t* w = p.panels + n * p.panel_depth;
  for (int64_t k = 0; k < p.depth; k += kByteDepth, w += kByteColumns * kByteDepth)
    for (int j = 0; j < kPanels; ++j) {
      const __m512i columns = _mm512_loadu_si512(w + j * panel);
      for (int r = 0; r < kRows; ++r)
        sums[r][j] = _mm512_dpbusd_epi32(sums[r][j], _mm512_set1_epi32(four_bytes(p.x[first + r] + k)), columns);
    }
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kPanels; ++j)
      _mm512_storeu_si512(p.sums + (first + r) * p.stride + n + j * kByteColumns, sums[r][j]);
}
#endif

struct Parts {
  Part four_rows_two, four_rows, eight, one;
};

inline constexpr Parts kParts[] = {
    {part_by_integers<4, 2>, part_by_integers<4, 1>, part_by_integers<1, 8>, part_by_integers<1, 1>},
#if defined(__x86_64__)
    {part_by_avx2<4, 2>, part_by_avx2<4, 1>, part_by_avx2<1, 8>, part_by_avx2<1, 1>},
    {part_by_vnni<4, 2>, part_by_vnni<4, 1>, part_by_vnni<1, 8>, part_by_vnni<1, 1>},
#endif
};

// The best that this CPU has.
inline const Parts& parts() {
  static int known = -1;
  int row = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (row < 0) {
    row = 0;
#if defined(__x86_64__)
    if (cpu_has("avx2")) row = cpu_has("avx512f") && cpu_has("avx512vnni") ? 2 : 1;
#endif
    __atomic_store_n(&known, row, __ATOMIC_RELAXED);
  }
  return kParts[row];
}

}  // namespace byte_parts

// Sums of 32 bits, wrapping around, of `rows` rows; equal on every CPU.
inline void multiply_bytes(const ByteProduct& p, int64_t rows, const byte_parts::Parts& by = byte_parts::parts()) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    int64_t n = 0;
    for (; n + 2 * kByteColumns <= p.columns; n += 2 * kByteColumns) by.four_rows_two(p, r, n);
    for (; n < p.columns; n += kByteColumns) by.four_rows(p, r, n);
  }
  for (; r < rows; ++r) {
    int64_t n = 0;
    for (; n + 8 * kByteColumns <= p.columns; n += 8 * kByteColumns) by.eight(p, r, n);
    for (; n < p.columns; n += kByteColumns) by.one(p, r, n);
  }
}

}  // namespace cupel
