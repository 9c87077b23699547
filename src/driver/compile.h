// From an ONNX file to the program that runs, step by step. A newcomer begins at compile.cpp.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "driver/engine.h"
#include "emit/emit_target.h"
#include "emit/image_builder.h"
#include "emit/worker_pool.h"
#include "ir/engine.h"
#include "ir/graph.h"
#include "lower/lower.h"
#include "onnx/bindings.h"
#include "passes/pass.h"
#include "quant/plan.h"

namespace cupel {

// What the steps share: the threads, and what a person asked to see of them.
struct CompileContext {
  ThreadPool& threads;
  PassOptions passes;
  Bindings bindings = {};  // of every model that is loaded
};

// A model ready to run.
struct Model {
  std::filesystem::path path;
  std::string sha256;      // of the file
  int64_t file_bytes = 0;  // with external data
  Graph source;            // simplified, or quantized when the file holds Q/DQ nodes
  Graph program;           // what runs: source itself, or its integer form
  // Node name → why it is not integer. Empty for a float model.
  std::map<std::string, std::string> kept_in_float;
  std::string batch_fixed_by = {};  // what the batch, open in the file, could not stay open for; empty: it did

  // A sentence about that; empty where there is nothing to say.
  std::string batch_note() const;
  bool is_quantized() const { return source.stage == Stage::quantized; }
};

// The bytes of an ONNX file or a dump; bad_input for native code.
Result<Bytes> read_model_file(const std::filesystem::path& path);

// import → simplify → (integerize when the file holds Q/DQ nodes). Errors name the file. A dump of a graph,
// NN-PASS.graph with constants.bin beside it, goes on from its stage.
Result<Model> load_model(const std::filesystem::path& path, CompileContext& context);
// The same of the content of an ONNX file. `path` names it in errors, and its folder is where external data lies.
Result<Model> load_model_bytes(std::span<const std::byte> file, const std::filesystem::path& path,
                               CompileContext& context);

// simplify → (integerize) of a graph that was read; `model` says whose it is. Errors name its file.
Result<Model> finish_model(Model model, Graph graph, CompileContext& context);

// calibrate → choose → apply → drop redundant clamps: the Graph with Q/DQ nodes. `model` must be in stage simplified.
struct QuantizedGraph {
  Graph graph;
  QuantPlan plan;
  Ranges ranges;
  std::set<NodeId> in_float;          // of the float model, asked to stay in float
  std::vector<std::string> warnings;  // of calibration
};
// `run`: the engine that calibrates; empty: the interpreter. `in_float`: nodes that stay in float.
Result<QuantizedGraph> quantize_graph(const Graph& model, const BatchSource& calibration, CompileContext& context,
                                      const ObservedRun& run = {}, const std::set<NodeId>& in_float = {});

// The nodes that have one of the names, or stand for an ONNX node of that name. usage error for a name that none has.
Result<std::set<NodeId>> nodes_named(const Graph& model, std::span<const std::string> names);

// The last three steps, of values and ranges that are known; without warnings.
Result<QuantizedGraph> quantize_selection(const Graph& model, const Selection& selection, const Ranges& ranges,
                                          CompileContext& context);

// The integer form of a Graph with Q/DQ nodes; reasons for what stays in float go to `kept`.
Result<Graph> integerize_graph(const Graph& quantized, CompileContext& context,
                               std::map<std::string, std::string>* kept);

// The stage after the passes that --dump-ir and --stop-after know beside them.
inline constexpr std::string_view kLowerStage = "lower";

// What lowering has to know of a target.
LowerTarget lower_target(const EmitTarget& target);

// Ways to the same bits: they change speed alone.
struct ImageOptions {
  LowerOptions lower;
  BuildOptions build;
};
// lower: kernels over planned memory, dumped as NN-lower.program, behind the pass kernel_forms. `program`: stage
// simplified (float) or integer. An empty Program when `passes` stopped before it.
// Unsupported, naming node and op, for an op without lowering.
Result<Program> lower_model(const Graph& program, const std::string& model, const EmitTarget& target,
                            const LowerOptions& options, PassOptions& passes);
// The Program of a dump, NN-lower.program with constants.bin beside it, checked.
Result<Program> load_program(const std::filesystem::path& path);
// lower → emit → link: the bytes of the Image, a shared library.
Result<Bytes> compile_image(const Graph& program, const std::string& model, const EmitTarget& target,
                            WorkerPool& workers, const ImageOptions& options = {});

// The Image of `program` for this machine; and loaded. What is unsupported names --engine reference as the way out.
Result<Bytes> image_for_host(const Graph& program, const std::string& model);
Result<CompiledModel> compile_for_host(const Graph& program, const std::string& model, int threads);

// How graphs are run: by the interpreter, or compiled for this machine, loaded and kept as long as the result lives.
enum class EngineKind { reference, compiled };
Result<RunGraph> make_engine(const Graph& program, const std::string& model, EngineKind kind, ThreadPool& threads);

}  // namespace cupel
