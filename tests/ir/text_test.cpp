// Graph text: parse(print(g)) == g for every op's samples and for random graphs; the side file of large constants.
#include "ir/text.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"
#include "ir/random_graph.h"
#include "ir/verifier.h"

namespace cupel {
namespace {

template <class T>
std::string failure(const Result<T>& result) {
  return result ? "no error" : result.error().message();
}

// The same graph after a way through text and side file.
Result<Graph> again(const Graph& graph) {
  ConstantStore store;
  const std::string text = print_graph(graph, &store);
  const auto side = parse_constants(print_constants(store));
  if (!side) return std::unexpected(side.error());
  return parse_graph(text, *side);
}

TEST(GraphText, EverySampleComesBack) {
  int samples = 0;
  for (const OpDef* op : all_ops()) {
    EXPECT_FALSE(op->samples.empty()) << op->name;
    for (std::string_view sample : op->samples) {
      ++samples;
      const auto graph = parse_graph(sample);
      ASSERT_TRUE(graph) << op->name << ": " << failure(graph) << "\n" << sample;
      ASSERT_TRUE(verify_graph(*graph)) << op->name << ": " << verify_graph(*graph).error().message() << "\n" << sample;
      const auto back = again(*graph);
      ASSERT_TRUE(back) << failure(back);
      EXPECT_TRUE(*back == *graph) << print_graph(*graph);
      EXPECT_EQ(print_graph(*back), print_graph(*graph));
      EXPECT_EQ(graph_hash(*back), graph_hash(*graph));
    }
  }
  EXPECT_GE(samples, 200);
}

RC_GTEST_PROP(GraphText, RandomGraphsComeBack, (uint64_t seed)) {
  const Graph graph = testing_graphs::RandomGraph(seed).make();
  const auto back = again(graph);
  if (!back) RC_FAIL(failure(back) + "\n" + print_graph(graph));
  if (!(*back == graph)) RC_FAIL(print_graph(graph) + "\nagainst\n" + print_graph(*back));
  RC_ASSERT(print_graph(*back) == print_graph(graph));
}

TEST(GraphText, TwoThousandRandomGraphsComeBack) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const Graph graph = testing_graphs::RandomGraph(seed).make();
    const auto back = again(graph);
    ASSERT_TRUE(back) << seed << ": " << failure(back) << "\n" << print_graph(graph);
    ASSERT_TRUE(*back == graph) << seed << "\n" << print_graph(graph) << "\nagainst\n" << print_graph(*back);
  }
}

TEST(GraphText, KeepsTheBitsOfEveryNumber) {
  Graph g;
  const uint32_t bits[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff, 0x7f800000,
                           0xff800000, 0x80000000, 0x00000001, 0x7f7fffff};
  for (uint32_t b : bits) g.add_output(g.add_constant("c", Tensor::scalar(b).bit_cast_to(DType::f32)));
  g.add_output(g.add_constant("u", Tensor::scalar<uint64_t>(~uint64_t{0})));
  const auto back = parse_graph(print_graph(g));
  ASSERT_TRUE(back) << failure(back);
  for (size_t i = 0; i < std::size(bits); ++i)
    EXPECT_EQ(*back->value(back->outputs()[i]).constant, Tensor::scalar(bits[i]).bit_cast_to(DType::f32)) << i;
  EXPECT_TRUE(*back == g);
}

TEST(GraphText, PrintsTheDocumentedForm) {
  const auto graph = parse_graph(R"(
graph "a \"b\"" stage imported opset 17 {  // comments are skipped
  input %x : f32[2*batch,3]
  input %"strange name\x0a" : u8[4] quant(axis=0, scale=[1, 2.5, 0x1p-3, 1e-2], zero_point=[0, 1, 2, 255])
  constant %w : f32[2] = [-0.5, inf]
  %y, %"" = Split(%x) {axis=0, num_outputs=2} @"node" origin=["b", "a", "a"]
  %z = Clip(%x, _, %c)
}
)");
  EXPECT_EQ(failure(graph), "graph text:7:22: %c is not defined before its use\n  correct the graph text");
  const auto good = parse_graph(R"(
graph "a \"b\"" stage imported opset 17 {  // comments are skipped
  input %x : f32[2*batch,3]
  input %"strange name\x0a" : u8[4] quant(axis=0, scale=[1, 2.5, 0x1p-3, 1e-2], zero_point=[0, 1, 2, 255])
  constant %c : f32[] = [-0.5]
  %z = Clip(%x, _, %c) @"node" origin=["b", "a", "a"]
  %r = LeakyRelu(%z) {alpha=5.0}
  output %r
  output %z
}
)");
  ASSERT_TRUE(good) << failure(good);
  EXPECT_EQ(print_graph(*good), R"(graph "a \"b\"" stage imported opset 17 {
  input %x : f32[2*batch,3]
  input %"strange name\x0a" : u8[4] quant(axis=0, scale=[0x1p+0, 0x1.4p+1, 0x1p-3, 0x1.47ae14p-7], zero_point=[0, 1, 2, 255])
  constant %c : f32[] = [-0x1p-1]
  %z = Clip(%x, _, %c) : f32[2*batch,3] @"node" origin=["a", "b"]
  %r = LeakyRelu(%z) {alpha=0x1.4p+2} : f32[2*batch,3]
  output %r
  output %z
}
)");
}

Tensor ramp(int64_t count) {
  Tensor t(DType::f32, {count});
  for (int64_t i = 0; i < count; ++i) t.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i);
  return t;
}

TEST(SideFile, HoldsConstantsOfMoreThanSixteenElements) {
  Graph g;
  g.add_output(g.add_constant("small", ramp(16)));
  g.add_output(g.add_constant("large", ramp(17)));
  ConstantStore store;
  const std::string text = print_graph(g, &store);
  EXPECT_EQ(store.size(), 1u);
  const std::string hash = content_hash(ramp(17));
  EXPECT_NE(text.find("constant %large : f32[17] = #" + hash + "\n"), std::string::npos);
  EXPECT_TRUE(*parse_graph(text, store) == g);
  EXPECT_EQ(failure(parse_graph(text)),
            "graph text:3:48: constant #" + hash + " is not in the side file\n  correct the graph text");
  EXPECT_EQ(failure(parse_graph(text, {{hash, ramp(18)}})),
            "graph text:3:48: constant #" + hash + " is f32[18], expected f32[17]\n  correct the graph text");
}

TEST(SideFile, IsCheckedOnReading) {
  ConstantStore store = {{content_hash(ramp(3)), ramp(3)},
                         {content_hash(Tensor(DType::u4, {2, 0})), Tensor(DType::u4, {2, 0})}};
  const std::string good = print_constants(store);
  ASSERT_EQ(parse_constants(good).value(), store);
  const std::string head = "cupel constants 1\n", hash = content_hash(ramp(3));
  const auto message = [](const std::string& cause) { return "constants: " + cause + "\n  write the dump again"; };
  EXPECT_EQ(failure(parse_constants("")), message("does not begin with 'cupel constants 1'"));
  EXPECT_EQ(failure(parse_constants(head + "abc")), message("ends inside an entry"));
  EXPECT_EQ(failure(parse_constants(head + "abc\n")), message("an entry is malformed"));
  EXPECT_EQ(failure(parse_constants(head + "abc f99[1] 4\n    \n")), message("an entry is malformed"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[1x] 4\n    \n")), message("an entry is malformed"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[1,] 4\n    \n")), message("an entry is malformed"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[1] 4\n    !")), message("an entry is malformed"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[1] 4\n   ")), message("ends inside an entry"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[1] 4\n    \n")), message("constant #abc does not match its hash"));
  EXPECT_EQ(failure(parse_constants(head + "abc f32[99999999999999] 4\n    \n")),
            "constants: shape [99999999999999]: 99999999999999 elements exceed the limit of 17179869184\n  use a model "
            "with smaller tensors");
  std::string damaged = good;
  damaged[good.find('\n', head.size() + 1) + 2] ^= 1;
  EXPECT_FALSE(parse_constants(damaged));
  for (size_t size = head.size() + 1; size < good.size(); ++size)
    if (const auto cut = parse_constants(std::string_view(good).substr(0, size))) {
      EXPECT_LT(cut->size(), store.size());
    }
}

TEST(GraphHash, ChangesWithAnyChange) {
  const std::string base = R"(graph "g" stage imported opset 17 {
  input %x : u8[2,3] quant(scale=[0x1p-3], zero_point=[7])
  constant %w : f32[2,3] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
  %d = DequantizeLinear(%x) {scale=reals [0x1p-3], zero_point=[7]} @"node" origin=["one"]
  %y = Add(%d, %w)
  output %y
})";
  const auto hash_of = [](std::string text) { return graph_hash(parse_graph(text).value()); };
  const std::string first = hash_of(base);
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(hash_of(base), first);
  const std::vector<std::pair<std::string, std::string>> changes = {{"\"g\"", "\"h\""},
                                                                    {"imported", "quantized"},
                                                                    {"opset 17", "opset 18"},
                                                                    {"quant(scale=[0x1p-3]", "quant(scale=[0x1p-4]"},
                                                                    {"[7])", "[8])"},
                                                                    {"6.0", "6.5"},
                                                                    {"%w : f32[2,3]", "%w : f32[3]"},
                                                                    {"node", "edge"},
                                                                    {"one", "two"},
                                                                    {"Add", "Sub"},
                                                                    {"Add(%d, %w)", "Add(%w, %d)"},
                                                                    {"output %y", "output %d"}};
  for (const auto& [from, to] : changes) {
    std::string text = base;
    text.replace(text.find(from), from.size(), to);
    if (to == "%w : f32[3]") text.replace(text.find(", 4.0, 5.0, 6.0"), 15, "");
    const auto graph = parse_graph(text);
    ASSERT_TRUE(graph) << failure(graph) << text;
    EXPECT_NE(graph_hash(*graph), first) << to;
    EXPECT_FALSE(*graph == parse_graph(base).value()) << to;
  }
  // A large constant counts by its content.
  const auto with_constant = [](float last) {
    Graph g;
    Tensor t = ramp(100);
    t.mutable_data<float>()[99] = last;
    g.add_output(g.add_constant("c", std::move(t)));
    return g;
  };
  EXPECT_NE(graph_hash(with_constant(1)), graph_hash(with_constant(2)));
  EXPECT_EQ(graph_hash(with_constant(1)), graph_hash(with_constant(1)));
}

}  // namespace
}  // namespace cupel
