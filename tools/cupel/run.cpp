#include <map>

#include <fmt/format.h>

#include "base/file.h"
#include "data/npy.h"
#include "driver/run_array.h"
#include "reference/interpreter.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, folder, engine = "reference";
  std::vector<std::string> inputs;
};

// A file name that stays in its folder: separators and leading dots of a model's output name become underscores.
std::string file_name(std::string_view name) {
  std::string out = printable(name, 100);
  for (char& c : out)
    if (c == '/' || c == '\\' || c == ':') c = '_';
  if (out.empty() || out[0] == '.') out = "_" + out;
  return out + ".npy";
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  if (flags.engine == "compiled") return unsupported("--engine compiled", "this version has no compiled engine", "use --engine reference");
  if (flags.engine != "reference") return usage_error("--engine", fmt::format("found {}, expected compiled or reference", printable(flags.engine)), "use --engine reference");
  Work work(common);
  const Model model = CUPEL_TRY(load_model(flags.model, work.context()));
  if (work.finish()) return 0;
  std::map<std::string, std::string> files;
  for (const std::string& text : flags.inputs) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) return usage_error("--input", fmt::format("found {}, expected NAME=FILE.npy", printable(text)), "name the input and its file");
    if (!files.emplace(text.substr(0, equals), text.substr(equals + 1)).second) return usage_error("--input", fmt::format("{} is given twice", printable(text.substr(0, equals))), "give each input once");
  }
  std::vector<Tensor> inputs;
  for (ValueId id : model.program.inputs()) {
    const std::string& name = model.program.value(id).name;
    const auto file = files.find(name);
    if (file == files.end()) return usage_error("--input", fmt::format("input {} has no file", printable(name)), fmt::format("add --input {}=FILE.npy", printable(name)));
    inputs.push_back(CUPEL_TRY(read_npy(file->second)));
    files.erase(file);
  }
  if (!files.empty()) return usage_error("--input", fmt::format("the model has no input {}", printable(files.begin()->first)), "check the name with `cupel inspect`");
  auto outputs = run_array(model.program, inputs, common.batch, interpreter(work.context().threads), work.progress());
  work.finish();
  if (!outputs) return std::unexpected(std::move(outputs).error());
  CUPEL_TRY(make_folder(flags.folder));
  for (size_t i = 0; i < outputs->size(); ++i) {
    const std::string& name = model.program.value(model.program.outputs()[i]).name;
    const auto path = std::filesystem::path(flags.folder) / file_name(name);
    CUPEL_TRY(write_npy(path, (*outputs)[i]));
    print(fmt::format("{}: {}{} -> {}\n", printable(name), dtype_name((*outputs)[i].dtype()), to_text((*outputs)[i].dims()), printable(path.string())));
  }
  return 0;
}

}  // namespace

Run setup_run(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("MODEL", flags->model, "Model (.onnx, float or with Q/DQ nodes)")->required();
  command.add_option("--input", flags->inputs, "An input and its array: NAME=FILE.npy")->required()->allow_extra_args(false);
  command.add_option("-o,--output", flags->folder, "Folder for the outputs, one .npy each")->required();
  command.add_option("--engine", flags->engine, "reference (compiled is not in this version)")->capture_default_str();
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
