#include "quant/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "quant/fills.h"
#include "quant/value_statistics.h"

namespace cupel {
namespace {

constexpr int64_t kLeastSamples = 10;     // fewer say nothing of one among them
constexpr double kRareShare = 1e-6;       // one element in a million
constexpr double kPercentileTail = 5e-5;  // 99.99 % lie between

double width(Range r) { return std::max(static_cast<double>(r.max), 0.0) - std::min(static_cast<double>(r.min), 0.0); }

std::string range_text(Range r) { return fmt::format("[{:.6g}, {:.6g}]", r.min, r.max); }

class Calibrator {
 public:
  Calibrator(const Graph& graph, std::span<const ValueId> values, ThreadPool& threads)
      : graph_(graph),
        threads_(threads),
        values_(values.begin(), values.end()),
        producers_(graph.producers()),
        fills_(least_fills(graph)),
        statistics_(graph.values().size()) {
    for (ValueId id : values)
      statistics_[static_cast<size_t>(id.index)].emplace(fills_[static_cast<size_t>(id.index)].has_value());
  }

  // The batch whose values are seen next.
  void begin_batch(std::span<const Tensor> inputs) {
    first_sample_ += batch_;
    batch_ = samples_of(graph_, inputs);
  }
  int64_t samples() const { return first_sample_ + batch_; }

  Status see(ValueId id, const ElementRuns& elements) {
    const auto at = static_cast<size_t>(id.index);
    if (elements.size() == 0) return {};
    OrderedRange range;
    if (statistics_[at])
      range = statistics_[at]->add(elements, first_sample_, threads_);
    else
      for (int64_t i = 0; i < elements.samples() * elements.runs(); ++i)
        range.unite(ordered_range(elements.at(i / elements.runs(), i % elements.runs())));
    if (range.all_finite() || (!range.has_nan() && fills_[at])) return {};
    return bad_input(place(id), "a value is NaN or infinite during calibration",
                     "check the calibration data and its preprocessing, and the model's weights");
  }

  Calibration finish() {
    Calibration c;
    for (ValueId id : values_) {
      const auto at = static_cast<size_t>(id.index);
      ValueStatistics& s = *statistics_[at];
      s.leave_out_fills(fills_[at]);
      // A value that was empty in every batch, or all fills, holds no number but 0.
      c.ranges.try_emplace(id, s.range().value_or(Range{0, 0}));
      if (auto text = warning(id, s)) c.warnings.push_back(std::move(*text));
    }
    return c;
  }

 private:
  std::string place(ValueId id) const {
    const NodeId producer = producers_[static_cast<size_t>(id.index)];
    return producer.valid() ? node_place(graph_.node(producer)) : "input " + printable(graph_.value(id).name);
  }

  std::optional<std::string> warning(ValueId id, const ValueStatistics& s) const {
    const std::optional<Range> range = s.range();
    if (!range || width(*range) == 0) return std::nullopt;
    const auto text = [&](const std::string& what, Range without) {
      const NodeId producer = producers_[static_cast<size_t>(id.index)];
      const std::string& name = graph_.value(id).name;
      return fmt::format("{}: the range {}{} is set by {} alone; without it {}; 99.99 % of its elements lie in {}",
                         place(id), range_text(*range), producer.valid() ? " of value " + printable(name) : "", what,
                         range_text(without), range_text(s.central_range(kPercentileTail)));
    };
    if (samples() >= kLeastSamples)
      for (const bool upper : {false, true}) {
        const auto without = s.range_without_extreme_sample(upper);
        if (width(*range) > 2 * width(without.range))
          return text(fmt::format("sample {} of {}", without.sample, samples()), without.range);
      }
    const Range common = s.central_range(kRareShare);
    if (width(*range) > 2 * width(common)) return text("one element in a million", common);
    return std::nullopt;
  }

  const Graph& graph_;
  ThreadPool& threads_;
  std::vector<ValueId> values_;
  std::vector<NodeId> producers_;
  std::vector<std::optional<float>> fills_;
  std::vector<std::optional<ValueStatistics>> statistics_;  // of the values that are wanted
  int64_t first_sample_ = 0, batch_ = 0;
};

}  // namespace

int64_t samples_of(const Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.empty() || inputs[0].rank() == 0) return 1;
  const int64_t rows = inputs[0].dims()[0];
  if (!is_static(graph.type(graph.inputs()[0]).shape)) return rows;
  const auto has_rows = [&](ValueId id) {
    const Shape& shape = graph.type(id).shape;
    return !shape.empty() && shape[0] == Dim(rows);
  };
  return std::ranges::all_of(graph.inputs(), has_rows) && has_rows(graph.outputs()[0]) ? rows : 1;
}

ElementRuns elements_of(const Tensor& t, int64_t batch) {
  const int64_t rows = t.rank() == 0 ? 1 : t.dims()[0];
  return {t.data<float>(), batch > 0 && rows % batch == 0 ? batch : 1};
}

ObservedRun observed(const Graph& graph, RunGraph run) {
  return [&graph, run = std::move(run)](std::span<const Tensor> inputs, const Observe& observe) -> Status {
    CUPEL_TRY(run(graph, inputs, [&](ValueId id, const Tensor& t) -> Status {
      return t.dtype() == DType::f32 ? observe(id, elements_of(t, samples_of(graph, inputs))) : Status();
    }));
    return {};
  };
}

Result<Calibration> calibrate_min_max(const Graph& graph, std::span<const ValueId> values,
                                      const BatchSource& next_batch, const ObservedRun& run, ThreadPool& threads) {
  Calibrator calibrator(graph, values, threads);
  const Observe observe = [&](ValueId id, const ElementRuns& elements) { return calibrator.see(id, elements); };
  bool any = false;
  for (;;) {
    const auto batch = CUPEL_TRY(next_batch());
    if (!batch) break;
    any = true;
    calibrator.begin_batch(*batch);
    CUPEL_TRY(run(*batch, observe));
  }
  if (!any) return bad_input("calibration", "there is no sample", "give the calibrate split at least one sample");
  return calibrator.finish();
}

}  // namespace cupel
