#include "ir/patch.h"

#include <gtest/gtest.h>

#include "ir/text.h"
#include "ir/verifier.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

ValueId value(const Graph& g, std::string_view name) { return g.find_value(name).value(); }
NodeId producer(const Graph& g, std::string_view name) {
  return g.producers()[static_cast<size_t>(value(g, name).index)];
}

std::string text_of(const Result<Graph>& graph) {
  if (!graph) return graph.error().message();
  const Status good = verify_graph(*graph);
  EXPECT_TRUE(good) << good.error().message();
  return print_graph(*graph);
}

std::string refusal(const std::string& cause) {
  return "patch: " + cause + "\n  this is a defect of Cupel; please report it with the model";
}

constexpr std::string_view kChain = R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  constant %c : f32[2] = [0x1p+0, 0x1p+1]
  %a = Add(%x, %c) : f32[batch,2] @"add"
  %b = Relu(%a) : f32[batch,2] @"relu"
  %y = Sqrt(%b) : f32[batch,2] @"root"
  output %y
}
)";

TEST(Patch, WithoutEditsDropsWhatNoOutputNeeds) {
  const Graph g = parsed(R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  input %unused : f32[3]
  constant %c : f32[2] = [1.0, 2.0]
  %dead = Add(%x, %c)
  %deader = Sqrt(%dead)
  %y = Relu(%x)
  output %y
})");
  EXPECT_EQ(text_of(apply_patch(Patch(g))), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  input %unused : f32[3]
  %y = Relu(%x) : f32[batch,2]
  output %y
}
)");
  EXPECT_TRUE(Patch(g).empty());
}

TEST(Patch, AChainIsReplacedAndOriginsAreUnited) {
  const Graph g = parsed(kChain);
  Patch p(g);
  p.begin_edit();
  p.remove(producer(g, "b"));
  p.remove(producer(g, "y"));
  const ValueId half = p.add_constant("half", Tensor::scalar(0.5f));
  const ValueId scaled = p.add(ops::kMul, "scaled", {value(g, "a"), half});
  p.replace(value(g, "y"), p.add_named(ops::kTanh, "tanh", "y", {scaled}));
  EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  constant %c : f32[2] = [0x1p+0, 0x1p+1]
  %a = Add(%x, %c) : f32[batch,2] @"add"
  constant %half : f32[] = [0x1p-1]
  %scaled = Mul(%a, %half) : f32[batch,2] origin=["relu", "root"]
  %y = Tanh(%scaled) : f32[batch,2] @"tanh" origin=["relu", "root"]
  output %y
}
)");
  EXPECT_EQ(print_graph(g), kChain) << "the graph itself stays";
}

TEST(Patch, ReplacementsAreFollowedThroughSeveralEdits) {
  const Graph g = parsed(kChain);
  Patch p(g);
  p.remove(producer(g, "a"));
  p.replace(value(g, "a"), value(g, "x"));
  p.begin_edit();
  p.remove(producer(g, "b"));
  p.replace(value(g, "b"), value(g, "a"));  // which is %x by now
  EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  %y = Sqrt(%x) : f32[batch,2] @"root"
  output %y
}
)");
}

TEST(Patch, OneOperandAloneIsReplaced) {
  const Graph g = parsed(kChain);
  Patch p(g);
  p.stands_for(producer(g, "a"));
  const ValueId t = p.add(ops::kTanh, "t", {value(g, "x")});
  p.replace_operand(producer(g, "a"), 0, t);
  EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  %t = Tanh(%x) : f32[batch,2] origin=["add"]
  constant %c : f32[2] = [0x1p+0, 0x1p+1]
  %a = Add(%t, %c) : f32[batch,2] @"add"
  %b = Relu(%a) : f32[batch,2] @"relu"
  %y = Sqrt(%b) : f32[batch,2] @"root"
  output %y
}
)");
}

TEST(Patch, OutputsKeepTheirNames) {
  const Graph g = parsed(kChain);
  {
    Patch p(g);  // the output becomes an inner value
    p.remove(producer(g, "y"));
    p.replace(value(g, "y"), value(g, "b"));
    EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  constant %c : f32[2] = [0x1p+0, 0x1p+1]
  %a = Add(%x, %c) : f32[batch,2] @"add"
  %y = Relu(%a) : f32[batch,2] @"relu"
  output %y
}
)");
  }
  {
    Patch p(g);  // a new value holds the name first
    p.remove(producer(g, "y"));
    const ValueId squatter = p.add_constant("y", Tensor::scalar(0.5f));
    p.replace(value(g, "y"), p.add(ops::kMul, "product", {value(g, "b"), squatter}));
    EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,2]
  constant %c : f32[2] = [0x1p+0, 0x1p+1]
  %a = Add(%x, %c) : f32[batch,2] @"add"
  %b = Relu(%a) : f32[batch,2] @"relu"
  constant %y_inner : f32[] = [0x1p-1]
  %y = Mul(%b, %y_inner) : f32[batch,2] @"product" origin=["root"]
  output %y
}
)");
  }
  {
    Patch p(g);  // an input cannot take the output's name
    p.replace(value(g, "y"), value(g, "x"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("output %y would lose its name to %x"));
  }
  const Graph two = parsed(
      "graph \"g\" stage imported opset 17 {\ninput %x : f32[2]\n%a = Relu(%x)\n%b = Sqrt(%x)\noutput %a\noutput "
      "%b\n}");
  {
    Patch p(two);  // nor can one value take two names
    p.replace(value(two, "b"), value(two, "a"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("output %b would lose its name to %a"));
  }
  {
    Patch p(two);  // new nodes that hold each other's names
    p.remove(producer(two, "a"));
    p.remove(producer(two, "b"));
    const ValueId new_b = p.add_named(ops::kTanh, "n1", "b", {value(two, "x")}),
                  new_a = p.add_named(ops::kExp, "n2", "a", {value(two, "x")});
    p.replace(value(two, "a"), new_b);
    p.replace(value(two, "b"), new_a);
    EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[2]
  %a = Tanh(%x) : f32[2] @"n1" origin=["a", "b"]
  %b = Exp(%x) : f32[2] @"n2" origin=["a", "b"]
  output %a
  output %b
}
)");
  }
}

TEST(Patch, NewNamesAreMadeUnique) {
  const Graph g = parsed(kChain);
  Patch p(g);
  p.stands_for(producer(g, "a"));
  const ValueId t = p.add_named(ops::kTanh, "t", "b", {value(g, "x")});
  p.replace_operand(producer(g, "a"), 0, t);
  const auto out = apply_patch(p);
  ASSERT_TRUE(out);
  EXPECT_TRUE(verify_graph(*out));
  EXPECT_TRUE(out->find_value("b"));
  EXPECT_TRUE(out->find_value("b_1"));
  EXPECT_TRUE(out->find_value("y"));
}

TEST(Patch, NodesWithSeveralResults) {
  const Graph g = parsed(R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,5]
  constant %sizes : s64[2] = [2, 3]
  %p, %q = Split(%x, %sizes) {axis=1} @"split"
  %a = Relu(%p)
  %b = Sqrt(%q)
  output %a
  output %b
})");
  Patch p(g);
  p.remove(producer(g, "p"));
  const ValueId other = p.add_constant("other_sizes", Tensor::of<int64_t>({2}, {1, 4}));
  const auto parts =
      p.add_multi(ops::kSplit, "split_again", {"p", "q"}, {value(g, "x"), other}, {{"axis", int64_t{1}}});
  p.replace(value(g, "p"), parts[1]);
  p.replace(value(g, "q"), parts[0]);
  EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,5]
  constant %other_sizes : s64[2] = [1, 4]
  %p, %q = Split(%x, %other_sizes) {axis=1} : f32[batch,1], f32[batch,4] @"split_again" origin=["split"]
  %a = Relu(%q) : f32[batch,4]
  %b = Sqrt(%p) : f32[batch,1]
  output %a
  output %b
}
)");
}

TEST(Patch, OperandsComeBeforeTheirUsers) {
  // An early node reads a late one.
  const Graph g = parsed(
      "graph \"g\" stage imported opset 17 {\ninput %x : f32[2]\n%a = Relu(%x)\n%b = Sqrt(%x)\n%y = Add(%a, "
      "%b)\noutput %y\n}");
  Patch p(g);
  p.replace_operand(producer(g, "a"), 0, value(g, "b"));
  EXPECT_EQ(text_of(apply_patch(p)), R"(graph "g" stage imported opset 17 {
  input %x : f32[2]
  %b = Sqrt(%x) : f32[2]
  %a = Relu(%b) : f32[2]
  %y = Add(%a, %b) : f32[2]
  output %y
}
)");
}

TEST(Patch, ContradictionsAreInternalErrors) {
  const Graph g = parsed(kChain);
  {
    Patch p(g);
    p.replace(value(g, "b"), value(g, "a"));
    p.replace(value(g, "b"), value(g, "x"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("%b is replaced twice"));
  }
  {
    Patch p(g);
    p.replace(value(g, "a"), value(g, "b"));
    p.replace(value(g, "b"), value(g, "a"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("replacements make a cycle"));
  }
  {
    Patch p(g);
    p.replace_operand(producer(g, "a"), 0, value(g, "b"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("node relu reads its own result"));
  }
  {
    Patch p(g);
    p.replace_operand(producer(g, "a"), 0, value(g, "a"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("node add reads its own result"));
  }
  {
    Patch p(g);
    p.remove(producer(g, "b"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("a value that was removed is still read"));
  }
  {
    Patch p(g);
    p.remove(producer(g, "b"));
    p.replace_operand(producer(g, "b"), 0, value(g, "x"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("an operand of a removed node is replaced"));
  }
  {
    Patch p(g);
    p.replace_operand(producer(g, "b"), 1, value(g, "x"));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("node relu has no operand 1"));
  }
  {
    Patch p(g);
    p.replace_operand(producer(g, "b"), 0, p.add(ops::kTanh, "new", {value(g, "x")}));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("new node new stands for nothing"));
  }
  {
    Patch p(g);
    p.remove(producer(g, "b"));
    p.begin_edit();  // what an earlier edit removed does not count
    p.replace(value(g, "b"), p.add(ops::kTanh, "new", {value(g, "x")}));
    EXPECT_EQ(text_of(apply_patch(p)), refusal("new node new stands for nothing"));
  }
  {
    Patch p(g);
    p.remove(producer(g, "b"));
    p.replace(value(g, "b"), p.add(ops::kMatMul, "new", {value(g, "x"), value(g, "x")}));
    EXPECT_EQ(text_of(apply_patch(p)),
              "node new (MatMul): shapes [batch,2] and [batch,2] do not multiply\n  correct the model's shapes");
  }
}

TEST(Patch, LongChainsNeedNoStack) {
  std::string text = "graph \"g\" stage imported opset 17 {\ninput %x : f32[2]\n%v0 = Relu(%x)\n";
  for (int i = 0; i < 50000; ++i) text += "%v" + std::to_string(i + 1) + " = Relu(%v" + std::to_string(i) + ")\n";
  const Graph g = parsed(text + "output %v50000\n}");
  Patch p(g);
  for (int i = 1; i <= 50000; i += 2) {
    p.remove(NodeId{i});
    p.replace(g.nodes()[static_cast<size_t>(i)].outputs[0], g.nodes()[static_cast<size_t>(i)].inputs[0]);
  }
  const auto out = apply_patch(p);
  ASSERT_TRUE(out) << out.error().message();
  EXPECT_EQ(out->nodes().size(), 25001u);
}

}  // namespace
}  // namespace cupel
