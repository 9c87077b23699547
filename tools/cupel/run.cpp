#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "data/npy.h"
#include "driver/batches.h"
#include "driver/bind.h"
#include "driver/output_folder.h"
#include "driver/parts.h"
#include "driver/run_array.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, folder, engine;  // engine: empty for the default
  std::vector<std::string> inputs;
  BindingFlags bindings;
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

struct Inputs {
  std::map<std::string, Tensor> arrays;
  bool has_nan = false;
};

// The arrays of the inputs `names`, each from its file. ONNX allows NaN, which is warned of: most of the time something
// went wrong before, and codes have none.
Result<Inputs> read_inputs(const std::vector<std::string>& names, std::map<std::string, std::filesystem::path> files) {
  Inputs inputs;
  for (const std::string& name : names) {
    const auto file = files.find(name);
    if (file == files.end())
      return usage_error("--input", fmt::format("input {} has no file", printable(name)),
                         fmt::format("add --input {}=FILE.npy", printable(name)));
    const Tensor array = CUPEL_TRY(read_npy(file->second));
    inputs.arrays.emplace(name, array);
    if (const auto nan = first_nan(array)) {
      inputs.has_nan = true;
      std::fputs(fmt::format("warning: {}: element {} of {}{} is NaN\n", printable(file->second.string()), *nan,
                             dtype_name(array.dtype()), to_text(array.dims()))
                     .c_str(),
                 stderr);
    }
    files.erase(file);
  }
  if (files.empty()) return inputs;
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + printable(name);
  return usage_error("--input", fmt::format("the model has no input {}", printable(files.begin()->first)),
                     "its inputs: " + (list.empty() ? "none" : list));
}

std::vector<std::string> names_of(const std::vector<ArrayModel::Port>& ports) {
  std::vector<std::string> names;
  for (const ArrayModel::Port& port : ports) names.push_back(port.name);
  return names;
}

// An input with a value needs no array.
std::vector<std::string> names_of(const std::vector<DeclaredInput>& inputs, const Bindings& given) {
  std::vector<std::string> names;
  for (const DeclaredInput& input : inputs)
    if (!given.numbers.contains(input.name)) names.push_back(input.name);
  return names;
}

// A model that runs, with what it is made of.
struct Runner {
  std::shared_ptr<Model> loaded;  // null for native code
  ArrayModel model;
};

// What `cupel compile` wrote, in those of its sizes that the arrays have.
Result<Runner> open_artifact(const Flags& flags, const CommonFlags& common, CompileContext& context,
                             const std::map<std::string, std::filesystem::path>& files, Inputs& inputs) {
  if (flags.engine == "reference")
    return usage_error("--engine", printable(flags.model) + " holds native code, which the interpreter does not run",
                       "leave --engine away, or name the .onnx file");
  for (const auto& [flag, given] :
       {std::pair{"--stop-after", !common.stop_after.empty()}, std::pair{"--dump-ir", !common.dump_ir.empty()}})
    if (given) return usage_error(flag, printable(flags.model) + " is compiled: no pass runs", "name the .onnx file");
  const auto code =
      std::make_shared<CompiledModel>(CUPEL_TRY(CompiledModel::load_file(flags.model, context.threads.size())));
  std::vector<std::string> names;
  for (int32_t i = 0; i < code->image().input_count; ++i) names.emplace_back(code->image().inputs[i].name);
  inputs = CUPEL_TRY(read_inputs(names, files));
  std::vector<Tensor> arrays;
  for (const std::string& name : names) arrays.push_back(inputs.arrays.at(name));
  return Runner{nullptr, array_model(code, *CUPEL_TRY(code->sizes_for(arrays)))};
}

Result<Runner> make_runner(const std::filesystem::path& path, EngineKind engine, CompileContext& context) {
  auto loaded = std::make_shared<Model>(CUPEL_TRY(load_model(path, context)));
  if (context.passes.stopped) return Runner{};
  auto run_graph = make_engine(loaded->program, loaded->path.stem().string(), engine, context.threads);
  if (!run_graph) return std::unexpected(std::move(run_graph).error().within(printable(path.string())));
  ArrayModel model = array_model(loaded->program, std::move(*run_graph));
  return Runner{std::move(loaded), std::move(model)};
}

// The freest of the ways to bind the model to its arrays of which code can be made; the error of the tightest, or that
// data decide what a node gives.
Result<Runner> bind_and_make(const std::filesystem::path& path, EngineKind engine, CompileContext& context,
                             const std::vector<Bindings>& ways) {
  const PassOptions passes = context.passes;
  std::optional<Error> decided;
  for (size_t i = 0;; ++i) {
    context.bindings = ways[i];
    context.passes = passes;
    auto runner = make_runner(path, engine, context);
    if (runner || runner.error().kind != ErrorKind::unsupported) return runner;
    if (runner.error().code == ErrorCode::computed_at_run_time) decided = runner.error();
    if (i + 1 == ways.size()) return decided ? std::unexpected(*decided) : std::move(runner);
  }
}

struct Output {
  std::string name;
  Tensor array;
};

// ONNX allows NaN; one that comes of numbers is worth a look.
void warn_of_nan(const Flags& flags, const std::vector<Output>& outputs) {
  std::vector<std::string> warnings;
  for (const Output& output : outputs)
    if (const auto nan = first_nan(output.array))
      warnings.push_back(
          fmt::format("{}: output {}: element {} of {} is NaN; look for a node that divides by 0 or takes "
                      "the root or logarithm of a negative number, or for broken inputs",
                      printable(flags.model), printable(output.name), *nan, to_text(output.array.dims())));
  print_warnings(warnings);
}

Status write_outputs(const Flags& flags, const CommonFlags& common, const std::vector<Output>& outputs) {
  OutputFolder folder = CUPEL_TRY(OutputFolder::open(flags.folder));
  std::string text;
  std::set<std::string> taken;
  nlohmann::ordered_json json;
  json["model"] = printable(flags.model, 4096);
  json["outputs"] = nlohmann::ordered_json::array();
  for (const auto& [name, output] : outputs) {
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
  return write_json(common, json.dump(2) + "\n");
}

// A network whose data decide sizes.
Result<int> run_parts(const Flags& flags, const CommonFlags& common, EngineKind engine, Work& work,
                      const Inputs& inputs, const Bindings& given) {
  work.context().bindings = {};
  auto done = run_in_parts(flags.model, inputs.arrays, given, engine, work.context());
  work.finish();
  if (!done) return std::unexpected(std::move(done).error());
  std::vector<Output> outputs;
  for (auto& [name, array] : *done) outputs.push_back({name, std::move(array)});
  if (!inputs.has_nan) warn_of_nan(flags, outputs);
  CUPEL_TRY(write_outputs(flags, common, outputs));
  return 0;
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  const EngineKind engine = CUPEL_TRY(engine_kind(flags.engine.empty() ? "compiled" : flags.engine));
  const auto files = CUPEL_TRY(input_files(flags.inputs));
  Work work(common);
  const Bindings given = CUPEL_TRY(bindings_of(flags.bindings));
  Runner runner;
  Inputs inputs;
  if (names_compiled_model(flags.model)) {
    if (!given.empty())
      return usage_error(printable(flags.model), "the sizes of native code are settled, or chosen by its arrays",
                         "leave --dim, --shape and --value away");
    runner = CUPEL_TRY(open_artifact(flags, common, work.context(), files, inputs));
  } else {
    const auto declared = CUPEL_TRY(model_inputs(flags.model));
    const bool is_dump = std::filesystem::path(flags.model).extension() == ".graph";
    const bool only_passes = !common.stop_after.empty() && files.empty();
    if (!is_dump && !only_passes) inputs = CUPEL_TRY(read_inputs(names_of(declared, given), files));
    if (engine == EngineKind::compiled) warn_of_cache();
    auto made = bind_and_make(flags.model, engine, work.context(), ways_to_bind(declared, inputs.arrays, given));
    if (!made && made.error().code == ErrorCode::computed_at_run_time && common.stop_after.empty() && !is_dump)
      return run_parts(flags, common, engine, work, inputs, given);
    runner = CUPEL_TRY(std::move(made));
    if (work.finish()) return 0;
    if (is_dump || only_passes) inputs = CUPEL_TRY(read_inputs(names_of(runner.model.inputs), files));
  }
  const ArrayModel& model = runner.model;
  std::vector<Tensor> arrays;
  for (const ArrayModel::Port& port : model.inputs) arrays.push_back(inputs.arrays.at(port.name));
  auto outputs = run_array(model, arrays, common.batch, work.progress());
  work.finish();
  if (!outputs) return std::unexpected(std::move(outputs).error());
  std::vector<Output> named;
  for (size_t i = 0; i < outputs->size(); ++i) named.push_back({model.outputs[i].name, (*outputs)[i]});
  if (!inputs.has_nan) warn_of_nan(flags, named);
  CUPEL_TRY(write_outputs(flags, common, named));
  return 0;
}

}  // namespace

Run setup_run(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Model (.onnx, float or with Q/DQ nodes; or what `cupel compile` wrote)")
      ->required();
  command.add_option("--input", flags->inputs, "An input and its array: NAME=FILE.npy; every input needs one")
      ->allow_extra_args(false);
  command.add_option("-o,--output", flags->folder, "Folder for the outputs, one .npy each")->required();
  add_engine(command, flags->engine);
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
