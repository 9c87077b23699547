// Networks without a batch, and outputs that no kernel computes: the meaning of the kernels, and code for this machine,
// equal the interpreter's bits.
#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "base/same_bytes.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "emit/image_builder.h"
#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

std::vector<Tensor> inputs_of(const Graph& graph, int64_t batch) {
  std::mt19937 engine(3);
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs()) {
    Tensor t(graph.type(id).dtype, *bind_shape(graph.type(id).shape, batch));
    if (t.dtype() == DType::f32)
      for (float& v : t.mutable_data<float>())
        v = static_cast<float>(static_cast<int>(engine() % 2001) - 1000) / 250.0f;
    else if (t.dtype() == DType::s64)
      for (int64_t& v : t.mutable_data<int64_t>()) v = static_cast<int64_t>(engine() % 2);
    else if (t.dtype() == DType::s32)
      for (int32_t& v : t.mutable_data<int32_t>()) v = static_cast<int32_t>(engine() % 2);
    else
      for (std::byte& b : t.mutable_bytes()) b = static_cast<std::byte>(engine());
    inputs.push_back(std::move(t));
  }
  return inputs;
}

void expect_same(const std::string& body, const std::string& stage = "simplified") {
  const std::string text = "graph \"g\" stage " + stage + " opset 17 {\n" + body + "\n}";
  const auto graph = parse_graph(text);
  ASSERT_TRUE(graph.has_value()) << text << graph.error().message();
  const EmitTarget host = find_emit_target("host").value();
  const auto lowered = lower_graph(*graph, "g", lower_target(host));
  ASSERT_TRUE(lowered.has_value()) << text << lowered.error().message();
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const auto image = compile_image(*graph, "g", host, workers);
  ASSERT_TRUE(image.has_value()) << text << image.error().message();
  auto model = CompiledModel::load(*image, "g", 1);
  ASSERT_TRUE(model.has_value()) << text << model.error().message();
  ThreadPool threads(1);
  const auto inputs = inputs_of(*graph, 3);
  const auto expected = interpret(*graph, inputs, threads);
  const auto meant = evaluate_program(lowered->program, inputs);
  if (const auto plain = lower_graph(*graph, "g", {.byte_dot_product = false, .vector_registers = 16})) {
    const auto plainly_meant = evaluate_program(plain->program, inputs);
    ASSERT_TRUE(plainly_meant.has_value()) << text << plainly_meant.error().message();
    for (size_t i = 0; expected && i < expected->size(); ++i)
      EXPECT_TRUE(same_bytes((*plainly_meant)[i], (*expected)[i])) << text << " without byte products, output " << i;
  }
  const auto computed = model->run(inputs);
  ASSERT_TRUE(expected.has_value()) << text << expected.error().message();
  ASSERT_TRUE(meant.has_value()) << text << meant.error().message();
  ASSERT_TRUE(computed.has_value()) << text << computed.error().message();
  ASSERT_EQ(meant->size(), expected->size());
  ASSERT_EQ(computed->size(), expected->size());
  for (size_t i = 0; i < expected->size(); ++i) {
    EXPECT_TRUE(same_bytes((*meant)[i], (*expected)[i])) << text << " output " << i;
    EXPECT_TRUE(same_bytes((*computed)[i], (*expected)[i])) << text << " output " << i;
  }
}

TEST(StaticShapes, RowsOfABatchOfOneAreMerged) {
  expect_same(R"(input %x : f32[1,6,6,3]
  constant %s : s64[2] = [36, 3]
  constant %w : f32[3,2] = [1, -2, 0.5, 4, 0.25, -1]
  constant %t : s64[4] = [1, 6, 6, 2]
  %a = Reshape(%x, %s)
  %b = MatMul(%a, %w)
  %c = Reshape(%b, %t)
  %y = Relu(%c)
  output %y)");
}

TEST(StaticShapes, RowsOfALargerBatchAreMerged) {
  expect_same(R"(input %x : f32[2,5,3]
  constant %s : s64[2] = [10, 3]
  constant %w : f32[3,2] = [1, -2, 0.5, 4, 0.25, -1]
  constant %t : s64[3] = [2, 5, 2]
  %a = Reshape(%x, %s)
  %b = MatMul(%a, %w)
  %c = Softmax(%b) {axis=-1}
  %y = Reshape(%c, %t)
  output %y)");
}

TEST(StaticShapes, InputsOfAnyLeadingSize) {
  expect_same(R"(input %x : f32[3,4,5]
  input %y : f32[5]
  input %z : f32[1,4,1]
  input %s : f32[]
  %a = Add(%x, %y)
  %b = Mul(%a, %z)
  %c = Sub(%b, %s)
  output %c)");
  expect_same(R"(input %a : f32[6,8]
  input %b : f32[8,4]
  %y = MatMul(%a, %b)
  output %y)");
  // A size that leads every value is no batch either.
  expect_same(R"(input %a : f32[4,4]
  input %b : f32[4,4]
  %y = MatMul(%a, %b)
  output %y)");
}

// The columns of a product are the columns of an image, whose channels lie together.
TEST(StaticShapes, ProductsAsImages) {
  for (const char* weights : {"constant %w : f32[2,2] = [1, -2, 0.5, 3]", "input %w : f32[3,2,2]"})
    expect_same(std::string("input %x : f32[2,1,3,2]\n") + weights + R"(
  %m = MatMul(%x, %w)
  %r = Relu(%m)
  %y = MaxPool(%r) {kernel_shape=[1,2], pads=[0,1,0,1]}
  output %y)");
}

// Zero points of rows, and a matrix for each item, where as many items lead every value.
TEST(StaticShapes, IntegerProductsOfABatch) {
  for (const char* matrix : {"s8[4,2] = [1, -2, 3, 4, -5, 6, 7, 8]",
                             "s8[3,4,2] = [1, -2, 3, 4, -5, 6, 7, 8, 9, 1, 2, 3, -4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6]"})
    for (const char* lead : {"3", "3,3"})
      expect_same("input %a : s8[" + std::string(lead) + ",4]\n  constant %b : " + matrix + R"(
  input %z : s8[3]
  %y = MatMulInteger(%a, %b, %z)
  output %y)");
}

// Matrices of weights, whose columns have scales and zero points of their own.
TEST(StaticShapes, SeveralMatricesOfCodes) {
  for (const char* weights :
       {"u8[2,3,2] quant(axis=2, scale=[0x1p-6, 0x1.8p-7], zero_point=[112, 134]) = [0, 255, 7, 9, 100, 200, 3, 4, 5, "
        "250, 128, 1]",
        "s8[2,3,2] quant(axis=2, scale=[0x1p-6, 0x1.8p-7], zero_point=[0, -3]) = [-128, 127, 7, 9, -100, 20, 3, 4, 5, "
        "-50, 12, 1]",
        "s8[2,3,2] quant(scale=[0x1p-6], zero_point=[5]) = [-128, 127, 7, 9, -100, 20, 3, 4, 5, -50, 12, 1]"})
    for (const char* result : {"", " : u8[4,2,5,2] quant(scale=[0x1p-4], zero_point=[100])"})
      for (const char* lead : {"4", "batch"})
        expect_same(
            "input %x : u8[" + std::string(lead) + R"(,1,5,3] quant(scale=[0x1p-5], zero_point=[77])
  constant %w : )" +
                weights + R"(
  %m = MatMul(%x, %w))" +
                (*result == 0 || *lead == '4' ? result : " : u8[batch,2,5,2] quant(scale=[0x1p-4], zero_point=[100])") +
                "\n  output %m",
            "integer");
}

// Three channels of an image of binary16 leave it one by one.
TEST(StaticShapes, ImagesOfBinary16) {
  expect_same(R"(input %x : f32[2,54,3]
  constant %s : s64[4] = [1, 2, 54, 3]
  %i = Reshape(%x, %s)
  %p = AveragePool(%i) {kernel_shape=[3,2], strides=[2,3]}
  %h = Cast(%i) {to=10}
  output %p
  output %h)");
}

TEST(StaticShapes, LookedUp) {
  expect_same(R"(input %x : s64[3,4]
  constant %t : f32[2,2] = [1, 2, 3, 4]
  %y = Gather(%t, %x)
  output %y)");
  expect_same(R"(input %x : s64[1]
  constant %t : f32[2,1] = [1, 2]
  %y = Gather(%t, %x)
  output %y)");
  expect_same(R"(input %x : f32[1,5,3]
  input %i : s64[2,4]
  %r = Relu(%x)
  %y = Gather(%r, %i) {axis=1}
  output %y)");
}

// A constant size that leads every value stays a batch, whose items look up in one table.
TEST(StaticShapes, ATableLeavesTheBatch) {
  const auto graph = parse_graph(R"(graph "g" stage simplified opset 17 {
  input %x : s64[3,4]
  constant %t : f32[2,2] = [1, 2, 3, 4]
  %y = Gather(%t, %x)
  output %y
})");
  ASSERT_TRUE(graph.has_value()) << graph.error().message();
  const auto lowered = lower_graph(*graph, "g", lower_target(find_emit_target("host").value()));
  ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
  EXPECT_EQ(lowered->program.fixed_batch, 3);
}

// The channels of rows are a dimension of the item.
TEST(StaticShapes, ChannelsOfRows) {
  for (const char* rows : {"5", "5*batch"})
    expect_same("input %x : f32[" + std::string(rows) + R"(,3]
  constant %s : f32[3] = [1, -2, 0.5]
  constant %b : f32[3] = [0.25, 3, -1]
  constant %m : f32[3] = [0.5, 1, 2]
  constant %v : f32[3] = [4, 0.25, 1]
  %r = Relu(%x)
  %y = BatchNormalization(%r, %s, %b, %m, %v)
  output %y)");
}

TEST(StaticShapes, ReductionsOverAnyDimension) {
  for (const char* op : {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"})
    for (const char* keep : {"0", "1"}) {
      const std::string close = std::string(") {keepdims=") + keep + "}\n";
      expect_same(
          "input %x : f32[3,4,5]\ninput %z : f32[2]\nconstant %first : s64[1] = [0]\n"
          "constant %two : s64[2] = [0, -1]\n%a = " +
          std::string(op) + "(%x, %first" + close + "%b = " + op + "(%x, %two" + close + "%c = " + op + "(%x" + close +
          "%d = Relu(%c)\noutput %a\noutput %b\noutput %d\noutput %z");
    }
  expect_same("input %x : f32[]\n%y = ReduceSum(%x)\noutput %y");
}

TEST(StaticShapes, MovesAlongTheFirstDimension) {
  expect_same(R"(input %x : f32[3,4,5]
  input %z : f32[2,4,5]
  constant %k : f32[1,4,5] = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]
  constant %one : s64[1] = [1]
  constant %huge : s64[1] = [9223372036854775807]
  constant %zero : s64[1] = [0]
  constant %last : s64[1] = [-1]
  constant %least : s64[1] = [-9223372036854775807]
  constant %back : s64[1] = [-2]
  constant %pads : s64[6] = [1, 0, 2, 2, 1, 0]
  constant %at : s64[2,2] = [0, -1, 2, 1]
  constant %third : s64[] = [2]
  %t = Transpose(%x) {perm=[2,0,1]}
  %r = Transpose(%x)
  %s = Slice(%x, %one, %huge, %zero)
  %b = Slice(%x, %last, %least, %zero, %back)
  %c = Concat(%x, %k, %z, %x) {axis=0}
  %sc = Relu(%c)
  %p = Pad(%x, %pads)
  %g = Gather(%x, %at)
  %e = Gather(%x, %third)
  output %t
  output %r
  output %s
  output %b
  output %c
  output %sc
  output %p
  output %g
  output %e)");
  expect_same(R"(input %x : f32[6,5]
  input %i : s64[3,1,2]
  input %s : s32[]
  %a, %b = Split(%x) {axis=0, num_outputs=2}
  %g = Gather(%x, %i)
  %h = Gather(%x, %s)
  %m = ArgMax(%x) {axis=0}
  %n = ArgMax(%x) {axis=0, keepdims=0}
  %f = Softmax(%x) {axis=0}
  %l = LogSoftmax(%x) {axis=0}
  output %a
  output %b
  output %g
  output %h
  output %m
  output %n
  output %f
  output %l)");
  expect_same(R"(input %x : f32[3,1]
  input %z : f32[2]
  constant %shape : s64[4] = [2, 1, 3, 5]
  constant %w : f32[3,1] = [1, -2, 3]
  %e = Expand(%x, %shape)
  %n = LayerNormalization(%x, %w) {axis=0}
  output %e
  output %n
  output %z)");
}

// `count` small numbers.
std::string numbers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + std::to_string(i * 7 % 13 - 6);
  return text;
}

TEST(StaticShapes, RowsAlone) {
  expect_same("input %x : f32[37]\nconstant %w : f32[37] = [" + numbers(37) + R"(]
  %s = Softmax(%x)
  %n = LayerNormalization(%x, %w)
  %m = ArgMax(%x)
  output %s
  output %n
  output %m)");
}

// Several images in one item.
TEST(StaticShapes, Images) {
  for (const char* leading : {"3", "3*batch"})
    expect_same("input %x : f32[" + std::string(leading) +
                ",4,9,8]\ninput %z : f32[2]\nconstant %w : f32[6,2,3,3] = [" + numbers(108) +
                "]\nconstant %v : f32[4,1,3,3] = [" + numbers(36) + "]\nconstant %u : f32[3,6,1,1] = [" + numbers(18) +
                R"(]
  %d = Conv(%x, %v) {group=4, pads=[1,1,1,1]}
  %r = Relu(%d)
  %g = Conv(%r, %w) {group=2, strides=[2,1], pads=[0,1,1,0]}
  %c = Conv(%g, %u)
  %m = MaxPool(%c) {kernel_shape=[2,3], pads=[1,1,0,1]}
  %a = AveragePool(%c) {kernel_shape=[3,2], pads=[1,0,1,1]}
  %s = GlobalAveragePool(%c)
  %t = GlobalMaxPool(%x)
  output %g
  output %m
  output %a
  output %s
  output %t
  output %z)");
}

TEST(StaticShapes, ImagesOfCodes) {
  expect_same(R"(input %x : f32[2,3,6,5]
  input %z : f32[7]
  constant %w : s8[2,3,2,2] quant(scale=[0x1p-6], zero_point=[0]) = [1, -2, 3, 4, -5, 6, -7, 8, 1, 2, 3, -4, 9, -9, 5, 0, 3, -3, 8, 1, 2, -6, 4, 7]
  constant %k : u8[1,2,5,4] quant(scale=[0x1p-4], zero_point=[100]) = [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]
  %q = Quantize(%x) : u8[2,3,6,5] quant(scale=[0x1p-5], zero_point=[7])
  %c = Conv(%q, %w) : u8[2,2,5,4] quant(scale=[0x1p-4], zero_point=[100])
  %j = Concat(%c, %k) {axis=0} : u8[3,2,5,4] quant(scale=[0x1p-4], zero_point=[100])
  %m = MaxPool(%j) {kernel_shape=[2,2]} : u8[3,2,4,3] quant(scale=[0x1p-4], zero_point=[100])
  %y = Dequantize(%m)
  output %y
  output %z)",
              "integer");
}

TEST(StaticShapes, ParametersOfCodesAlongTheFirstDimension) {
  expect_same(R"(input %x : f32[3,5]
  input %z : f32[2]
  %q = Quantize(%x) : u8[3,5] quant(axis=0, scale=[0x1p-5, 0x1p-3, 0x1p-2], zero_point=[7, 0, 200])
  %y = Dequantize(%q)
  output %y
  output %z)",
              "integer");
}

TEST(StaticShapes, ProductsOfAnyRanks) {
  for (const auto& [a, b] : std::vector<std::pair<const char*, const char*>>{{"7", "7"},
                                                                             {"7", "7,5"},
                                                                             {"3,7", "7"},
                                                                             {"2,3,7", "7"},
                                                                             {"7", "2,7,18"},
                                                                             {"2,1,3,7", "4,7,5"},
                                                                             {"3,7", "2,7,5"},
                                                                             {"2,3,7", "7,5"}})
    expect_same("input %a : f32[" + std::string(a) + "]\ninput %b : f32[" + b +
                "]\n%m = MatMul(%a, %b)\n%y = Relu(%m)" + "\noutput %y");
  // A constant before, and one of three dimensions behind.
  expect_same(R"(input %x : f32[3,2]
  constant %k : f32[2,3] = [1, -2, 0.5, 4, 0.25, -1]
  constant %l : f32[2,2,2] = [1, 2, 3, 4, 5, 6, 7, 8]
  %a = MatMul(%k, %x)
  %y = MatMul(%a, %l)
  output %y)");
}

TEST(StaticShapes, GemmOfAnyOperands) {
  for (const char* c : {"", "5", "1", "", "3,1", "3,5", "1,5"})
    for (const char* factors : {"", ", alpha=0.3, beta=-1.7"})
      for (const char* turns : {"0", "1"}) {
        const std::string added = std::string(c).empty() ? "" : "input %c : f32[" + std::string(c) + "]\n";
        const std::string a = *turns == '1' ? "7,3" : "3,7", b = *turns == '1' ? "5,7" : "7,5";
        expect_same("input %a : f32[" + a + "]\ninput %b : f32[" + b + "]\n" + added + "%g = Gemm(%a, %b" +
                    (added.empty() ? "" : ", %c") + ") {transA=" + turns + ", transB=" + turns + factors +
                    "}\n%y = Relu(%g)\noutput %y");
      }
}

TEST(Integers, OfSixtyFourBits) {
  for (const char* op : {"Add", "Sub", "Mul", "Max", "Min", "Equal", "Greater", "Less"})
    expect_same(
        "input %x : s64[batch,3,5]\nconstant %k : s64[5] = [-1, 4294967296, -9223372036854775808, "
        "4294967295, 6148914691236517205]\nconstant %l : s64[3,1] = [9223372036854775807, -4294967297, 2]\n%a = "
        "Sub(%x, %k)\n%b = Mul(%a, %l)\n%y = " +
        std::string(op) + "(%b, %k)\noutput %b\noutput %y");
}

TEST(Integers, AreChosenAndMoved) {
  for (const char* type : {"s64", "s32", "u8", "s8", "bool", "f64", "u16", "f16"}) {
    const std::string t = type;
    expect_same("input %c : bool[3,1]\ninput %x : " + t + "[3,4]\ninput %y : " + t +
                "[4]\nconstant %shape : s64[3] = " +
                "[2, 3, 4]\nconstant %first : s64[1] = [0]\n%w = Where(%c, %x, %y)\n%e = Expand(%x, %shape)\n" +
                "%u = Unsqueeze(%w, %first)\n%j = Concat(%e, %u) {axis=0}\n%t = Transpose(%j) {perm=[2,0,1]}\n" +
                "output %w\noutput %t");
  }
  expect_same(R"(input %x : s32[3,4]
  input %y : s32[4]
  %a = Add(%x, %y)
  %b = Sub(%a, %x)
  %c = Mul(%b, %a)
  output %c)");
}

TEST(Integers, ArePadded) {
  for (const auto& [type, pad] : std::vector<std::pair<std::string, std::string>>{
           {"s64", "-6148914691236517206"}, {"s32", "-7"}, {"u8", "200"}, {"s8", "-3"}, {"f64", "0.3"}, {"f32", "0.3"}})
    expect_same("input %x : " + type + "[3,4]\nconstant %p : s64[4] = [1, 0, 2, 1]\nconstant %v : " + type + "[] = [" +
                pad + "]\n%y = Pad(%x, %p, %v)\noutput %y");
}

TEST(Integers, AreSelected) {
  for (const char* type : {"u8", "s8"})
    for (const char* op : {"ReduceMax", "ReduceMin"})
      expect_same("input %x : " + std::string(type) + "[3,4,5]\nconstant %a : s64[2] = [0, 2]\n%y = " + op +
                  "(%x, %a)\noutput %y");
}

TEST(Parameters, OfABatchNormalizationAtRunTime) {
  for (const char* x : {"3,17,2", "batch,17", "batch,17,3,2"})
    expect_same("input %x : f32[" + std::string(x) + R"(]
  input %s : f32[17]
  input %b : f32[17]
  input %m : f32[17]
  input %v : f32[17]
  %r = Abs(%v)
  %y = BatchNormalization(%x, %s, %b, %m, %r)
  output %y)");
}

TEST(Parameters, OfAConvolutionAtRunTime) {
  for (const char* leading : {"batch", "2"})
    for (const char* bias : {"", ", %b"})
      for (const auto& [w, m, group] : std::vector<std::tuple<std::string, std::string, std::string>>{
               {"18,4,3,2", "18", "1"}, {"6,2,3,2", "6", "2"}, {"32,2,3,2", "32", "2"}, {"4,1,3,2", "4", "4"}})
        expect_same("input %x : f32[" + std::string(leading) + ",4,7,6]\ninput %w : f32[" + w + "]\ninput %b : f32[" +
                    m + "]\n%c = Conv(%x, %w" + bias + ") {group=" + group +
                    ", pads=[1,0,1,1], strides=[2,1]}\n%y = Relu(%c)\noutput %y\noutput %b");
}

TEST(StaticShapes, ScalarsAndManyDimensions) {
  expect_same(R"(input %x : f32[]
  input %b : bool[]
  constant %k : f32[] = [0.75]
  %a = Add(%x, %k)
  %e = Exp(%a)
  %w = Where(%b, %e, %x)
  output %w
  output %b)");
  expect_same(R"(input %x : f32[2,1,3,2,1,2,2,3]
  constant %first : s64[1] = [0]
  %t = Transpose(%x) {perm=[7,2,1,0,4,6,5,3]}
  %r = Relu(%t)
  %s = ReduceSum(%r, %first)
  output %r
  output %s)");
}

TEST(StaticShapes, WithoutElements) {
  expect_same(R"(input %x : f32[0,3]
  input %z : f32[2,3]
  constant %first : s64[1] = [0]
  constant %w : f32[3,2] = [1, 2, 3, 4, 5, 6]
  %s = ReduceSum(%x, %first) {keepdims=0}
  %m = ReduceMax(%x, %first)
  %a = Add(%s, %z)
  %c = Concat(%z, %x, %z) {axis=0}
  %p = MatMul(%x, %w)
  %t = Transpose(%x)
  %q = MatMul(%t, %p)
  %r = Relu(%q)
  output %s
  output %m
  output %a
  output %c
  output %p
  output %r
  output %x)");
}

TEST(StaticShapes, WithoutInputs) {
  expect_same(R"(constant %k : f32[2,2] = [1, -2, 3, -4]
  constant %n : s64[3] = [1, 2, 3]
  %y = Relu(%k)
  output %y
  output %k
  output %n)");
}

TEST(StaticShapes, ASizeThatLeadsEveryValueMeetsAnotherDimension) {
  expect_same(R"(input %x : f32[4,4]
  input %y : f32[4]
  %r = Relu(%x)
  %z = Add(%r, %y)
  output %z)");
  expect_same(R"(input %x : f32[4,4]
  input %y : f32[4]
  %z = MatMul(%x, %y)
  output %z)");
  expect_same(R"(input %x : f32[4,4,4]
  input %y : f32[4,4]
  %z = MatMul(%x, %y)
  output %z)");
}

// What does not have the batch is the same for each of its items.
TEST(Batches, AndValuesWithoutThem) {
  expect_same(R"(input %x : f32[batch,3]
  input %y : f32[3]
  input %m : f32[2,3]
  constant %k : f32[2,2] = [1, -2, 3, -4]
  constant %first : s64[1] = [0]
  %a = Add(%x, %y)
  %t = Transpose(%m)
  %p = MatMul(%a, %t)
  %s = ReduceSum(%m, %first)
  %e = Exp(%m)
  output %p
  output %s
  output %e
  output %k
  output %y)");
}

// Routines see whole tensors: of a constant with something for each item they would see all of it.
TEST(StaticShapes, RoutinesOnWhatLeadsEveryValue) {
  const std::string weights = R"(  constant %w : f32[1,4,1] = [0.5, -0.25, 0.75, 0.125]
  constant %r : f32[1,4,1] = [0.25, 0.5, -0.5, 0.625]
)";
  expect_same("  input %x : f32[3,2,1]\n" + weights + R"(  constant %h : f32[3,1,1] = [0.5, -1, 2]
  constant %c : f32[3,1,1] = [1, 0.25, -0.5]
  %y = LSTM(%x, %w, %r, _, _, %h, %c) {layout=1, hidden_size=1}
  output %y)");
  expect_same("  input %x : f32[3,2,1]\n" + weights + R"(  %y = LSTM(%x, %w, %r) {hidden_size=1}
  output %y)");
  expect_same(R"(  input %x : f32[2,3,4]
  constant %s : f32[3] = [2, 1, 1.5]
  %y = Resize(%x, _, %s) {mode="linear"}
  output %y)");
}

TEST(StaticShapes, ABatchOfAConstantSizeStays) {
  expect_same(R"(input %x : f32[2,1,5,5]
  constant %w : f32[2,1,3,3] = [1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -2, -3, -4, 5, -6, 7, -8, 9]
  %y = Conv(%x, %w)
  output %y)");
}

TEST(Outputs, ThatNoKernelComputes) {
  expect_same(R"(input %x : f32[batch,3]
  %r = Relu(%x)
  %again = Identity(%r)
  %same = Identity(%x)
  output %r
  output %again
  output %same
  output %x)");
}

TEST(Codes, ThatComeFromOutside) {
  for (const char* type : {"u8", "s8"})
    expect_same(std::string("input %x : ") + type + R"([batch,2,5,5]
  %q = AsCodes(%x) : )" +
                    type + R"([batch,2,5,5] quant(scale=[0x1p-5], zero_point=[7])
  constant %w : s8[1,2,2,2] quant(scale=[0x1p-6], zero_point=[0]) = [1, -2, 3, 4, -5, 6, -7, 8]
  %c = Conv(%q, %w) {pads=[1,1,0,0]} : u8[batch,1,5,5] quant(scale=[0x1p-4], zero_point=[100])
  output %c)",
                "integer");
}

TEST(Gemm, WithAlphaAndBeta) {
  for (const char* c : {"", ", %c"})
    expect_same(std::string(R"(input %x : f32[batch,3]
  constant %w : f32[2,3] = [1, -2, 0.5, 4, 0.25, -1]
  constant %c : f32[2] = [0.75, -3]
  %g = Gemm(%x, %w)") +
                c + R"() {transB=1, alpha=0.3, beta=-1.7}
  %y = Relu(%g)
  output %y)");
}

TEST(Averages, WhoseWindowsHangOver) {
  for (const char* include : {"0", "1"})
    expect_same(std::string(R"(input %x : f32[batch,2,7,9]
  %y = AveragePool(%x) {kernel_shape=[3,2], strides=[2,3], pads=[1,0,1,1], dilations=[1,2], ceil_mode=1, count_include_pad=)") +
                include + "}\n  output %y");
}

}  // namespace
}  // namespace cupel
