// QuantizeLinear and DequantizeLinear: parameters from constants into attributes and types.
#include <limits>

#include "model_builder.h"

namespace cupel {
namespace {

ModelBuilder base(int64_t opset = 17) {
  ModelBuilder m(opset);
  m.input("x", {"batch", 2, 3}).constant<float>("s", {}, {0.5f}).constant<uint8_t>("z", {}, {uint8_t{128}});
  return m;
}

TEST(Quantization, PerTensor) {
  ModelBuilder m = base();
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"}, {}, "quantize");
  m.node("DequantizeLinear", {"q", "s", "z"}, {"y"}, {}, "dequantize").output("y");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[batch,2,3]
  %q = QuantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} : u8[batch,2,3] quant(scale=[0x1p-1], zero_point=[128]) @"quantize"
  %y = DequantizeLinear(%q) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} : f32[batch,2,3] @"dequantize"
  output %y
}
)");
}

TEST(Quantization, InputsOfCodesTakeTheParametersOfTheirReaders) {
  const auto model = [] {
    ModelBuilder m;
    m.input("x", {"batch", 2, 3}, 2).constant<float>("s", {}, {0.5f}).constant<uint8_t>("z", {}, {uint8_t{128}});
    m.constant<float>("t", {}, {0.25f});
    m.node("DequantizeLinear", {"x", "s", "z"}, {"y"}, {}, "first").output("y");
    return m;
  };
  ModelBuilder moved = model();
  moved.node("Transpose", {"x"}, {"p"}, {{"perm", std::vector<int64_t>{0, 2, 1}}}, "move");
  moved.node("DequantizeLinear", {"p", "s", "z"}, {"w"}, {}, "second").output("w");
  EXPECT_EQ(text_of(moved), R"(graph "main" stage imported opset 17 {
  input %x : u8[batch,2,3] quant(scale=[0x1p-1], zero_point=[128])
  %y = DequantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} : f32[batch,2,3] @"first"
  %p = Transpose(%x) {perm=[0, 2, 1]} : u8[batch,3,2] quant(scale=[0x1p-1], zero_point=[128]) @"move"
  %w = DequantizeLinear(%p) {dtype="u8", scale=reals [0x1p-1], zero_point=[128]} : f32[batch,3,2] @"second"
  output %y
  output %w
}
)");
  // Readers that differ, or that read integers, leave it an input of integers.
  const std::string plain = "input %x : u8[batch,2,3]\n";
  ModelBuilder differing = model();
  differing.node("DequantizeLinear", {"x", "t", "z"}, {"w"}, {}, "second").output("w");
  EXPECT_NE(text_of(differing).find(plain), std::string::npos) << text_of(differing);
  ModelBuilder read = model();
  read.node("Cast", {"x"}, {"w"}, {{"to", int64_t{1}}}, "second").output("w");
  EXPECT_NE(text_of(read).find(plain), std::string::npos) << text_of(read);
}

TEST(Quantization, DefaultsAndOneElementScales) {
  // No zero point: 0 of type u8. A list of one scale holds for the tensor.
  ModelBuilder m;
  m.input("x", {"batch", 2}).constant<float>("s", {1}, {0.5f});
  m.node("QuantizeLinear", {"x", "s"}, {"q"}, {}, "n", "com.microsoft").output("q");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  input %x : f32[batch,2]
  %q = QuantizeLinear(%x) {dtype="u8", scale=reals [0x1p-1], zero_point=[0]} : u8[batch,2] quant(scale=[0x1p-1], zero_point=[0]) @"n"
  output %q
}
)");
  ModelBuilder typed(21);
  typed.input("x", {"batch", 2}).constant<float>("s", {}, {0.5f});
  typed.node("QuantizeLinear", {"x", "s"}, {"q"}, {{"output_dtype", int64_t{3}}}).output("q");
  EXPECT_EQ(text_of(typed), R"(graph "main" stage imported opset 21 {
  input %x : f32[batch,2]
  %q = QuantizeLinear(%x) {dtype="s8", scale=reals [0x1p-1], zero_point=[0]} : s8[batch,2] quant(scale=[0x1p-1], zero_point=[0]) @"n"
  output %q
}
)");
}

TEST(Quantization, ConstantsPerChannelAndTwice) {
  ModelBuilder m;
  m.constant<int8_t>("w", {2, 1}, {int8_t{-3}, int8_t{4}}).constant<int32_t>("b", {2}, {100, -200});
  m.constant<float>("s", {2}, {0.5f, 0.25f}).constant<int8_t>("z", {2}, {int8_t{0}, int8_t{0}});
  m.constant<float>("t", {}, {2.0f});
  m.node("DequantizeLinear", {"w", "s", "z"}, {"a"}, {{"axis", int64_t{-2}}}, "first");
  m.node("DequantizeLinear", {"w", "t"}, {"c"}, {}, "second");
  m.node("DequantizeLinear", {"w", "s"}, {"d"}, {{"axis", int64_t{0}}}, "third");
  m.node("DequantizeLinear", {"b", "s"}, {"e"}, {{"axis", int64_t{0}}}, "bias");
  m.output("a").output("c").output("d").output("e");
  EXPECT_EQ(text_of(m), R"(graph "main" stage imported opset 17 {
  constant %w : s8[2,1] quant(axis=0, scale=[0x1p-1, 0x1p-2], zero_point=[0, 0]) = [-3, 4]
  %a = DequantizeLinear(%w) {axis=0, dtype="s8", scale=reals [0x1p-1, 0x1p-2], zero_point=[0, 0]} : f32[2,1] @"first"
  constant %w_1 : s8[2,1] quant(scale=[0x1p+1], zero_point=[0]) = [-3, 4]
  %c = DequantizeLinear(%w_1) {dtype="s8", scale=reals [0x1p+1], zero_point=[0]} : f32[2,1] @"second"
  %d = DequantizeLinear(%w) {axis=0, dtype="s8", scale=reals [0x1p-1, 0x1p-2], zero_point=[0, 0]} : f32[2,1] @"third"
  constant %b : s32[2] quant(axis=0, scale=[0x1p-1, 0x1p-2], zero_point=[0, 0]) = [100, -200]
  %e = DequantizeLinear(%b) {axis=0, dtype="s32", scale=reals [0x1p-1, 0x1p-2], zero_point=[0, 0]} : f32[2] @"bias"
  output %a
  output %c
  output %d
  output %e
}
)");
}

std::string quantize_error(const Tensor& scale, const Tensor& zero, const Attributes& attributes = {}) {
  ModelBuilder m;
  m.input("x", {"batch", 2, 3}).constant("s", scale).constant("z", zero);
  m.node("QuantizeLinear", {"x", "s", "z"}, {"q"}, attributes).output("q");
  return error_of(m);
}
std::string scale_error(float scale) { return quantize_error(Tensor::scalar(scale), Tensor::scalar(uint8_t{0})); }

TEST(Quantization, BadScales) {
  const std::string place = "3: model.onnx: node n (QuantizeLinear): ";
  const std::string tail = ", expected a finite normal number above 0\n  quantize the model again";
  EXPECT_EQ(scale_error(0.0f), place + "scale 0 is 0" + tail);
  EXPECT_EQ(scale_error(-1.0f), place + "scale 0 is -1" + tail);
  EXPECT_EQ(scale_error(std::numeric_limits<float>::infinity()), place + "scale 0 is inf" + tail);
  EXPECT_EQ(scale_error(std::numeric_limits<float>::quiet_NaN()), place + "scale 0 is nan" + tail);
}

TEST(Quantization, BadParameters) {
  const std::string place = "model.onnx: node n (QuantizeLinear): ";
  const Tensor three = Tensor::of<float>({3}, {1, 1, 1});
  const Tensor zeros = Tensor(DType::u8, {3});
  EXPECT_EQ(quantize_error(three, zeros, {{"axis", int64_t{2}}}), "no error");
  EXPECT_EQ(quantize_error(three, zeros),
            "3: " + place + "3 scales for axis 1 of shape [batch,2,3], expected 2\n  quantize the model again");
  EXPECT_EQ(quantize_error(three, Tensor(DType::u8, {2}), {{"axis", int64_t{2}}}),
            "3: " + place + "3 scales and 2 zero points, expected equally many\n  quantize the model again");
  EXPECT_EQ(quantize_error(Tensor(DType::f32, {0}), Tensor(DType::u8, {0})),
            "3: " + place + "scale is empty\n  quantize the model again");
  EXPECT_EQ(quantize_error(Tensor::of<float>({1, 3}, {1, 1, 1}), zeros),
            "3: " + place + "parameters of shape [1,3] for axis 1 of [batch,2,3]\n  quantize the model again");
  EXPECT_EQ(quantize_error(Tensor::scalar(1.0f), Tensor::scalar(uint8_t{0}), {{"block_size", int64_t{16}}}),
            "3: " + place +
                "parameters of shape [] for blocks of 16 along axis 1 of [batch,2,3]\n  quantize the model again");
  EXPECT_EQ(quantize_error(Tensor::scalar(1.0), Tensor::scalar(uint8_t{0})),
            "4: " + place + "scale is f64, expected f32\n  quantize from f32");
  EXPECT_EQ(quantize_error(Tensor::scalar(1.0f), Tensor::scalar(0.0f)),
            "4: " + place + "zero point is f32\n  quantize to uint8 or int8");
  EXPECT_EQ(quantize_error(Tensor::scalar(1.0f), Tensor::scalar(uint8_t{0}), {{"output_dtype", int64_t{3}}}),
            "3: " + place + "zero point is u8, expected s8\n  quantize the model again");
  const std::string outside = quantize_error(three, zeros, {{"axis", int64_t{3}}});
  EXPECT_TRUE(outside.starts_with("3: " + place)) << outside;
}

TEST(Quantization, ComputedParameters) {
  ModelBuilder m;
  m.input("x", {4}).input("s", {"n"}).node("QuantizeLinear", {"x", "s"}, {"q"}).output("q");
  EXPECT_EQ(error_of(m),
            "4: model.onnx: node n (QuantizeLinear): shape [n] has dimensions that are not known\n"
            "  fix the model's dimensions");
  ModelBuilder few;
  few.input("x", {4}).node("QuantizeLinear", {"x"}, {"q"}).output("q");
  EXPECT_EQ(error_of(few),
            "3: model.onnx: node n (QuantizeLinear): 1 operands, expected 2 or 3\n  export the model again");
}

TEST(Quantization, BadDequantize) {
  ModelBuilder type;
  type.constant<int8_t>("w", {1}, {int8_t{1}}).constant<float>("s", {}, {1}).constant<uint8_t>("z", {}, {uint8_t{0}});
  type.node("DequantizeLinear", {"w", "s", "z"}, {"y"}).output("y");
  EXPECT_EQ(error_of(type),
            "3: model.onnx: node n (DequantizeLinear): zero point is u8, expected s8\n  quantize the model again");
  ModelBuilder real;
  real.constant<float>("w", {1}, {1}).constant<float>("s", {}, {1});
  real.node("DequantizeLinear", {"w", "s"}, {"y"}).output("y");
  EXPECT_EQ(error_of(real),
            "3: model.onnx: node n (DequantizeLinear): f32 cannot hold quantized codes\n  quantize the model again");
}

}  // namespace
}  // namespace cupel
