// Networks without a batch, and outputs that no kernel computes: the meaning of the kernels, and code for this machine,
// equal the interpreter's bits.
#include <gtest/gtest.h>

#include <random>

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
