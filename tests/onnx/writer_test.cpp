// Writing: what is read back, the forms of older opsets, spelled-out operators, and what an oracle says of the files.
#include "onnx/writer.h"

#include <cstdlib>

#include "base/file.h"
#include "model_builder.h"
#include "onnx/model.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

Graph parsed(const std::string& text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

std::string bytes_of(const Graph& graph) {
  const auto bytes = onnx_bytes(graph);
  EXPECT_TRUE(bytes) << bytes.error().message();
  return bytes ? *bytes : std::string();
}

// "opset 13: ReduceMean(x) {axes} | …": the nodes of a file as they were written.
std::string written(const Graph& graph) {
  const std::string bytes = bytes_of(graph);
  const auto model = parse_model(std::as_bytes(std::span(bytes.data(), bytes.size())), "written");
  if (!model) return model.error().message();
  std::string text = "opset " + std::to_string(model->opsets[0].version) + ":";
  for (const NodeFields& node : model->graph->nodes) {
    text += " " + std::string(node.op_type) + "(";
    for (const auto& name : node.inputs) text += (&name == node.inputs.data() ? "" : ", ") + std::string(name);
    text += ")";
    for (const AttributeFields& a : node.attributes) text += " " + std::string(a.name);
    text += ";";
  }
  return text;
}

std::string sample(const std::string& body, int opset) {
  return "graph \"sample\" stage imported opset " + std::to_string(opset) + " {\n" + body + "\n}\n";
}

TEST(Writer, NetworksComeBackEqual) {
  for (const char* name : {"fashion_resnet", "fashion_mobilenet", "fashion_vit"}) {
    const auto graph = read_onnx(fs::path(CUPEL_SOURCE_DIR) / "models" / (std::string(name) + ".onnx"));
    ASSERT_TRUE(graph) << graph.error().message();
    const Status status = verify_graph(*graph);
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_GT(graph->nodes().size(), 10u);
    const auto again = read_text_bytes(bytes_of(*graph));
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_TRUE(*graph == *again) << name;
    TemporaryFolder folder;
    const fs::path path = folder.path() / "net.onnx";
    const Status outside = write_onnx(*graph, path, {.external_data = true});
    ASSERT_TRUE(outside) << outside.error().message();
    EXPECT_LT(fs::file_size(path), 100'000u);
    EXPECT_GT(fs::file_size(folder.path() / "net.onnx.data"), 200'000u);
    const auto third = read_onnx(path);
    ASSERT_TRUE(third) << third.error().message();
    EXPECT_TRUE(*graph == *third) << name;
  }
}

TEST(Writer, QuantizationComesBackEqual) {
  const Graph graph = parsed(R"(graph "q" stage imported opset 13 {
  input %x : f32[batch,2,3]
  %q = QuantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} @"quantize"
  %d = DequantizeLinear(%q) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} @"dequantize"
  constant %w : s8[3,2] quant(axis=1, scale=[0x1p-1, 0x1p-2], zero_point=[0, 0]) = [-3, 4, 5, 6, 7, 8]
  %e = DequantizeLinear(%w) {axis=1, dtype="s8", scale=reals [0x1p-1, 0x1p-2], zero_point=[0, 0]} @"weights"
  constant %b : s32[2] quant(axis=0, scale=[0x1p-2, 0x1p-3], zero_point=[0, 0]) = [-70000, 4]
  %f = DequantizeLinear(%b) {axis=0, dtype="s32", scale=reals [0x1p-2, 0x1p-3], zero_point=[0, 0]} @"bias"
  %p = MatMul(%d, %e)
  %y = Add(%p, %f)
  output %y
})");
  EXPECT_EQ(written(graph),
            "opset 13: QuantizeLinear(x, x_scale, x_zero_point); DequantizeLinear(q, x_scale, x_zero_point); "
            "DequantizeLinear(w, w_scale, w_zero_point) axis; DequantizeLinear(b, b_scale, b_zero_point) axis; "
            "MatMul(d, e); Add(p, f);");
  const auto again = read_text_bytes(bytes_of(graph));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(print_graph(graph), print_graph(*again));
  EXPECT_TRUE(graph == *again);
}

TEST(Writer, OneConstantUnderTwoParameters) {
  const Graph graph = parsed(R"(graph "q" stage imported opset 17 {
  constant %w : s8[2] quant(scale=[0x1p-1], zero_point=[0]) = [-3, 4]
  %a = DequantizeLinear(%w) {dtype="s8", scale=reals [0x1p-1], zero_point=[0]}
  constant %w_1 : s8[2] quant(scale=[0x1p-2], zero_point=[0]) = [-3, 4]
  %b = DequantizeLinear(%w_1) {dtype="s8", scale=reals [0x1p-2], zero_point=[0]}
  output %a
  output %b
})");
  const auto again = read_text_bytes(bytes_of(graph));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(graph == *again);
}

TEST(Writer, PaddedCodes) {
  for (const auto& [value, code] : {std::pair{"", 128}, {", %v", 131}}) {
    const Graph graph = parsed(std::string(R"(graph "pad" stage quantized opset 17 {
  input %x : f32[batch,3]
  %q = QuantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]}
  constant %p : s64[4] = [0, 1, 0, 0]
  constant %v : f32[] = [1.6]
  %r = Pad(%q, %p)") + value + R"()
  %y = DequantizeLinear(%r) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]}
  output %y
})");
    EXPECT_EQ(written(graph),
              "opset 17: QuantizeLinear(x, x_scale, x_zero_point); Pad(q, p, r_value); DequantizeLinear(r, r_scale, "
              "r_zero_point);");
    const auto again = read_text_bytes(bytes_of(graph));
    ASSERT_TRUE(again) << again.error().message();
    const Value& padding = again->value(*again->find_value("r_value"));
    EXPECT_EQ(padding.constant->int_at(0), code);
    EXPECT_EQ(to_text(padding.type), "u8[] quant(scale=0.5, zero_point=128)");
  }
}

TEST(Writer, OldForms) {
  const std::string mean =
      "  input %x : f32[batch,2,3]\n  constant %a : s64[1] = [-1]\n  %y = ReduceMean(%x, %a)\n  output %y";
  EXPECT_EQ(written(parsed(sample(mean, 11))), "opset 13: ReduceMean(x) axes;");
  EXPECT_EQ(written(parsed(sample(mean, 17))), "opset 17: ReduceMean(x) axes;");
  EXPECT_EQ(written(parsed(sample(mean, 18))), "opset 18: ReduceMean(x, a);");
  const std::string all = "  input %x : f32[batch,2,3]\n  %y = ReduceMean(%x) {noop_with_empty_axes=1}\n  output %y";
  EXPECT_EQ(written(parsed(sample(all, 13))), "opset 13: Identity(x);");
  const std::string sum =
      "  input %x : f32[batch,2,3]\n  constant %a : s64[1] = [-1]\n  %y = ReduceSum(%x, %a)\n  output %y";
  EXPECT_EQ(written(parsed(sample(sum, 13))), "opset 13: ReduceSum(x, a);");
  const std::string split =
      "  input %x : f32[batch,5]\n  %a, %b = Split(%x) {axis=1, num_outputs=2}\n  output %a\n  output %b";
  EXPECT_EQ(written(parsed(sample(split, 13))), "opset 13: Split(x, a_split) axis;");
  EXPECT_EQ(written(parsed(sample(split, 18))), "opset 18: Split(x) axis num_outputs;");
  const std::string even =
      "  input %x : f32[batch,4]\n  %a, %b = Split(%x) {axis=1, num_outputs=2}\n  output %a\n  output %b";
  EXPECT_EQ(written(parsed(sample(even, 13))), "opset 13: Split(x) axis;");
  const std::string pad =
      "  input %x : f32[batch,5]\n  constant %p : s64[2] = [1, 2]\n  constant %a : s64[1] = [-1]\n"
      "  %y = Pad(%x, %p, _, %a)\n  output %y";
  EXPECT_EQ(written(parsed(sample(pad, 17))), "opset 17: Pad(x, y_pads);");
  EXPECT_EQ(written(parsed(sample(pad, 18))), "opset 18: Pad(x, p, , a);");
  const auto again = read_text_bytes(bytes_of(parsed(sample(pad, 17))));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(to_text(again->type(again->outputs()[0])), "f32[batch,8]");
}

const std::string kGelu = "  input %x : f32[batch,7]\n  %y = Gelu(%x)\n  output %y";
const std::string kGeluTanh = "  input %x : f32[batch,7]\n  %y = Gelu(%x) {approximate=\"tanh\"}\n  output %y";
const std::string kHardSwish = "  input %x : f32[batch,7]\n  %y = HardSwish(%x)\n  output %y";
const std::string kSilu = "  input %x : f32[batch,7]\n  %y = Silu(%x)\n  output %y";
const std::string kLayerNorm =
    "  input %x : f32[batch,3,2]\n  constant %s : f32[3,2] = [0.5, 1.5, -1.0, 2.0, 0.25, 3.0]\n"
    "  constant %b : f32[3,2] = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6]\n"
    "  %y = LayerNormalization(%x, %s, %b) {axis=-2, epsilon=0.001}\n  output %y";
const std::string kLayerNormPlain =
    "  input %x : f32[batch,3,2]\n  constant %s : f32[2] = [0.5, 1.5]\n  %y = LayerNormalization(%x, %s)\n  output %y";

TEST(Writer, SpelledOut) {
  EXPECT_EQ(written(parsed(sample(kGelu, 17))),
            "opset 17: Div(x, y_sqrt2); Erf(y_scaled); Add(y_erf, y_one); Mul(x, y_gate); Mul(y_product, y_half);");
  EXPECT_EQ(written(parsed(sample(kGelu, 20))), "opset 20: Gelu(x);");
  EXPECT_EQ(written(parsed(sample(kGeluTanh, 13))),
            "opset 13: Mul(x, x); Mul(y_square, x); Mul(y_cube, y_c3); Add(x, y_term); Mul(y_sum, y_sqrt_2_over_pi); "
            "Tanh(y_scaled); Add(y_tanh, y_one); Mul(x, y_gate); Mul(y_product, y_half);");
  EXPECT_EQ(written(parsed(sample(kHardSwish, 13))), "opset 13: HardSigmoid(x) alpha beta; Mul(x, y_gate);");
  EXPECT_EQ(written(parsed(sample(kHardSwish, 14))), "opset 14: HardSwish(x);");
  EXPECT_EQ(written(parsed(sample(kSilu, 22))), "opset 22: Sigmoid(x); Mul(x, y_gate);");
  EXPECT_EQ(written(parsed(sample(kLayerNorm, 16))),
            "opset 16: ReduceMean(x) axes keepdims; Sub(x, y_mean); Mul(y_centred, y_centred); "
            "ReduceMean(y_square) axes keepdims; Add(y_variance, y_epsilon); Sqrt(y_shifted); "
            "Div(y_centred, y_deviation); Mul(y_normal, s); Add(y_scaled, b);");
  EXPECT_EQ(written(parsed(sample(kLayerNorm, 17))), "opset 17: LayerNormalization(x, s, b) axis epsilon;");
}

TEST(Writer, EveryOperatorThatOnnxLacksIsSpelledOrInternal) {
  for (const OpDef* op : all_ops()) {
    if (op->spelled_by.empty() && op->since_opset > 0) continue;
    if (op->name == "DynamicQuantizeLSTM") continue;  // com.microsoft's
    if (op->name == "Quantize" || op->name == "Dequantize" || op->name == "Requantize" || op->name == "AsCodes")
      continue;
    ASSERT_FALSE(op->samples.empty()) << op->name;
    EXPECT_FALSE(op->spelled_by.empty()) << op->name;
    auto graph = parse_graph(op->samples[0]);
    ASSERT_TRUE(graph) << graph.error().message();
    graph->opset = 13;
    const auto again = read_text_bytes(bytes_of(*graph));
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(again->opset, 13) << op->name;
  }
}

// Samples of all operators: what is written can be read, and gives the same types.
TEST(Writer, EverySampleComesBack) {
  int read_back = 0;
  for (const OpDef* op : all_ops()) {
    for (const std::string_view text : op->samples) {
      const auto graph = parse_graph(text);
      ASSERT_TRUE(graph) << op->name << ": " << graph.error().message();
      const auto bytes = onnx_bytes(*graph);
      if (!bytes) {
        EXPECT_EQ(bytes.error().kind, ErrorKind::unsupported) << bytes.error().message();
        continue;
      }
      const auto again = read_text_bytes(*bytes);
      ASSERT_TRUE(again) << again.error().message() << "\n" << text;
      ++read_back;
      ASSERT_EQ(graph->outputs().size(), again->outputs().size());
      for (size_t i = 0; i < graph->outputs().size(); ++i) {
        const TensorType &a = graph->type(graph->outputs()[i]), &b = again->type(again->outputs()[i]);
        EXPECT_EQ(a.dtype, b.dtype) << text;
        EXPECT_EQ(a.shape, b.shape) << text;
      }
    }
  }
  EXPECT_GT(read_back, 60);
}

// Names of the nodes of the file.
std::vector<std::string> node_names(const Graph& graph) {
  const std::string bytes = bytes_of(graph);
  const auto model = parse_model(std::as_bytes(std::span(bytes.data(), bytes.size())), "written");
  std::vector<std::string> names;
  if (model)
    for (const NodeFields& node : model->graph->nodes) names.emplace_back(node.name);
  return names;
}

TEST(Writer, NodeNamesAreUnique) {
  // Silu is spelled out; the name of its first part is taken.
  const Graph graph = parsed(R"(graph "names" stage imported opset 17 {
  input %x : f32[4]
  %a = Relu(%x) @"node"
  %b = Relu(%a) @"node"
  %c = Silu(%b) @"gate"
  %d = Relu(%c) @"gate_gate"
  %e = Relu(%d) @"node_1"
  %f = Relu(%e) @"node"
  output %f
})");
  EXPECT_EQ(node_names(graph),
            (std::vector<std::string>{"node", "node_2", "gate_gate_1", "gate", "gate_gate", "node_1", "node_3"}));
}

TEST(Writer, Refusals) {
  Graph graph = parsed(sample(kSilu, 17));
  graph.stage = Stage::integer;
  const auto bytes = onnx_bytes(graph);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().message(),
            "graph sample: stage integer has no ONNX form\n  write the graph of stage quantized or before");
  EXPECT_EQ(bytes.error().exit_code(), 4);
  const Graph codes = parsed(R"(graph "codes" stage imported opset 17 {
  input %x : u8[4] quant(scale=[0x1p-1], zero_point=[0])
  %y = Relu(%x) : u8[4] quant(scale=[0x1p-1], zero_point=[0]) @"relu"
  output %y
})");
  EXPECT_EQ(onnx_bytes(codes).error().message(),
            "node relu (Relu): ONNX has no such operator on codes\n  write the graph of stage quantized or before");
  const Graph pooled = parsed(R"(graph "codes" stage quantized opset 17 {
  input %x : u8[1,2,4,4] quant(scale=[0x1p-1], zero_point=[0])
  %y = GlobalMaxPool(%x) : u8[1,2,1,1] quant(scale=[0x1p-1], zero_point=[0]) @"pool"
  output %y
})");
  EXPECT_EQ(
      onnx_bytes(pooled).error().message(),
      "node pool (GlobalMaxPool): ONNX has no such operator on codes\n  write the graph of stage quantized or before");
  const Status nowhere = write_onnx(parsed(sample(kSilu, 17)), "no_such_folder/model.onnx");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(
      nowhere.error().message(),
      "no_such_folder/model.onnx: cannot be written: No such file or directory\n  choose a place you can write to");
}

// With CUPEL_ORACLE_PYTHON set to a Python that has onnx and onnxruntime: every file is checked by onnx, and the
// spelled and native forms of a pair give equal results.
TEST(Writer, OracleAgrees) {
  const char* python = std::getenv("CUPEL_ORACLE_PYTHON");
  if (!python) GTEST_SKIP() << "CUPEL_ORACLE_PYTHON is not set";
  TemporaryFolder folder;
  const auto put = [&](const std::string& name, const Graph& graph) {
    const Status status = write_onnx(graph, folder.path() / name);
    EXPECT_TRUE(status) << status.error().message();
  };
  const std::tuple<const char*, std::string, int, int> pairs[] = {
      {"gelu", kGelu, 13, 20},
      {"gelu_tanh", kGeluTanh, 13, 20},
      {"hard_swish", kHardSwish, 13, 14},
      {"layer_norm", kLayerNorm, 13, 17},
      {"layer_norm_plain", kLayerNormPlain, 16, 17},
      {"silu", kSilu, 13, 13},
  };
  for (const auto& [name, text, spelled, native] : pairs) {
    put(std::string(name) + ".spelled.onnx", parsed(sample(text, spelled)));
    put(std::string(name) + ".native.onnx", parsed(sample(text, native)));
  }
  for (const char* name : {"fashion_resnet", "fashion_mobilenet", "fashion_vit"}) {
    const fs::path path = fs::path(CUPEL_SOURCE_DIR) / "models" / (std::string(name) + ".onnx");
    const auto graph = read_onnx(path);
    ASSERT_TRUE(graph) << graph.error().message();
    put(std::string(name) + ".spelled.onnx", *graph);
    fs::copy_file(path, folder.path() / (std::string(name) + ".native.onnx"));
    Graph old = *graph;
    old.opset = 13;
    put(std::string(name) + "_13.spelled.onnx", old);
    fs::copy_file(path, folder.path() / (std::string(name) + "_13.native.onnx"));
    Graph newer = *graph;
    newer.opset = 21;
    put(std::string(name) + "_21.spelled.onnx", newer);
    fs::copy_file(path, folder.path() / (std::string(name) + "_21.native.onnx"));
  }
  int number = 0;
  for (const OpDef* op : all_ops())
    for (const std::string_view text : op->samples)
      for (const int opset : {13, 17, 21}) {
        auto graph = parse_graph(text);
        ASSERT_TRUE(graph) << graph.error().message();
        graph->opset = opset;
        // Of ops on codes those are written that ONNX allows on them.
        if (graph->stage == Stage::integer) graph->stage = Stage::quantized;
        if (onnx_bytes(*graph))
          put("sample_" + std::string(op->name) + "_" + std::to_string(number++) + ".onnx", *graph);
      }
  const std::string command =
      std::string(python) + " " + CUPEL_SOURCE_DIR + "/tests/onnx/check_writer.py " + folder.path().string();
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace cupel
