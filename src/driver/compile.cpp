#include "driver/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "base/hash.h"
#include "driver/engine.h"
#include "emit/elf_reader.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "kernel/check_program.h"
#include "kernel/program_text.h"
#include "onnx/reader.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

// Shape arithmetic first, since the other passes need constant targets; then towards few, large ops.
constexpr std::string_view kSimplify[] = {"resolve_shapes",     "fold_constants",       "drop_identities",
                                          "lead_batch",         "drop_identities",      "fold_batch_norm",
                                          "recognise_gelu",     "recognise_layer_norm", "recognise_activations",
                                          "recognise_saturate", "fold_constants",       "finish_simplify"};
constexpr std::string_view kAfterQuantization[] = {"drop_redundant_clamps"};
constexpr std::string_view kIntegerize[] = {"drop_redundant_clamps", "integerize", "fold_constants"};

// A dump and the constants beside it.
struct Dump {
  std::string text;
  ConstantStore constants;
};
Result<Dump> read_dump(const std::filesystem::path& path) {
  const auto text_of = [](const Bytes& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  Dump dump;
  dump.text = text_of(CUPEL_TRY(read_file(path)));
  const std::filesystem::path side_file = path.parent_path() / "constants.bin";
  const std::string constants = text_of(CUPEL_TRY(read_file(side_file)));
  dump.constants = CUPEL_TRY(parse_constants(constants, printable(side_file.string())));
  return dump;
}

// An Image's tables hold names as C strings.
Status check_names(const Graph& graph) {
  for (const Value& value : graph.values())
    if (value.name.find('\0') != std::string::npos)
      return unsupported("value " + printable(value.name), "a name with a zero byte has no compiled form",
                         "rename the value");
  return {};
}

}  // namespace

Result<Bytes> read_model_file(const std::filesystem::path& path) {
  Bytes file = CUPEL_TRY(read_file(path));
  if (ElfReader(file).is_elf())
    return bad_input(
        printable(path.string()), "is native code (ELF), expected an .onnx file",
        "name the .onnx file; `inspect`, `run` and `bench` alone take compiled models, whose names end in .so");
  return file;
}

Result<Model> load_model(const std::filesystem::path& path, CompileContext& context) {
  return load_model_bytes(CUPEL_TRY(read_model_file(path)), path, context);
}

Result<Model> load_model_bytes(std::span<const std::byte> file, const std::filesystem::path& path,
                               CompileContext& context) {
  const std::string place = printable(path.string());
  Model model;
  model.path = path;
  model.sha256 = to_hex(sha256(file));
  model.file_bytes = static_cast<int64_t>(file.size());

  // import
  Graph graph;
  if (path.extension() == ".graph") {
    if (!context.bindings.empty())
      return usage_error(place, "the sizes of a dump are settled", "leave --dim, --shape and --value away");
    const Dump dump = CUPEL_TRY(read_dump(path));
    graph = CUPEL_TRY(parse_graph(dump.text, dump.constants, place));
    if (Status status = verify_graph(graph); !status)
      return bad_input(place, status.error().message(), "write the dump again");
  } else {
    auto read = read_onnx_bytes(file, path.parent_path(), place, context.bindings);
    if (!read && read.error().code == ErrorCode::computed_at_run_time)
      read.error().remedy += "; `cupel run` takes such a network part by part";
    graph = CUPEL_TRY(std::move(read));
    model.file_bytes += CUPEL_TRY(external_bytes(file, path.parent_path(), place));
  }
  return finish_model(std::move(model), std::move(graph), context);
}

Result<Model> finish_model(Model model, Graph graph, CompileContext& context) {
  const std::string place = printable(model.path.string());
  CUPEL_TRY(dump_graph(graph, "import", context.passes));

  // simplify
  if (graph.stage == Stage::imported) {
    auto simplified = run_passes(std::move(graph), kSimplify, {context.threads}, context.passes);
    if (!simplified) return std::unexpected(std::move(simplified).error().within(place));
    graph = std::move(*simplified);
  }
  model.source = std::move(graph);

  // integerize
  if (model.source.stage != Stage::quantized || context.passes.stopped) {
    model.program = model.source;
    return model;
  }
  auto program = integerize_graph(model.source, context, &model.kept_in_float);
  if (!program) return std::unexpected(std::move(program).error().within(place));
  model.program = std::move(*program);
  return model;
}

Result<QuantizedGraph> quantize_graph(const Graph& model, const BatchSource& calibration, CompileContext& context,
                                      const ObservedRun& run, const std::set<NodeId>& in_float) {
  if (model.stage != Stage::simplified)
    return bad_input("quantization", "the model holds quantize and dequantize nodes already", "give the float model");

  // calibrate
  const Selection selection = select_values(model, in_float);
  Calibration calibrated =
      CUPEL_TRY(calibrate_min_max(model, selection.activations, calibration,
                                  run ? run : observed(model, interpreter(context.threads)), context.threads));

  QuantizedGraph quantized = CUPEL_TRY(quantize_selection(model, selection, calibrated.ranges, context));
  quantized.warnings = std::move(calibrated.warnings);
  quantized.in_float = in_float;
  return quantized;
}

Result<std::set<NodeId>> nodes_named(const Graph& model, std::span<const std::string> names) {
  std::set<NodeId> found;
  for (const std::string& name : names) {
    const size_t before = found.size();
    for (size_t n = 0; n < model.nodes().size(); ++n) {
      const Node& node = model.nodes()[n];
      if (node.name == name || std::ranges::find(node.origin, name) != node.origin.end())
        found.insert({static_cast<int32_t>(n)});
    }
    if (found.size() == before)
      return usage_error("--keep-float",
                         fmt::format("found {}, which names no further node of the model", printable(name)),
                         "name nodes as `cupel inspect` lists them, each once");
  }
  return found;
}

Result<QuantizedGraph> quantize_selection(const Graph& model, const Selection& selection, const Ranges& ranges,
                                          CompileContext& context) {
  // choose
  QuantPlan plan = CUPEL_TRY(choose_parameters(model, selection, ranges));

  // apply
  Graph graph = CUPEL_TRY(apply_plan(model, plan));
  CUPEL_TRY(dump_graph(graph, "apply", context.passes));
  graph = CUPEL_TRY(run_passes(std::move(graph), kAfterQuantization, {context.threads}, context.passes));
  return QuantizedGraph{std::move(graph), std::move(plan), ranges, {}, {}};
}

Result<Graph> integerize_graph(const Graph& quantized, CompileContext& context,
                               std::map<std::string, std::string>* kept) {
  std::vector<Remark> remarks;
  Graph program = CUPEL_TRY(run_passes(quantized, kIntegerize, {context.threads, &remarks}, context.passes));
  if (kept)
    for (Remark& remark : remarks) kept->insert_or_assign(std::move(remark.node), std::move(remark.reason));
  return program;
}

LowerTarget lower_target(const EmitTarget& target) {
  const int products = target.vector_lanes == 16 ? target.tuning->wide_products_per_cycle : 1;
  return {target.byte_product == ByteProduct::four_u8_s8, target.vector_registers * target.vector_lanes / 16, products,
          target.feature_set.has(Feature::avx512vbmi)};
}

Result<Program> lower_model(const Graph& program, const std::string& model, const EmitTarget& target,
                            const LowerOptions& options, PassOptions& passes) {
  CUPEL_TRY(check_names(program));
  Lowered lowered = CUPEL_TRY(lower_graph(program, model, lower_target(target), options, &passes));
  if (passes.stopped) return Program();
  CUPEL_TRY(dump_text([&](ConstantStore& store) { return print_program(lowered.program, &store); },
                      fmt::format("{}.program", kLowerStage), passes));
  if (passes.stop_after == kLowerStage) passes.stopped = true;
  return std::move(lowered.program);
}

Result<Program> load_program(const std::filesystem::path& path) {
  const std::string place = printable(path.string());
  const Dump dump = CUPEL_TRY(read_dump(path));
  auto program = parse_program(dump.text, dump.constants);
  if (!program) return std::unexpected(std::move(program).error().within(place));
  if (Status status = check_program(*program); !status)
    return bad_input(place, status.error().place + ": " + status.error().cause, "write the dump again");
  return program;
}

Result<Bytes> compile_image(const Graph& program, const std::string& model, const EmitTarget& target,
                            WorkerPool& workers, const ImageOptions& options) {
  // fuse and lower
  PassOptions none;
  const Program kernels = CUPEL_TRY(lower_model(program, model, target, options.lower, none));

  // emit and link
  return build_image(kernels, target, workers, options.build);
}

namespace {

template <class T>
Result<T> with_way_out(Result<T> made) {
  if (!made && made.error().kind == ErrorKind::unsupported && made.error().code != ErrorCode::reference_runs_it) {
    made.error().remedy += ", or run the model with --engine reference";
    made.error().code = ErrorCode::reference_runs_it;
  }
  return made;
}

}  // namespace

Result<Bytes> image_for_host(const Graph& program, const std::string& model) {
  const auto host = find_emit_target("host");
  if (!host) return with_way_out<Bytes>(std::unexpected(host.error()));
  WorkerPool workers;
  return with_way_out(compile_image(program, model, *host, workers));
}

Result<CompiledModel> compile_for_host(const Graph& program, const std::string& model, int threads) {
  return with_way_out(CompiledModel::load(CUPEL_TRY(image_for_host(program, model)), model, threads));
}

Result<RunGraph> make_engine(const Graph& program, const std::string& model, EngineKind kind, ThreadPool& threads) {
  if (kind == EngineKind::reference) return interpreter(threads);
  auto loaded = std::make_shared<CompiledModel>(CUPEL_TRY(compile_for_host(program, model, threads.size())));
  return [loaded](const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
    return loaded->run(graph, inputs, tap);
  };
}

}  // namespace cupel
