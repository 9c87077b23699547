// Kullback-Leibler divergence Σ p·ln(p / q) of the base's distribution p and the model's q at each position, in nats;
// the mean over positions, then over samples. Scores and logarithms become distributions by softmax; probabilities are
// divided by their sum. q counts as at least 1e-9, so that a class which quantization made impossible costs much and
// not everything.
#include <algorithm>
#include <cmath>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

constexpr double kLeastProbability = 1e-9;

std::string refuses(const OutputForm& output, const OutputForm&) {
  return output.scores == Scores::none ? "it holds no scores of classes" : "";
}

// False where there is no distribution: NaN, infinite numbers, or a sum of 0.
bool distribution(const double* first, int64_t stride, Scores scores, std::vector<double>& p) {
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (size_t c = 0; c < p.size(); ++c) {
    p[c] = first[static_cast<int64_t>(c) * stride];
    if (std::isnan(p[c])) return false;
    most = std::max(most, p[c]);
  }
  if (!std::isfinite(most)) return false;
  for (double& x : p) {
    x = scores == Scores::probabilities ? std::max(x, 0.0) : std::exp(x - most);
    sum += x;
  }
  if (!(sum > 0)) return false;
  for (double& x : p) x /= sum;
  return true;
}

void measure(const OutputForm& form, const Item& base, const Item& item, const MetricSettings&,
             std::vector<double>& parts) {
  const int64_t classes = form.classes(), stride = form.class_stride(), positions = form.positions();
  std::vector<double> p(static_cast<size_t>(classes)), q(p);
  double total = 0;
  for (int64_t at = 0; at < positions; ++at) {
    const int64_t first = at / stride * stride * classes + at % stride;
    if (!distribution(base.numbers.data() + first, stride, form.scores, p) ||
        !distribution(item.numbers.data() + first, stride, form.scores, q))
      return;
    for (size_t c = 0; c < p.size(); ++c)
      if (p[c] > 0) total += p[c] * std::log(p[c] / std::max(q[c], kLeastProbability));
  }
  parts.push_back(total / static_cast<double>(positions));
}

}  // namespace

extern const MetricDef kDivergence{.name = "kl",
                                   .title = "KL divergence",
                                   .unit = "nats",
                                   .meaning = "how much the distribution over classes moves away from the base's",
                                   .better = Better::lower,
                                   .brief = false,
                                   .refuses = refuses,
                                   .measure = measure,
                                   .figure = mean_figure};

}  // namespace cupel::metrics
