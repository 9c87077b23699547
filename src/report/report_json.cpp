#include <cmath>
#include <nlohmann/json.hpp>

#include "report/report.h"
#include "report/wording.h"

namespace cupel {
namespace {

using json = nlohmann::ordered_json;

json text(std::string_view value) { return display_text(value); }

// JSON has no infinity and no NaN.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json interval_json(const Interval& interval) {
  return {{"lower", number(interval.lower)}, {"upper", number(interval.upper)}};
}

json facts_json(const std::vector<Fact>& facts) {
  json object = json::object();
  for (const Fact& fact : facts) object[display_name(fact.name)] = text(fact.value);
  return object;
}

json dataset_json(const DatasetFacts& d) {
  json steps = json::array(), splits = json::array();
  for (const std::string& step : d.preprocessing) steps.push_back(text(step));
  for (const SplitFacts& s : d.splits)
    splits.push_back({{"name", text(s.name)},
                      {"source", text(s.source)},
                      {"samples", s.samples},
                      {"available", s.available},
                      {"dropped", s.dropped},
                      {"sample_hash", text(s.sample_hash)}});
  return {{"name", text(d.name)},   {"path", text(d.path)},     {"sha256", text(d.sha256)}, {"classes", d.classes},
          {"preprocessing", steps}, {"layout", text(d.layout)}, {"splits", splits}};
}

json provenance_json(const Provenance& p) {
  json words = json::array(), seeds = json::object();
  for (const std::string& word : p.command) words.push_back(text(word));
  for (const auto& [name, seed] : p.seeds) seeds[display_name(name)] = seed;
  json object = {{"date", text(p.date)},
                 {"command", words},
                 {"command_line", text(shell_text(p.command))},
                 {"versions", facts_json(p.versions)},
                 {"machine", facts_json(p.machine)},
                 {"quantization", facts_json(p.quantization)},
                 {"seeds", seeds}};
  if (p.dataset) object["dataset"] = dataset_json(*p.dataset);
  return object;
}

json model_json(const ModelRow& m, const ModelRow& base) {
  json precisions = json::array();
  for (const PrecisionCount& p : m.precisions)
    precisions.push_back({{"precision", text(p.precision)}, {"nodes", p.nodes}, {"macs", p.macs}});
  json object = {{"name", text(m.name)},
                 {"role", m.role == ModelRole::base ? "base" : "candidate"},
                 {"path", text(m.path)},
                 {"sha256", text(m.sha256)},
                 {"file_bytes", m.file_bytes},
                 {"weights_bytes", m.weight_bytes},
                 {"parameters", m.parameters},
                 {"macs_per_sample", m.macs},
                 {"bit_operations_per_sample", m.bit_operations}};
  if (m.peak_memory_bytes) object["peak_memory_bytes"] = *m.peak_memory_bytes;
  object["precisions"] = precisions;
  if (&m != &base) {
    json change = json::object();
    auto put = [&](const char* key, int64_t before, int64_t after) {
      if (const auto value = relative_change(before, after)) change[key] = *value;
    };
    put("file_bytes", base.file_bytes, m.file_bytes);
    put("weights_bytes", base.weight_bytes, m.weight_bytes);
    put("parameters", base.parameters, m.parameters);
    put("macs_per_sample", base.macs, m.macs);
    put("bit_operations_per_sample", base.bit_operations, m.bit_operations);
    if (base.peak_memory_bytes && m.peak_memory_bytes)
      put("peak_memory_bytes", *base.peak_memory_bytes, *m.peak_memory_bytes);
    object["relative_change"] = change;
  }
  return object;
}

json flips_json(const Flips& flips) {
  return {{"right_to_wrong", flips.right_to_wrong},
          {"wrong_to_right", flips.wrong_to_right},
          {"wrong_to_other_wrong", flips.wrong_to_other_wrong},
          {"changed_predictions", flips.changed_predictions}};
}

json comparison_json(const Comparison& c) {
  json object = {{"difference", c.difference},
                 {"difference_interval", interval_json(c.interval)},
                 {"interval_method", "Tango score"},
                 {"mcnemar_exact_p", number(c.mcnemar_p)},
                 {"flips", flips_json(c.flips)}};
  if (c.verdict)
    object["verdict"] = {{"kind", verdict_name(c.verdict->kind)},
                         {"max_drop_points", c.verdict->max_drop_points},
                         {"max_drop", c.verdict->max_drop_points / 100},
                         {"sentence", text(c.verdict->sentence)}};
  json sentences = json::array();
  for (const std::string& sentence : c.sentences) sentences.push_back(text(sentence));
  object["sentences"] = sentences;
  return object;
}

json accuracy_json(const Report& report) {
  json metrics = json::array();
  for (const AccuracyMetric& metric : report.accuracy) {
    json models = json::array(), comparisons = json::array();
    for (size_t i = 0; i < metric.models.size() && i < report.models.size(); ++i) {
      const Accuracy& a = metric.models[i];
      models.push_back({{"model", text(report.models[i].name)},
                        {"samples", a.samples},
                        {"right", a.right},
                        {"value", number(a.value)},
                        {"interval", interval_json(a.interval)},
                        {"interval_method", "Wilson score"}});
    }
    for (size_t i = 0; i < metric.comparisons.size() && i + 1 < report.models.size(); ++i) {
      json row = {{"base", text(report.models[0].name)},
                  {"candidate", text(report.models[i + 1].name)},
                  {"headline", &metric == &report.accuracy[0] ? json(accuracy_words(report, i)) : json(nullptr)}};
      row.update(comparison_json(metric.comparisons[i]));
      comparisons.push_back(row);
    }
    metrics.push_back({{"kind", "accuracy"},
                       {"top_k", metric.top_k},
                       {"confidence", metric.confidence},
                       {"models", models},
                       {"comparisons", comparisons}});
  }
  return metrics;
}

json metric_value_json(const MetricValue& v) {
  json object = {{"samples", v.samples}, {"left_out", v.left_out}, {"value", number(v.value)}};
  if (std::isinf(v.value) && v.value > 0) object["infinite"] = true;
  if (v.interval) {
    object["interval"] = interval_json(*v.interval);
    object["interval_method"] = v.interval_method;
  }
  return object;
}

json metric_difference_json(const MetricDifference& d) {
  json object = {{"samples", d.samples}, {"difference", number(d.value)}};
  if (d.interval) object["difference_interval"] = interval_json(*d.interval);
  return object;
}

json metric_json(const MetricDef& metric) {
  return {{"metric", metric.name},
          {"title", metric.title},
          {"unit", metric.unit},
          {"better", metric.better == Better::higher ? "higher" : "lower"},
          {"meaning", metric.meaning}};
}

json output_json(const Report& report, const OutputComparison& output) {
  json non_finite = json::array(), metrics = json::array();
  for (size_t i = 0; i < output.non_finite.size() && i < report.models.size(); ++i)
    non_finite.push_back({{"model", text(report.models[i].name)}, {"samples", output.non_finite[i]}});
  for (const OutputMetric& m : output.metrics) {
    json row = metric_json(*m.metric), candidates = json::array(), comparisons = json::array();
    for (size_t i = 0; i < m.result.models.size() && i + 1 < report.models.size(); ++i) {
      candidates.push_back({{"model", text(report.models[i + 1].name)}});
      candidates.back().update(metric_value_json(m.result.models[i]));
    }
    for (size_t i = 0; i < m.result.differences.size() && i + 2 < report.models.size(); ++i) {
      comparisons.push_back({{"first", text(report.models[1].name)}, {"second", text(report.models[i + 2].name)}});
      comparisons.back().update(metric_difference_json(m.result.differences[i]));
    }
    row["candidates"] = candidates;
    if (!comparisons.empty()) row["comparisons"] = comparisons;
    metrics.push_back(row);
  }
  return {{"output", display_name(output.name)},
          {"item", output_text(output.form)},
          {"unit_of_comparison", output.by_batch ? "batch" : "sample"},
          {"samples", output.samples},
          {"confidence", output.confidence},
          {"non_finite", non_finite},
          {"metrics", metrics}};
}

json task_json(const Report& report, const TaskMetric& task) {
  json row = metric_json(*task.metric), settings = json::object(), models = json::array(), comparisons = json::array();
  for (const auto& [name, value] : task.settings) settings[name] = number(value);
  for (size_t i = 0; i < task.result.models.size() && i < report.models.size(); ++i) {
    models.push_back({{"model", text(report.models[i].name)}});
    models.back().update(metric_value_json(task.result.models[i]));
  }
  for (size_t i = 0; i < task.result.differences.size() && i + 1 < report.models.size(); ++i) {
    comparisons.push_back({{"base", text(report.models[0].name)}, {"candidate", text(report.models[i + 1].name)}});
    comparisons.back().update(metric_difference_json(task.result.differences[i]));
    comparisons.back()["verdict"] = shown_name(shown(*task.metric, task.result.differences[i]));
  }
  row.update({{"output", display_name(task.output)},
              {"target", display_name(task.target)},
              {"settings", settings},
              {"confidence", task.confidence},
              {"models", models},
              {"comparisons", comparisons}});
  return row;
}

json requirement_json(const RequirementVerdict& r) {
  return {{"requirement", text(r.requirement)}, {"metric", text(r.metric)},
          {"output", display_name(r.output)},   {"model", text(r.model)},
          {"kind", verdict_name(r.kind)},       {"sentence", text(r.sentence)}};
}

json budget_json(const ErrorBudget& budget) {
  json parts = json::object();
  const auto share = [&](double power) {
    return json{{"noise_power", number(power)}, {"share", number(budget.share(power))}};
  };
  for (const BudgetPartName& part : kBudgetPartNames) parts[part.name] = share(budget.part(part.part));
  return {{"elements", budget.elements},
          {"signal_power", number(budget.signal)},
          {"noise_power", number(budget.total)},
          {"sqnr_db", number(budget.sqnr_db())},
          {"parts", parts},
          {"interaction", share(budget.interaction())}};
}

json effect_json(const LayerEffect& effect) {
  json row = {{"sqnr_db", number(effect.sqnr_db)}};
  if (effect.accuracy_difference) row["accuracy_difference"] = number(*effect.accuracy_difference);
  if (effect.flips) row["flips"] = flips_json(*effect.flips);
  if (effect.metric_difference) row["metric_difference"] = number(*effect.metric_difference);
  return row;
}

json layers_json(const Report& report) {
  json nodes = json::array();
  for (const LayerRow& layer : report.layers) {
    json row = {{"position", nodes.size() + 1},
                {"name", display_name(layer.name)},
                {"op", display_name(layer.op)},
                {"precision", display_name(layer.precision)}};
    if (layer.error)
      row["error"] = {{"sqnr_db", number(layer.error->sqnr_db)},
                      {"identical", std::isinf(layer.error->sqnr_db) && layer.error->sqnr_db > 0},
                      {"cosine", number(layer.error->cosine)},
                      {"max_abs_error", number(layer.error->max_abs_error)},
                      {"elements", layer.error->elements}};
    if (layer.budget) row["budget"] = budget_json(*layer.budget);
    if (layer.sensitivity)
      row["sensitivity"] = {{"only", effect_json(layer.sensitivity->only)},
                            {"without", effect_json(layer.sensitivity->without)}};
    if (layer.clipped_share) row["clipped_share"] = number(*layer.clipped_share);
    row["macs_per_sample"] = layer.macs;
    row["weights_bytes"] = layer.weight_bytes;
    if (!layer.kernel.empty()) row["kernel"] = text(layer.kernel);
    if (!layer.reason.empty()) row["reason"] = text(layer.reason);
    nodes.push_back(row);
  }
  const bool known = report.layers_model < report.models.size();
  return {{"model", known ? text(report.models[report.layers_model].name) : json(nullptr)},
          {"samples", report.layers_samples},
          {"budget_samples", report.budget_samples},
          {"count", report.layers.size()},
          {"nodes", nodes}};
}

json speed_json(const SpeedComparison& c) {
  return {{"ratio", number(c.ratio)},
          {"ratio_interval", interval_json(c.interval)},
          {"ratio_interval_coverage", number(c.coverage)},
          {"rounds", c.rounds},
          {"verdict", speed_verdict_name(c.verdict)}};
}

json latency_json(const Report& report, const Latency& latency) {
  json models = json::array();
  for (size_t i = 0; i < latency.models.size() && i < report.models.size(); ++i) {
    const LatencyRow& row = latency.models[i];
    json medians = json::array();
    for (const double median : row.round_medians_us) medians.push_back(number(median));
    json object = {{"model", text(report.models[i].name)},
                   {"latency_median_us", number(row.median_us)},
                   {"latency_median_interval_us", interval_json(row.median_interval_us)},
                   {"latency_p90_us", number(row.p90_us)},
                   {"latency_p95_us", number(row.p95_us)},
                   {"latency_p99_us", number(row.p99_us)},
                   {"throughput_items_per_s", number(row.items_per_second)},
                   {"arena_bytes", row.arena_bytes},
                   {"constants_bytes", row.constants_bytes}};
    if (row.to_base) {
      object["to_base"] = speed_json(*row.to_base);
      object["speed_up"] = number(1 / row.to_base->ratio);
      object["speed_up_interval"] = interval_json(speed_up_interval(*row.to_base));
    }
    object["round_medians_us"] = medians;
    models.push_back(object);
  }
  return {{"batch", latency.batch}, {"threads", latency.threads}, {"models", models}};
}

}  // namespace

std::string to_json(const Report& report) {
  json models = json::array(), warnings = json::array();
  for (const ModelRow& model : report.models) {
    models.push_back(model_json(model, report.models.front()));
    if (&model != &report.models.front())
      models.back()["headline"] = text(headline(report, static_cast<size_t>(&model - &report.models[1])));
  }
  for (const Warning& warning : report.warnings)
    warnings.push_back({{"severity", severity_name(warning.severity)}, {"text", text(warning.text)}});
  json object = {{"schema_version", kReportSchemaVersion},
                 {"title", display_name(report.title)},
                 {"provenance", provenance_json(report.provenance)},
                 {"models", models},
                 {"accuracy", accuracy_json(report)}};
  for (const TaskMetric& task : report.tasks) object["task_metrics"].push_back(task_json(report, task));
  for (const OutputComparison& output : report.outputs) object["outputs"].push_back(output_json(report, output));
  for (const RequirementVerdict& r : report.requirements) object["requirements"].push_back(requirement_json(r));
  object["layers"] = layers_json(report);
  if (report.sensitivity)
    object["sensitivity"] = {{"split", text(report.sensitivity->split)},
                             {"samples", report.sensitivity->samples},
                             {"layers", report.sensitivity->layers},
                             {"all", effect_json(report.sensitivity->all)}};
  if (!report.latency.empty()) object["latency"] = json::array();
  for (const Latency& latency : report.latency) object["latency"].push_back(latency_json(report, latency));
  object["warnings"] = warnings;
  // Every text went through display_text, so it is valid UTF-8; `replace` keeps dump from throwing if one did not.
  return object.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace cupel
