#include <fmt/format.h>

#include "base/file.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string engine = "compiled";
  std::string model, data, folder;
  std::optional<int64_t> samples;
  int64_t layer_samples = 200;
  std::optional<int64_t> budget_samples;
  int64_t sensitivity_samples = 0;
  double speed_s = 4;
  std::optional<double> max_drop;
  std::vector<int64_t> top_k;
  std::vector<std::string> require;
  std::string labelled_output;
  std::vector<std::string> keep_float;
  BindingFlags bindings;
};

Result<int> run(const Flags& flags, const CommonFlags& common) {
  const EngineKind engine = CUPEL_TRY(engine_kind(flags.engine));
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  AssayOptions options;
  options.folder = flags.folder;
  options.provenance = provenance(engine);
  options.keep_float = flags.keep_float;
  options.speed_s = flags.speed_s;
  options.sensitivity_samples = flags.sensitivity_samples;
  options.evaluate = {common.batch, flags.samples,         flags.layer_samples, flags.max_drop,
                      flags.top_k,  flags.labelled_output, work.progress(),     engine};
  options.evaluate.require = CUPEL_TRY(requirements_of(flags.require));
  options.evaluate.budget_samples = flags.budget_samples;
  options.warn = print_warnings;
  if (engine == EngineKind::compiled) warn_of_cache();
  auto report = assay(flags.model, flags.data, work.context(), options);
  const bool stopped = work.finish();
  if (!report) return std::unexpected(std::move(report).error());
  if (stopped) return 0;
  if (common.json != "-")
    print(verdict_text(*report) +
          fmt::format("Report: {}\n", printable((std::filesystem::path(flags.folder) / "report.html").string())));
  CUPEL_TRY(write_json(common, to_json(*report)));
  return passes_gates(*report) ? 0 : 1;
}

}  // namespace

Run setup_assay(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Float model (.onnx)")->required();
  command.add_option("--data", flags->data, "Data set (.toml)")->required();
  command.add_option("-o,--output", flags->folder, "Folder for the INT8 model, report.json and report.html")
      ->required();
  command.add_option("--samples", flags->samples, "Assess only the first so many samples of the report split")
      ->check(whole_number(1, kLargest));
  command.add_option("--layer-samples", flags->layer_samples, "Samples behind the errors of single nodes; 0 for none")
      ->check(whole_number(0, kLargest))
      ->capture_default_str();
  add_budget_samples(command, flags->budget_samples);
  command
      .add_option("--sensitivity-samples", flags->sensitivity_samples,
                  "Samples behind the sensitivity to single layers; 0 for none")
      ->check(whole_number(0, kLargest))
      ->capture_default_str();
  command.add_option("--speed-s", flags->speed_s, "Seconds of timed runs behind the speed of both models; 0 for none")
      ->check(real_number(0, 3600))
      ->capture_default_str();
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
  add_keep_float(command, flags->keep_float);
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
