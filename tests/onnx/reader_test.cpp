// Reading: constants of every kind, sorting, names, and old forms of operators turned into the newest.
#include <limits>

#include "model_builder.h"

namespace cupel {
namespace {

using protozero::pbf_writer;

TEST(Reader, SortsAndNames) {
  ModelBuilder m;
  m.graph([](pbf_writer& g) { g.add_string(onnx_field::graph::name, "net"); });
  m.node("Relu", {"b"}, {"y"}, {}, "last").node("Constant", {}, {"c"}, {{"value_float", 2.0f}}, "c");
  m.node("Mul", {"a", "c"}, {"b"}, {}, "").node("Abs", {"x"}, {"a"}, {}, "first");
  m.input("x", {"n", "", 3}).output("y", {"n", "", 3});
  EXPECT_EQ(text_of(m), R"(graph "net" stage imported opset 17 {
  input %x : f32[n,dim_x_1,3]
  %a = Abs(%x) : f32[n,dim_x_1,3] @"first"
  constant %c : f32[] = [0x1p+1]
  %b = Mul(%a, %c) : f32[n,dim_x_1,3] @"Mul_2"
  %y = Relu(%b) : f32[n,dim_x_1,3] @"last"
  output %y
}
)");
}

TEST(Reader, MultiplesOfSymbols) {
  ModelBuilder m;
  m.input("x", {"2*batch", "batch", "0*n", "*b"}).output("x", {"2*batch", "batch", "0*n", "*b"});
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[2*batch,batch,"0*n","*b"]
  output %x
}
)");
}

TEST(Reader, InitializersListedAsInputs) {
  ModelBuilder m;
  m.input("w", {2}).input("x", {2}).constant<float>("w", {2}, {1, 2}).constant<float>("unused", {1}, {1});
  m.node("Add", {"x", "w"}, {"y"}).output("y");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  constant %w : f32[2] = [0x1p+0, 0x1p+1]
  %y = Add(%x, %w) : f32[2] @"n"
  output %y
}
)");
}

Tensor constant_of(int32_t type, const Dims& dims, const ModelBuilder::Write& write) {
  ModelBuilder m;
  m.initializer("w", type, dims, write).output("w");
  const auto graph = read(m);
  EXPECT_TRUE(graph) << graph.error().message();
  if (!graph) return Tensor();
  // A narrow float is widened, and cast to its own type at the output.
  const ValueId output = graph->outputs()[0];
  return *graph->value(graph->value(output).constant ? output : graph->nodes()[0].inputs[0]).constant;
}

TEST(Reader, TypedPayloads) {
  namespace f = onnx_field::tensor;
  const std::vector<float> reals = {1, -2};
  EXPECT_EQ(constant_of(1, {2}, [&](pbf_writer& t) { t.add_packed_float(f::float_data, reals.begin(), reals.end()); }),
            (Tensor::of<float>({2}, {1, -2})));
  // One by one, as proto2 writers may.
  EXPECT_EQ(constant_of(1, {2},
                        [&](pbf_writer& t) {
                          t.add_float(f::float_data, 1);
                          t.add_float(f::float_data, -2);
                        }),
            (Tensor::of<float>({2}, {1, -2})));
  const std::vector<double> doubles = {0.1, -2};
  EXPECT_EQ(
      constant_of(11, {2}, [&](pbf_writer& t) { t.add_packed_double(f::double_data, doubles.begin(), doubles.end()); }),
      (Tensor::of<double>({2}, {0.1, -2})));
  const std::vector<int64_t> longs = {-1, std::numeric_limits<int64_t>::max()};
  EXPECT_EQ(constant_of(7, {2}, [&](pbf_writer& t) { t.add_packed_int64(f::int64_data, longs.begin(), longs.end()); }),
            (Tensor::of<int64_t>({2}, {-1, std::numeric_limits<int64_t>::max()})));
  const std::vector<uint64_t> unsigned_longs = {1, std::numeric_limits<uint64_t>::max()};
  EXPECT_EQ(constant_of(13, {2},
                        [&](pbf_writer& t) {
                          t.add_packed_uint64(f::uint64_data, unsigned_longs.begin(), unsigned_longs.end());
                        }),
            (Tensor::of<uint64_t>({2}, {1, std::numeric_limits<uint64_t>::max()})));
  const auto narrow = [&](int32_t type, std::vector<int32_t> values, Dims dims) {
    return constant_of(type, dims,
                       [&](pbf_writer& t) { t.add_packed_int32(f::int32_data, values.begin(), values.end()); });
  };
  EXPECT_EQ(narrow(2, {0, 255}, {2}), (Tensor::of<uint8_t>({2}, {uint8_t{0}, uint8_t{255}})));
  EXPECT_EQ(narrow(3, {-128, 127}, {2}), (Tensor::of<int8_t>({2}, {int8_t{-128}, int8_t{127}})));
  EXPECT_EQ(narrow(4, {0, 65535}, {2}), (Tensor::of<uint16_t>({2}, {uint16_t{0}, uint16_t{65535}})));
  EXPECT_EQ(narrow(5, {-32768, 1}, {2}), (Tensor::of<int16_t>({2}, {int16_t{-32768}, int16_t{1}})));
  EXPECT_EQ(narrow(6, {-5, 7}, {2}), (Tensor::of<int32_t>({2}, {-5, 7})));
  EXPECT_EQ(narrow(9, {1, 0}, {2}), (Tensor::of<bool>({2}, {true, false})));
  EXPECT_EQ(narrow(10, {0x3c00, 0xc000}, {2}), (Tensor::of<float>({2}, {1, -2})));  // widened
  EXPECT_EQ(narrow(21, {0x21, 0x03}, {3}).bytes()[0], std::byte{0x21});
}

TEST(Reader, Booleans) {
  const Tensor t = constant_of(9, {2}, [](pbf_writer& w) { w.add_bytes(onnx_field::tensor::raw_data, "\x07\x00", 2); });
  EXPECT_EQ(t, (Tensor::of<bool>({2}, {true, false})));
}

TEST(Reader, ConstantNodes) {
  ModelBuilder m(13);
  m.node("Constant", {}, {"a"}, {{"value_int", int64_t{7}}}, "a");
  m.node("Constant", {}, {"b"}, {{"value_ints", std::vector<int64_t>{1, 2}}}, "b");
  m.node("Constant", {}, {"c"}, {{"value_floats", std::vector<float>{0.5f}}}, "c");
  m.node("Constant", {}, {"d"}, {{"value", Tensor::scalar<int32_t>(-1)}}, "d");
  m.output("a").output("b").output("c").output("d");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 13 {
  constant %a : s64[] = [7]
  constant %b : s64[2] = [1, 2]
  constant %c : f32[1] = [0x1p-1]
  constant %d : s32[] = [-1]
  output %a
  output %b
  output %c
  output %d
}
)");
  ModelBuilder text(13);
  text.node("Constant", {}, {"a"}, {{"value_string", std::string("x")}}, "a").output("a");
  EXPECT_EQ(error_of(text),
            "4: model.onnx: node a (Constant): attribute value_string is not supported\n"
            "  export the model with dense numeric constants");
}

// The lines of the graph's text between the inputs and the outputs.
std::string nodes_of(const ModelBuilder& m) {
  std::istringstream lines(text_of(m));
  std::string line, text;
  while (std::getline(lines, line))
    if (!line.starts_with("graph") && !line.starts_with("  input") && !line.starts_with("  output") && line != "}")
      text += line + "\n";
  return text;
}

using Ints = std::vector<int64_t>;

TEST(Upgrade, AxesBecomeOperands) {
  for (const char* op : {"ReduceMean", "ReduceMax", "ReduceMin"}) {
    ModelBuilder m(17);
    m.input("x", {"batch", 2, 3}).node(op, {"x"}, {"y"}, {{"axes", Ints{-1}}, {"keepdims", int64_t{0}}}).output("y");
    EXPECT_EQ(nodes_of(m), std::string("  constant %n_axes : s64[1] = [-1]\n  %y = ") + op +
                               "(%x, %n_axes) {keepdims=0} : f32[batch,2] @\"n\"\n");
  }
  ModelBuilder sum(11);
  sum.input("x", {"batch", 2}).node("ReduceSum", {"x"}, {"y"}, {{"axes", Ints{1}}}).output("y");
  EXPECT_EQ(nodes_of(sum), "  constant %n_axes : s64[1] = [1]\n  %y = ReduceSum(%x, %n_axes) : f32[batch,1] @\"n\"\n");
  ModelBuilder squeeze(11);
  squeeze.input("x", {"batch", 1}).node("Squeeze", {"x"}, {"s"}, {{"axes", Ints{1}}}, "s");
  squeeze.node("Unsqueeze", {"s"}, {"y"}, {{"axes", Ints{0}}}, "u").output("y");
  EXPECT_EQ(nodes_of(squeeze), R"(  constant %s_axes : s64[1] = [1]
  %s = Squeeze(%x, %s_axes) : f32[batch]
  constant %u_axes : s64[1] = [0]
  %y = Unsqueeze(%s, %u_axes) : f32[1,batch] @"u"
)");
}

TEST(Upgrade, NamesOfNewConstantsAreFree) {
  ModelBuilder m(11);
  m.input("n_axes", {"batch", 1}).node("Squeeze", {"n_axes"}, {"n_axes_1"}, {{"axes", Ints{1}}}).output("n_axes_1");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 11 {
  input %n_axes : f32[batch,1]
  constant %n_axes_2 : s64[1] = [1]
  %n_axes_1 = Squeeze(%n_axes, %n_axes_2) : f32[batch] @"n"
  output %n_axes_1
}
)");
}

TEST(Upgrade, ClipPadSliceSplit) {
  ModelBuilder clip(10);
  clip.input("x", {2}).node("Clip", {"x"}, {"y"}, {{"max", 6.0f}}).output("y");
  EXPECT_EQ(nodes_of(clip), "  constant %n_max : f32[] = [0x1.8p+2]\n  %y = Clip(%x, _, %n_max) : f32[2] @\"n\"\n");
  ModelBuilder pad(10);
  pad.input("x", {2}).node("Pad", {"x"}, {"y"}, {{"pads", Ints{1, 0}}, {"value", 3.0f}}).output("y");
  EXPECT_EQ(nodes_of(pad), R"(  constant %n_pads : s64[2] = [1, 0]
  constant %n_value : f32[] = [0x1.8p+1]
  %y = Pad(%x, %n_pads, %n_value) : f32[3] @"n"
)");
  ModelBuilder slice(9);
  slice.input("x", {"batch", 4});
  slice.node("Slice", {"x"}, {"y"}, {{"starts", Ints{1}}, {"ends", Ints{3}}, {"axes", Ints{1}}}).output("y");
  EXPECT_EQ(nodes_of(slice), R"(  constant %n_starts : s64[1] = [1]
  constant %n_ends : s64[1] = [3]
  constant %n_axes : s64[1] = [1]
  %y = Slice(%x, %n_starts, %n_ends, %n_axes) : f32[batch,2] @"n"
)");
  ModelBuilder split(11);
  split.input("x", {"batch", 4});
  split.node("Split", {"x"}, {"a", "b"}, {{"split", Ints{1, 3}}, {"axis", int64_t{1}}}).output("a").output("b");
  EXPECT_EQ(nodes_of(split),
            "  constant %n_split : s64[2] = [1, 3]\n"
            "  %a, %b = Split(%x, %n_split) {axis=1} : f32[batch,1], f32[batch,3] @\"n\"\n");
  ModelBuilder equal(13);
  equal.input("x", {"batch", 4}).node("Split", {"x"}, {"a", "b"}, {{"axis", int64_t{1}}}).output("a").output("b");
  EXPECT_EQ(nodes_of(equal), "  %a, %b = Split(%x) {axis=1, num_outputs=2} : f32[batch,2], f32[batch,2] @\"n\"\n");
}

TEST(Upgrade, SoftmaxOfOldOpsets) {
  ModelBuilder last(11);
  last.input("x", {"batch", 4}).node("Softmax", {"x"}, {"y"}).output("y");
  EXPECT_EQ(nodes_of(last), "  %y = Softmax(%x) {axis=-1} : f32[batch,4] @\"n\"\n");
  ModelBuilder rows(11);
  rows.input("x", {"batch", 4, 3}).node("LogSoftmax", {"x"}, {"y"}).output("y");
  EXPECT_EQ(nodes_of(rows), R"(  %n_flatten = Flatten(%x) {axis=1} : f32[batch,12] origin=["n"]
  %n_rows = LogSoftmax(%n_flatten) {axis=-1} : f32[batch,12] origin=["n"]
  constant %n_shape : s64[3] = [-1, 4, 3]
  %y = Reshape(%n_rows, %n_shape) : f32[batch,4,3] @"n"
)");
  ModelBuilder newer(13);
  newer.input("x", {"batch", 4, 3}).node("Softmax", {"x"}, {"y"}, {{"axis", int64_t{1}}}).output("y");
  EXPECT_EQ(nodes_of(newer), "  %y = Softmax(%x) {axis=1} : f32[batch,4,3] @\"n\"\n");
}

TEST(Upgrade, InferenceForms) {
  ModelBuilder dropout(13);
  dropout.input("x", {2}).constant<float>("ratio", {}, {0.5f}).constant<bool>("off", {}, {false});
  dropout.node("Dropout", {"x", "ratio", "off"}, {"y", "mask"}, {{"seed", int64_t{1}}}).output("y");
  EXPECT_EQ(nodes_of(dropout), "  %y = Dropout(%x) : f32[2] @\"n\"\n");
  ModelBuilder training(13);
  training.input("x", {2}).constant<float>("ratio", {}, {0.5f}).constant<bool>("on", {}, {true});
  training.node("Dropout", {"x", "ratio", "on"}, {"y"}).output("y");
  EXPECT_EQ(
      error_of(training),
      "4: model.onnx: node n (Dropout): training_mode is not the constant false\n  export the model for inference");
  const auto norm = [](int64_t opset, const Attributes& attributes, const std::vector<std::string>& outputs) {
    ModelBuilder m(opset);
    m.input("x", {"batch", 1, 2});
    for (const char* name : {"s", "b", "m", "v"}) m.constant<float>(name, {1}, {1});
    m.node("BatchNormalization", {"x", "s", "b", "m", "v"}, outputs, attributes).output("y");
    return m;
  };
  EXPECT_EQ(
      nodes_of(norm(8, {{"spatial", int64_t{1}}, {"momentum", 0.5f}, {"epsilon", 0.5f}}, {"y", "a", "b2", "c", "d"})),
      R"(  constant %s : f32[1] = [0x1p+0]
  constant %b : f32[1] = [0x1p+0]
  constant %m : f32[1] = [0x1p+0]
  constant %v : f32[1] = [0x1p+0]
  %y = BatchNormalization(%x, %s, %b, %m, %v) {epsilon=0x1p-1} : f32[batch,1,2] @"n"
)");
  ModelBuilder training_result = norm(13, {}, {"y", "mean"});
  training_result.output("mean");
  EXPECT_EQ(error_of(training_result),
            "4: model.onnx: node n (BatchNormalization): 2 results are asked for, Cupel computes 1\n"
            "  remove the unused results");
  EXPECT_EQ(
      error_of(norm(14, {{"training_mode", int64_t{1}}}, {"y"})),
      "4: model.onnx: node n (BatchNormalization): attribute training_mode is not 0\n  export the model for inference");
  EXPECT_EQ(error_of(norm(8, {{"spatial", int64_t{0}}}, {"y"})),
            "4: model.onnx: node n (BatchNormalization): attribute spatial is not 1\n  export the model for inference");
}

TEST(Upgrade, ForeignAndVariadicOperators) {
  ModelBuilder sum;
  sum.input("x", {2}).input("z", {2}).node("Sum", {"x", "z", "x"}, {"y"}).output("y");
  EXPECT_EQ(nodes_of(sum), R"(  %n_1 = Add(%x, %z) : f32[2] origin=["n"]
  %y = Add(%n_1, %x) : f32[2] @"n"
)");
  ModelBuilder gelu;
  gelu.input("x", {2}).node("Gelu", {"x"}, {"g"}, {}, "g", "com.microsoft");
  gelu.node("FastGelu", {"g"}, {"f"}, {}, "f", "com.microsoft");
  gelu.node("QuickGelu", {"f"}, {"y"}, {{"alpha", 2.0f}}, "q", "com.microsoft").output("y");
  EXPECT_EQ(nodes_of(gelu), R"(  %g = Gelu(%x) : f32[2]
  %f = Gelu(%g) {approximate="tanh"} : f32[2]
  constant %q_alpha : f32[] = [0x1p+1]
  %q_scaled = Mul(%f, %q_alpha) : f32[2] origin=["q"]
  %q_sigmoid = Sigmoid(%q_scaled) : f32[2] origin=["q"]
  %y = Mul(%f, %q_sigmoid) : f32[2] @"q"
)");
  ModelBuilder swish(24);
  swish.input("x", {2}).node("Swish", {"x"}, {"y"}).output("y");
  EXPECT_EQ(nodes_of(swish), "  %y = Silu(%x) : f32[2] @\"n\"\n");
  ModelBuilder cast;
  cast.input("x", {2}).node("Cast", {"x"}, {"y"}, {{"to", int64_t{7}}}).output("y", {2}, 7);
  EXPECT_NE(nodes_of(cast).find(": s64[2]"), std::string::npos) << nodes_of(cast);
}

}  // namespace
}  // namespace cupel
