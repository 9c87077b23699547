// What calibration keeps of the elements of one value.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "quant/calibrate.h"
#include "quant/element_scan.h"
#include "runtime/thread_pool.h"

namespace cupel {

// Streaming: a count for each sixteenth of a binade (a power of two of one sign), and the extremes with the sample that
// holds them; where fills may be among the elements, the extremes of each binade. Memory is bounded, at most 512
// binades; counts and extremes do not depend on the order in which elements come, nor on threads and batches.
class ValueStatistics {
 public:
  // `may_have_fills`: whether leave_out_fills may be given a fill. It takes several times as long.
  explicit ValueStatistics(bool may_have_fills = true) : may_have_fills_(may_have_fills) {}

  // Adds elements of samples that are numbered from `first_sample` on; gives their range. With a NaN among them, or an
  // infinity where no fill may be, the statistics are of no use any more.
  OrderedRange add(const ElementRuns& elements, int64_t first_sample, ThreadPool& threads);

  // Elements from `least_fill` on, in magnitude, are no data but fills where they lie beyond a gap: more than 255 times
  // above every smaller element, so that with them in the range all data would be less than one step. Infinities
  // always are, when least_fill is given. Without it every element is data, and infinities may not have been added.
  // What follows speaks of the data only.
  void leave_out_fills(std::optional<float> least_fill);

  int64_t count() const { return count_; }
  // nullopt without data.
  std::optional<Range> range() const;
  // The range of all samples but the one that holds the greatest (upper) or the least element; {0, 0} when no other
  // sample has data.
  struct WithoutOne {
    int64_t sample;
    Range range;
  };
  WithoutOne range_without_extreme_sample(bool upper) const;
  // A range outside of which at most floor(share · count) elements lie on each side, 0 ≤ share < 0.5; its ends are
  // exact to a sixteenth of a binade, outwards, and lie in range().
  Range central_range(double share) const;

 private:
  struct Binade {
    std::array<int64_t, 16> counts{};
    float least = 0, greatest = 0;  // magnitudes
    int64_t greatest_sample = 0, least_sample = 0;
    float runner_up = -1;        // greatest magnitude in samples other than greatest_sample; −1: none
    float least_runner_up = -1;  // least magnitude in samples other than least_sample; −1: none
  };
  static constexpr int kExponents = 256;
  // The outermost element at one end.
  struct Outermost {
    static constexpr int64_t kNone = INT64_MIN;
    int64_t order = kNone, sample = -1;  // how far it lies out
    int64_t runner_up = kNone;           // that of the samples other than `sample`
    void add(int64_t order_of_one, int64_t sample_of_one);
  };

  const Binade* binade(bool negative, int exponent) const {
    return binades_[static_cast<size_t>(negative ? kExponents + exponent : exponent)].get();
  }
  Binade& binade_of(uint32_t upper_bits);
  void add_with_fills(std::span<const float> elements, int64_t sample);
  // The greatest element of the data when `upper`, the least otherwise, in samples other than `except` (−1: in all).
  std::optional<float> extreme(bool upper, int64_t except, int64_t* sample = nullptr) const;
  std::optional<float> extreme_of_binades(bool upper, int64_t except, int64_t* sample) const;

  bool may_have_fills_;
  std::array<std::unique_ptr<Binade>, 2 * kExponents> binades_;  // by the sign bit and the exponent's bits
  std::array<Outermost, 2> ends_;                                // the least, the greatest; without fills
  int64_t count_ = 0;
  int end_ = kExponents;  // exponents from here on are fills
};

}  // namespace cupel
