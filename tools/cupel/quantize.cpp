#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "driver/bind.h"
#include "onnx/writer.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, data, output;
  bool external_data = false;
  std::vector<std::string> keep_float;
  BindingFlags bindings;
};

Result<int> run(const Flags& flags, const CommonFlags& common) {
  CUPEL_TRY(check_place(flags.output));
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  const Dataset data = CUPEL_TRY(Dataset::open(flags.data));
  const Model model = CUPEL_TRY(load_for_data(flags.model, data, work.context()));
  if (work.context().passes.stopped) {
    work.finish();
    return 0;
  }
  auto quantized = quantize_on(model, data, work.context(), common.batch, work.progress(), flags.keep_float);
  if (work.finish()) return 0;
  if (!quantized) return std::unexpected(std::move(quantized).error());
  if (stop_requested())
    return fail(ErrorKind::resource, "calibration", "interrupted before it was complete; nothing was written",
                "run the command again");
  print_warnings(quantized->warnings);
  CUPEL_TRY(write_onnx(quantized->graph, flags.output, {flags.external_data}));
  work.context().bindings = {};  // they are in the file
  const Model written = CUPEL_TRY(load_model(flags.output, work.context()));
  const ModelRow before = model_row(model, "FP32", ModelRole::base),
                 after = model_row(written, "INT8", ModelRole::candidate);
  int64_t integer_macs = 0;
  for (const PrecisionCount& p : after.precisions)
    if (p.precision == "INT8") integer_macs = p.macs;
  const int64_t samples = CUPEL_TRY(data.size("calibrate"));
  if (common.json != "-")
    print(fmt::format(
        "{}: {} of {} million multiply-adds on integers, weights {} -> {} bytes, calibrated on {} samples\n",
        printable(flags.output), integer_macs / 1000000, after.macs / 1000000, before.weight_bytes, after.weight_bytes,
        samples));
  nlohmann::ordered_json json;
  json["path"] = printable(flags.output, 4096);
  json["sha256"] = written.sha256;
  json["file_bytes"] = written.file_bytes;
  json["weights_bytes"] = after.weight_bytes;
  json["base_weights_bytes"] = before.weight_bytes;
  json["macs_per_sample"] = after.macs;
  json["integer_macs_per_sample"] = integer_macs;
  json["calibration_samples"] = samples;
  json["kept_in_float"] = nlohmann::ordered_json::object();
  for (const auto& [node, reason] : quantized->plan.kept) json["kept_in_float"][printable(node, 4096)] = reason;
  json["warnings"] = quantized->warnings;
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_quantize(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Float model (.onnx)")->required();
  command.add_option("--data", flags->data, "Data set (.toml); its calibrate split is used")->required();
  command.add_option("-o,--output", flags->output, "The quantized model (.onnx)")->required();
  command.add_flag("--external-data", flags->external_data, "Keep large constants in a file beside the model");
  add_keep_float(command, flags->keep_float);
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
