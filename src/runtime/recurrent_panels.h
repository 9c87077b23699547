// Products of vectors with matrices of weights that lie in panels. Header of routines: no exceptions, nothing of the
// C++ library.
//
// A matrix [K, width] in panels: 16 columns after another, the last panel narrower; a panel holds its part of each row,
// one behind the other. So products read memory in a few streams.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace cupel {

constexpr int64_t kPanelColumns = 16;
// So many steps are multiplied with the weights of inputs at once.
constexpr int64_t kStepsTogether = 16;

// Eight numbers in a register.
#if defined(__AVX2__) && defined(__FMA__)
using Eight = __m256;
inline Eight load_eight(const float* p) { return _mm256_loadu_ps(p); }
inline void store_eight(float* p, Eight v) { _mm256_storeu_ps(p, v); }
inline Eight fma_eight(float a, Eight b, Eight c) { return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c); }
#else
struct Eight {
  float of[8];
};
inline Eight load_eight(const float* p) {
  Eight v;
  memcpy(v.of, p, sizeof v.of);
  return v;
}
inline void store_eight(float* p, Eight v) { memcpy(p, v.of, sizeof v.of); }
inline Eight fma_eight(float a, Eight b, Eight c) {
  for (int i = 0; i < 8; ++i) c.of[i] = __builtin_fmaf(a, b.of[i], c.of[i]);
  return c;
}
#endif

// sums[r][16·p + j] = fma(x[r][k], panel p [k][j], sums[r][16·p + j]) for k ascending, of kRows rows and kPanels whole
// panels; the sums stay in registers. Rows of sums are `stride` numbers apart.
template <int kRows, int kPanels>
inline void add_panels(float* sums, int64_t stride, const float* const* x, const float* panels, int64_t depth) {
  Eight block[kRows][kPanels][2];
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      for (int h = 0; h < 2; ++h) block[r][p][h] = load_eight(sums + r * stride + kPanelColumns * p + 8 * h);
  for (int64_t k = 0; k < depth; ++k)
    for (int p = 0; p < kPanels; ++p)
      for (int h = 0; h < 2; ++h) {
        const Eight weights = load_eight(panels + (p * depth + k) * kPanelColumns + 8 * h);
        for (int r = 0; r < kRows; ++r) block[r][p][h] = fma_eight(x[r][k], weights, block[r][p][h]);
      }
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < kPanels; ++p)
      for (int h = 0; h < 2; ++h) store_eight(sums + r * stride + kPanelColumns * p + 8 * h, block[r][p][h]);
}

// The same of one row and a panel of `width` columns.
inline void add_narrow(float* sums, const float* x, const float* panel, int64_t depth, int64_t width) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t j = 0; j < width; ++j) sums[j] = __builtin_fmaf(x[k], panel[k * width + j], sums[j]);
}

// sums[r][j] of `rows` rows x[r] and `width` columns, whose weights lie in panels.
inline void add_products(float* sums, int64_t stride, const float* const* x, int64_t rows, const float* weights,
                         int64_t depth, int64_t width) {
  const int64_t whole = width / kPanelColumns * kPanelColumns, together = rows / 4 * 4;
  for (int64_t j = 0; j < whole; j += kPanelColumns)
    for (int64_t r = 0; r < together; r += 4)
      add_panels<4, 1>(sums + r * stride + j, stride, x + r, weights + j * depth, depth);
  for (int64_t r = together; r < rows; ++r) {
    float* row = sums + r * stride;
    int64_t j = 0;
    for (; j + 4 * kPanelColumns <= whole; j += 4 * kPanelColumns)
      add_panels<1, 4>(row + j, stride, x + r, weights + j * depth, depth);
    for (; j < whole; j += kPanelColumns) add_panels<1, 1>(row + j, stride, x + r, weights + j * depth, depth);
  }
  for (int64_t r = 0; whole < width && r < rows; ++r)
    add_narrow(sums + r * stride + whole, x[r], weights + whole * depth, depth, width - whole);
}

}  // namespace cupel
