// Writes what fuzz targets begin with: write_seeds TARGET FOLDER.
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "data/fixture.h"
#include "data/npy.h"
#include "driver/compile.h"
#include "ir/text.h"
#include "kernel/program_text.h"
#include "kernel/random_kernels.h"
#include "lower/lower.h"
#include "onnx/writer.h"
#include "reference/samples.h"

namespace cupel::fuzz {
namespace {

std::filesystem::path folder;

void write_seed(const std::string& name, std::string_view content) {
  std::ofstream out(folder / name, std::ios::binary);
  out << content;
  if (!out.flush()) {
    std::fprintf(stderr, "%s cannot be written\n", (folder / name).c_str());
    std::exit(6);
  }
}

// Operands that are inputs without a batch become weights.
Graph with_weights(const Graph& graph) {
  const auto inputs = samples::make_inputs(graph, 2);
  Graph out;
  out.stage = graph.stage;
  out.opset = graph.opset;
  std::vector<ValueId> values(graph.values().size());
  const auto place = [&](ValueId v) -> ValueId& { return values[static_cast<size_t>(v.index)]; };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    const Value& v = graph.value(id);
    place(id) = i > 0 && is_static(v.type.shape) ? out.add_constant(v.name, inputs[i], v.type.quant)
                                                 : out.add_input(v.name, v.type);
  }
  for (size_t i = 0; i < graph.values().size(); ++i)
    if (const Value& v = graph.values()[i]; v.constant) values[i] = out.add_constant(v.name, *v.constant, v.type.quant);
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> operands;
    std::vector<std::string> names;
    std::vector<TensorType> types;
    for (ValueId v : node.inputs) operands.push_back(v.valid() ? place(v) : v);
    for (ValueId v : node.outputs) {
      names.push_back(graph.value(v).name);
      types.push_back(graph.type(v));
    }
    const auto added =
        out.add_node(*node.op, node.name, std::move(operands), node.attributes, names, node.origin, types);
    if (!added) return graph;
    for (size_t i = 0; i < node.outputs.size(); ++i) place(node.outputs[i]) = out.node(*added).outputs[i];
  }
  for (ValueId v : graph.outputs()) out.add_output(place(v));
  return out;
}

// The graph with quantize and dequantize nodes, as a file.
Result<std::string> quantized_bytes(const Graph& graph) {
  static ThreadPool threads(1);
  CompileContext context{threads, {}};
  const std::string file = CUPEL_TRY(onnx_bytes(graph));
  const Model model = CUPEL_TRY(load_model_bytes(std::as_bytes(std::span(file)), "sample.onnx", context));
  bool given = false;
  const BatchSource once = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (std::exchange(given, true)) return std::nullopt;
    return samples::make_inputs(model.source, 2);
  };
  return onnx_bytes(CUPEL_TRY(quantize_graph(model.source, once, context)).graph);
}

// Every op sample: with its operands as inputs, as weights, and quantized.
void write_models() {
  int number = 0;
  for (const samples::Sample& sample : samples::all_samples()) {
    const std::string name = std::string(sample.op->name) + "_" + std::to_string(number++);
    if (const auto file = onnx_bytes(sample.graph)) write_seed(name, *file);
    const Graph weighted = with_weights(sample.graph);
    if (const auto file = onnx_bytes(weighted)) write_seed(name + "_weights", *file);
    if (const auto file = quantized_bytes(weighted)) write_seed(name + "_int8", *file);
  }
}

void write_kernels() {
  for (const KernelForm form : kKernelForms)
    for (uint64_t seed = 0; seed < 12; ++seed)
      write_seed(std::string(kernel_form_name(form)) + "_" + std::to_string(seed),
                 print_kernel(make_random_kernel(form, seed).kernel));
  int number = 0;
  for (const samples::Sample& sample : samples::all_samples())
    if (const auto lowered = lower_graph(with_weights(sample.graph), "sample", {}))
      for (const Step& step : lowered->program.steps)
        write_seed("sample_" + std::to_string(number++), print_kernel(step.kernel));
}

void write_programs() {
  int number = 0;
  for (const samples::Sample& sample : samples::all_samples())
    for (const LowerTarget& target : {LowerTarget{}, LowerTarget{.byte_dot_product = false, .vector_registers = 8}})
      if (const auto lowered = lower_graph(with_weights(sample.graph), "sample", target)) {
        ConstantStore constants;
        const std::string text = print_program(lowered->program, &constants);
        write_seed("program_" + std::to_string(number++), text + '\0' + print_constants(constants));
      }
}

void write_compiled_models() { write_seed("sample", text_of(*read_file(CUPEL_SAMPLE_LIBRARY))); }

// The first byte is the reader's number in data_files.cpp.
void write_data_files() {
  const auto numbered = [](char reader, std::string_view content) { return reader + std::string(content); };
  std::ifstream toml(std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / "fashion_mnist.toml", std::ios::binary);
  write_seed("toml", numbered('\0', std::string(std::istreambuf_iterator<char>(toml), {})));
  write_seed("toml_files",
             numbered('\0',
                      "[sources.a]\nformat = \"cifar\"\nfiles = [\"a.bin\", \"b.bin\"]\nclass_count = 10\n"
                      "[preprocess]\nsteps = [\"grayscale\", \"resize 8 9 pillow-bilinear-antialias\", "
                      "\"resize-shorter 9 opencv-linear\", \"center-crop 4 4\", \"to-float\"]\nlayout = \"NHWC\"\n"
                      "[splits]\nreport = { source = \"a\", count = 7, seed = 3 }\n"));
  int number = 0;
  std::vector<std::pair<std::string, std::string>> members;
  for (const DType type : {DType::f32, DType::u8, DType::s64, DType::f16, DType::boolean}) {
    const Tensor array(type, {3, 2, number});
    const std::string bytes = text_of(*format_npy(array, "seed"));
    write_seed("npy_" + std::to_string(number), numbered('\1', bytes));
    members.emplace_back("a" + std::to_string(number++) + ".npy", bytes);
  }
  for (const bool deflated : {false, true}) {
    const TemporaryFolder temporary;
    write_zip(temporary / "a.npz", members, deflated);
    write_seed(deflated ? "npz_deflated" : "npz_stored", numbered('\2', text_of(*read_file(temporary / "a.npz"))));
  }
  const std::string pixels(5 * 3 * 4, 'x');
  for (const bool progressive : {false, true})
    for (const char reader : {'\3', '\5', '\15'})
      write_seed("jpeg_" + std::to_string(number++),
                 numbered(reader, jpeg_bytes(5, 3, JCS_RGB, 3, pixels, progressive)));
  write_seed("jpeg_cmyk", numbered('\3', jpeg_bytes(5, 3, JCS_CMYK, 4, pixels, false)));
  for (const int colour : {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA})
    for (const bool interlaced : {false, true})
      write_seed("png_" + std::to_string(number++), numbered('\4', png_bytes(5, 3, colour, 8, pixels, interlaced)));
  const std::string idx = idx_bytes(8, {2, 3, 4}, std::string(24, 'i'));
  write_seed("idx", numbered('\6', idx));
  write_seed("idx_gzip", numbered('\6', gzip(idx)));
  write_seed("cifar", numbered('\7', std::string(2 * 3073, '\1')));
}

}  // namespace
}  // namespace cupel::fuzz

int main(int count, char** arguments) {
  using namespace cupel::fuzz;
  const std::string_view target = count == 3 ? arguments[1] : "";
  if (count == 3) folder = arguments[2];
  if (target == "onnx_graph" || target == "onnx_program") {
    write_models();
  } else if (target == "kernel_text") {
    write_kernels();
  } else if (target == "program_text") {
    write_programs();
  } else if (target == "compiled_model") {
    write_compiled_models();
  } else if (target == "data_files") {
    write_data_files();
  } else {
    std::fputs("usage: write_seeds onnx_graph|onnx_program|kernel_text|program_text|data_files|compiled_model FOLDER\n",
               stderr);
    return 2;
  }
  return 0;
}
