// sum64 (docs/quantization.md 4): the fixed order in which softmax and normalization add up an axis.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cupel::ops {

// partial[i mod 64] = step(partial[i mod 64], x[i]) with i ascending, all +0 at the start; then partial[j] + partial[j
// + h] for h = 32, 16, 8, 4, 2, 1.
template <class Step>
[[gnu::always_inline]] inline float sum64(const float* x, int64_t n, Step step) {
  float partial[64] = {};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int j = 0; j < 64; ++j) partial[j] = step(partial[j], x[i + j]);
  for (int64_t j = 0; i + j < n; ++j) partial[j] = step(partial[j], x[i + j]);
  for (int h = 32; h > 0; h /= 2)
    for (int j = 0; j < h; ++j) partial[j] = partial[j] + partial[j + h];
  return partial[0];
}

struct PlainSum {
  [[gnu::always_inline]] float operator()(float partial, float x) const { return partial + x; }
};

}  // namespace cupel::ops
