// Random graphs, written as ONNX and read again: what they mean is kept by every pass; lowered and compiled for the
// targets that this machine runs, fused and not, with one and two threads and other batches, they give the
// interpreter's bits; and each node gives what ONNX Runtime computes from the same operands, within a bound
// (check_graphs.py).
//
// CUPEL_RANDOM_GRAPHS: how many; CUPEL_RANDOM_GRAPHS_FIRST: the first seed; CUPEL_RANDOM_GRAPHS_ALL: compiled for this
// machine and for another target, fused and not, each graph instead of by turns; CUPEL_RANDOM_GRAPHS_FOLDER: where the
// files of the comparison with ONNX Runtime stay.
#include "driver/random_graphs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/same_bytes.h"
#include "data/npy.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "emit/image_builder.h"
#include "emit/target_names.h"
#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "onnx/reader.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

int number_from(const char* variable, int usual) {
  const char* text = std::getenv(variable);
  return text == nullptr ? usual : std::atoi(text);
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// The model that a file of the graph makes.
Result<Model> model_of(const Graph& graph, ThreadPool& threads) {
  const std::string file = CUPEL_TRY(onnx_bytes(graph));
  CompileContext context{threads, {}, {}};
  return load_model_bytes(bytes_of(file), "random.onnx", context);
}

constexpr LowerTarget kLowerTargets[] = {{true, 32, 2, true}, {false, 16, 1, false}};

std::string difference(const std::vector<Tensor>& found, const std::vector<Tensor>& expected) {
  if (found.size() != expected.size()) return "another number of outputs";
  for (size_t i = 0; i < found.size(); ++i)
    if (const auto same = same_bytes(found[i], expected[i]); !same)
      return fmt::format("output {}: {}", i, same.message());
  return "";
}

std::map<std::string_view, int> operators_of(const Graph& graph) {
  std::map<std::string_view, int> counts;
  for (const Node& node : graph.nodes()) ++counts[node.op->name];
  return counts;
}

// Those of them that are no matter of sizes and order.
std::map<std::string_view, int> computing_operators(const Graph& graph) {
  std::map<std::string_view, int> counts;
  for (const Node& node : graph.nodes())
    if (node.op->elements != Elements::moved && node.op->elements != Elements::reshaped) counts[node.op->name] = 1;
  return counts;
}

// Inputs of another batch: rows of these, from the first again where there are too few.
std::vector<Tensor> of_batch(const RandomNetwork& network, int64_t batch) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < network.inputs.size(); ++i) {
    const Tensor& given = network.inputs[i];
    const Shape& shape = network.graph.type(network.graph.inputs()[i]).shape;
    inputs.push_back(given);
    if (is_static(shape)) continue;
    Tensor t(given.dtype(), *bind_shape(shape, batch));
    for (size_t b = 0; b < t.bytes().size(); ++b) t.mutable_bytes()[b] = given.bytes()[b % given.bytes().size()];
    inputs.back() = std::move(t);
  }
  return inputs;
}

// One network in all ways to run it. An empty text: they are equal.
class Comparison {
 public:
  // `objects`: a folder for kernels that several networks have.
  Comparison(WorkerPool& workers, const fs::path& objects, bool all, uint64_t turn)
      : workers_(workers), all_(all), turn_(turn) {
    build_.cache_folder = objects;
    build_.code_generation_level = all || turn % 8 == 0 ? 2 : 0;  // 0 takes a third of the time
  }

  std::string operator()(const RandomNetwork& network) {
    const auto model = model_of(network.graph, threads_);
    if (!model) return "read: " + model.error().message();
    const auto expected = interpret(model->program, network.inputs, threads_);
    if (!expected) return "interpreted: " + expected.error().message();
    if (std::string text = kept_by_passes(network, *model, *expected); !text.empty()) return "passes: " + text;
    for (const LowerTarget& target : kLowerTargets)
      for (const bool fuse : {true, false}) {
        const auto lowered = lower_graph(model->program, "random", target, {.fuse = fuse});
        if (!lowered) return "lowered: " + lowered.error().message();
        const auto meant = evaluate_program(lowered->program, network.inputs);
        if (!meant) return "kernels: " + meant.error().message();
        if (std::string text = difference(*meant, *expected); !text.empty())
          return fmt::format("kernels{}: {}", fuse ? "" : ", not fused", text);
      }
    return compiled(network, model->program, *expected);
  }

 private:
  // Passes change no bit, but where they write other operators: then the results differ by less than they do for inputs
  // that are a little other. A file whose opset lacks an operator has others too.
  std::string kept_by_passes(const RandomNetwork& network, const Model& model, const std::vector<Tensor>& expected) {
    const auto file = onnx_bytes(network.graph);
    const auto read =
        file ? read_onnx_bytes(bytes_of(*file), {}, "random.onnx") : Result<Graph>(std::unexpected(file.error()));
    if (!read) return read.error().message();
    for (const Node& node : read->nodes())
      if (!node.op->reference) return "";  // sizes, which passes resolve
    const auto before = interpret(*read, network.inputs, threads_);
    if (!before) return before.error().message();
    constexpr std::string_view kFolded = "BatchNormalization";
    if (network.has_codes || computing_operators(*read) != computing_operators(model.program) ||
        operators_of(*read)[kFolded] != operators_of(model.program)[kFolded])
      return far(*read, network, *before, expected);
    if (std::string text = difference(expected, *before); !text.empty()) return text;
    if (operators_of(*read) != operators_of(network.graph)) return "";
    const auto drawn = interpret(network.graph, network.inputs, threads_);
    return drawn ? difference(*before, *drawn) : drawn.error().message();
  }
  // What `found` differs by from what the graph gives, beside what it gives for inputs that differ by a 2^14th part;
  // with codes, by a step of them.
  std::string far(const Graph& graph, const RandomNetwork& network, const std::vector<Tensor>& given,
                  const std::vector<Tensor>& found) {
    std::vector<double> usual(given.size(), 0);
    for (uint64_t draw = 0; draw < 4; ++draw) {
      samples::Numbers numbers(draw);
      std::vector<Tensor> inputs;
      for (const Tensor& t : network.inputs) {
        Tensor other(t.dtype(), t.dims());
        std::copy(t.bytes().begin(), t.bytes().end(), other.mutable_bytes().begin());
        if (t.dtype() == DType::f32)
          for (float& x : other.mutable_data<float>())
            x += (std::abs(x) + 1) * numbers.real(-1, 1) * (network.has_codes ? 0x1p-6f : 0x1p-14f);
        inputs.push_back(std::move(other));
      }
      const auto results = interpret(graph, inputs, threads_);
      for (size_t i = 0; results && i < given.size(); ++i) usual[i] = std::max(usual[i], rms((*results)[i], given[i]));
    }
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].dtype() != DType::f32) continue;  // a step of codes may turn a comparison
      const double apart = rms(found[i], given[i]), size = rms(given[i], Tensor(given[i].dtype(), given[i].dims()));
      if (apart > 8 * usual[i] + (network.has_codes ? 0.05 : 1e-5) * size)
        return fmt::format("output {}: {} apart (RMS), usual are {}, of {}", i, apart, usual[i], size);
    }
    return "";
  }
  static double rms(const Tensor& a, const Tensor& b) {
    double sum = 0;
    for (int64_t i = 0; i < a.size(); ++i)
      if (const double d = a.at(i) - b.at(i); std::isfinite(d)) sum += d * d;
    return std::sqrt(sum / static_cast<double>(std::max<int64_t>(1, a.size())));
  }
  std::string compiled(const RandomNetwork& network, const Graph& program, const std::vector<Tensor>& expected) {
    const std::vector<std::string> targets = target_names();
    for (size_t way = 0; way < 4; ++way) {
      if (!all_ && way != turn_ % 4) continue;
      const std::string name = way % 2 == 0 ? "host" : targets[turn_ / 4 % targets.size()];
      const bool fuse = way < 2;
      const auto image = compile_image(program, "random", *find_emit_target(name), workers_,
                                       {.lower = {.fuse = fuse}, .build = build_});
      if (!image) return "compiled: " + image.error().message();
      for (const int threads : {1, 2})
        if (std::string text = run(*image, threads, network, program, expected); !text.empty())
          return fmt::format("compiled for {}{}, {} threads: {}", name, fuse ? "" : ", not fused", threads, text);
    }
    return "";
  }
  std::string run(const Bytes& image, int threads, const RandomNetwork& network, const Graph& program,
                  const std::vector<Tensor>& expected) {
    auto model = CompiledModel::load(image, "random", threads);
    if (!model) return model.error().message();
    const auto computed = model->run(network.inputs);
    if (!computed) return computed.error().message();
    if (std::string text = difference(*computed, expected); !text.empty()) return text;
    if (!samples::has_symbol(network.graph)) return "";
    const std::vector<Tensor> inputs = of_batch(network, turn_ % 4 == 0 ? 17 : network.batch + 2);
    const auto more = interpret(program, inputs, threads_), more_computed = model->run(inputs);
    if (more.has_value() != more_computed.has_value()) return (more ? more_computed : more).error().message();
    return more ? difference(*more_computed, *more) : "";
  }

  WorkerPool& workers_;
  bool all_;
  uint64_t turn_;
  BuildOptions build_;
  ThreadPool threads_{2};
};

// The least part of a network that still fails in the same way: its first failing value, or as few outputs as fail,
// with as many values before them as inputs as can be.
class Shrinking {
 public:
  Shrinking(const RandomNetwork& network, std::function<std::string(const RandomNetwork&)> failure)
      : failure_(std::move(failure)), kind_(kind(failure_(network))), part_(network) {}

  RandomNetwork least() {
    if (!one_value()) fewer_outputs();
    for (size_t i = part_.graph.nodes().size(); i-- > 0;)
      cut_results(part_.graph.nodes()[std::min(i, part_.graph.nodes().size() - 1)]);
    return part_;
  }

 private:
  static std::string kind(const std::string& text) { return text.substr(0, text.find(':')); }
  // Takes the part that gives these outputs, where it still fails.
  bool takes(const std::vector<ValueId>& outputs, const std::vector<bool>& cut) {
    RandomNetwork less = NetworkPart(part_, outputs, cut).take();
    if (kind(failure_(less)) != kind_) return false;
    part_ = std::move(less);
    return true;
  }
  std::vector<bool> uncut() const { return std::vector<bool>(part_.values.size(), false); }
  bool one_value() {
    for (const Node& node : part_.graph.nodes())
      for (ValueId v : node.outputs)
        if (!is_tied(part_.graph, v) && takes({v}, uncut())) return true;
    return false;
  }
  void fewer_outputs() {
    for (size_t i = part_.graph.outputs().size(); i-- > 0 && part_.graph.outputs().size() > 1;) {
      std::vector<ValueId> rest = part_.graph.outputs();
      rest.erase(rest.begin() + static_cast<int64_t>(i));
      takes(rest, uncut());
    }
  }
  void cut_results(const Node& node) {
    std::vector<bool> cut = uncut();
    for (ValueId v : node.outputs) {
      if (is_tied(part_.graph, v) || part_.graph.is_output(v)) return;
      cut[static_cast<size_t>(v.index)] = true;
    }
    takes(part_.graph.outputs(), cut);
  }

  std::function<std::string(const RandomNetwork&)> failure_;
  std::string kind_;
  RandomNetwork part_;
};

// Every node of the network with operands of its own: NAME.onnx; in NAME.npy its inputs and what the interpreter gives,
// one array behind the other. Codes go from node to node.
testing::AssertionResult write_nodes(const RandomNetwork& network, const fs::path& folder, const std::string& name) {
  std::vector<ValueId> outputs;
  std::vector<bool> cut(network.values.size(), false);
  for (const Node& node : network.graph.nodes())
    for (ValueId v : node.outputs)
      if (!is_tied(network.graph, v) && format_npy(network.values[static_cast<size_t>(v.index)], "")) {
        outputs.push_back(v);
        cut[static_cast<size_t>(v.index)] = true;
      }
  const RandomNetwork nodes = NetworkPart(network, outputs, cut, true).take();
  const auto file = onnx_bytes(nodes.graph);
  if (!file) return testing::AssertionFailure() << file.error().message();
  std::ofstream(folder / (name + ".onnx"), std::ios::binary) << *file;
  std::vector<Tensor> tensors = nodes.inputs;
  for (ValueId v : outputs) tensors.push_back(network.values[static_cast<size_t>(v.index)]);
  std::ofstream arrays(folder / (name + ".npy"), std::ios::binary);
  for (const Tensor& t : tensors) {
    const auto array = format_npy(t, "");
    if (!array) return testing::AssertionFailure() << array.error().message();
    arrays.write(reinterpret_cast<const char*>(array->data()), static_cast<std::streamsize>(array->size()));
  }
  return testing::AssertionSuccess();
}

// A folder of its own, removed at the end, or the one that the environment names.
class Folder {
 public:
  explicit Folder(const char* variable) : pattern_((fs::temp_directory_path() / "cupel_graphs_XXXXXX").string()) {
    const char* kept = variable == nullptr ? nullptr : std::getenv(variable);
    is_kept_ = kept != nullptr;
    path_ = is_kept_ ? fs::path(kept) : fs::path(mkdtemp(pattern_.data()));
    fs::create_directories(path_);
  }
  ~Folder() {
    if (!is_kept_) fs::remove_all(path_);
  }
  const fs::path& path() const { return path_; }

 private:
  std::string pattern_;
  fs::path path_;
  bool is_kept_ = false;
};

class RandomGraphsTest : public testing::Test {
 protected:
  // Whether a graph has a compiled form; counts why not.
  bool compiles(const Graph& graph) {
    const auto model = model_of(graph, threads_);
    const auto lowered = model ? lower_graph(model->program, "random", kLowerTargets[0])
                               : Result<Lowered>(std::unexpected(model.error()));
    if (lowered) return true;
    const Error& error = lowered.error();
    if (error.kind == ErrorKind::internal) ADD_FAILURE() << error.message() << "\n" << print_graph(graph);
    ++refused_[error.cause.substr(0, 100)];
    return false;
  }

  int integer_products(const Graph& graph) {
    const auto model = model_of(graph, threads_);
    if (!model) return 0;
    const auto& nodes = model->program.nodes();
    return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [&](const Node& n) {
      return n.op->quant_rule == QuantRule::contraction && model->program.type(n.inputs[0]).quant;
    }));
  }

  ThreadPool threads_{1};
  std::map<std::string, int> refused_;
};

TEST_F(RandomGraphsTest, MeanTheSameInEveryWay) {
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const Folder folder("CUPEL_RANDOM_GRAPHS_FOLDER"), objects(nullptr);
  const char* python = std::getenv("CUPEL_ORACLE_PYTHON");
  const bool all = number_from("CUPEL_RANDOM_GRAPHS_ALL", 0) != 0;
  const int count = number_from("CUPEL_RANDOM_GRAPHS", 200), first = number_from("CUPEL_RANDOM_GRAPHS_FIRST", 0);
  size_t nodes = 0;
  int products = 0;
  std::map<std::string_view, int> ops;
  std::map<std::string_view, int> types;
  for (int seed = first; seed < first + count; ++seed) {
    const RandomNetwork network =
        RandomGraphs(static_cast<uint64_t>(seed)).make([&](const Graph& graph) { return compiles(graph); });
    nodes += network.graph.nodes().size();
    for (const auto& [op, times] : operators_of(network.graph)) ops[op] += times;
    for (const Value& v : network.graph.values()) types[dtype_name(v.type.dtype)] += v.constant ? 0 : 1;
    products += integer_products(network.graph);
    Comparison compare(workers, objects.path(), all, static_cast<uint64_t>(seed));
    if (const std::string failure = compare(network); !failure.empty()) {
      const RandomNetwork least = Shrinking(network, [&](const RandomNetwork& part) { return compare(part); }).least();
      ADD_FAILURE() << "seed " << seed << ": " << failure << "\nleast: " << compare(least) << "\n"
                    << print_graph(least.graph);
    }
    if (python != nullptr) {
      EXPECT_TRUE(write_nodes(network, folder.path(), std::to_string(seed))) << "seed " << seed;
    }
  }
  std::printf("%d graphs, %zu nodes\n", count, nodes);
  std::printf("  %5d  products of integers of quantized operands\n", products);
  for (const auto& [name, times] : ops) std::printf("  %5d  nodes of %s\n", times, std::string(name).c_str());
  for (const auto& [name, times] : types) std::printf("  %5d  values of type %s\n", times, std::string(name).c_str());
  for (const auto& [cause, times] : refused_) std::printf("  %5d  taken back: %s\n", times, cause.c_str());
  if (python == nullptr) return;
  std::fflush(stdout);
  const std::string command =
      fmt::format("{} {}/tests/driver/check_graphs.py {}", python, CUPEL_SOURCE_DIR, folder.path().string());
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace cupel
