#include <fmt/format.h>

#include "base/file.h"
#include "driver/bind.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string engine = "compiled";
  std::vector<std::string> models;
  std::string data, html;
  std::optional<int64_t> samples;
  int64_t layer_samples = 200;
  std::optional<int64_t> budget_samples;
  std::optional<double> max_drop;
  std::vector<int64_t> top_k;
  std::vector<std::string> require;
  std::string labelled_output;
  BindingFlags bindings;
};

// Heads of the report's columns: the precision, with the file's name where that is not enough.
std::vector<std::string> column_names(const std::vector<Model>& models) {
  std::vector<std::string> names;
  for (const Model& m : models) names.push_back(m.is_quantized() ? "INT8" : "FP32");
  for (size_t i = 0; i < names.size(); ++i) {
    bool unique = true;
    for (size_t j = 0; j < names.size(); ++j)
      unique = unique && (i == j || names[i] != (models[j].is_quantized() ? "INT8" : "FP32"));
    if (!unique) names[i] += " " + models[i].path.stem().string();
  }
  return names;
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  if (!flags.html.empty()) CUPEL_TRY(check_place(flags.html));
  const EngineKind engine = CUPEL_TRY(engine_kind(flags.engine));
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  Report report;
  report.provenance = provenance(engine);
  const Dataset data = CUPEL_TRY(Dataset::open(flags.data));
  CUPEL_TRY(describe_data(flags.data, report.provenance));
  std::vector<Model> models;
  for (const std::string& path : flags.models) {
    models.push_back(CUPEL_TRY(load_for_data(path, data, work.context())));
    if (const std::string note = models.back().batch_note(); !note.empty())
      report.warnings.push_back({Severity::note, note + "."});
    if (work.context().passes.stopped) {
      work.finish();
      return 0;
    }
  }
  report.title = models[0].path.stem().string();
  if (engine == EngineKind::compiled) warn_of_cache();
  const EvaluateOptions options{common.batch,        flags.samples, flags.layer_samples,
                                flags.max_drop,      flags.top_k,   flags.labelled_output,
                                work.progress(),     engine,        CUPEL_TRY(requirements_of(flags.require)),
                                flags.budget_samples};
  Status status = evaluate_models(models, column_names(models), data, work.context(), options, report);
  work.finish();
  if (!status) return std::unexpected(std::move(status).error());
  if (common.json != "-") print(verdict_text(report));
  CUPEL_TRY(write_json(common, to_json(report)));
  if (!flags.html.empty()) CUPEL_TRY(write_file(flags.html, to_html(report)));
  return passes_gates(report) ? 0 : 1;
}

}  // namespace

Run setup_evaluate(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODELS", flags->models, "Base model, then candidates (.onnx, float or with Q/DQ nodes)")
      ->required();
  command.add_option("--data", flags->data, "Data set (.toml)")->required();
  command.add_option("--html", flags->html, "Also write the report as a page");
  command.add_option("--samples", flags->samples, "Use only the first so many samples of the report split")
      ->check(whole_number(1, kLargest));
  command.add_option("--layer-samples", flags->layer_samples, "Samples behind the errors of single nodes; 0 for none")
      ->check(whole_number(0, kLargest))
      ->capture_default_str();
  add_budget_samples(command, flags->budget_samples);
  command
      .add_option("--max-drop", flags->max_drop,
                  "Largest loss of accuracy to accept, in percentage points; exit 1 unless the interval lies within")
      ->check(real_number(0, 100));
  command.add_option("--labelled-output", flags->labelled_output,
                     "The output whose class scores the labels judge (default: as the data set says, or the only one)");
  command.add_option("--top-k", flags->top_k, "Top-k accuracy to assess (default: as the data set says)")
      ->check(whole_number(1, kLargest));
  command.add_option("--require", flags->require,
                     "A further gate: METRIC>=X or METRIC<=X, of every output; exit 1 unless the interval lies within");
  add_engine(command, flags->engine);
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
