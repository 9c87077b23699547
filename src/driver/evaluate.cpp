#include "driver/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "assess/comparison.h"
#include "assess/model_cost.h"
#include "base/file.h"
#include "driver/batches.h"
#include "driver/engine.h"
#include "driver/layer_errors.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

// The split's facts as far as this run used it.
Status fill_dataset_facts(const Dataset& data, int64_t used, Report& report) {
  DatasetFacts facts = report.provenance.dataset.value_or(DatasetFacts{});
  facts.classes = static_cast<int64_t>(data.class_names().size());
  facts.preprocessing.clear();
  for (const DataInput& input : data.inputs()) {
    const std::string name = input.name.empty() ? "" : input.name + ": ";
    for (const std::string& step : input.steps) facts.preprocessing.push_back(name + step);
    if (!input.layout.empty()) facts.layout += (facts.layout.empty() ? "" : ", ") + name + input.layout;
  }
  facts.splits.clear();
  for (const std::string& split : data.split_names()) {
    const int64_t size = CUPEL_TRY(data.size(split));
    const int64_t count = split == "report" ? used : size;
    facts.splits.push_back({split, CUPEL_TRY(data.source_name(split)), count, size, CUPEL_TRY(data.dropped(split)),
                            CUPEL_TRY(data.split_hash(split, count))});
  }
  report.provenance.dataset = std::move(facts);
  return {};
}

std::vector<int64_t> wanted_top_k(const Dataset& data, const EvaluateOptions& options) {
  std::vector<int64_t> top_k = options.top_k;
  if (top_k.empty())
    for (const MetricChoice& metric : data.metrics()) top_k.push_back(metric.top_k);
  if (top_k.empty()) top_k.push_back(1);
  return top_k;
}

Result<Engine> engine_for(const Model& model, EngineKind kind, ThreadPool& threads) {
  if (kind == EngineKind::reference) return Engine{interpreter(threads), nullptr};
  auto code = CUPEL_TRY(compile_for_host(model.program, model.path.stem().string(), threads.size()));
  const auto loaded = std::make_shared<CompiledModel>(std::move(code));
  return Engine{compiled(*loaded), loaded};
}

// NaN would become the lowest code of a quantized model without a word.
Status check_samples(const Samples& samples, const Dataset& data, int64_t first) {
  for (size_t i = 0; i < samples.inputs.size(); ++i) {
    const Tensor& input = samples.inputs[i];
    const auto nan = first_nan(input);
    if (!nan) continue;
    const int64_t each = input.size() / input.dims()[0];
    const std::string& name = data.inputs()[i].name;
    return bad_input(data.place(),
                     fmt::format("sample {} of split report: element {}{} is NaN after preprocessing",
                                 first + *nan / each, *nan % each, name.empty() ? "" : " of input " + printable(name)),
                     "correct the sample or the preprocessing steps");
  }
  return {};
}

// A model with what it takes to ask it.
struct Contestant {
  const Model* model;
  Feed feed;
  size_t output = 0;  // that holds the scores
  Engine engine;
  Predictions predictions;

  std::string place() const { return printable(model->path.string()); }
};

Status check_top_k(const Contestant& c, std::span<const int64_t> top_k) {
  const Graph& program = c.model->program;
  const ValueId id = program.outputs()[c.output];
  const Dim& classes = program.type(id).shape[1];
  for (int64_t k : top_k)
    if (classes.is_constant() && k > classes.factor)
      return usage_error("--top-k",
                         fmt::format("found {}, expected at most {}, the classes of output {} of {}", k, classes.factor,
                                     printable(program.value(id).name), c.place()),
                         "choose a smaller --top-k, or top_k in the data set's [[metric]]");
  return {};
}

Result<Contestant> prepare(const Model& model, const std::string& name, const Dataset& data, CompileContext& context,
                           const EvaluateOptions& options, std::span<const int64_t> top_k) {
  Contestant c{&model, {}, 0, {}, Predictions(name)};
  auto feed = feed_for(model.program, data, options.batch);
  if (!feed) return std::unexpected(std::move(feed).error().within(c.place()));
  c.feed = std::move(*feed);
  const std::string wanted = options.output.empty() ? data.labelled_output().value_or("") : options.output;
  auto output = score_output(model.program, wanted);
  if (!output) return std::unexpected(std::move(output).error().within(c.place()));
  c.output = *output;
  CUPEL_TRY(check_top_k(c, top_k));
  auto engine = engine_for(model, options.engine, context.threads);
  if (!engine) return std::unexpected(std::move(engine).error().within(c.place()));
  c.engine = std::move(*engine);
  return c;
}

// Adds what it answers on `samples`.
Status ask(Contestant& c, const Samples& samples) {
  const int64_t count = samples.inputs[0].dims()[0];
  for (int64_t at = 0; at < count; at += c.feed.batch) {
    const int64_t part = std::min(c.feed.batch, count - at);
    std::vector<Tensor> rows;
    for (const Tensor& t : samples.inputs) rows.push_back(t.rows(at, part));
    auto results = run_batch(c.model->program, c.feed, rows, c.engine.run, {});
    if (!results) return std::unexpected(std::move(results).error().within(c.place()));
    Status added = c.predictions.add(
        (*results)[c.output], std::span(samples.labels).subspan(static_cast<size_t>(at), static_cast<size_t>(part)));
    if (!added) return std::unexpected(std::move(added).error().within(c.place()));
  }
  return {};
}

Status fill_accuracy(std::span<const Contestant> all, std::span<const int64_t> top_k, const EvaluateOptions& options,
                     Report& report) {
  for (int64_t k : top_k) {
    AccuracyMetric metric;
    metric.top_k = k;
    for (const Contestant& c : all) metric.models.push_back(CUPEL_TRY(assess_accuracy(c.predictions, k)));
    for (size_t i = 1; i < all.size(); ++i) {
      CompareOptions compare_options;
      compare_options.top_k = k;
      if (report.accuracy.empty()) compare_options.max_drop_points = options.max_drop_points;
      metric.comparisons.push_back(CUPEL_TRY(compare(all[0].predictions, all[i].predictions, compare_options)));
    }
    report.accuracy.push_back(std::move(metric));
  }
  return {};
}

}  // namespace

Status check_report_split(const Dataset& data) {
  CUPEL_TRY(data.size("report"));
  if (!CUPEL_TRY(data.has_labels("report")))
    return bad_input(data.place(), "its report split has no labels", "name a label file in the source");
  return {};
}

ModelRow model_row(const Model& model, std::string name, ModelRole role) {
  const ModelCost cost = cost_of(model.program);
  ModelRow row;
  row.role = role;
  row.name = std::move(name);
  row.path = model.path.string();
  row.sha256 = model.sha256;
  row.file_bytes = model.file_bytes;
  row.weight_bytes = cost.weight_bytes;
  row.parameters = cost.parameters;
  row.macs = cost.macs;
  row.bit_operations = cost.bit_operations;
  std::map<std::string, PrecisionCount> counts;
  for (const NodeCost& c : cost.nodes) {
    PrecisionCount& count = counts[c.precision];
    count.precision = c.precision;
    ++count.nodes;
    count.macs += c.macs;
  }
  for (auto& [precision, count] : counts) row.precisions.push_back(count);
  return row;
}

Status evaluate_models(std::span<const Model> models, std::span<const std::string> names, const Dataset& data,
                       CompileContext& context, const EvaluateOptions& options, Report& report) {
  CUPEL_TRY(check_report_split(data));
  const int64_t available = CUPEL_TRY(data.size("report"));
  const int64_t wanted = std::min(options.samples.value_or(available), available);
  const std::vector<int64_t> top_k = wanted_top_k(data, options);

  std::vector<Contestant> all;
  for (size_t i = 0; i < models.size(); ++i) {
    all.push_back(CUPEL_TRY(prepare(models[i], names[i], data, context, options, top_k)));
    report.models.push_back(model_row(models[i], names[i], i == 0 ? ModelRole::base : ModelRole::candidate));
  }
  // Models advance side by side, so that an interrupted run compares them on the same samples.
  int64_t stride = 1;
  for (const Contestant& c : all) stride = std::max(stride, c.feed.batch);
  int64_t done = 0;
  while (done < wanted && !(stop_requested() && done > 0)) {
    const int64_t count = std::min(stride, wanted - done);
    const Samples samples = CUPEL_TRY(data.load("report", done, count));
    CUPEL_TRY(check_samples(samples, data, done));
    for (Contestant& c : all) CUPEL_TRY(ask(c, samples));
    done += count;
    if (options.progress) options.progress("accuracy", done, wanted);
  }
  if (done < available) {
    const std::string why = stop_requested() ? "the run was interrupted" : "only a part was asked for";
    report.warnings.push_back(
        {Severity::deviation,
         fmt::format("{} of the {} samples of the report split were used: {}.", done, available, why)});
  }
  for (const std::string& text : data.warnings()) report.warnings.push_back({Severity::note, text});
  CUPEL_TRY(fill_accuracy(all, top_k, options, report));
  if (models.size() > 1) {
    const LayerInput layers{models[0], models[1], all[0].engine, all[1].engine, all[0].feed, all[1].feed, data};
    CUPEL_TRY(compare_layers(layers, std::min(options.layer_samples, done), options.progress, report));
  }
  return fill_dataset_facts(data, done, report);
}

}  // namespace cupel
