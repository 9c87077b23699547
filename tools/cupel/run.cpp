#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "data/npy.h"
#include "driver/batches.h"
#include "driver/output_folder.h"
#include "driver/run_array.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, folder, engine;  // engine: empty for the default
  std::vector<std::string> inputs;
};

// A file name that stays in its folder and is not taken: separators and leading dots of a model's output name become
// underscores.
std::string file_name(std::string_view name, std::set<std::string>& taken) {
  std::string out = printable(name, 100);
  for (char& c : out)
    if (c == '/' || c == '\\' || c == ':') c = '_';
  if (out.empty() || out[0] == '.') out = "_" + out;
  const std::string stem = out;
  for (int n = 2; !taken.insert(out).second; ++n) out = fmt::format("{}_{}", stem, n);
  return out + ".npy";
}

// The model's inputs in its order, each from its file.
Result<std::vector<Tensor>> read_inputs(const ArrayModel& model, std::map<std::string, std::filesystem::path> files) {
  std::vector<Tensor> inputs;
  for (const ArrayModel::Port& port : model.inputs) {
    const auto file = files.find(port.name);
    if (file == files.end())
      return usage_error("--input", fmt::format("input {} has no file", printable(port.name)),
                         fmt::format("add --input {}=FILE.npy", printable(port.name)));
    inputs.push_back(CUPEL_TRY(read_npy(file->second)));
    if (const auto nan = first_nan(inputs.back()))
      return bad_input(printable(file->second.string()),
                       fmt::format("element {} of {}{} is NaN", *nan, dtype_name(inputs.back().dtype()),
                                   to_text(inputs.back().dims())),
                       "give numbers only");
    files.erase(file);
  }
  if (files.empty()) return inputs;
  std::string names;
  for (const ArrayModel::Port& port : model.inputs) names += (names.empty() ? "" : ", ") + printable(port.name);
  return usage_error("--input", fmt::format("the model has no input {}", printable(files.begin()->first)),
                     "its inputs: " + names);
}

// What `cupel compile` wrote, ready to run.
Result<ArrayModel> open_artifact(const Flags& flags, const CommonFlags& common, CompileContext& context) {
  if (flags.engine == "reference")
    return usage_error("--engine", printable(flags.model) + " holds native code, which the interpreter does not run",
                       "leave --engine away, or name the .onnx file");
  for (const auto& [flag, given] :
       {std::pair{"--stop-after", !common.stop_after.empty()}, std::pair{"--dump-ir", !common.dump_ir.empty()}})
    if (given) return usage_error(flag, printable(flags.model) + " is compiled: no pass runs", "name the .onnx file");
  return array_model(
      std::make_shared<CompiledModel>(CUPEL_TRY(CompiledModel::load_file(flags.model, context.threads.size()))));
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  const EngineKind engine = CUPEL_TRY(engine_kind(flags.engine.empty() ? "compiled" : flags.engine));
  const auto files = CUPEL_TRY(input_files(flags.inputs));
  Work work(common);
  Model loaded;
  ArrayModel model;
  std::vector<Tensor> inputs;
  if (names_compiled_model(flags.model)) {
    model = CUPEL_TRY(open_artifact(flags, common, work.context()));
    inputs = CUPEL_TRY(read_inputs(model, files));
  } else {
    loaded = CUPEL_TRY(load_model(flags.model, work.context()));
    if (work.finish()) return 0;
    inputs = CUPEL_TRY(read_inputs(array_model(loaded.program, {}), files));
    if (engine == EngineKind::compiled) warn_of_cache();
    auto run_graph = make_engine(loaded.program, loaded.path.stem().string(), engine, work.context().threads);
    if (!run_graph) return std::unexpected(std::move(run_graph).error().within(printable(flags.model)));
    model = array_model(loaded.program, std::move(*run_graph));
  }
  auto outputs = run_array(model, inputs, common.batch, work.progress());
  work.finish();
  if (!outputs) return std::unexpected(std::move(outputs).error());
  for (size_t i = 0; i < outputs->size(); ++i)
    if (const auto nan = first_nan((*outputs)[i]))
      return bad_input(fmt::format("{}: output {}", printable(flags.model), printable(model.outputs[i].name)),
                       fmt::format("element {} of {} is NaN", *nan, to_text((*outputs)[i].dims())),
                       "look for a node that divides by 0 or takes the root or logarithm of a negative number, or for "
                       "broken inputs");
  OutputFolder folder = CUPEL_TRY(OutputFolder::open(flags.folder));
  std::string text;
  std::set<std::string> taken;
  nlohmann::ordered_json json;
  json["model"] = printable(flags.model, 4096);
  json["outputs"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < outputs->size(); ++i) {
    const std::string& name = model.outputs[i].name;
    const Tensor& output = (*outputs)[i];
    const std::string file = file_name(name, taken);
    CUPEL_TRY(folder.placed(write_npy(folder.staged(file), output)));
    json["outputs"].push_back({{"name", printable(name)},
                               {"dtype", dtype_name(output.dtype())},
                               {"shape", output.dims()},
                               {"path", printable(folder.destination(file).string(), 4096)}});
    text += fmt::format("{}: {}{} -> {}\n", printable(name), dtype_name(output.dtype()), to_text(output.dims()),
                        printable(folder.destination(file).string()));
  }
  CUPEL_TRY(folder.commit());
  if (common.json != "-") print(text);
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_run(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Model (.onnx, float or with Q/DQ nodes; or what `cupel compile` wrote)")
      ->required();
  command.add_option("--input", flags->inputs, "An input and its array: NAME=FILE.npy")
      ->required()
      ->allow_extra_args(false);
  command.add_option("-o,--output", flags->folder, "Folder for the outputs, one .npy each")->required();
  add_engine(command, flags->engine);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
