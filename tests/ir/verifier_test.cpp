// One broken graph for each rule of the verifier that the Graph's own interface lets through. It does not let through:
// a name used twice, an operand after its user, a result with two producers, a missing or unsorted origin, a type that
// inference does not give.
#include "ir/verifier.h"

#include <gtest/gtest.h>

#include "ir/text.h"

namespace cupel {
namespace {

constexpr const char* kRemedy = "\n  this is a defect of Cupel; please report it with the model";

std::string message_of(const Graph& graph) {
  const Status status = verify_graph(graph);
  if (status) return "no error";
  EXPECT_EQ(status.error().kind, ErrorKind::internal);
  return status.error().message();
}

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

Graph in_stage(Stage stage, const std::string& body) {
  return parsed("graph \"g\" stage " + std::string(stage_name(stage)) + " opset 17 {\n" + body + "\n}");
}

TEST(Verifier, AcceptsGoodGraphs) {
  EXPECT_EQ(message_of(Graph()), "no error");
  EXPECT_EQ(message_of(in_stage(Stage::imported, "input %x : f32[a,b]\n%s = Shape(%x)\n%dead = Relu(%x)\noutput %s")),
            "no error");
  EXPECT_EQ(message_of(in_stage(Stage::simplified, "input %x : f32[batch,2]\n%y = Relu(%x)\noutput %y")), "no error");
  EXPECT_EQ(message_of(in_stage(Stage::simplified, "input %x : f32[batch,2]\ninput %unused : f32[batch,1]\noutput %x")),
            "no error");
}

TEST(Verifier, ConstantsMatchTheirTypes) {
  // add_constant derives the type; quantization parameters are the part that can be wrong.
  Graph g;
  g.add_output(g.add_constant("w", Tensor(DType::s8, {2, 3}), QuantParams{{1.0f, 1.0f, 1.0f}, {0, 0, 0}, 0}));
  EXPECT_EQ(message_of(g),
            std::string("verifier, stage imported: value w: 3 scales for axis 0 of shape [2,3], expected 2") + kRemedy);
}

TEST(Verifier, QuantizationParametersAreValid) {
  const auto with = [](TensorType type) {
    Graph g;
    g.add_output(g.add_input("x", std::move(type)));
    return message_of(g);
  };
  const auto found = [](const std::string& rule) { return "verifier, stage imported: value x: " + rule + kRemedy; };
  EXPECT_EQ(with({DType::f32, {2}, QuantParams{{1.0f}, {0}, -1}}), found("f32 cannot hold quantized codes"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{}, {}, -1}}),
            found("0 scales and 0 zero points, expected equally many and at least one"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{1.0f}, {0, 0}, -1}}),
            found("1 scales and 2 zero points, expected equally many and at least one"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{1.0f, 1.0f}, {0, 0}, -1}}),
            found("2 scales for a whole tensor, expected 1"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{1.0f}, {0}, 1}}), found("quantization axis 1 is outside shape [2]"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{-1.0f}, {0}, -1}}),
            found("scale 0 is -1, expected a finite normal number above 0"));
  EXPECT_EQ(with({DType::u8, {2}, QuantParams{{1e-40f}, {0}, -1}}),
            found("scale 0 is 1e-40, expected a finite normal number above 0"));
  EXPECT_EQ(with({DType::s8, {2}, QuantParams{{1.0f}, {128}, -1}}), found("zero point 0 is 128, outside s8"));
  EXPECT_EQ(with({DType::s8, {2}, QuantParams{{1.0f}, {-128}, -1}}), "no error");
}

TEST(Verifier, OneSymbolInLeadingDimensions) {
  EXPECT_EQ(
      message_of(in_stage(Stage::simplified, "input %x : f32[2,length]\noutput %x")),
      std::string(
          "verifier, stage simplified: value x: dimension 1 of [2,length] is symbolic; only the leading one may be") +
          kRemedy);
  EXPECT_EQ(message_of(in_stage(Stage::simplified, "input %x : f32[a]\ninput %y : f32[b]\noutput %x\noutput %y")),
            std::string("verifier, stage simplified: graph: 2 symbolic dimensions, expected at most one") + kRemedy);
}

TEST(Verifier, SimplifyRemovedItsOps) {
  EXPECT_EQ(message_of(in_stage(Stage::simplified, "input %x : f32[batch,2]\n%y = Dropout(%x) @\"copy\"\noutput %y")),
            std::string("verifier, stage simplified: node copy (Dropout): simplify must remove this op") + kRemedy);
  EXPECT_EQ(message_of(in_stage(Stage::quantized, "input %x : f32[batch,2]\n%y = Shape(%x)\noutput %y")),
            std::string("verifier, stage quantized: node y (Shape): simplify must remove this op") + kRemedy);
}

TEST(Verifier, EveryNodeIsNeeded) {
  EXPECT_EQ(message_of(in_stage(Stage::simplified,
                                "input %x : f32[batch,2]\n%y = Relu(%x)\n%z = Sqrt(%y) @\"dead\"\noutput %y")),
            std::string("verifier, stage simplified: node dead (Sqrt): no output needs the node") + kRemedy);
}

TEST(Verifier, CodesOfTheQuantizedStageAreOnlyMoved) {
  const std::string head = "input %x : u8[batch,2] quant(scale=[0x1p-3], zero_point=[0])\n";
  EXPECT_EQ(message_of(in_stage(Stage::quantized, head + "%y = Transpose(%x) {perm=[0, 1]}\n%z = DequantizeLinear(%y) "
                                                         "{scale=reals [0x1p-3], zero_point=[0]}\noutput %z")),
            "no error");
  EXPECT_EQ(
      message_of(in_stage(Stage::quantized,
                          head + "%y = Relu(%x) : u8[batch,2] quant(scale=[0x1p-3], zero_point=[0])\noutput %y")),
      std::string(
          "verifier, stage quantized: node y (Relu): codes are read by an op other than DequantizeLinear and moves") +
          kRemedy);
}

TEST(Verifier, TheIntegerStageHasNoQdqNodes) {
  EXPECT_EQ(message_of(in_stage(
                Stage::integer,
                "input %x : f32[batch,2]\n%y = QuantizeLinear(%x) {scale=reals [0x1p-3], zero_point=[0]}\noutput %y")),
            std::string("verifier, stage integer: node y (QuantizeLinear): a Q/DQ node is left") + kRemedy);
  EXPECT_EQ(message_of(in_stage(Stage::fused,
                                "input %x : u8[batch,2] quant(scale=[0x1p-3], zero_point=[0])\n%y = "
                                "DequantizeLinear(%x) {scale=reals [0x1p-3], zero_point=[0]}\noutput %y")),
            std::string("verifier, stage fused: node y (DequantizeLinear): a Q/DQ node is left") + kRemedy);
}

TEST(Verifier, OpsOnCodesHaveAnIntegerMeaning) {
  EXPECT_EQ(message_of(in_stage(Stage::integer,
                                "input %x : f32[batch,2]\n%q = Quantize(%x) : u8[batch,2] quant(scale=[0x1p-3], "
                                "zero_point=[0])\n%y = Dequantize(%q)\noutput %y")),
            "no error");
  // Every op without one refuses codes when its type is inferred, so that the rule is met before it is checked.
  for (const OpDef* op : all_ops()) {
    if (op->quant_rule != QuantRule::none || op->min_inputs != 1 || op->max_inputs != 1) continue;
    if (op->name == "Dequantize" || op->name == "Requantize" || op->name == "DequantizeLinear") continue;
    Graph g;
    g.stage = Stage::integer;
    const ValueId x = g.add_input("x", {DType::u8, {Dim(1, "batch"), 2}, QuantParams{{0.5f}, {3}, -1}});
    const auto added = g.add_node(*op, "n", {x}, {}, {"y"});
    if (!added) continue;
    g.add_output(g.node(*added).outputs[0]);
    EXPECT_NE(message_of(g), "no error") << op->name;
  }
}

}  // namespace
}  // namespace cupel
