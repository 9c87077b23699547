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

// "s64[batch,64]", as a person reads it.
std::string type_text(const Port& port) {
  return fmt::format("{}{}", dtype_name(port.type.dtype), to_text(port.type.shape));
}

// What the library computes for one choice of sizes.
struct SizesRow {
  std::string sizes;
  std::vector<Port> inputs, outputs;
  int64_t fixed_batch = 0;
};

// Declarations of what the library exports, behind a list of what it takes and gives.
std::string header_text(const std::string& prefix, const std::string& library, const std::vector<SizesRow>& rows) {
  std::string ports;
  const auto add = [&](const char* kind, const std::vector<Port>& list) {
    for (const Port& port : list)
      ports += fmt::format("//   {} {} {}\n", kind, printable(port.name, 60), printable(type_text(port), 200));
  };
  for (const SizesRow& row : rows) {
    if (rows.size() > 1) ports += fmt::format("// For {}:\n", row.sizes);
    if (row.fixed_batch > 0) ports += fmt::format("//   batch {}\n", row.fixed_batch);
    add("input", row.inputs);
    add("output", row.outputs);
  }
  const std::string name = prefix.substr(std::string_view("cupel_").size());
  if (rows.size() > 1) ports += fmt::format("// cupel_{}_select chooses, by the dimensions of the inputs.\n", name);
  return fmt::format(
      "// Interface of {}. Types, codes and rules stand in cupel.h.\n{}"
      "#pragma once\n\n#include \"cupel/cupel.h\"\n\n"
      "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n"
      "CUPEL_MODEL({});\n"
      "#ifdef __cplusplus\n}}\n#endif\n",
      library, ports, name);
}

// The kernels of the model, or those of a dump; none when --stop-after ended the work.
Result<std::optional<Program>> program_of(const Flags& flags, const EmitTarget& target, CompileContext& context) {
  const std::filesystem::path path = flags.model;
  if (path.extension() == ".program") return CUPEL_TRY(load_program(path));
  const Model model = CUPEL_TRY(load_model(path, context));
  PassOptions& passes = context.passes;
  if (passes.stopped) return std::nullopt;
  LowerOptions options;
  options.fuse = !flags.no_fusion;
  auto program = lower_model(model.program, path.stem().string(), target, options, passes);
  if (!program) return std::unexpected(std::move(program).error().within(printable(flags.model)));
  if (passes.stopped) return std::nullopt;
  return std::move(*program);
}

// What is compiled into one library.
struct Parts {
  ImageBuilder builder;
  std::vector<SizesRow> rows;  // none when --stop-after ended the work
  std::string model;
};

Result<Parts> gather_parts(const Flags& flags, const CommonFlags& common, const EmitTarget& target, Work& work) {
  const std::vector<SizedBindings> all = CUPEL_TRY(all_bindings_of(flags.bindings));
  if (all.size() > 1)
    for (const auto& [flag, given] :
         {std::pair{"--stop-after", !common.stop_after.empty()}, std::pair{"--dump-ir", !common.dump_ir.empty()}})
      if (given) return usage_error(flag, "it shows the passes of one model, and several sizes are named", "name one");
  Parts parts{ImageBuilder(target), {}, {}};
  for (const SizedBindings& one : all) {
    work.context().bindings = one.bindings;
    auto program = program_of(flags, target, work.context());
    if (!program && !one.sizes.empty()) return std::unexpected(std::move(program).error().within(one.sizes));
    const auto kernels = CUPEL_TRY(std::move(program));
    if (!kernels) return parts;
    if (Status added = parts.builder.add(*kernels, one.sizes); !added)
      return std::unexpected(std::move(added).error().within(printable(flags.model)));
    parts.model = kernels->model;
    parts.rows.push_back({one.sizes, kernels->inputs, kernels->outputs, kernels->fixed_batch});
  }
  return parts;
}

nlohmann::ordered_json ports_json(const std::vector<Port>& ports) {
  auto json = nlohmann::ordered_json::array();
  for (const Port& port : ports)
    json.push_back({{"name", printable(port.name)},
                    {"dtype", dtype_name(port.type.dtype)},
                    {"shape", printable(to_text(port.type.shape), 200)}});
  return json;
}

nlohmann::ordered_json sizes_json(const std::vector<SizesRow>& rows) {
  auto json = nlohmann::ordered_json::array();
  for (const SizesRow& row : rows) {
    json.push_back({{"sizes", row.sizes}, {"fixed_batch", nullptr}});
    if (row.fixed_batch > 0) json.back()["fixed_batch"] = row.fixed_batch;
    json.back()["inputs"] = ports_json(row.inputs);
    json.back()["outputs"] = ports_json(row.outputs);
  }
  return json;
}

Result<int> run(const Flags& flags, const CommonFlags& common) {
  CUPEL_TRY(check_place(flags.output));
  if (!names_compiled_model(flags.output))
    return usage_error(printable(flags.output), "its name does not end in .so, by which `run` and `bench` know a model",
                       "name it so");
  Work work(common);
  const EmitTarget target = CUPEL_TRY(find_emit_target(flags.target, flags.tune_for));
  Parts parts = CUPEL_TRY(gather_parts(flags, common, target, work));
  if (parts.rows.empty()) {
    work.finish();
    return 0;
  }
  const std::string prefix = image_prefix(parts.model);
  WorkerPool workers;
  BuildOptions options;
  options.code_generation_level = flags.code_level;
  warn_of_cache();
  auto image = parts.builder.build(workers, options);
  work.finish();
  if (!image) return std::unexpected(std::move(image).error().within(printable(flags.model)));
  const auto header = std::filesystem::path(flags.output).replace_extension(".h");
  const std::string library = printable(std::filesystem::path(flags.output).filename().string());
  CUPEL_TRY(write_file(flags.output, *image));
  CUPEL_TRY(write_file(header, header_text(prefix, library, parts.rows)));
  if (common.json != "-") {
    std::string text = fmt::format("{}: {} bytes for {} tuned for {}, interface in {}\n", printable(flags.output),
                                   image->size(), target.name, target.tuning->name, printable(header.string()));
    if (parts.rows.size() > 1)
      for (const SizesRow& row : parts.rows) text += fmt::format("  for {}\n", row.sizes);
    print(text);
  }
  nlohmann::ordered_json json;
  json["path"] = printable(flags.output, 4096);
  json["header_path"] = printable(header.string(), 4096);
  json["file_bytes"] = image->size();
  json["sha256"] = to_hex(sha256(*image));
  json["target"] = target.name;
  json["tuned_for"] = target.tuning->name;
  json["prefix"] = prefix;
  json["sizes"] = sizes_json(parts.rows);
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
  add_bindings(command, flags->bindings, true);
  return [flags](const CommonFlags& common) { return run(*flags, common); };
}

}  // namespace cupel::cli
