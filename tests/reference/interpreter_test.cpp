#include "reference/interpreter.h"

#include <gtest/gtest.h>

#include "ir/text.h"

namespace cupel {
namespace {

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

const Graph& two_inputs() {
  static const Graph graph = parsed(R"(graph "g" stage imported opset 17 {
  input %"first\x0a" : f32[batch,2]
  input %b : u8[2*batch]
  %y = Relu(%"first\x0a")
  output %y
  output %b
  output %"first\x0a"
})");
  return graph;
}

std::string message_of(std::vector<Tensor> inputs) {
  ThreadPool threads(1);
  const auto result = interpret(two_inputs(), inputs, threads);
  if (result) return "no error";
  EXPECT_EQ(result.error().kind, ErrorKind::bad_input);
  return result.error().message();
}

TEST(Interpreter, RefusesInputsThatDoNotFit) {
  const Tensor a(DType::f32, {3, 2}), b(DType::u8, {6});
  const std::string remedy = "\n  give data of the model's type and shape";
  EXPECT_EQ(message_of({a, b}), "no error");
  EXPECT_EQ(message_of({a}), "inputs: 1 tensors are given, the model has 2 inputs\n  give one tensor for each input");
  EXPECT_EQ(message_of({a, b, b}),
            "inputs: 3 tensors are given, the model has 2 inputs\n  give one tensor for each input");
  EXPECT_EQ(message_of({Tensor(DType::f64, {3, 2}), b}),
            "input first\\x0a: found f64[3,2], expected f32[batch,2]" + remedy);
  EXPECT_EQ(message_of({Tensor(DType::f32, {3}), b}), "input first\\x0a: found f32[3], expected f32[batch,2]" + remedy);
  EXPECT_EQ(message_of({Tensor(DType::f32, {3, 3}), b}),
            "input first\\x0a: found f32[3,3], expected f32[batch,2]" + remedy);
  EXPECT_EQ(message_of({a, Tensor(DType::u8, {5})}), "input b: found u8[5], expected u8[2*batch]" + remedy);
  EXPECT_EQ(message_of({a, Tensor(DType::u8, {8})}), "input b: batch is 4 here and 3 in an earlier input" + remedy);
  EXPECT_EQ(message_of({Tensor(DType::f32, {0, 2}), Tensor(DType::u8, {0})}), "no error");
}

TEST(Interpreter, GivesOutputsThatAreInputsAndRepeatedOnes) {
  ThreadPool threads(1);
  const Tensor a = Tensor::of<float>({1, 2}, {-1, 2}), b = Tensor::of<uint8_t>({2}, {3, 4});
  const auto out = interpret(two_inputs(), std::vector<Tensor>{a, b}, threads);
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[0], Tensor::of<float>({1, 2}, {0, 2}));
  EXPECT_EQ((*out)[1], b);
  EXPECT_EQ((*out)[2], a);
}

TEST(Interpreter, TapSeesEveryValueOnceInOrder) {
  const Graph g = parsed(R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  constant %c : f32[1] = [2.0]
  %a = Mul(%x, %c)
  %b = Add(%a, %a)
  %p, %q = Split(%b) {axis=1, num_outputs=2}
  %y = Sub(%q, %c)
  output %y
})");
  ThreadPool threads(1);
  std::vector<std::string> seen;
  const Tap tap = [&](ValueId id, const Tensor& t) -> Status {
    seen.push_back(g.value(id).name + to_text(t.dims()));
    return {};
  };
  const auto out = interpret(g, std::vector<Tensor>{Tensor::of<float>({1, 2}, {1, 3})}, threads, tap);
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[0], Tensor::of<float>({1, 1}, {10}));
  EXPECT_EQ(seen, (std::vector<std::string>{"x[1,2]", "a[1,2]", "b[1,2]", "p[1,1]", "q[1,1]", "y[1,1]"}));
}

// Whatever the caller's floating-point setting, which the caller and its taps find as it was.
TEST(Interpreter, ComputesAsNetworksDo) {
#if defined(__x86_64__)
  const auto graph =
      parse_graph("graph \"g\" stage simplified opset 17 {\ninput %x : f32[batch,2]\n%y = Add(%x, %x)\noutput %y\n}");
  ASSERT_TRUE(graph.has_value()) << graph.error().message();
  const uint32_t before = __builtin_ia32_stmxcsr();
  for (const uint32_t setting : {before & ~0x3fu, 0x7f80u, 0xffc0u}) {  // usual; towards zero, keeping and flushing
    uint32_t in_tap = 0;
    __builtin_ia32_ldmxcsr(setting);
    ThreadPool threads(2);
    const auto result = interpret(*graph, std::vector<Tensor>{Tensor::of<float>({1, 2}, {0x1p-127f, 0x1.000002p0f})},
                                  threads, [&](ValueId, const Tensor&) -> Status {
                                    in_tap = __builtin_ia32_stmxcsr();
                                    return {};
                                  });
    const uint32_t after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    EXPECT_EQ(in_tap & ~0x3fu, setting);
    EXPECT_EQ(after & ~0x3fu, setting);
    ASSERT_TRUE(result.has_value()) << result.error().message();
    EXPECT_EQ((*result)[0].at(0), 0);
    EXPECT_EQ((*result)[0].at(1), 0x1.000002p1);
  }
#else
  GTEST_SKIP() << "no MXCSR";
#endif
}

TEST(Interpreter, AnErrorOfTheTapStopsTheRun) {
  const Graph g =
      parsed("graph \"g\" stage imported opset 17 {\ninput %x : f32[2]\n%y = Relu(%x)\n%z = Sqrt(%y)\noutput %z\n}");
  ThreadPool threads(1);
  int calls = 0;
  const Tap tap = [&](ValueId, const Tensor&) -> Status {
    if (++calls == 2) return bad_input("tap", "enough", "stop");
    return {};
  };
  const auto out = interpreter(threads)(g, std::vector<Tensor>{Tensor(DType::f32, {2})}, tap);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().message(), "tap: enough\n  stop");
  EXPECT_EQ(calls, 2);
}

TEST(Interpreter, ErrorsOfTheDataNameTheNode) {
  const Graph g = parsed(
      "graph \"g\" stage imported opset 17 {\ninput %i : s64[1]\nconstant %c : f32[3] = [1.0, 2.0, 3.0]\n%y = "
      "Gather(%c, %i) @\"pick\"\noutput %y\n}");
  ThreadPool threads(1);
  const auto out = interpret(g, std::vector<Tensor>{Tensor::of<int64_t>({1}, {7})}, threads);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().kind, ErrorKind::bad_input);
  EXPECT_EQ(out.error().place, "node pick (Gather)");
}

TEST(Interpreter, ValuesTooLargeForTheBatchAreResourceErrors) {
  const Graph g = parsed(R"(graph "g" stage imported opset 17 {
  input %x : u8[batch,1]
  constant %shape : s64[2] = [1, 1073741824]
  %y = Expand(%x, %shape)
  output %y
})");
  ThreadPool threads(1);
  const auto out = interpret(g, std::vector<Tensor>{Tensor(DType::u8, {64, 1})}, threads);
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().message(),
            "shape [64,1073741824]: 68719476736 elements exceed the limit of 17179869184\n  use a model with smaller "
            "tensors");
  EXPECT_EQ(out.error().kind, ErrorKind::resource);
}

}  // namespace
}  // namespace cupel
