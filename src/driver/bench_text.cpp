#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "base/file.h"
#include "driver/bench.h"
#include "target/machine.h"

namespace cupel {
namespace {

// Four significant digits at least.
std::string us_text(double us) { return fmt::format("{:.{}f}", us, us >= 1000 ? 0 : us >= 100 ? 1 : us >= 10 ? 2 : 3); }

std::string interval_text(const QuantileEstimate& q) {
  return fmt::format("[{}, {}]", us_text(q.interval.lower), us_text(q.interval.upper));
}

size_t name_width(const BenchResult& result) {
  size_t width = 5;
  for (const BenchModel& m : result.models) width = std::max(width, m.name.size());
  return width;
}

void add_models(std::string& text, const BenchResult& result) {
  const auto to = std::back_inserter(text);
  const size_t width = name_width(result);
  fmt::format_to(to, "{:<{}}  {:>20}  {:>20}  {:>20}  {:>20}  {:>10}  {:>10}  {:>10}\n",
                 result.clock == BenchClock::cpu ? "CPU" : "", width, "median µs", "p90 µs", "p95 µs", "p99 µs",
                 "items/s", "arena", "constants");
  for (const BenchModel& m : result.models) {
    const LatencySummary& l = m.latency;
    fmt::format_to(to, "{:<{}}  {:>20}  {:>20}  {:>20}  {:>20}  {:>10.{}f}  {:>10}  {:>10}\n", m.name, width,
                   us_text(l.median.value), us_text(l.p90.value), us_text(l.p95.value), us_text(l.p99.value),
                   m.items_per_second, m.items_per_second < 100 ? 2 : 0, size_text(m.arena_bytes),
                   size_text(m.constants_bytes));
    fmt::format_to(to, "{:<{}}  {:>20}  {:>20}  {:>20}  {:>20}\n", "", width, interval_text(l.median),
                   interval_text(l.p90), interval_text(l.p95), interval_text(l.p99));
  }
}

void add_comparisons(std::string& text, const BenchResult& result) {
  for (size_t i = 0; i < result.comparisons.size(); ++i) {
    const SpeedComparison& c = result.comparisons[i];
    const std::string ratio = fmt::format("takes {:.4f} [{:.4f}, {:.4f}] of the time of {}, {} rounds", c.ratio,
                                          c.interval.lower, c.interval.upper, result.models[0].name, c.rounds);
    fmt::format_to(std::back_inserter(text), "{} {}: {}\n", result.models[i + 1].name, ratio,
                   speed_verdict_name(c.verdict));
  }
}

std::string share_text(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", 100 * *share) : std::string();
}

void add_kernels(std::string& text, const BenchModel& m) {
  if (m.kernels.empty()) return;
  const auto to = std::back_inserter(text);
  size_t width = 6;
  double multiply_adds = 0;
  for (const BenchKernel& k : m.kernels) {
    width = std::max(width, printable(k.name).size());
    multiply_adds += static_cast<double>(k.multiply_adds);
  }
  fmt::format_to(to, "\n{}: {} kernels, together {} µs (medians of {} runs), {:.0f} GOPS\n", m.name, m.kernels.size(),
                 us_text(m.kernels_sum_us), m.kernel_runs, 2e-3 * multiply_adds / std::max(m.kernels_sum_us, 1e-3));
  fmt::format_to(to, "{:>11}  {:>7}  {:>6}  {:>8}  {:>7}  {:<{}}  {}\n", "median µs", "share", "GOPS", "of peak",
                 "GB/s", "kernel", width, "nodes");
  for (const BenchKernel& k : m.kernels)
    fmt::format_to(to, "{:>11}  {:>7}  {:>6}  {:>8}  {:>7.1f}  {:<{}}  {}\n", us_text(k.median_us), share_text(k.share),
                   k.gops ? fmt::format("{:.0f}", *k.gops) : std::string(), share_text(k.peak_share), k.gbps,
                   printable(k.name), width, printable(fmt::format("{}", fmt::join(k.origins, " + ")), 160));
  for (const BenchForm& form : m.forms)
    fmt::format_to(to, "{:>11}  {:>7}  {:>6}  {:>8}  {:>7}  {} ({} of them)\n", us_text(form.sum_us),
                   share_text(form.share), form.gops ? fmt::format("{:.0f}", *form.gops) : std::string(), "", "",
                   printable(form.name), form.kernels);
}

}  // namespace

std::string bench_text(const BenchResult& result) {
  std::string text;
  const auto to = std::back_inserter(text);
  for (const BenchModel& m : result.models)
    fmt::format_to(to, "{}: {}, compiled {}for {} tuned for {}, batch {}, {} runs\n", m.name,
                   printable(m.path.string()), m.artifact ? "" : "now ", printable(m.target), printable(m.tuned_for),
                   m.batch, m.latency.runs);
  fmt::format_to(to, "{}; measured peak: {} INT8, {} FP32\n\n", result.placement, rate_text(result.int8_gops(), "GOPS"),
                 rate_text(result.fp32_gflops(), "GFLOPS"));
  add_models(text, result);
  if (!result.comparisons.empty()) text += "\n";
  add_comparisons(text, result);
  for (const BenchModel& m : result.models) add_kernels(text, m);
  if (!result.warnings.empty()) text += "\n";
  for (const std::string& warning : result.warnings) fmt::format_to(to, "note: {}\n", warning);
  return text;
}

}  // namespace cupel
