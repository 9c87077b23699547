// If: the branch that a constant condition takes becomes part of the graph; of a computed condition both do.
#include "model_builder.h"

namespace cupel {
namespace {

using protozero::pbf_writer;

struct Inner {
  std::string op;
  std::vector<std::string> inputs, outputs;
  std::string branches = {};  // the attributes of an If
};

std::string node_bytes(const Inner& node) {
  std::string bytes;
  pbf_writer n(bytes);
  for (const auto& i : node.inputs) n.add_string(onnx_field::node::input, i);
  for (const auto& o : node.outputs) n.add_string(onnx_field::node::output, o);
  n.add_string(onnx_field::node::op_type, node.op);
  return bytes + node.branches;
}

// A subgraph without inputs; `constants`: scalars of f32 by name.
std::string branch(const std::vector<Inner>& nodes, const std::vector<std::string>& outputs,
                   const std::vector<std::pair<std::string, float>>& constants = {}) {
  std::string bytes;
  pbf_writer g(bytes);
  for (const Inner& node : nodes) g.add_message(onnx_field::graph::node, node_bytes(node));
  for (const auto& [name, value] : constants) {
    std::string t;
    pbf_writer w(t);
    ModelBuilder::tensor(w, name, 1, {}, [&](pbf_writer& x) { ModelBuilder::raw(x, Tensor::scalar<float>(value)); });
    g.add_message(onnx_field::graph::initializer, t);
  }
  for (const std::string& name : outputs) {
    std::string v;
    pbf_writer(v).add_string(onnx_field::value::name, name);
    g.add_message(onnx_field::graph::output, v);
  }
  return bytes;
}

void write_branches(pbf_writer& n, const std::string& yes, const std::string& no) {
  for (const auto& [name, graph] : {std::pair("then_branch", &yes), {"else_branch", &no}}) {
    pbf_writer a(n, onnx_field::node::attribute);
    a.add_string(onnx_field::attribute::name, name);
    a.add_message(onnx_field::attribute::g, *graph);
    a.add_enum(onnx_field::attribute::type, 5);
  }
}

std::string branches(const std::string& yes, const std::string& no) {
  std::string bytes;
  pbf_writer n(bytes);
  write_branches(n, yes, no);
  return bytes;
}

ModelBuilder with_if(const std::string& yes, const std::string& no, const std::string& condition = "c") {
  ModelBuilder m;
  m.input("x", {2}).node("Relu", {"x"}, {"r"}, {}, "relu");
  return m.node("If", {condition}, {"y"}, {}, "choice", "", [&](pbf_writer& n) { write_branches(n, yes, no); });
}

// Both use the name t, and the value r of the graph around them.
const std::string kNegative = branch({{"Neg", {"r"}, {"t"}}}, {"t"});
const std::string kSum = branch({{"Add", {"r", "one"}, {"t"}}}, {"t"}, {{"one", 1.0f}});

TEST(Branches, AConstantConditionTakesOne) {
  EXPECT_EQ(text_of(with_if(kNegative, kSum).constant<bool>("c", {}, {true}).output("y")),
            R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  %r = Relu(%x) : f32[2] @"relu"
  %y = Neg(%r) : f32[2] @"choice/Neg_0"
  output %y
}
)");
  EXPECT_EQ(text_of(with_if(kNegative, kSum).constant<bool>("c", {1}, {false}).output("y")),
            R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  %r = Relu(%x) : f32[2] @"relu"
  constant %one : f32[] = [0x1p+0]
  %y = Add(%r, %one) : f32[2] @"choice/Add_0"
  output %y
}
)");
}

TEST(Branches, SizesDecide) {
  ModelBuilder m;
  m.constant<int64_t>("two", {1}, {2}).node("Shape", {"x"}, {"s"}, {}, "shape");
  m.node("Equal", {"s", "two"}, {"c"}, {}, "equal");
  m.input("x", {2}).node("Relu", {"x"}, {"r"}, {}, "relu");
  m.node("If", {"c"}, {"y"}, {}, "choice", "", [&](pbf_writer& n) { write_branches(n, kNegative, kSum); });
  const std::string text = text_of(m.output("y"));
  EXPECT_NE(text.find("Neg(%r)"), std::string::npos) << text;
  EXPECT_EQ(text.find("Add"), std::string::npos) << text;
}

TEST(Branches, AComputedConditionChooses) {
  EXPECT_EQ(text_of(with_if(kNegative, kSum).input("c", {}, 9).output("y")),
            R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  input %c : bool[]
  %r = Relu(%x) : f32[2] @"relu"
  %t = Neg(%r) : f32[2] @"choice_then/Neg_0"
  constant %one : f32[] = [0x1p+0]
  %t_1 = Add(%r, %one) : f32[2] @"choice_else/Add_0"
  %y = Where(%c, %t, %t_1) : f32[2] @"choice_choice0" origin=["choice"]
  output %y
}
)");
}

TEST(Branches, InEachOther) {
  const std::string nested = branch({{"If", {"c"}, {"u"}, branches(kNegative, kSum)}, {"Exp", {"u"}, {"t"}}}, {"t"});
  EXPECT_EQ(text_of(with_if(nested, kSum).constant<bool>("c", {}, {true}).output("y")),
            R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  %r = Relu(%x) : f32[2] @"relu"
  %u = Neg(%r) : f32[2] @"choice/If_0/Neg_0"
  %y = Exp(%u) : f32[2] @"choice/Exp_1"
  output %y
}
)");
}

TEST(Branches, OfTheGraphAround) {
  EXPECT_EQ(text_of(with_if(branch({}, {"r"}), kSum).constant<bool>("c", {}, {true}).output("y")),
            R"(graph "main" stage imported opset 17 {
  input %x : f32[2]
  %r = Relu(%x) : f32[2] @"relu"
  %y = Identity(%r) : f32[2]
  output %y
}
)");
}

TEST(Branches, Refusals) {
  const std::string row = branch({{"ReduceSum", {"r"}, {"t"}}}, {"t"});
  EXPECT_EQ(
      text_of(with_if(row, kSum).input("c", {}, 9).output("y")),
      "model.onnx: node choice (If): the condition is computed, and result 0 is f32[1] in one branch, f32[2] in the "
      "other\n  give the condition's operands with --value, or their sizes with --dim or --shape");
  EXPECT_EQ(text_of(with_if(branch({{"Neg", {"q"}, {"t"}}}, {"t"}), kSum).constant<bool>("c", {}, {true}).output("y")),
            "model.onnx: node choice (If): node choice/Neg_0 (Neg): reads value q, which nothing before it defines\n  "
            "export the model again");
  EXPECT_EQ(text_of(with_if(branch({}, {"q"}), kSum).constant<bool>("c", {}, {true}).output("y")),
            "model.onnx: node choice (If): nothing defines result q of a subgraph\n  export the model again");
  EXPECT_EQ(text_of(with_if(branch({}, {}), kSum).constant<bool>("c", {}, {true}).output("y")),
            "model.onnx: node choice (If): a branch gives 0 results, expected 1\n  export the model again");
  EXPECT_EQ(text_of(with_if(kNegative, kSum).constant<bool>("c", {2}, {true, true}).output("y")),
            "model.onnx: node choice (If): the condition is not one bool\n  export the model again");
}

// Only the condition knows whether a branch that cannot be is taken.
TEST(Branches, ABranchThatCannotBe) {
  const std::string wrong = branch({{"MatMul", {"r", "w"}, {"t"}}}, {"t"});
  ModelBuilder m = with_if(kNegative, wrong);
  m.constant<float>("w", {3}, {1, 2, 3});
  ModelBuilder constant = m;
  EXPECT_EQ(text_of(constant.constant<bool>("c", {}, {true}).output("y")).substr(0, 5), "graph");
  const auto graph = read(m.input("c", {}, 9).output("y"));
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().kind, ErrorKind::unsupported) << graph.error().message();
}

// More graphs in each other than are read.
TEST(Branches, Depth) {
  std::string inner = kNegative;
  for (int i = 0; i < 40; ++i)
    inner = branch({{"If", {"c"}, {"t"}, branches(inner, inner.size() < 2000 ? inner : kSum)}}, {"t"});
  const std::string text = text_of(with_if(inner, kSum).constant<bool>("c", {}, {true}).output("y"));
  EXPECT_NE(text.find("expected a condition and two branches"), std::string::npos) << text;
}

}  // namespace
}  // namespace cupel
