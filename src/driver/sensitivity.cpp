#include "driver/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "assess/layer_error.h"
#include "driver/answers.h"
#include "driver/label_metrics.h"

namespace cupel {
namespace {

// The base beside one other network, sample by sample.
class EffectMeter {
 public:
  EffectMeter(Respondent base, const Dataset& data, CompileContext& context, const SensitivityOptions& options)
      : base_(std::move(base)), data_(data), context_(context), options_(options) {}

  Result<LayerEffect> measure(const Model& model, const std::string& split, int64_t count) const {
    const Respondent all[] = {
        base_, CUPEL_TRY(respondent(model, "variant", data_, context_, options_.engine, options_.batch))};
    const std::optional<std::vector<size_t>> scores = CUPEL_TRY(score_outputs(all, split));
    LabelMetrics metrics = CUPEL_TRY(LabelMetrics::make(all, data_));
    std::vector<Predictions> predictions = {Predictions("base"), Predictions("variant")};
    std::vector<ErrorSums> errors(all[0].model->program.outputs().size());
    const int64_t stride = std::max(all[0].feed.batch, all[1].feed.batch);
    for (int64_t first = 0; first < count; first += stride) {
      const Samples samples = CUPEL_TRY(data_.load(split, first, std::min(stride, count - first)));
      std::vector<std::vector<Tensor>> answers(2);
      for (size_t m = 0; m < 2; ++m)
        CUPEL_TRY(ask(all[m], samples, [&](int64_t at, int64_t part, const std::vector<Tensor>& results) -> Status {
          if (scores)
            CUPEL_TRY(predictions[m].add(
                results[(*scores)[m]],
                std::span(samples.labels).subspan(static_cast<size_t>(at), static_cast<size_t>(part))));
          answers[m].insert(answers[m].end(), results.begin(), results.end());
          return metrics.see(m, samples, at, part, results);
        }));
      for (size_t i = 0; i < answers[0].size() && answers[0].size() == answers[1].size(); ++i)
        if (answers[0][i].dtype() == DType::f32 && answers[0][i].dims() == answers[1][i].dims())
          errors[i % errors.size()].add(answers[0][i].data<float>(), answers[1][i].data<float>());
    }
    return effect_of(predictions, scores.has_value(), metrics, errors);
  }

 private:
  Result<std::optional<std::vector<size_t>>> score_outputs(std::span<const Respondent> all,
                                                           const std::string& split) const {
    if (!CUPEL_TRY(data_.has_labels(split))) return std::nullopt;
    const bool asked = std::ranges::any_of(data_.metrics(), [](const MetricChoice& m) { return m.target.empty(); });
    if (!data_.metrics().empty() && !asked && !data_.labelled_output() && options_.output.empty()) return std::nullopt;
    std::vector<size_t> outputs;
    for (const Respondent& r : all) {
      auto output = score_output(r.model->program,
                                 options_.output.empty() ? data_.labelled_output().value_or("") : options_.output);
      if (!output) return std::nullopt;
      outputs.push_back(*output);
    }
    return outputs;
  }

  static Result<LayerEffect> effect_of(const std::vector<Predictions>& predictions, bool has_scores,
                                       const LabelMetrics& metrics, const std::vector<ErrorSums>& errors) {
    LayerEffect effect;
    effect.sqnr_db = std::numeric_limits<double>::infinity();
    for (const ErrorSums& e : errors) effect.sqnr_db = std::min(effect.sqnr_db, e.sqnr_db());
    if (has_scores) {
      const Comparison c = CUPEL_TRY(compare(predictions[0], predictions[1]));
      effect.accuracy_difference = c.difference;
      effect.flips = c.flips;
    }
    if (!metrics.empty()) {
      const TaskMetric task = metrics.finish({.resamples = 0})[0];
      if (!task.result.differences.empty()) effect.metric_difference = task.result.differences[0].value;
    }
    return effect;
  }

  Respondent base_;
  const Dataset& data_;
  CompileContext& context_;
  const SensitivityOptions& options_;
};

// The base with the values of a selection quantized.
Result<Model> variant(const Model& base, const Selection& selection, const Ranges& ranges, CompileContext& context) {
  Model model = base;
  model.source = CUPEL_TRY(quantize_selection(base.source, selection, ranges, context)).graph;
  model.program = CUPEL_TRY(integerize_graph(model.source, context, nullptr));
  return model;
}

}  // namespace

Status measure_sensitivity(const Model& base, const QuantizedGraph& quantized, const Graph& program,
                           const Dataset& data, CompileContext& context, const SensitivityOptions& options,
                           Report& report) {
  const Selection whole = select_values(base.source, quantized.in_float);
  std::vector<NodeId> layers = whole.contractions;
  layers.insert(layers.end(), whole.others.begin(), whole.others.end());
  std::ranges::sort(layers);
  if (layers.empty() || options.samples == 0) return {};
  CompileContext quiet{context.threads, {}};  // dumps are those of the network that is written
  Sensitivity found;
  const std::vector<std::string> splits = data.split_names();
  found.split = std::ranges::find(splits, "search") != splits.end() ? "search" : "report";
  found.samples = std::min(options.samples, CUPEL_TRY(data.size(found.split)));
  const EffectMeter meter(CUPEL_TRY(respondent(base, "base", data, quiet, options.engine, options.batch)), data, quiet,
                          options);
  const auto measure = [&](const Selection& selection) -> Result<LayerEffect> {
    const Model model = CUPEL_TRY(variant(base, selection, quantized.ranges, quiet));
    return meter.measure(model, found.split, found.samples);
  };
  found.all = CUPEL_TRY(measure(whole));
  std::vector<const Node*> nodes;
  for (const NodeId id : layers) nodes.push_back(&base.source.node(id));
  const auto rows = rows_of(program, nodes);
  for (size_t i = 0; i < layers.size() && !stop_requested(); ++i) {
    std::set<NodeId> in_float = quantized.in_float;
    in_float.insert(layers[i]);
    const LayerSensitivity effects{CUPEL_TRY(measure(select_only(base.source, layers[i]))),
                                   CUPEL_TRY(measure(select_values(base.source, in_float)))};
    if (rows[i] && *rows[i] < report.layers.size()) report.layers[*rows[i]].sensitivity = effects;
    ++found.layers;
    if (options.progress)
      options.progress("sensitivity", static_cast<int64_t>(i) + 1, static_cast<int64_t>(layers.size()));
  }
  if (found.layers < static_cast<int64_t>(layers.size()))
    report.warnings.push_back(
        {Severity::deviation, fmt::format("The sensitivity is that of {} of {} layers: the run was interrupted.",
                                          found.layers, layers.size())});
  report.sensitivity = std::move(found);
  return {};
}

}  // namespace cupel
