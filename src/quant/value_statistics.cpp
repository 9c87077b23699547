#include "quant/value_statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace cupel {
namespace {

constexpr int kInfinite = 255;  // the exponent of infinities
constexpr float kGap = 255;

}  // namespace

void ValueStatistics::add(std::span<const float> elements, int64_t sample) {
  for (const float x : elements) {
    const auto bits = std::bit_cast<uint32_t>(x);
    std::unique_ptr<Binade>& slot = binades_[bits >> 23];
    const float magnitude = std::abs(x);
    if (!slot) {
      slot = std::make_unique<Binade>();
      slot->least = slot->greatest = magnitude;
      slot->greatest_sample = slot->least_sample = sample;
    }
    Binade& b = *slot;
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
  count_ += static_cast<int64_t>(elements.size());
}

bool ValueStatistics::has_infinity() const { return binade(false, kInfinite) || binade(true, kInfinite); }

void ValueStatistics::leave_out_fills(std::optional<float> least_fill) {
  if (!least_fill) return;
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
