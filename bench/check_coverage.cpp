// How often the intervals of metrics hold the true figure: simulated data sets, one kind of metric after the other.
//
// Usage: build/check_coverage [TRIALS]. For each row: the share of TRIALS (2,000) intervals of nominally 95 % that hold
// the figure of the population, which is that of 400,000 samples; the same of the difference of two models on the same
// samples; and how often two models of one kind (A/A) are said to differ. Exits 1 when a share lies outside 93 to 97 %
// (A/A: above 7 %).
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>

#include "assess/task_metric.h"

namespace cupel {
namespace {

using Random = std::mt19937_64;
using Numbers = std::vector<double>;
// The parts of one sample by two models, the second one worse by `harm` (0: of one kind).
using Draw = std::function<void(Random&, double harm, Numbers parts[2])>;

double uniform(Random& r) { return std::uniform_real_distribution<double>()(r); }
double normal(Random& r) { return std::normal_distribution<double>()(r); }

struct Kind {
  const char* name;
  const char* metric;
  int samples;
  Draw draw;
};

// Parts that differ between samples and are alike for both models, as those of one image are.
const Kind kKinds[] = {
    {"share of right samples", "agreement", 200,
     [](Random& r, double harm, Numbers p[2]) {
       const double ease = normal(r) + 1.2;
       for (int m = 0; m < 2; ++m) p[m] = {ease - 0.3 * m * harm + 0.5 * normal(r) > 0 ? 1.0 : 0.0};
     }},
    {"share of equal elements", "equal", 100,
     [](Random& r, double harm, Numbers p[2]) {
       const double ease = 0.8 + 0.15 * std::tanh(normal(r));
       for (int m = 0; m < 2; ++m) p[m] = {std::round(100 * (ease - 0.02 * m * harm + 0.05 * uniform(r))) / 100};
     }},
    {"mean, skewed (kl)", "kl", 200,
     [](Random& r, double harm, Numbers p[2]) {
       const double size = std::exp(0.7 * normal(r));
       for (int m = 0; m < 2; ++m) p[m] = {size * (1 + 0.1 * m * harm) * std::exp(0.2 * normal(r))};
     }},
    {"ratio of sums in dB", "sqnr", 100,
     [](Random& r, double harm, Numbers p[2]) {
       const double signal = std::exp(0.5 * normal(r));
       for (int m = 0; m < 2; ++m) p[m] = {signal, signal * 0.01 * (1 + 0.1 * m * harm) * std::exp(0.4 * normal(r))};
     }},
    {"root of a mean", "rmse", 100,
     [](Random& r, double harm, Numbers p[2]) {
       const double size = std::exp(0.5 * normal(r));
       for (int m = 0; m < 2; ++m) p[m] = {100 * size * (1 + 0.1 * m * harm) * std::exp(0.2 * normal(r)), 100};
     }},
    {"rank correlation", "spearman", 100,
     [](Random& r, double harm, Numbers p[2]) {
       const double label = normal(r);
       for (int m = 0; m < 2; ++m) p[m] = {label + (0.8 + 0.2 * m * harm) * normal(r), label};
     }},
    {"area under the curve", "auc", 150,
     [](Random& r, double harm, Numbers p[2]) {
       const double label = uniform(r) < 0.4 ? 1 : 0, ease = normal(r);
       for (int m = 0; m < 2; ++m) p[m] = {(1.2 - 0.2 * m * harm) * label + 0.8 * ease + 0.6 * normal(r), label};
     }},
    {"F1", "f1", 200,
     [](Random& r, double harm, Numbers p[2]) {
       const bool label = uniform(r) < 0.3;
       const double ease = normal(r);
       for (int m = 0; m < 2; ++m) {
         const bool found = (label ? 1 : -1) * (1.0 - 0.2 * m * harm) + 0.7 * ease + 0.6 * normal(r) > 0;
         p[m] = {found && label ? 1.0 : 0.0, found != label ? 1.0 : 0.0};
       }
     }},
    {"mean over classes", "miou", 60,
     [](Random& r, double harm, Numbers p[2]) {
       p[0].clear(), p[1].clear();
       for (int c = 0; c < 4; ++c) {
         if (uniform(r) < 0.3) continue;
         const double pixels = std::round(50 + 200 * uniform(r)), ease = 0.7 + 0.2 * uniform(r);
         for (int m = 0; m < 2; ++m) {
           const double both = std::round(pixels * (ease - 0.03 * m * harm + 0.05 * uniform(r)));
           p[m].insert(p[m].end(), {static_cast<double>(c), both, pixels + std::round(20 * uniform(r))});
         }
       }
     }},
    {"average precision", "map", 60,
     [](Random& r, double harm, Numbers p[2]) {
       p[0].clear(), p[1].clear();
       for (int c = 0; c < 2; ++c) {
         const double boxes = std::round(1 + 3 * uniform(r)), ease = 0.75 + 0.2 * uniform(r);
         for (int m = 0; m < 2; ++m) {
           p[m].insert(p[m].end(), {static_cast<double>(c), 0, 0, boxes});
           for (int b = 0; b < boxes; ++b) {
             const double overlap = ease - 0.03 * m * harm + 0.1 * normal(r);
             int bits = 0;
             for (int t = 0; t < 10; ++t) bits |= overlap >= 0.5 + 0.05 * t ? 1 << t : 0;
             p[m].insert(p[m].end(), {static_cast<double>(c), overlap + 0.2 * normal(r), static_cast<double>(bits), 0});
           }
         }
       }
     }},
    {"error rate", "cer", 100,
     [](Random& r, double harm, Numbers p[2]) {
       const double length = std::round(3 + 20 * uniform(r)), ease = 0.1 * uniform(r) * uniform(r);
       for (int m = 0; m < 2; ++m) {
         double errors = 0;
         for (int i = 0; i < length; ++i) errors += uniform(r) < 0.05 + ease + 0.02 * m * harm;
         p[m] = {errors, length};
       }
     }},
};

std::vector<SampleParts> draw(const Kind& kind, int64_t samples, double harm, Random& random) {
  std::vector<SampleParts> parts(2);
  Numbers rows[2];
  for (int64_t i = 0; i < samples; ++i) {
    kind.draw(random, harm, rows);
    for (size_t m = 0; m < 2; ++m) parts[m].add(rows[m]);
  }
  return parts;
}

bool holds(const std::optional<Interval>& interval, double truth) {
  return interval && interval->lower <= truth && truth <= interval->upper;
}

// Prints a row; whether all of it lies where it should.
bool check(const Kind& kind, int trials) {
  const MetricDef& metric = *find_metric(kind.metric);
  Random random(20240 + static_cast<uint64_t>(kind.samples));
  const auto population = draw(kind, 400'000, 1, random);
  const std::vector<uint32_t> once(400'000, 1);
  const double truth[2] = {metric.figure(population[0], once, {}), metric.figure(population[1], once, {})};
  int value = 0, difference = 0, differ = 0;
  for (int t = 0; t < trials; ++t) {
    const BootstrapOptions options{.resamples = 1000, .seed = static_cast<uint64_t>(t)};
    const MetricResult result = summarize(metric, draw(kind, kind.samples, 1, random), {}, options);
    value += holds(result.models[0].interval, truth[0]);
    difference += holds(result.differences[0].interval, truth[1] - truth[0]);
    const MetricResult same = summarize(metric, draw(kind, kind.samples, 0, random), {}, options);
    differ += shown(metric, same.differences[0]) != Shown::no_difference;
  }
  const auto share = [&](int count) { return 100.0 * count / trials; };
  const auto good = [&](int count) { return share(count) >= 93 && share(count) <= 97; };
  const bool all = good(value) && good(difference) && share(differ) <= 7;
  fmt::print("{:<26}{:<12}{:>5}  {:>9.2f} %  {:>9.2f} %  {:>9.2f} %{}\n", kind.name, kind.metric, kind.samples,
             share(value), share(difference), share(differ), all ? "" : "  outside");
  std::fflush(stdout);
  return all;
}

}  // namespace
}  // namespace cupel

int main(int argc, char** argv) {
  const int trials = argc > 1 ? std::atoi(argv[1]) : 2000;
  fmt::print("{} trials each, 1,000 resamples; intervals of 95 %\n{:<26}{:<12}{:>5}  {:>11}  {:>11}  {:>11}\n", trials,
             "kind", "metric", "n", "of a value", "difference", "A/A differ");
  bool all = true;
  for (const cupel::Kind& kind : cupel::kKinds) all = cupel::check(kind, trials) && all;
  return all ? 0 : 1;
}
