#include "driver/compile.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "emit/image_builder.h"
#include "tools/cupel/verb.h"

namespace cupel::cli {
namespace {

struct Flags {
  std::string model, output, target = "host", tune_for;
  bool no_fusion = false;
  int code_level = 2;
  BindingFlags bindings;
};

// Declarations of what the library exports.
std::string header_text(const std::string& prefix, const std::string& library) {
  return fmt::format(
      "// Interface of {}. Types, codes and rules stand in cupel.h.\n"
      "#pragma once\n\n#include \"cupel/cupel.h\"\n\n"
      "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n"
      "CUPEL_MODEL({})\n"
      "#ifdef __cplusplus\n}}\n#endif\n",
      library, prefix.substr(std::string_view("cupel_").size()));
}

// The kernels of the model, or those of a dump; none when --stop-after ended the work.
Result<std::optional<Program>> program_of(const Flags& flags, const EmitTarget& target, Work& work) {
  const std::filesystem::path path = flags.model;
  if (path.extension() == ".program") return CUPEL_TRY(load_program(path));
  const Model model = CUPEL_TRY(load_model(path, work.context()));
  PassOptions& passes = work.context().passes;
  if (passes.stopped) return std::nullopt;
  LowerOptions options;
  options.fuse = !flags.no_fusion;
  auto program = lower_model(model.program, path.stem().string(), target, options, passes);
  if (!program) return std::unexpected(std::move(program).error().within(printable(flags.model)));
  if (passes.stopped) return std::nullopt;
  return std::move(*program);
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  CUPEL_TRY(check_place(flags.output));
  if (!names_compiled_model(flags.output))
    return usage_error(printable(flags.output), "its name does not end in .so, by which `run` and `bench` know a model",
                       "name it so");
  Work work(common);
  work.context().bindings = CUPEL_TRY(bindings_of(flags.bindings));
  const EmitTarget target = CUPEL_TRY(find_emit_target(flags.target, flags.tune_for));
  const auto program = CUPEL_TRY(program_of(flags, target, work));
  if (!program) {
    work.finish();
    return 0;
  }
  const std::string& name = program->model;
  WorkerPool workers;
  BuildOptions options;
  options.code_generation_level = flags.code_level;
  warn_of_cache();
  auto image = build_image(*program, target, workers, options);
  work.finish();
  if (!image) return std::unexpected(std::move(image).error().within(printable(flags.model)));
  const auto header = std::filesystem::path(flags.output).replace_extension(".h");
  const std::string library = printable(std::filesystem::path(flags.output).filename().string());
  CUPEL_TRY(write_file(flags.output, *image));
  CUPEL_TRY(write_file(header, header_text(image_prefix(name), library)));
  if (common.json != "-")
    print(fmt::format("{}: {} bytes for {} tuned for {}, interface in {}\n", printable(flags.output), image->size(),
                      target.name, target.tuning->name, printable(header.string())));
  nlohmann::ordered_json json;
  json["path"] = printable(flags.output, 4096);
  json["header_path"] = printable(header.string(), 4096);
  json["file_bytes"] = image->size();
  json["sha256"] = to_hex(sha256(*image));
  json["target"] = target.name;
  json["tuned_for"] = target.tuning->name;
  json["prefix"] = image_prefix(name);
  CUPEL_TRY(write_json(common, json.dump(2) + "\n"));
  return 0;
}

}  // namespace

Run setup_compile(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command
      .add_option("MODEL", flags->model,
                  "Model (.onnx, float or with Q/DQ nodes), or a dump of --dump-ir (.graph, .program)")
      ->required();
  command.add_option("-o,--output", flags->output, "The shared library; its header is written beside it")->required();
  command.add_option("--target", flags->target, "host, x86-64-v3, x86-64-v4, … with +avxvnni or +avx512vnni")
      ->capture_default_str();
  command.add_option(
      "--tune-for", flags->tune_for,
      "generic, znver4, sapphirerapids, …: the CPU whose schedules are taken; the same results (default: "
      "this one for --target host, else generic)");
  command.add_flag("--no-fusion", flags->no_fusion, "Every node a kernel of its own: the same results, slower");
  command.add_option("--code-level", flags->code_level, "LLVM's level of code generation, 0 to 3: the same results")
      ->check(whole_number(0, 3))
      ->capture_default_str();
  add_bindings(command, flags->bindings);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
