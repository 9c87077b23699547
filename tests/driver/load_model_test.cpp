// The sample networks of models/ from the file to the integer program.
#include <gtest/gtest.h>

#include <map>
#include <ostream>
#include <set>

#include "assess/layer_match.h"
#include "assess/model_cost.h"
#include "driver/compile.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

struct Expected {
  const char* file;
  double million_macs;        // per image, to one decimal
  std::set<std::string> ops;  // of the simplified graph
};

void PrintTo(const Expected& e, std::ostream* out) { *out << e.file; }

const Expected kNetworks[] = {
    {"fashion_resnet.onnx", 20.2, {"Add", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"}},
    {"fashion_mobilenet.onnx", 7.1, {"Add", "Clip", "Conv", "Flatten", "Gemm", "GlobalAveragePool"}},
    {"fashion_vit.onnx",
     7.7,
     {"Add", "Conv", "Div", "Gelu", "Gemm", "LayerNormalization", "MatMul", "ReduceMean", "Reshape", "Softmax",
      "Transpose"}},
};

class LoadedNetwork : public testing::TestWithParam<Expected> {
 protected:
  Result<Model> load() {
    return load_model(std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / GetParam().file, context_);
  }
  ThreadPool threads_{2};
  CompileContext context_{threads_, {}};
};

std::set<std::string> ops_of(const Graph& g) {
  std::set<std::string> ops;
  for (const Node& node : g.nodes()) ops.emplace(node.op->name);
  return ops;
}

TEST(LoadModel, NativeCodeUnderAModelsNameIsNotRun) {
  std::string folder = (std::filesystem::temp_directory_path() / "cupel-load-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto model = std::filesystem::path(folder) / "x.onnx", trace = std::filesystem::path(folder) / "trace";
  std::filesystem::copy_file(CUPEL_PLANTED_LIBRARY, model);
  setenv("CUPEL_TRACE", trace.c_str(), 1);
  ThreadPool threads(1);
  CompileContext context{threads, {}};
  const auto loaded = load_model(model, context);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message(),
            model.string() +
                ": is native code (ELF), expected an .onnx file\n  name the .onnx file; `inspect`, `run` and `bench` "
                "alone take compiled models, whose names end in .so");
  EXPECT_EQ(loaded.error().kind, ErrorKind::bad_input);
  EXPECT_FALSE(std::filesystem::exists(trace));
  unsetenv("CUPEL_TRACE");
  std::filesystem::remove_all(folder);
}

TEST_P(LoadedNetwork, IsSimplified) {
  const auto model = load();
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_FALSE(model->is_quantized());
  EXPECT_EQ(model->source.stage, Stage::simplified);
  EXPECT_TRUE(verify_graph(model->source));
  EXPECT_TRUE(model->program == model->source);
  EXPECT_EQ(model->sha256.size(), 64u);
  const Graph& g = model->source;
  for (const char* op : {"Shape", "Gather", "Unsqueeze", "Constant", "ConstantOfShape", "Cast", "Identity",
                         "BatchNormalization", "Erf", "Pow", "Sqrt", "Slice"})
    EXPECT_FALSE(ops_of(g).contains(op)) << op;
  EXPECT_EQ(testing::PrintToString(ops_of(g)), testing::PrintToString(GetParam().ops));
  ASSERT_EQ(g.inputs().size(), 1u);
  EXPECT_EQ(to_text(g.type(g.inputs()[0]).shape).substr(1 + g.type(g.inputs()[0]).shape[0].symbol.size()), ",1,28,28]");
  EXPECT_EQ(g.value(g.inputs()[0]).name, "image");
  ASSERT_EQ(g.outputs().size(), 1u);
  EXPECT_EQ(g.value(g.outputs()[0]).name, "logits");
  EXPECT_NEAR(static_cast<double>(cost_of(g).macs) * 1e-6, GetParam().million_macs, 0.05);
}

TEST_P(LoadedNetwork, QuantizesAndMatchesItsFloatForm) {
  const auto model = load();
  ASSERT_TRUE(model) << model.error().message();
  const Graph& g = model->source;
  const auto inputs = samples::make_inputs(g, 8, {.low = -0.8f, .high = 2.0f});
  bool given = false;
  const BatchSource once = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (given) return std::optional<std::vector<Tensor>>();
    given = true;
    return std::optional(inputs);
  };
  const auto quantized = quantize_graph(g, once, context_);
  ASSERT_TRUE(quantized) << quantized.error().message();
  std::map<std::string, std::string> kept;
  const auto program = integerize_graph(quantized->graph, context_, &kept);
  ASSERT_TRUE(program) << program.error().message();
  EXPECT_EQ(program->stage, Stage::integer);

  for (const Node& node : program->nodes())
    if (node.op->quant_rule == QuantRule::contraction) {
      EXPECT_TRUE(program->type(node.inputs[0]).quant)
          << node_place(node) << (kept.contains(node.name) ? ": " + kept[node.name] : "");
    }
  EXPECT_EQ(cost_of(*program).macs, cost_of(g).macs) << "the same work";

  const auto matches = match_layers(g, *program);
  EXPECT_GE(matches.size(), 10u);
  for (const LayerMatch& m : matches) {
    EXPECT_TRUE(m.base_value) << node_place(program->node(m.node)) << ": " << m.reason;
    if (m.base_value) {
      EXPECT_EQ(g.type(*m.base_value).shape, program->type(m.value).shape) << node_place(program->node(m.node));
    }
  }

  ConstantStore store;
  const std::string text = print_graph(*program, &store);
  EXPECT_TRUE(parse_graph(text, store).value() == *program);

  const auto expected = interpret(g, inputs, threads_), found = interpret(*program, inputs, threads_);
  ASSERT_TRUE(expected);
  ASSERT_TRUE(found);
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < (*expected)[0].size(); ++i) {
    signal += (*expected)[0].at(i) * (*expected)[0].at(i);
    noise += ((*expected)[0].at(i) - (*found)[0].at(i)) * ((*expected)[0].at(i) - (*found)[0].at(i));
  }
  EXPECT_LT(noise, 0.02 * signal);
  EXPECT_GT(noise, 0);
}

std::string network_name(const testing::TestParamInfo<Expected>& parameter) {
  const std::string file = parameter.param.file;
  return file.substr(8, file.find('.') - 8);
}
INSTANTIATE_TEST_SUITE_P(Models, LoadedNetwork, testing::ValuesIn(kNetworks), network_name);

TEST(LoadModel, ErrorsNameTheFile) {
  ThreadPool threads(1);
  CompileContext context{threads, {}};
  const auto missing = load_model("no/such.onnx", context);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(), "no/such.onnx: no such file\n  check the path");
  const auto text = load_model(std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / "fashion_mnist.toml", context);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::bad_input);
  EXPECT_TRUE(text.error().place.ends_with("fashion_mnist.toml")) << text.error().message();
}

TEST(QuantizeGraph, RefusesAQuantizedModel) {
  ThreadPool threads(1);
  CompileContext context{threads, {}};
  Graph g;
  g.stage = Stage::quantized;
  const auto result = quantize_graph(g, {}, context);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "quantization: the model holds quantize and dequantize nodes already\n  give the float model");
}

}  // namespace
}  // namespace cupel
