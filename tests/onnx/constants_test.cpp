// Nodes of constants are constants before shapes are inferred; whose fault it is that a node cannot be read.
#include "model_builder.h"

namespace cupel {
namespace {

using Ints = std::vector<int64_t>;

// How PyTorch exports F.pad(x, (1, 2, 3, 4)): the pads of the last dimensions first, turned around at run time.
TEST(Constants, PadsAsPyTorchComputesThem) {
  ModelBuilder m;
  m.input("x", {"batch", 1, 2, 2}).constant<int64_t>("given", {4}, {1, 2, 3, 4}).constant<int64_t>("missing", {1}, {4});
  m.constant<int64_t>("pairs", {2}, {-1, 2}).constant<int64_t>("flat", {1}, {-1});
  m.constant<int64_t>("last", {1}, {-1}).constant<int64_t>("first", {1}, {INT64_MIN});
  m.constant<int64_t>("axis", {1}, {0}).constant<int64_t>("back", {1}, {-1});
  m.node("ConstantOfShape", {"missing"}, {"zeros"}, {{"value", Tensor::of<int64_t>({1}, {0})}}, "zeros");
  m.node("Concat", {"given", "zeros"}, {"all"}, {{"axis", int64_t{0}}}, "all");
  m.node("Reshape", {"all", "pairs"}, {"two"}, {}, "two");
  m.node("Slice", {"two", "last", "first", "axis", "back"}, {"turned"}, {}, "turned");
  m.node("Transpose", {"turned"}, {"swapped"}, {{"perm", Ints{1, 0}}}, "swapped");
  m.node("Reshape", {"swapped", "flat"}, {"line"}, {}, "line");
  m.node("Cast", {"line"}, {"pads"}, {{"to", int64_t{7}}}, "pads");
  m.node("Pad", {"x", "pads"}, {"y"}, {{"mode", std::string("constant")}}, "pad").output("y");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[batch,1,2,2]
  constant %pads : s64[8] = [0, 0, 3, 1, 0, 0, 4, 2]
  %y = Pad(%x, %pads) {mode="constant"} : f32[batch,1,9,5] @"pad"
  output %y
}
)");
}

TEST(Constants, BoundsBehindACast) {
  ModelBuilder m;
  m.input("x", {"batch", 3}).constant<int32_t>("low", {}, {-1}).constant<double>("high", {}, {6.5});
  m.node("Cast", {"low"}, {"l"}, {{"to", int64_t{1}}}, "l").node("Cast", {"high"}, {"h"}, {{"to", int64_t{1}}}, "h");
  m.node("Clip", {"x", "l", "h"}, {"y"}, {}, "clip").output("y");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[batch,3]
  constant %l : f32[] = [-0x1p+0]
  constant %h : f32[] = [0x1.ap+2]
  %y = Clip(%x, %l, %h) : f32[batch,3] @"clip"
  output %y
}
)");
}

// Known sizes are constants as well: here the shape of an input without a batch.
TEST(Constants, ShapeArithmeticOfConstantShapes) {
  ModelBuilder m;
  m.input("x", {2, 6}).constant<float>("half", {}, {0.5f}).constant<int64_t>("one", {}, {1});
  m.node("Shape", {"x"}, {"s"}, {}, "s").node("Gather", {"s", "one"}, {"columns"}, {}, "columns");
  m.node("Cast", {"columns"}, {"real"}, {{"to", int64_t{1}}}, "real").node("Mul", {"real", "half"}, {"wide"}, {}, "m");
  m.node("Clip", {"x", "wide"}, {"y"}, {}, "clip").output("y");
  const auto graph = read(m);
  ASSERT_TRUE(graph) << error_of(graph);
  const Node& clip = graph->nodes().back();
  ASSERT_TRUE(graph->value(clip.inputs[1]).constant);
  EXPECT_EQ(*graph->value(clip.inputs[1]).constant, Tensor::scalar(3.0f));
}

TEST(Constants, WhatTheyAreWrongIn) {
  ModelBuilder m;
  m.input("x", {4}).constant<int64_t>("a", {2}, {1, 2}).constant<int64_t>("b", {2}, {1, 0});
  m.node("Div", {"a", "b"}, {"c"}, {}, "quotient").node("Reshape", {"x", "c"}, {"y"}).output("y");
  EXPECT_EQ(error_of(m), "3: model.onnx: node quotient (Div): an integer is divided by 0\n  correct the model");
}

// Indices of any number are checked where they are known.
TEST(Constants, IndicesOutOfRange) {
  Tensor indices(DType::s64, {100});
  indices.mutable_data<int64_t>()[77] = 3;
  ModelBuilder m;
  m.input("x", {"batch", 3}).constant("i", indices);
  m.node("Gather", {"x", "i"}, {"y"}, {{"axis", int64_t{1}}}, "gather").output("y");
  EXPECT_EQ(
      error_of(m),
      "3: model.onnx: node gather (Gather): index 3 (element 77 of the indices) is outside dimension 1 of size 3\n"
      "  correct the indices");
}

TEST(Constants, AsManyAsThereAre) {
  Tensor sizes(DType::s64, {70});
  for (int64_t& size : sizes.mutable_data<int64_t>()) size = 1;
  std::vector<std::string> parts;
  for (int i = 0; i < 70; ++i) parts.push_back("p" + std::to_string(i));
  ModelBuilder m;
  m.input("x", {"batch", 70}).constant("sizes", sizes);
  m.node("Split", {"x", "sizes"}, parts, {{"axis", int64_t{1}}}, "split").output("p69");
  const auto graph = read(m);
  ASSERT_TRUE(graph) << error_of(graph);
  EXPECT_EQ(to_text(graph->type(graph->outputs()[0]).shape), "[batch,1]");
}

// ---- narrow floats

TEST(NarrowFloats, AreComputedInBinary32) {
  ModelBuilder m;
  m.input("x", {"batch", 2}, 10).initializer("w", 10, {2}, [](protozero::pbf_writer& t) {
    t.add_bytes(onnx_field::tensor::raw_data, std::string("\x00\x3c\x00\xc0", 4));
  });
  m.node("Mul", {"x", "w"}, {"p"}, {}, "mul").node("Relu", {"p"}, {"y"}, {}, "relu").output("y", {"batch", 2}, 10);
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f16[batch,2]
  %x_f32 = Cast(%x) {to=1} : f32[batch,2]
  constant %w : f32[2] = [0x1p+0, -0x1p+1]
  %p = Mul(%x_f32, %w) : f32[batch,2] @"mul"
  %y_f32 = Relu(%p) : f32[batch,2] @"relu"
  %y = Cast(%y_f32) {to=10} : f16[batch,2] @"y_rounded"
  output %y
}
)");
}

TEST(NarrowFloats, CastsRound) {
  ModelBuilder m;
  m.input("x", {4}).node("Cast", {"x"}, {"h"}, {{"to", int64_t{10}}}, "down").node("Neg", {"h"}, {"n"}, {}, "neg");
  m.node("Cast", {"n"}, {"y"}, {{"to", int64_t{1}}}, "up").output("y");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[4]
  %down_rounded = Cast(%x) {to=10} : f16[4] origin=["down"]
  %h = Cast(%down_rounded) {to=1} : f32[4] @"down"
  %n = Neg(%h) : f32[4] @"neg"
  %y = Cast(%n) {to=1} : f32[4] @"up"
  output %y
}
)");
}

TEST(NarrowFloats, DoNotMixWithOthers) {
  ModelBuilder m;
  m.input("x", {4}).input("h", {4}, 10).node("Add", {"x", "h"}, {"y"}, {}, "add").output("y");
  EXPECT_EQ(error_of(m), "3: model.onnx: node add (Add): operand 1 is f16, operand 0 is f32\n  convert the operand");
  ModelBuilder output;
  output.input("h", {4}, 10).node("Relu", {"h"}, {"y"}, {}, "relu").output("y", {4});
  EXPECT_EQ(error_of(output),
            "3: model.onnx: output y: is declared as float, but is float16\n  export the model again");
}

// ---- whose fault

std::string error_of_type(const std::string& op, int32_t type, const Attributes& attributes = {}) {
  ModelBuilder m;
  m.input("x", {2, 3}, type).node(op, {"x"}, {"y"}, attributes).output("y");
  return error_of(m);
}

TEST(Blame, TypesThatONNXAllowsAreUnsupportedAndOthersBadInput) {
  EXPECT_EQ(error_of_type("Tanh", 11),
            "4: model.onnx: node n (Tanh): operand 0 is f64, expected f32\n  convert the operand");
  EXPECT_EQ(error_of_type("Exp", 7),
            "3: model.onnx: node n (Exp): operand 0 is s64, ONNX allows f32, f64, f16, bf16\n  convert the operand");
  EXPECT_EQ(error_of_type("Neg", 9),
            "3: model.onnx: node n (Neg): operand 0 is bool, ONNX allows f32, f64, f16, bf16, s8, s16, s32, s64\n"
            "  convert the operand");
  ModelBuilder mixed;
  mixed.input("a", {2}).input("b", {2}, 7).node("Add", {"a", "b"}, {"y"}).output("y");
  EXPECT_EQ(error_of(mixed), "3: model.onnx: node n (Add): operand 1 is s64, operand 0 is f32\n  convert the operand");
}

TEST(Blame, ArithmeticOnCodes) {
  const auto behind = [](const std::string& op) {
    ModelBuilder m;
    m.input("x", {2, 3}).constant<float>("s", {}, {0.5f}).node("QuantizeLinear", {"x", "s"}, {"q"}, {}, "q");
    m.node(op, op == "Add" ? std::vector<std::string>{"q", "q"} : std::vector<std::string>{"q"}, {"y"}).output("y");
    return error_of(m);
  };
  EXPECT_EQ(behind("Add"),
            "4: model.onnx: node n (Add): operand 0 holds codes, which it takes as plain integers\n"
            "  put a DequantizeLinear node before it");
  EXPECT_EQ(behind("Tanh"),
            "3: model.onnx: node n (Tanh): operand 0 is u8, ONNX allows f32, f64, f16, bf16\n  convert the operand");
}

TEST(Blame, OperatorsOfOtherDomainsAlone) {
  ModelBuilder m(0);
  m.model([](protozero::pbf_writer& w) {
    protozero::pbf_writer o(w, onnx_field::model::opset_import);
    o.add_string(onnx_field::opset::domain, "ai.onnx.ml");
    o.add_int64(onnx_field::opset::version, 3);
  });
  m.input("x", {2, 3}).node("Binarizer", {"x"}, {"y"}, {}, "n", "ai.onnx.ml").output("y");
  EXPECT_EQ(error_of(m),
            "4: model.onnx: node n (Binarizer): Cupel does not know this operator of domain ai.onnx.ml\n"
            "  export the model with operators of ai.onnx only");
}

TEST(Blame, ZeroPointsOfBiases) {
  ModelBuilder m;
  m.constant<int32_t>("b", {2}, {1, 2}).constant<float>("s", {}, {0.5f}).constant<int32_t>("z", {}, {1000});
  m.node("DequantizeLinear", {"b", "s", "z"}, {"y"}).output("y");
  EXPECT_EQ(error_of(m),
            "4: model.onnx: node n (DequantizeLinear): zero point 0 is 1000, expected 0 for s32\n"
            "  quantize the model again");
}

TEST(Blame, ErrorsKnowTheirNode) {
  ModelBuilder m;
  m.input("x", {2, 3}).node("NoSuchOperator", {"x"}, {"y"}, {}, "culprit").output("y");
  const auto graph = read(m);
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().node, "culprit");
  EXPECT_EQ(read_onnx("no_such_folder/model.onnx").error().code, ErrorCode::no_such_file);
}

}  // namespace
}  // namespace cupel
