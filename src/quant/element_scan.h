// One pass over binary32 elements: their ends, and how many lie in each sixteenth of a binade.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace cupel {

// A number's place in the order of binary32 (−NaN, −infinity, …, −0, +0, …, infinity, NaN), and the number back.
inline int32_t order_of(uint32_t bits) {
  const auto sign = static_cast<int32_t>(bits) >> 31;
  return static_cast<int32_t>(bits) ^ (sign & INT32_MAX);
}
inline uint32_t bits_at(int32_t order) { return static_cast<uint32_t>(order ^ ((order >> 31) & INT32_MAX)); }

// Of no element: least above greatest.
struct OrderedRange {
  int32_t least = INT32_MAX, greatest = INT32_MIN;  // order_of the elements
  int32_t least_magnitude = INT32_MAX;              // bits − 1 of the least magnitude that is not 0

  void unite(const OrderedRange& other);
  bool all_finite() const;
  bool has_nan() const;
  // The largest bits of a magnitude.
  uint32_t greatest_magnitude() const;
};
OrderedRange ordered_range(std::span<const float> elements);

// Elements of samples where they lie, in any order: runs of contiguous ones, `run` elements long. Strides in elements.
class ElementRuns {
 public:
  // `samples` equal parts, one behind the other.
  ElementRuns(std::span<const float> elements, int64_t samples);
  // Each sample an array of these dimensions; first: element 0 of sample 0.
  ElementRuns(const float* first, int64_t samples, int64_t sample_stride, std::span<const int64_t> dims,
              std::span<const int64_t> strides);

  int64_t samples() const { return samples_; }
  int64_t runs() const { return runs_; }  // of a sample
  int64_t run() const { return run_; }
  int64_t size() const { return samples_ * runs_ * run_; }
  std::span<const float> at(int64_t sample, int64_t run) const;

 private:
  struct Axis {
    int64_t extent, stride;
  };
  const float* first_;
  int64_t samples_, sample_stride_;
  std::vector<Axis> axes_;  // over runs, the outermost first
  int64_t runs_ = 1, run_ = 1;
};

// Counts by the upper 13 bits: sign, exponent, sixteenth of the binade. 130 KB: one for each thread.
class SixteenthCounts {
 public:
  void add(std::span<const float> elements);
  // Calls take(bin, count) for the bins that are not empty, and empties them. `range`: of all that was added.
  template <class Take>
  void take(const OrderedRange& range, Take&& take) {
    for (const uint32_t sign : {0u, 4096u}) {
      take_bins(sign, sign, take);  // zeros
      if (range.least_magnitude == INT32_MAX) continue;
      take_bins(sign + ((static_cast<uint32_t>(range.least_magnitude) + 1) >> 19),
                sign + (range.greatest_magnitude() >> 19), take);
    }
  }

 private:
  static constexpr size_t kBins = 8192;
  static constexpr size_t kTables = 4;

  template <class Take>
  void take_bins(uint32_t first, uint32_t last, Take&& take) {
    for (uint32_t bin = first; bin <= last; ++bin) {
      int64_t count = 0;
      for (auto& table : tables_) {
        count += table[bin];
        table[bin] = 0;
      }
      if (count > 0) take(bin, count);
    }
  }

  // Several, so that equal elements in a row do not wait for one another; a bin lies at another place of its page in
  // each, or loads would seem to follow stores.
  std::array<std::array<uint32_t, kBins + 80>, kTables> tables_{};
};

}  // namespace cupel
