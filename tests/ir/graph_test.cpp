#include "ir/graph.h"

#include <gtest/gtest.h>

#include <limits>

#include "ir/text.h"

namespace cupel {
namespace {

const TensorType kPair{DType::f32, {2}, {}};

TEST(Graph, NamesAreMadeUnique) {
  Graph g;
  const ValueId a = g.add_input("x", kPair), b = g.add_input("x", kPair), c = g.add_constant("", Tensor::scalar(1.0f)),
                d = g.add_constant("x_2", Tensor::scalar(1.0f)), e = g.add_input("x", kPair);
  EXPECT_EQ(g.value(a).name, "x");
  EXPECT_EQ(g.value(b).name, "x_1");
  EXPECT_EQ(g.value(c).name, "v");
  EXPECT_EQ(g.value(d).name, "x_2");
  EXPECT_EQ(g.value(e).name, "x_3");
  EXPECT_EQ(g.find_value("x_1"), b);
  EXPECT_EQ(g.find_value("y"), std::nullopt);
  g.rename_value(b, "renamed");
  EXPECT_EQ(g.find_value("x_1"), std::nullopt);
  EXPECT_EQ(g.find_value("renamed"), b);
}

TEST(Graph, ManyEqualNamesAreCheap) {
  Graph g;
  for (int i = 0; i < 100000; ++i) g.add_input("x", kPair);
  EXPECT_EQ(g.value(ValueId{99999}).name, "x_99999");
}

TEST(Graph, OriginIsSortedAndUnique) {
  Graph g;
  const ValueId x = g.add_input("x", kPair);
  const NodeId n = g.add_node(*find_op("Relu"), "n", {x}, {}, {"y"}, {"c", "a", "c"}).value();
  EXPECT_EQ(g.node(n).origin, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(g.node(g.add_node(*find_op("Relu"), "m", {x}, {}, {"z"}).value()).origin, std::vector<std::string>{"m"});
  EXPECT_EQ(g.node(g.add_node(*find_op("Relu"), "", {x}, {}, {""}).value()).name, "Relu_2");
}

TEST(Graph, UsersProducersAndOutputs) {
  Graph g;
  const ValueId x = g.add_input("x", kPair);
  const NodeId add = g.add_node(*find_op("Add"), "add", {x, x}, {}, {"y"}).value();
  const ValueId y = g.node(add).outputs[0];
  g.add_output(y);
  EXPECT_EQ(g.users()[0], (std::vector<NodeId>{add, add}));
  EXPECT_FALSE(g.producers()[0].valid());
  EXPECT_EQ(g.producers()[static_cast<size_t>(y.index)], add);
  EXPECT_TRUE(g.is_output(y));
  EXPECT_FALSE(g.is_output(x));
}

TEST(Graph, ErrorsLeaveTheGraphAsItWas) {
  Graph g;
  const ValueId x = g.add_input("x", kPair);
  const Graph before = g;
  const auto result = g.add_node(*find_op("MatMul"), "bad\nname", {x, x}, {{"alpha", 1.0f}}, {"y"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::unsupported);
  EXPECT_EQ(result.error().message(),
            "node bad\\x0aname (MatMul): attribute alpha is not known for MatMul\n  remove the attribute or export the "
            "model differently");
  EXPECT_TRUE(g == before);
  EXPECT_EQ(g.values().size(), 1u);
}

TEST(Graph, TrailingAbsentOperandsAreDropped) {
  Graph g;
  const ValueId x = g.add_input("x", kPair);
  const NodeId n = g.add_node(*find_op("Clip"), "n", {x, ValueId{}, ValueId{}}, {}, {"y"}).value();
  EXPECT_EQ(g.node(n).inputs, std::vector<ValueId>{x});
}

TEST(Graph, KnownContentsFollowShapeArithmetic) {
  const auto g = parse_graph(R"(graph "g" stage imported opset 17 {
  input %x : f32[batch,3]
  %s = Shape(%x)
  constant %two : s64[2] = [2, 5]
  %m = Mul(%s, %two)
  output %m
})");
  ASSERT_TRUE(g);
  EXPECT_EQ(*g->value(*g->find_value("m")).contents, (std::vector<Dim>{Dim(2, "batch"), Dim(15)}));
}

TEST(Graph, StagesHaveNames) {
  for (Stage s : {Stage::imported, Stage::simplified, Stage::quantized, Stage::integer, Stage::fused})
    EXPECT_EQ(stage_from_name(stage_name(s)), s);
  EXPECT_EQ(stage_from_name("Integer"), std::nullopt);
}

TEST(Graph, EqualityTellsNumbersByTheirBits) {
  const auto with = [](float alpha) {
    Graph g;
    const ValueId x = g.add_input("x", kPair);
    g.add_output(g.node(g.add_node(*find_op("LeakyRelu"), "n", {x}, {{"alpha", alpha}}, {"y"}).value()).outputs[0]);
    return g;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(with(nan) == with(nan));
  EXPECT_FALSE(with(0.0f) == with(-0.0f));
}

TEST(Types, PrintShortForPeople) {
  EXPECT_EQ(to_text(TensorType{DType::u8, {Dim(1, "batch"), 3}, QuantParams{{0.5f}, {128}, -1}}),
            "u8[batch,3] quant(scale=0.5, zero_point=128)");
  EXPECT_EQ(to_text(TensorType{DType::s8, {2}, QuantParams{{0.5f, 0.25f}, {0, 1}, 0}}),
            "s8[2] quant(axis=0, scale=0.5…, zero_point=0…)");
}

}  // namespace
}  // namespace cupel
