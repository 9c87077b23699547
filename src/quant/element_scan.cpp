#include "quant/element_scan.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

namespace cupel {
namespace {

constexpr uint32_t kInfinity = 0x7f800000;
constexpr uint32_t kSign = 0x80000000;

constexpr size_t kLanes = 8;
using Lanes = int32_t __attribute__((vector_size(4 * kLanes)));

// Whole vectors of x; gives how many elements that are.
[[gnu::always_inline]] inline size_t scan_vectors(const float* x, size_t count, OrderedRange& range) {
  Lanes least = {}, greatest = {}, least_magnitude = {};
  for (size_t i = 0; i < kLanes; ++i) {
    least[i] = INT32_MAX;
    greatest[i] = INT32_MIN;
    least_magnitude[i] = INT32_MAX;
  }
  size_t done = 0;
  for (; done + kLanes <= count; done += kLanes) {
    Lanes bits;
    std::memcpy(&bits, x + done, sizeof bits);
    const Lanes order = bits ^ ((bits >> 31) & INT32_MAX);
    const Lanes magnitude = ((bits & INT32_MAX) - 1) & INT32_MAX;  // 0 becomes the greatest
    least = order < least ? order : least;
    greatest = order > greatest ? order : greatest;
    least_magnitude = magnitude < least_magnitude ? magnitude : least_magnitude;
  }
  for (size_t i = 0; i < kLanes; ++i) range.unite({least[i], greatest[i], least_magnitude[i]});
  return done;
}

size_t scan_anywhere(const float* x, size_t count, OrderedRange& range) { return scan_vectors(x, count, range); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) size_t scan_avx2(const float* x, size_t count, OrderedRange& range) {
  return scan_vectors(x, count, range);
}
#endif

}  // namespace

void OrderedRange::unite(const OrderedRange& other) {
  least = std::min(least, other.least);
  greatest = std::max(greatest, other.greatest);
  least_magnitude = std::min(least_magnitude, other.least_magnitude);
}

bool OrderedRange::all_finite() const { return greatest < order_of(kInfinity) && least > order_of(kInfinity | kSign); }
bool OrderedRange::has_nan() const {
  return least <= greatest && (greatest > order_of(kInfinity) || least < order_of(kInfinity | kSign));
}
uint32_t OrderedRange::greatest_magnitude() const {
  const uint32_t low = least < 0 ? bits_at(least) & ~kSign : 0, high = greatest >= 0 ? bits_at(greatest) : 0;
  return std::max(low, high);
}

OrderedRange ordered_range(std::span<const float> elements) {
  OrderedRange range;
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  size_t done = (has_avx2 ? scan_avx2 : scan_anywhere)(elements.data(), elements.size(), range);
#else
  size_t done = scan_anywhere(elements.data(), elements.size(), range);
#endif
  for (; done < elements.size(); ++done) {
    const auto bits = std::bit_cast<uint32_t>(elements[done]);
    range.unite({order_of(bits), order_of(bits), static_cast<int32_t>(((bits & ~kSign) - 1) & ~kSign)});
  }
  return range;
}

ElementRuns::ElementRuns(std::span<const float> elements, int64_t samples)
    : first_(elements.data()),
      samples_(samples),
      sample_stride_(static_cast<int64_t>(elements.size()) / samples),
      run_(sample_stride_) {}

ElementRuns::ElementRuns(const float* first, int64_t samples, int64_t sample_stride, std::span<const int64_t> dims,
                         std::span<const int64_t> strides)
    : first_(first), samples_(samples), sample_stride_(sample_stride) {
  std::vector<Axis> axes;
  for (size_t d = 0; d < dims.size(); ++d)
    if (dims[d] != 1) axes.push_back({dims[d], strides[d]});
  std::ranges::sort(axes, std::greater(), &Axis::stride);
  // Innermost first, as long as nothing lies between.
  for (; !axes.empty() && axes.back().stride == run_; axes.pop_back()) run_ *= axes.back().extent;
  for (const Axis& axis : axes) runs_ *= axis.extent;
  axes_ = std::move(axes);
}

std::span<const float> ElementRuns::at(int64_t sample, int64_t run) const {
  const float* from = first_ + sample * sample_stride_;
  for (size_t d = axes_.size(); d-- > 0; run /= axes_[d].extent) from += run % axes_[d].extent * axes_[d].stride;
  return {from, static_cast<size_t>(run_)};
}

void SixteenthCounts::add(std::span<const float> elements) {
  const float* x = elements.data();
  const size_t whole = elements.size() / kTables * kTables;
  size_t i = 0;
  for (; i < whole; i += kTables) {
    uint64_t two[kTables / 2];
    std::memcpy(two, x + i, sizeof two);
    ++tables_[0][static_cast<uint32_t>(two[0]) >> 19];
    ++tables_[1][two[0] >> 51];
    ++tables_[2][static_cast<uint32_t>(two[1]) >> 19];
    ++tables_[3][two[1] >> 51];
  }
  for (; i < elements.size(); ++i) ++tables_[0][std::bit_cast<uint32_t>(x[i]) >> 19];
}

}  // namespace cupel
