#include "driver/assay.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "driver/batches.h"
#include "driver/bind.h"
#include "driver/calibration_run.h"
#include "driver/output_folder.h"
#include "driver/run_array.h"
#include "driver/sensitivity.h"
#include "driver/speed.h"
#include "onnx/writer.h"

namespace cupel {

Result<QuantizedGraph> quantize_on(const Model& model, const Dataset& data, CompileContext& context, int64_t batch,
                                   const Progress& progress, std::span<const std::string> keep_float) {
  const std::string place = printable(model.path.string());
  const int64_t total = CUPEL_TRY(data.size("calibrate"));
  auto feed = feed_for(model.source, data, batch);
  if (!feed) return std::unexpected(std::move(feed).error().within(place));
  narrow_batch(model.source, feed->fixed || keeps_items(model.source), *feed);
  const std::set<NodeId> in_float = CUPEL_TRY(nodes_named(model.source, keep_float));
  ObservedRun run;
  if (!model.is_quantized()) {
    const Selection selection = select_values(model.source, in_float);
    if (!feed->fixed) feed->batch = calibration_batch(model.source, selection.activations, feed->batch);
    auto chosen = calibration_run(model.source, selection.activations, total, context);
    if (!chosen) return std::unexpected(std::move(chosen).error().within(place));
    run = std::move(*chosen);
  }
  const BatchSource batches = split_batches(data, "calibrate", *feed);
  int64_t done = 0;
  const BatchSource counted = [&]() {
    if (progress && done > 0) progress("calibration", std::min(done, total), total);
    done += feed->batch;
    return batches();
  };
  auto quantized = quantize_graph(model.source, counted, context, run, in_float);
  if (!quantized) return std::unexpected(std::move(quantized).error().within(place));
  if (std::string note = model.batch_note(); !note.empty()) quantized->warnings.push_back(std::move(note));
  return quantized;
}

Status describe_data(const std::filesystem::path& path, Provenance& provenance) {
  DatasetFacts facts;
  facts.name = path.stem().string();
  facts.path = path.string();
  facts.sha256 = to_hex(sha256(CUPEL_TRY(read_file(path))));
  provenance.dataset = std::move(facts);
  return {};
}

Result<Report> assay(const std::filesystem::path& path, const std::filesystem::path& data_path, CompileContext& context,
                     const AssayOptions& options) {
  Report report;
  report.title = path.stem().string();
  report.provenance = options.provenance;

  const Dataset data = CUPEL_TRY(Dataset::open(data_path));
  CUPEL_TRY(describe_data(data_path, report.provenance));
  const Model base = CUPEL_TRY(load_for_data(path, data, context));
  if (base.is_quantized())
    return bad_input(printable(path.string()), "the model holds quantize and dequantize nodes already",
                     "give the float model, or compare the two with `cupel evaluate FLOAT QUANTIZED --data D`");

  if (context.passes.stopped) return report;
  CUPEL_TRY(check_report_split(data, options.evaluate));

  const QuantizedGraph quantized = CUPEL_TRY(
      quantize_on(base, data, context, options.evaluate.batch, options.evaluate.progress, options.keep_float));
  if (context.passes.stopped) return report;
  for (const std::string& text : quantized.warnings) report.warnings.push_back({Severity::note, text + "."});
  if (options.warn) options.warn(quantized.warnings);
  if (stop_requested())
    return fail(ErrorKind::resource, "calibration", "interrupted before it was complete; nothing was written",
                "run the command again");
  OutputFolder folder = CUPEL_TRY(OutputFolder::open(options.folder));
  const std::string int8_name = path.stem().string() + ".int8.onnx";
  CUPEL_TRY(folder.placed(write_onnx(quantized.graph, folder.staged(int8_name))));

  context.bindings = {};  // they are in the file
  Model models[] = {base, CUPEL_TRY(load_model(folder.staged(int8_name), context))};
  if (context.passes.stopped) return report;
  models[1].path = folder.destination(int8_name);
  for (const auto& [node, reason] : quantized.plan.kept) models[1].kept_in_float.insert_or_assign(node, reason);
  const std::string names[] = {"FP32", "INT8"};
  report.provenance.quantization = {
      {"scheme", "INT8: activations u8 asymmetric per tensor, weights s8 symmetric per output channel"},
      {"calibration", fmt::format("minimum and maximum over {} samples", CUPEL_TRY(data.size("calibrate")))}};
  for (const std::string& node : options.keep_float) report.provenance.quantization.push_back({"kept in float", node});
  CUPEL_TRY(evaluate_models(models, names, data, context, options.evaluate, report));
  CUPEL_TRY(measure_sensitivity(base, quantized, models[1].program, data, context,
                                {options.sensitivity_samples, options.evaluate.batch, options.evaluate.engine,
                                 options.evaluate.output, options.evaluate.progress},
                                report));
  if (options.evaluate.engine == EngineKind::compiled)
    CUPEL_TRY(measure_speed(models, names, data, context,
                            {options.speed_s, options.evaluate.batch, options.evaluate.progress}, report));

  CUPEL_TRY(folder.write("report.json", to_json(report)));
  CUPEL_TRY(folder.write("report.html", to_html(report)));
  CUPEL_TRY(folder.commit());
  return report;
}

}  // namespace cupel
