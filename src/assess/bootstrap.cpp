#include "assess/bootstrap.h"

#include <algorithm>
#include <cmath>

namespace cupel {
namespace {

constexpr int64_t kMostGroups = 200;

class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(seed) {}

  // A sample of [0, count), count below 2^32: the high half of a product with 32 random bits.
  uint64_t below(uint64_t count) { return ((next() >> 32) * count) >> 32; }

 private:
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

// The figure without one group of neighbouring samples, for each group.
std::vector<double> without_groups(const Figure& figure, int64_t samples) {
  const int64_t groups = std::min(samples, kMostGroups);
  std::vector<uint32_t> weights(static_cast<size_t>(samples), 1);
  std::vector<double> values;
  for (int64_t g = 0; g < groups; ++g) {
    const auto begin = weights.begin() + g * samples / groups, end = weights.begin() + (g + 1) * samples / groups;
    std::fill(begin, end, 0);
    values.push_back(figure(weights));
    std::fill(begin, end, 1);
  }
  return values;
}

// Σd³ / 6(Σd²)^1.5 of d = mean − value; 0 where that is no number.
double acceleration(const std::vector<double>& values) {
  double mean = 0, squares = 0, cubes = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  for (const double v : values) {
    squares += (mean - v) * (mean - v);
    cubes += (mean - v) * (mean - v) * (mean - v);
  }
  const double a = cubes / (6 * std::pow(squares, 1.5));
  return std::isfinite(a) ? a : 0;
}

// Quantile of sorted numbers at the order statistic nearest to probability · (n + 1).
double order_statistic(const std::vector<double>& sorted, double probability) {
  const auto n = static_cast<double>(sorted.size());
  const double rank = std::clamp(std::round(probability * (n + 1)), 1.0, n);
  return sorted[static_cast<size_t>(rank) - 1];
}

std::optional<Interval> interval_of(const Figure& figure, int64_t samples, std::vector<double> drawn,
                                    double confidence) {
  const std::vector<uint32_t> once(static_cast<size_t>(samples), 1);
  const double value = figure(once);
  const size_t all = drawn.size();
  std::erase_if(drawn, [](double d) { return std::isnan(d); });
  if (std::isnan(value) || drawn.size() * 100 < all * 99) return std::nullopt;
  std::ranges::sort(drawn);
  double below = 0;  // of equal ones half
  for (const double d : drawn) below += d < value ? 1 : d == value ? 0.5 : 0;
  const double share = below / static_cast<double>(drawn.size());
  const auto n = static_cast<double>(samples);
  const double tail = normal_probability(std::sqrt(n / (n - 1)) * student_quantile_at((1 - confidence) / 2, n - 1));
  double low = tail, high = 1 - tail;
  if (std::isfinite(value) && share > 0 && share < 1) {
    const double bias = normal_quantile_at(share), a = acceleration(without_groups(figure, samples));
    const auto corrected = [&](double probability) {
      const double z = bias + normal_quantile_at(probability);
      return normal_probability(bias + z / (1 - a * z));
    };
    low = corrected(tail);
    high = corrected(1 - tail);
  }
  return Interval{order_statistic(drawn, low), order_statistic(drawn, high)};
}

}  // namespace

std::vector<std::optional<Interval>> bootstrap(std::span<const Figure> figures, int64_t samples,
                                               const BootstrapOptions& options) {
  std::vector<std::optional<Interval>> intervals(figures.size());
  if (samples < kLeastForBootstrap || figures.empty()) return intervals;
  std::vector<std::vector<double>> drawn(figures.size());
  std::vector<uint32_t> weights(static_cast<size_t>(samples));
  Draws draws(options.seed);
  for (int64_t r = 0; r < options.resamples; ++r) {
    std::ranges::fill(weights, 0);
    for (int64_t i = 0; i < samples; ++i) ++weights[draws.below(static_cast<uint64_t>(samples))];
    for (size_t f = 0; f < figures.size(); ++f) drawn[f].push_back(figures[f](weights));
  }
  for (size_t f = 0; f < figures.size(); ++f)
    intervals[f] = interval_of(figures[f], samples, std::move(drawn[f]), options.confidence);
  return intervals;
}

}  // namespace cupel
