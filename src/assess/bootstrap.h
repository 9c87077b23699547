// Intervals of any figure of a set of samples, by drawing the samples again.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "assess/statistics.h"

namespace cupel {

// The figure of the samples, each counted weights[i] times. May be infinite, or NaN where it has none.
using Figure = std::function<double(std::span<const uint32_t> weights)>;

struct BootstrapOptions {
  double confidence = kDefaultConfidence;
  int64_t resamples = 2000;
  uint64_t seed = 1;
};

// Fewer samples get no interval.
inline constexpr int64_t kLeastForBootstrap = 10;

// One interval for each figure, all from the same resamples of the `samples` samples: differences of figures are
// paired. Bias-corrected and accelerated (BCa: B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap,
// 1993, 14.3), the acceleration from leaving out one of at most 200 groups of neighbouring samples; the percentile
// interval where all resamples lie on one side of the figure, or the figure is not finite. Both are expanded for small
// sets: at the tails Φ(√(n/(n−1))·t), t the quantile of Student's distribution (T. Hesterberg, The American
// Statistician 69 (2015) 371-386, 5.3). Draws come from splitmix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014) with
// `seed`: equal samples in equal order give equal bits everywhere. nullopt with fewer samples than kLeastForBootstrap,
// and where the figure is NaN, or that of more than one resample in a hundred.
std::vector<std::optional<Interval>> bootstrap(std::span<const Figure> figures, int64_t samples,
                                               const BootstrapOptions& options = {});

}  // namespace cupel
