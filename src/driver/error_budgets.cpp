#include "driver/error_budgets.h"

#include <fmt/format.h>

#include <algorithm>

#include "assess/error_budget.h"
#include "assess/model_cost.h"
#include "driver/batches.h"

namespace cupel {
namespace {

constexpr int64_t kMostSamples = 32;
constexpr int64_t kMostMacs = int64_t{1} << 30;  // of one network over all samples; the interpreter runs about seven
constexpr int64_t kMostTogether = 8;             // samples of a run whose batch is open

}  // namespace

int64_t default_budget_samples(const Graph& base) {
  int64_t macs = 0;
  for (const NodeCost& cost : cost_of(base).nodes) macs += cost.macs;
  return std::clamp<int64_t>(kMostMacs / std::max<int64_t>(macs, 1), 1, kMostSamples);
}

Status measure_budgets(const LayerInput& input, std::optional<int64_t> asked, int64_t available, ThreadPool& threads,
                       const Progress& progress, Report& report) {
  if (input.base.is_quantized() || !input.candidate.is_quantized()) return {};
  Feed base_feed = input.base_feed, candidate_feed = input.candidate_feed;
  if (base_feed.fixed && candidate_feed.fixed && base_feed.batch != candidate_feed.batch) return {};
  const int64_t count = std::min(asked.value_or(default_budget_samples(input.base.program)), available);
  const int64_t batch = base_feed.fixed        ? base_feed.batch
                        : candidate_feed.fixed ? candidate_feed.batch
                                               : std::min({base_feed.batch, candidate_feed.batch, kMostTogether});
  base_feed.batch = candidate_feed.batch = batch;
  base_feed.fixed = candidate_feed.fixed = base_feed.fixed || candidate_feed.fixed;
  BudgetMeter meter(input.base.program, input.candidate.source, input.candidate.program, threads);
  if (meter.layers().empty()) return {};
  int64_t done = 0;
  while (done < count && !(stop_requested() && done > 0)) {
    const Samples samples = CUPEL_TRY(input.data.load("report", done, std::min(batch, count - done)));
    CUPEL_TRY(meter.add(inputs_of(base_feed, samples.inputs), inputs_of(candidate_feed, samples.inputs)));
    done = std::min(done + batch, count);
    if (progress) progress("error budgets", done, count);
  }
  report.budget_samples = done;
  std::vector<const Node*> nodes;
  for (const BudgetLayer& layer : meter.layers()) nodes.push_back(&input.candidate.source.node(layer.node));
  const auto rows = rows_of(input.candidate.program, nodes);
  const auto budgets = meter.finish();
  for (size_t i = 0; i < budgets.size(); ++i)
    if (rows[i] && *rows[i] < report.layers.size()) report.layers[*rows[i]].budget = budgets[i];
  return {};
}

}  // namespace cupel
