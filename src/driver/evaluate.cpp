#include "driver/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "assess/comparison.h"
#include "assess/model_cost.h"
#include "assess/sentences.h"
#include "base/file.h"
#include "driver/answers.h"
#include "driver/error_budgets.h"
#include "driver/label_metrics.h"

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
    for (const MetricChoice& metric : data.metrics())
      if (metric.target.empty()) top_k.push_back(metric.top_k);
  if (top_k.empty()) top_k.push_back(1);
  return top_k;
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

// The labels' part of an evaluation: who is right on which sample. Absent where there is nothing for them to judge.
struct LabelJudge {
  std::vector<size_t> outputs;  // of each model, that holds the scores
  std::vector<Predictions> predictions;
  std::vector<int64_t> top_k;
};

Status check_top_k(const Respondent& r, size_t output, std::span<const int64_t> top_k) {
  const Graph& program = r.model->program;
  const ValueId id = program.outputs()[output];
  const Dim& classes = program.type(id).shape[1];
  for (int64_t k : top_k)
    if (classes.is_constant() && k > classes.factor)
      return usage_error("--top-k",
                         fmt::format("found {}, expected at most {}, the classes of output {} of {}", k, classes.factor,
                                     printable(program.value(id).name), r.place()),
                         "choose a smaller --top-k, or top_k in the data set's [[metric]]");
  return {};
}

// Whether a person asked for accuracy by labels.
bool wants_accuracy(const Dataset& data, const EvaluateOptions& options) {
  return options.max_drop_points || !options.top_k.empty() || !options.output.empty() || data.labelled_output() ||
         std::ranges::any_of(data.metrics(), [](const MetricChoice& m) { return m.target.empty(); });
}

std::unexpected<Error> no_labels(const Dataset& data) {
  return bad_input(
      data.place(), "its report split has no labels",
      "name a label file in the source, or compare two models without what needs labels: then their outputs "
      "are compared");
}

// nullopt where the data set has no labels or no output holds scores, and nobody asked for accuracy.
Result<std::optional<LabelJudge>> label_judge(std::span<const Respondent> all, const Dataset& data,
                                              const EvaluateOptions& options, Report& report) {
  const bool wanted = wants_accuracy(data, options);
  if (!wanted && !data.metrics().empty()) return std::nullopt;  // the data set says what is measured
  if (!CUPEL_TRY(data.has_labels("report"))) {
    if (all.size() == 1 && data.metrics().empty()) return no_labels(data);
    return std::nullopt;
  }
  LabelJudge judge;
  judge.top_k = wanted_top_k(data, options);
  for (const Respondent& r : all) {
    if (!wanted && !has_score_output(r.model->program)) {
      report.warnings.push_back(
          {Severity::caution, fmt::format("The labels of the data set were not used: no output of {} holds class "
                                          "scores (f32 [batch, classes]).",
                                          r.name)});
      return std::nullopt;
    }
    const std::string name = options.output.empty() ? data.labelled_output().value_or("") : options.output;
    auto output = score_output(r.model->program, name);
    if (!output) return std::unexpected(std::move(output).error().within(r.place()));
    judge.outputs.push_back(*output);
    CUPEL_TRY(check_top_k(r, *output, judge.top_k));
    judge.predictions.emplace_back(r.name);
  }
  return judge;
}

Status fill_accuracy(const LabelJudge& judge, const EvaluateOptions& options, Report& report) {
  const std::vector<Predictions>& all = judge.predictions;
  for (int64_t k : judge.top_k) {
    AccuracyMetric metric;
    metric.top_k = k;
    for (const Predictions& p : all) metric.models.push_back(CUPEL_TRY(assess_accuracy(p, k)));
    for (size_t i = 1; i < all.size(); ++i) {
      CompareOptions compare_options;
      compare_options.top_k = k;
      if (report.accuracy.empty()) compare_options.max_drop_points = options.max_drop_points;
      metric.comparisons.push_back(CUPEL_TRY(compare(all[0], all[i], compare_options)));
    }
    report.accuracy.push_back(std::move(metric));
  }
  return {};
}

// All models answer samples first … first + count − 1 of the report split.
Status judge_samples(std::span<const Respondent> all, const Dataset& data, int64_t first, int64_t count,
                     std::optional<LabelJudge>& labels, LabelMetrics& metrics, OutputComparer& outputs) {
  const Samples samples = CUPEL_TRY(data.load("report", first, count));
  CUPEL_TRY(check_samples(samples, data, first));
  for (size_t m = 0; m < all.size(); ++m)
    CUPEL_TRY(ask(all[m], samples, [&](int64_t at, int64_t part, const std::vector<Tensor>& results) -> Status {
      if (labels)
        CUPEL_TRY(labels->predictions[m].add(
            results[labels->outputs[m]],
            std::span(samples.labels).subspan(static_cast<size_t>(at), static_cast<size_t>(part))));
      if (all.size() > 1) outputs.see(m, part, results);
      return metrics.see(m, samples, at, part, results);
    }));
  return outputs.compare();
}

// Samples for which a model has no value are said.
void note_left_out(const TaskMetric& task, Report& report) {
  for (size_t i = 0; i < task.result.models.size(); ++i)
    if (const int64_t count = task.result.models[i].left_out; count > 0)
      report.warnings.push_back(
          {Severity::caution,
           fmt::format("{} of {} has no value by {} in {} of {} samples (NaN or infinity, or nothing to "
                       "judge by), which count in no figure.",
                       task.metric->title, printable(task.output), report.models[i].name, grouped_text(count),
                       grouped_text(count + task.result.models[i].samples))});
}

// The gates of --require, for each candidate. usage error for a metric that nothing was measured by.
Status judge_requirements(std::span<const Requirement> requirements, Report& report) {
  for (const Requirement& r : requirements) {
    const size_t before = report.requirements.size();
    for (const OutputComparison& output : report.outputs)
      for (const OutputMetric& m : output.metrics)
        for (size_t i = 0; m.metric == r.metric && i < m.result.models.size(); ++i)
          report.requirements.push_back(
              judged_requirement(r, output.name, report.models[i + 1].name, m.result.models[i]));
    for (const TaskMetric& task : report.tasks)
      for (size_t i = 1; task.metric == r.metric && i < task.result.models.size(); ++i)
        report.requirements.push_back(judged_requirement(r, task.output, report.models[i].name, task.result.models[i]));
    if (report.requirements.size() == before)
      return usage_error("--require", fmt::format("no output is measured by {}", r.metric->name),
                         "require one of the metrics that the report shows");
  }
  return {};
}

// What was used of the split, and what the data set has to say.
void note_samples(const Dataset& data, int64_t done, int64_t available, Report& report) {
  if (done < available) {
    const std::string why = stop_requested() ? "the run was interrupted" : "only a part was asked for";
    report.warnings.push_back(
        {Severity::deviation,
         fmt::format("{} of the {} samples of the report split were used: {}.", done, available, why)});
  }
  for (const std::string& text : data.warnings()) report.warnings.push_back({Severity::note, text});
}

}  // namespace

Status check_report_split(const Dataset& data, const EvaluateOptions& options) {
  CUPEL_TRY(data.size("report"));
  if (wants_accuracy(data, options) && !CUPEL_TRY(data.has_labels("report"))) return no_labels(data);
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
  CUPEL_TRY(check_report_split(data, options));
  const int64_t available = CUPEL_TRY(data.size("report"));
  const int64_t wanted = std::min(options.samples.value_or(available), available);
  std::vector<Respondent> all;
  int64_t stride = 1;
  for (size_t i = 0; i < models.size(); ++i) {
    all.push_back(CUPEL_TRY(respondent(models[i], names[i], data, context, options.engine, options.batch)));
    report.models.push_back(model_row(models[i], names[i], i == 0 ? ModelRole::base : ModelRole::candidate));
    stride = std::max(stride, all.back().feed.batch);
  }
  std::optional<LabelJudge> labels = CUPEL_TRY(label_judge(all, data, options, report));
  LabelMetrics metrics = CUPEL_TRY(LabelMetrics::make(all, data));
  OutputComparer outputs(all);
  // Models advance side by side, so that an interrupted run compares them on the same samples.
  int64_t done = 0;
  while (done < wanted && !(stop_requested() && done > 0)) {
    const int64_t count = std::min(stride, wanted - done);
    CUPEL_TRY(judge_samples(all, data, done, count, labels, metrics, outputs));
    done += count;
    if (options.progress) options.progress(labels ? "accuracy" : "outputs", done, wanted);
  }
  note_samples(data, done, available, report);
  if (labels) CUPEL_TRY(fill_accuracy(*labels, options, report));
  report.tasks = metrics.finish();
  for (const TaskMetric& t : report.tasks) note_left_out(t, report);
  if (models.size() > 1) {
    std::vector<std::string> cautions;
    outputs.finish({}, report.outputs, cautions);
    for (std::string& text : cautions) report.warnings.push_back({Severity::caution, std::move(text)});
    const LayerInput layers{models[0], models[1], all[0].engine, all[1].engine, all[0].feed, all[1].feed, data};
    CUPEL_TRY(compare_layers(layers, std::min(options.layer_samples, done), options.progress, report));
    if (options.budget_samples.value_or(options.layer_samples) > 0)
      CUPEL_TRY(measure_budgets(layers, options.budget_samples, done, context.threads, options.progress, report));
  }
  CUPEL_TRY(judge_requirements(options.require, report));
  return fill_dataset_facts(data, done, report);
}

}  // namespace cupel
