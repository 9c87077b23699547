// Reductions over any set of dimensions, in row-major ascending order for every result.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/scalar_math.h"
#include "base/tensor.h"
#include "ops/clones.h"
#include "ops/elementwise.h"

namespace cupel::ops {

// A tensor as kept and reduced dimensions. Adjacent dimensions of one kind are merged; kept dimensions at the end are
// `inner`, so that many results advance together.
struct ReductionLayout {
  Dims kept, kept_strides;
  Dims reduced, reduced_strides;  // never empty
  int64_t inner = 1;

  // reduces[d]: dimension d is reduced.
  ReductionLayout(const Dims& dims, const std::vector<bool>& reduces);

  // Elements in one result.
  int64_t count() const { return element_count(reduced); }
  int64_t outer() const { return element_count(kept); }
};

// results[j] = f(results[j], x[r · stride + j]) for r ascending.
template <class T, class A, class F>
CUPEL_CLONES void fold_rows(F f, const T* __restrict x, int64_t rows, int64_t stride, int64_t n,
                            A* __restrict results) {
  if (n == 1) {
    A result = results[0];
    for (int64_t r = 0; r < rows; ++r) result = f(result, x[r * stride]);
    results[0] = result;
    return;
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < n; ++j) results[j] = f(results[j], x[r * stride + j]);
}

// Every result starts at `start` and takes its elements by f, ascending; store(first result, results, count) gets them,
// on all threads.
template <class A, class T, class F, class Store>
void reduce(const ReductionLayout& layout, const T* x, A start, F f, ThreadPool& threads, Store&& store) {
  constexpr int64_t kBlock = 1024;
  if (layout.inner == 0 || layout.outer() == 0) return;
  const int64_t blocks = (layout.inner + kBlock - 1) / kBlock, count = layout.count();
  const int64_t part =
      std::max<int64_t>(1, kPartOperations / std::max<int64_t>(1, count * std::min(kBlock, layout.inner)));
  threads.parallel_for(layout.outer() * blocks, part, [&](int64_t begin, int64_t end) {
    A results[kBlock];
    Dims index(layout.reduced.size());
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % blocks * kBlock, n = std::min(kBlock, layout.inner - first);
      int64_t rest = item / blocks;
      const int64_t result = rest * layout.inner + first;
      const T* from = x + first;
      for (size_t d = layout.kept.size(); d-- > 0; rest /= layout.kept[d])
        from += rest % layout.kept[d] * layout.kept_strides[d];
      std::fill_n(results, n, start);
      const size_t last = layout.reduced.size() - 1;
      std::fill(index.begin(), index.end(), 0);
      for (bool more = count > 0; more;) {
        int64_t offset = 0;
        for (size_t d = 0; d < last; ++d) offset += index[d] * layout.reduced_strides[d];
        fold_rows(f, from + offset, layout.reduced[last], layout.reduced_strides[last], n, results);
        more = false;
        for (size_t d = last; d-- > 0 && !more;) {
          more = ++index[d] < layout.reduced[d];
          if (!more) index[d] = 0;
        }
      }
      store(result, static_cast<const A*>(results), n);
    }
  });
}

// Selections start at a value that every other replaces; NaN is passed over.
struct GreaterOf {
  template <class T>
  [[gnu::always_inline]] T operator()(T m, T x) const {
    return x > m ? x : m;
  }
  [[gnu::always_inline]] float operator()(float m, float x) const { return scalar::greater(x, m); }
};
struct LessOf {
  template <class T>
  [[gnu::always_inline]] T operator()(T m, T x) const {
    return x < m ? x : m;
  }
  [[gnu::always_inline]] float operator()(float m, float x) const { return scalar::less(x, m); }
};
struct SumOf {
  [[gnu::always_inline]] float operator()(float sum, float x) const { return sum + x; }
};

// Output 0 = the mean of operand 0 over the reduced dimensions: f32 in row-major order, 8-bit codes by their exact sum
// (docs/quantization.md 3). A mean of no elements is NaN, in codes the real number 0.
Status reduce_mean(const EvalContext& c, const std::vector<bool>& reduces);
// Output 0 = the greatest or least element: f32, u8 or s8 elements.
Status reduce_greatest(const EvalContext& c, const std::vector<bool>& reduces);
Status reduce_least(const EvalContext& c, const std::vector<bool>& reduces);

// unsupported when the sum of that many codes could leave int32.
Status expect_exact_sum(int64_t codes);

// The multiplier and the clamp that turn an exact sum of n codes into the code of their mean.
class MeanOfCodes {
 public:
  MeanOfCodes(const TensorType& x, const TensorType& y)
      : x_scale_(x.quant->scale[0]), y_scale_(y.quant->scale[0]), range_(y.dtype, y.quant->zero_point[0]) {}
  // f32(double(sx) / (double(sy) · n))
  float multiplier(int64_t n) const {
    return static_cast<float>(static_cast<double>(x_scale_) / (static_cast<double>(y_scale_) * static_cast<double>(n)));
  }
  uint8_t store(int32_t sum, float multiplier) const {
    return static_cast<uint8_t>(to_code(static_cast<float>(sum) * multiplier, range_));
  }

 private:
  float x_scale_, y_scale_;
  CodeRange range_;
};

}  // namespace cupel::ops
