#include "driver/label_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"

namespace cupel {
namespace {

Result<MetricSettings> settings_of(const MetricChoice& choice, const MetricDef& metric) {
  MetricSettings settings;
  std::string known;
  for (const MetricSetting& s : metric.settings) {
    known += (known.empty() ? "" : ", ") + std::string(s.name);
    settings[std::string(s.name)] = s.standard;
  }
  for (const auto& [name, value] : choice.settings) {
    const auto row = std::ranges::find(metric.settings, name, &MetricSetting::name);
    if (row == metric.settings.end())
      return bad_input(choice.place, fmt::format("metric {} has no setting \"{}\"", metric.name, printable(name)),
                       known.empty() ? "remove it" : "its settings are " + known);
    if (value < row->least || value > row->most)
      return bad_input(choice.place,
                       fmt::format("{} is {}, expected {:g} to {:g}", row->name, value, row->least, row->most),
                       "correct the value");
    settings[name] = value;
  }
  for (const auto& [name, value] : settings)
    if (std::isnan(value))
      return bad_input(choice.place, fmt::format("metric {} needs the setting \"{}\"", metric.name, name),
                       fmt::format("add {} = …", name));
  return settings;
}

// The output called `name`, or the only one where `name` is empty.
Result<size_t> output_called(const Respondent& r, const MetricChoice& choice) {
  const Graph& model = r.model->program;
  std::string names;
  for (size_t i = 0; i < model.outputs().size(); ++i) {
    const std::string& name = model.value(model.outputs()[i]).name;
    if (name == choice.output || (choice.output.empty() && model.outputs().size() == 1)) return i;
    names += (names.empty() ? "" : ", ") + printable(name);
  }
  if (choice.output.empty())
    return bad_input(choice.place, fmt::format("{} has several outputs: {}", r.place(), names),
                     "say which one is meant: output = \"…\"");
  return bad_input(choice.place, fmt::format("{} has no output \"{}\"", r.place(), printable(choice.output)),
                   "its outputs are " + names);
}

}  // namespace

Result<LabelMetrics> LabelMetrics::make(std::span<const Respondent> models, const Dataset& data) {
  LabelMetrics all;
  for (size_t i = 0; i < data.metrics().size(); ++i) {
    const MetricChoice& choice = data.metrics()[i];
    if (choice.target.empty()) continue;
    Row row{i, choice.place, find_metric(choice.kind), {}, choice.target, {}, {}, {}, {}};
    if (row.metric == nullptr || row.metric->judge != Judge::labels)
      return unsupported(choice.place, fmt::format("\"{}\" is not supported", printable(choice.kind)),
                         "supported kinds: accuracy, " + label_metric_names());
    row.settings = CUPEL_TRY(settings_of(choice, *row.metric));
    for (const Respondent& r : models) {
      row.index.push_back(CUPEL_TRY(output_called(r, choice)));
      row.rows.push_back(output_rows(r.model->program, r.feed, row.index.back()));
      const Value& output = r.model->program.value(r.model->program.outputs()[row.index.back()]);
      if ((row.rows.back().each == 0 && r.feed.batch > 1) || dtype_bits(output.type.dtype) < 8)
        return unsupported(
            choice.place,
            fmt::format("output {} of {} holds nothing for each sample", printable(output.name), r.place()),
            "judge an output with a batch");
      if (row.output.empty()) row.output = output.name;
    }
    row.parts.resize(models.size());
    all.rows_.push_back(std::move(row));
  }
  return all;
}

Status LabelMetrics::see(size_t model, const Samples& samples, int64_t first, int64_t count,
                         const std::vector<Tensor>& outputs) {
  std::vector<double> parts;
  for (Row& row : rows_) {
    const Tensor& targets = samples.targets[row.choice];
    for (int64_t i = 0; i < count; ++i) {
      const Item item = item_of(sample_of_output(outputs[row.index[model]], row.rows[model], i));
      const Item label = item_of(sample_of_output(targets, {1, true}, first + i));
      const OutputForm form{item.tensor.dtype(), item.tensor.dims(), Scores::none, -1};
      if (const std::string why =
              row.metric->refuses(form, {label.tensor.dtype(), label.tensor.dims(), Scores::none, -1});
          !why.empty())
        return bad_input(row.place,
                         fmt::format("metric {} does not judge output {} by \"{}\": {}", row.metric->name,
                                     printable(row.output), printable(row.target), why),
                         "name another output, target or kind");
      parts.clear();
      row.metric->measure(form, label, item, row.settings, parts);
      row.parts[model].add(parts);
    }
  }
  return {};
}

std::vector<TaskMetric> LabelMetrics::finish(const BootstrapOptions& options) const {
  std::vector<TaskMetric> metrics;
  for (const Row& row : rows_)
    metrics.push_back({row.metric, row.output, row.target, row.settings, options.confidence,
                       summarize(*row.metric, row.parts, row.settings, options)});
  return metrics;
}

}  // namespace cupel
