// What is quantized and what stays in float, with the reason, on the pieces that networks are made of.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "quant/network.h"
#include "quant/plan.h"

namespace cupel {
namespace {

using networks::network;

std::string text_of(const Graph& g, const Selection& s) {
  std::string text = "codes:";
  for (ValueId id : s.activations) text += " " + g.value(id).name;
  text += "\ncontractions:";
  for (NodeId id : s.contractions) text += " " + g.node(id).name;
  text += "\n";
  for (const auto& [node, reason] : s.kept) text += node + ": " + reason + "\n";
  return text;
}

std::string selection_of(const Graph& g) { return text_of(g, select_values(g)); }

NodeId node_named(const Graph& g, std::string_view name) {
  for (size_t n = 0; n < g.nodes().size(); ++n)
    if (g.nodes()[n].name == name) return {static_cast<int32_t>(n)};
  return {};
}

TEST(Select, WhatIsAskedToStayInFloatTakesAlongWhatNeedsItsCodes) {
  const Graph g = network(networks::kResidual);
  EXPECT_EQ(text_of(g, select_values(g, {node_named(g, "c2")})),
            "codes: x mean\n"
            "contractions: c1 logits\n"
            "c2: it is asked to stay in float\n"
            "mean: an operand comes from a float op\n"
            "sum: no integer op reads its result\n");
  EXPECT_EQ(text_of(g, select_values(g, {node_named(g, "sum")})),
            "codes: x r1 mean\n"
            "contractions: c1 c2 logits\n"
            "mean: an operand comes from a float op\n"
            "sum: it is asked to stay in float\n");
}

TEST(Select, OnlyOne) {
  const Graph g = network(networks::kResidual);
  EXPECT_EQ(text_of(g, select_only(g, node_named(g, "c2"))), "codes: r1\ncontractions: c2\n");
  // An addition gives codes, behind its clamp.
  const Selection sum = select_only(g, node_named(g, "sum"));
  EXPECT_EQ(text_of(g, sum), "codes: r1 c2 r2\ncontractions:\n");
  EXPECT_EQ(sum.others, std::vector<NodeId>{node_named(g, "sum")});
  const Selection all = select_values(g);
  EXPECT_EQ(all.others, (std::vector<NodeId>{node_named(g, "sum"), node_named(g, "mean")}));
}

TEST(Select, Residual) {
  EXPECT_EQ(selection_of(network(networks::kResidual)),
            "codes: x r1 c2 r2 mean\n"
            "contractions: c1 c2 logits\n");
}

TEST(Select, SqueezeAndExcitation) {
  EXPECT_EQ(selection_of(network(networks::kSqueezeAndExcitation)),
            "codes: x c1 s1 mean r2 c3 gate scaled\n"
            "contractions: c1 c2 c3 y\n");
}

TEST(Select, Branches) {
  EXPECT_EQ(selection_of(network(networks::kBranches)),
            "codes: x ra b joined averaged\n"
            "contractions: a b y\n");
}

TEST(Select, Attention) {
  EXPECT_EQ(selection_of(network(networks::kAttention)),
            "codes: x norm q k v weights mixed out res h\n"
            "contractions: q0 k v scores mixed out h0 y\n"
            "h: an operand comes from a float op\n"
            "h1: no integer op reads its result\n"
            "norm: the op has no integer meaning\n"
            "q: an operand is constant: it belongs to the float epilogue of the op before it\n"
            "scaled: no integer op reads its result\n"
            "weights: the op has no integer meaning\n");
}

TEST(Select, ReasonsOfContractions) {
  EXPECT_EQ(selection_of(network(R"(input %x : f32[batch,4]
input %w : f32[3,4,1]
weights %c [4,4] 1
weights %c3 [2,4,4] 1
weights %c1 [4] 1
weights %b2 [1,4] 1
%first = MatMul(%c, %c)
%rank3 = MatMul(%x, %c3)
%rank1 = MatMul(%x, %c1)
%alpha = Gemm(%x, %c) {alpha=0.5}
%bias = Gemm(%x, %c, %b2)
input %image : f32[batch,4,9]
%weights = Conv(%image, %w)
%computed = Gemm(%x, %first)
output %rank3
output %rank1
output %alpha
output %bias
output %weights
output %computed)")),
            "codes:\n"
            "contractions:\n"
            "alpha: alpha or beta is not 1\n"
            "bias: its bias is not a constant of one entry per output channel\n"
            "computed: its weights are computed at run time\n"
            "first: its first operand is constant\n"
            "rank1: its constant operand has rank 1\n"
            "rank3: its constant operand has rank 3\n"
            "weights: its weights are computed at run time\n");
}

TEST(Select, ATableAfterAMatrixProductStaysInItsEpilogue) {
  EXPECT_EQ(selection_of(network(R"(input %x : f32[batch,4]
weights %w [4,4] 1
%a = MatMul(%x, %w)
%g = Gelu(%a)
%y = MatMul(%g, %w)
output %y)")),
            "codes: x g\n"
            "contractions: a y\n"
            "g: it follows a matrix product, whose float epilogue computes it\n");
}

TEST(Select, WhatAFloatOpFeedsStaysInFloat) {
  EXPECT_EQ(selection_of(network(R"(input %x : f32[batch,4]
weights %w [4,4] 1
%a = MatMul(%x, %w)
%s = Softmax(%a)
%sum = Add(%s, %x)
%y = MatMul(%sum, %w)
output %y)")),
            "codes: x sum\n"
            "contractions: a y\n"
            "s: the op has no integer meaning\n"
            "sum: an operand comes from a float op\n");
}

TEST(Select, MovesAndClampsAreSeenThrough) {
  EXPECT_EQ(selection_of(network(R"(input %x : f32[batch,2,6]
weights %w [3,2,1] 1
constant %pads : s64[6] = [0, 0, 1, 0, 0, 1]
constant %one : f32[] = [1.0]
%moved = MaxPool(%x) {kernel_shape=[2]}
%padded = Pad(%moved, %pads)
%a = Conv(%padded, %w)
%filled = Pad(%moved, %pads, %one)
%b = Conv(%filled, %w)
%ra = Relu(%a)
%rb = Relu(%b)
%sum = Add(%ra, %rb)
%r = Relu(%sum)
%c = Clip(%r, %one)
weights %v [1,3,1] 1
%y = Conv(%c, %v)
output %y)")),
            "codes: x filled ra rb c\n"
            "contractions: a b y\n");
}

TEST(Select, WorkGrowsWithTheGraphAndNotWithItsPaths) {
  std::string body = "input %x : f32[batch,2,6]\nweights %w [2,2,1] 1\n%c = Conv(%x, %w)\n%v0 = Relu(%c)\n";
  const int layers = 2000;
  for (int i = 0; i < layers; ++i) body += fmt::format("%v{} = Add(%v{}, %v{})\n", i + 1, i, i);
  const std::string last = "%v" + std::to_string(layers);
  const Selection s = select_values(network(body + "%y = Conv(" + last + ", %w)\noutput %y"));
  EXPECT_EQ(s.activations.size(), static_cast<size_t>(layers) + 2);
  // A failing leaf at the bottom keeps all of them in float.
  const Selection none = select_values(network("input %z : f32[batch,2,6]\n%x = Exp(%z)\n%e = Softmax(%x)\n" +
                                               body.substr(body.find("weights")) + "%sum = Add(" + last +
                                               ", %e)\n%y = Conv(%sum, %w)\noutput %y"));
  EXPECT_EQ(none.kept.at("sum"), "an operand comes from a float op");
}

TEST(Select, DeepChainsNeedNoStack) {
  std::string body = "input %x : f32[batch,2,6]\nweights %w [2,2,1] 1\n%c = Conv(%x, %w)\n%v0 = Relu(%c)\n";
  const int layers = 30000;
  for (int i = 0; i < layers; ++i) body += fmt::format("%v{} = {}(%v{})\n", i + 1, i % 3 == 0 ? "Sigmoid" : "Relu", i);
  const Selection s = select_values(network(body + fmt::format("%y = Conv(%v{}, %w)\noutput %y", layers)));
  EXPECT_EQ(s.contractions.size(), 2u);
}

}  // namespace
}  // namespace cupel
