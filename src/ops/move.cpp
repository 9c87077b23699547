#include "ops/move.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ops/rules.h"

namespace cupel::ops {
namespace {

struct Axis {
  int64_t size, source, target;
};
using Axes = std::vector<Axis>;

// The same movement with as few axes as possible, in the same order.
Axes merged(const Dims& dims, const Dims& source_strides, const Dims& target_strides) {
  Axes axes;
  for (size_t k = 0; k < dims.size(); ++k) {
    const Axis axis{dims[k], source_strides[k], target_strides[k]};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().source == axis.source * axis.size &&
        axes.back().target == axis.target * axis.size) {
      axes.back() = {axes.back().size * axis.size, axis.source, axis.target};
    } else {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  return axes;
}

// Calls body(source offset, target offset, index along the last axis) for every index of `axes`, split over the
// threads. `work` is the number of elements that one call moves.
template <class Body>
void for_each_index(ThreadPool& threads, const Axes& axes, int64_t work, Body&& body) {
  int64_t count = 1;
  for (const Axis& axis : axes) count *= axis.size;
  threads.parallel_for(count, std::max<int64_t>(1, kMoveGrain / work), [&](int64_t begin, int64_t end) {
    std::vector<int64_t> index(axes.size());
    int64_t source = 0, target = 0;
    for (size_t k = axes.size(), rest = static_cast<size_t>(begin); k-- > 0;) {
      const auto size = static_cast<size_t>(axes[k].size);
      index[k] = static_cast<int64_t>(rest % size);
      rest /= size;
      source += index[k] * axes[k].source;
      target += index[k] * axes[k].target;
    }
    for (int64_t i = begin; i < end; ++i) {
      body(source, target, index.empty() ? 0 : index.back());
      for (size_t k = axes.size(); k-- > 0;) {
        source += axes[k].source;
        target += axes[k].target;
        if (++index[k] < axes[k].size) break;
        source -= axes[k].source * axes[k].size;
        target -= axes[k].target * axes[k].size;
        index[k] = 0;
      }
    }
  });
}

// One cache line of elements.
template <class E>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(E));

// mixed = a₀ b₀ a₁ b₁ … of the two halves a, b of `halves`.
template <class E, int64_t kCount>
void interleave(const E* __restrict halves, E* __restrict mixed) {
  for (int64_t k = 0; k < kCount / 2; ++k) {
    mixed[2 * k] = halves[k];
    mixed[2 * k + 1] = halves[k + kCount / 2];
  }
}

// target[i · target_stride + j] = source[i + j · source_stride] for a square of one line each way. Lines of the source
// are read whole and those of the target written whole, whatever the strides do to the caches. In between, every
// interleaving rotates the bits of an element's position by one; after as many as a row index has bits, rows are
// columns.
template <class E>
void transpose_square(const E* source, int64_t source_stride, E* target, int64_t target_stride) {
  constexpr int64_t kSide = kLine<E>, kCount = kSide * kSide;
  alignas(64) E squares[2][kCount];
  E *from = squares[0], *to = squares[1];
  for (int64_t j = 0; j < kSide; ++j) std::memcpy(from + j * kSide, source + j * source_stride, sizeof(E) * kSide);
  for (int64_t bits = kSide; bits > 1; bits /= 2) {
    interleave<E, kCount>(from, to);
    std::swap(from, to);
  }
  for (int64_t i = 0; i < kSide; ++i) std::memcpy(target + i * target_stride, from + i * kSide, sizeof(E) * kSide);
}

// The same for up to one line of rows and any number of columns.
template <class E>
void transpose_rows(const E* source, int64_t source_stride, E* target, int64_t target_stride, int64_t rows,
                    int64_t columns) {
  int64_t first = 0;
  for (; rows == kLine<E> && first + kLine<E> <= columns; first += kLine<E>)
    transpose_square(source + first * source_stride, source_stride, target + first, target_stride);
  if (first == columns) return;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = first; j < columns; ++j) target[i * target_stride + j] = source[i + j * source_stride];
}

template <class E>
void move_as(ThreadPool& threads, Axes axes, const E* source, E* target) {
  const Axis inner = axes.back();
  axes.pop_back();
  if (inner.source == 1 && inner.target == 1) {
    for_each_index(threads, axes, inner.size, [&](int64_t s, int64_t t, int64_t) {
      std::memcpy(target + t, source + s, static_cast<size_t>(inner.size) * sizeof(E));
    });
    return;
  }
  const auto unit = std::find_if(axes.begin(), axes.end(), [](const Axis& axis) { return axis.source == 1; });
  if (inner.target == 1 && inner.source != 0 && unit != axes.end()) {
    constexpr int64_t kRows = kLine<E>;
    const Axis rows = *unit;
    axes.erase(unit);
    axes.push_back({(rows.size + kRows - 1) / kRows, kRows, kRows * rows.target});
    for_each_index(threads, axes, kRows * inner.size, [&](int64_t s, int64_t t, int64_t block) {
      transpose_rows(source + s, inner.source, target + t, rows.target, std::min(kRows, rows.size - block * kRows),
                     inner.size);
    });
    return;
  }
  for_each_index(threads, axes, inner.size, [&](int64_t s, int64_t t, int64_t) {
    if (inner.source == 0 && inner.target == 1) {
      std::fill_n(target + t, inner.size, source[s]);
    } else {
      for (int64_t i = 0; i < inner.size; ++i) target[t + i * inner.target] = source[s + i * inner.source];
    }
  });
}

}  // namespace

Result<TensorType> addressed_type(const InferContext& c, size_t i, Shape shape) {
  if (dtype_bits(c.type(i).dtype) < 8)
    return unsupported(
        "", fmt::format("operand {} is {}; 4-bit elements cannot be moved one by one", i, dtype_name(c.type(i).dtype)),
        "use 8-bit elements");
  return moved_type(c, i, std::move(shape));
}

void move_elements(ThreadPool& threads, int64_t bytes, Dims dims, Dims source_strides, const std::byte* source,
                   Dims target_strides, std::byte* target) {
  if (element_count(dims) == 0) return;
  Axes axes = merged(dims, source_strides, target_strides);
  // A long run is cut so that all threads take part.
  Axis& inner = axes.back();
  if (inner.size >= 4 * kMoveGrain && inner.size % kMoveGrain == 0) {
    const Axis whole = inner;
    inner = {whole.size / kMoveGrain, whole.source * kMoveGrain, whole.target * kMoveGrain};
    axes.push_back({kMoveGrain, whole.source, whole.target});
  }
  with_element(bytes, [&](auto element) {
    using E = decltype(element);
    move_as(threads, std::move(axes), reinterpret_cast<const E*>(source), reinterpret_cast<E*>(target));
  });
}

void fill_elements(int64_t bytes, const std::byte* value, int64_t count, std::byte* target) {
  with_element(bytes, [&](auto element) {
    std::memcpy(&element, value, sizeof element);
    std::fill_n(reinterpret_cast<decltype(element)*>(target), count, element);
  });
}

Status share_elements(const EvalContext& c) {
  if (c.in(0).size() != c.out().size())
    return internal_error("", fmt::format("{} elements cannot take shape {}", c.in(0).size(), to_text(c.out().dims())));
  c.out() = c.in(0).reshaped(c.out().dims());
  return {};
}

Cost no_cost(const Attributes&, std::span<const TensorType* const>, std::span<const TensorType>) { return {}; }

}  // namespace cupel::ops
