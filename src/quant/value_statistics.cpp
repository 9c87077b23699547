#include "quant/value_statistics.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <mutex>
#include <vector>

namespace cupel {
namespace {

constexpr int kInfinite = 255;  // the exponent of infinities
constexpr float kGap = 255;
constexpr int64_t kGrain = 16384;  // elements for a thread
constexpr int64_t kBlock = 4096;   // that are read twice while they lie in the nearest cache

}  // namespace

void ValueStatistics::Outermost::add(int64_t order_of_one, int64_t sample_of_one) {
  if (order_of_one > order) {
    if (sample != sample_of_one) runner_up = order;
    order = order_of_one;
    sample = sample_of_one;
  } else if (sample_of_one != sample) {
    runner_up = std::max(runner_up, order_of_one);
  }
}

ValueStatistics::Binade& ValueStatistics::binade_of(uint32_t upper_bits) {
  std::unique_ptr<Binade>& slot = binades_[upper_bits];
  if (!slot) slot = std::make_unique<Binade>();
  return *slot;
}

OrderedRange ValueStatistics::add(const ElementRuns& elements, int64_t first_sample, ThreadPool& threads) {
  // Parts of runs, so that few long ones are shared too.
  const int64_t parts = (elements.run() + kBlock - 1) / kBlock, each = elements.runs() * parts;
  std::vector<OrderedRange> ranges(static_cast<size_t>(elements.samples()));
  std::mutex mutex;
  const int64_t grain = std::max<int64_t>(kGrain / std::min<int64_t>(elements.run(), kBlock), 1);
  threads.parallel_for(elements.samples() * each, grain, [&](int64_t begin, int64_t end) {
    static thread_local SixteenthCounts counts;
    OrderedRange whole;
    while (begin < end) {
      const int64_t sample = begin / each, stop = std::min((sample + 1) * each, end);
      OrderedRange range;
      for (; begin < stop; ++begin) {
        const std::span<const float> run = elements.at(sample, begin % each / parts);
        const auto from = static_cast<size_t>(begin % parts * kBlock);
        const std::span<const float> block = run.subspan(from, std::min<size_t>(kBlock, run.size() - from));
        range.unite(ordered_range(block));
        if (!may_have_fills_) counts.add(block);
      }
      whole.unite(range);
      const std::lock_guard lock(mutex);
      ranges[static_cast<size_t>(sample)].unite(range);
    }
    const std::lock_guard lock(mutex);
    counts.take(whole, [&](uint32_t bin, int64_t count) { binade_of(bin >> 4).counts[bin & 15] += count; });
  });
  OrderedRange all;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto in_batch = static_cast<int64_t>(i);
    all.unite(ranges[i]);
    ends_[0].add(~int64_t{ranges[i].least}, first_sample + in_batch);
    ends_[1].add(ranges[i].greatest, first_sample + in_batch);
    for (int64_t run = 0; may_have_fills_ && !ranges[i].has_nan() && run < elements.runs(); ++run)
      add_with_fills(elements.at(in_batch, run), first_sample + in_batch);
  }
  count_ += elements.size();
  return all;
}

void ValueStatistics::add_with_fills(std::span<const float> elements, int64_t sample) {
  for (const float x : elements) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const float magnitude = std::abs(x);
    const bool is_first = !binades_[bits >> 23];
    Binade& b = binade_of(bits >> 23);
    if (is_first) {
      b.least = b.greatest = magnitude;
      b.greatest_sample = b.least_sample = sample;
    }
    ++b.counts[bits >> 19 & 15];
    if (magnitude > b.greatest) {
      if (b.greatest_sample != sample) b.runner_up = b.greatest;
      b.greatest = magnitude;
      b.greatest_sample = sample;
    } else if (magnitude > b.runner_up && b.greatest_sample != sample) {
      b.runner_up = magnitude;
    }
    if (magnitude < b.least) {
      if (b.least_sample != sample) b.least_runner_up = b.least;
      b.least = magnitude;
      b.least_sample = sample;
    } else if ((b.least_runner_up < 0 || magnitude < b.least_runner_up) && b.least_sample != sample) {
      b.least_runner_up = magnitude;
    }
  }
}

void ValueStatistics::leave_out_fills(std::optional<float> least_fill) {
  if (!least_fill) return;
  assert(may_have_fills_);
  float greatest_below = 0;
  for (int e = 0; e < kExponents; ++e) {
    float least = INFINITY, greatest = -1;
    for (const bool negative : {false, true})
      if (const Binade* b = binade(negative, e)) {
        least = std::min(least, b->least);
        greatest = std::max(greatest, b->greatest);
      }
    if (greatest < 0) continue;
    if (e == kInfinite || (least >= *least_fill && least > kGap * greatest_below)) {
      end_ = e;
      break;
    }
    greatest_below = greatest;
  }
  for (int e = end_; e < kExponents; ++e)
    for (const bool negative : {false, true})
      if (const Binade* b = binade(negative, e))
        for (const int64_t n : b->counts) count_ -= n;
}

std::optional<float> ValueStatistics::extreme(bool upper, int64_t except, int64_t* sample) const {
  if (may_have_fills_) return extreme_of_binades(upper, except, sample);
  const Outermost& end = ends_[upper ? 1 : 0];
  const int64_t order = end.sample == except ? end.runner_up : end.order;
  if (order == Outermost::kNone) return std::nullopt;
  if (sample && end.sample != except) *sample = end.sample;
  return std::bit_cast<float>(bits_at(static_cast<int32_t>(upper ? order : ~order)));
}

std::optional<float> ValueStatistics::extreme_of_binades(bool upper, int64_t except, int64_t* sample) const {
  // Outermost first: of the sign that the end asks for from the greatest magnitude on, then of the other from the
  // least.
  const auto found = [&](const Binade* b, bool outwards) -> std::optional<float> {
    if (!b) return std::nullopt;
    const int64_t holder = outwards ? b->greatest_sample : b->least_sample;
    if (holder != except) {
      if (sample) *sample = holder;
      return outwards ? b->greatest : b->least;
    }
    const float next = outwards ? b->runner_up : b->least_runner_up;
    return next < 0 ? std::nullopt : std::optional(next);
  };
  for (int e = end_; e-- > 0;)
    if (const auto x = found(binade(!upper, e), true)) return upper ? *x : -*x;
  for (int e = 0; e < end_; ++e)
    if (const auto x = found(binade(upper, e), false)) return upper ? -*x : *x;
  return std::nullopt;
}

std::optional<Range> ValueStatistics::range() const {
  const auto low = extreme(false, -1), high = extreme(true, -1);
  if (!low || !high) return std::nullopt;
  return Range{*low, *high};
}

ValueStatistics::WithoutOne ValueStatistics::range_without_extreme_sample(bool upper) const {
  WithoutOne w{-1, {0, 0}};
  if (!extreme(upper, -1, &w.sample)) return w;
  const auto low = extreme(false, w.sample), high = extreme(true, w.sample);
  if (low && high) w.range = {.min = *low, .max = *high};
  return w;
}

Range ValueStatistics::central_range(double share) const {
  const std::optional<Range> whole = range();
  if (!whole) return {0, 0};
  const auto outside = static_cast<int64_t>(share * static_cast<double>(count_));
  // The end of the sixteenth in which the element behind the `outside` outermost ones lies; outwards.
  const auto end = [&](bool upper) {
    int64_t left = outside;
    const auto outer_edge = [](bool negative, int exponent, int part) {
      const uint32_t bits = (static_cast<uint32_t>(exponent) << 23) | (static_cast<uint32_t>(part) << 19);
      return negative ? -std::bit_cast<float>(bits) : std::bit_cast<float>(bits);
    };
    for (int step = 0; step < 2 * end_ * 16; ++step) {
      const bool own_sign = step < end_ * 16;
      const int at = own_sign ? end_ * 16 - 1 - step : step - end_ * 16;
      const bool negative = own_sign != upper;
      const Binade* b = binade(negative, at / 16);
      if (!b) continue;
      left -= b->counts[static_cast<size_t>(at % 16)];
      if (left >= 0) continue;
      const int edge = own_sign ? at + 1 : at;
      return outer_edge(negative, edge / 16, edge % 16);
    }
    return 0.0f;
  };
  return {.min = std::max(whole->min, end(false)), .max = std::min(whole->max, end(true))};
}

}  // namespace cupel
