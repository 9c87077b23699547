#include "assess/layer_match.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/text.h"

namespace cupel {
namespace {

using testing::ElementsAre;

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  EXPECT_TRUE(graph) << graph.error().message();
  return graph ? std::move(*graph) : Graph();
}

const Graph& base() {
  static const Graph graph = parsed(R"(graph "base" stage imported opset 17 {
  input %x : f32[batch,2,3]
  %m = Mul(%x, %x) @"square"
  %r = Relu(%m) @"relu"
  %s = Sigmoid(%r) @"sigmoid"
  %t = Transpose(%s) {perm=[0, 2, 1]} @"turn"
  %y = Exp(%t) @"grow"
  output %y
})");
  return graph;
}

const Graph& candidate() {
  static const Graph graph = parsed(R"(graph "candidate" stage imported opset 17 {
  input %x : f32[batch,2,3]
  %m = Mul(%x, %x) @"square"
  %r = Relu(%m) @"relu"
  %q = QuantizeLinear(%r) {dtype="u8", scale=reals [0x1p-3], zero_point=[0]} @"to_codes"
  %d = DequantizeLinear(%q) {dtype="u8", scale=reals [0x1p-3], zero_point=[0]} @"to_numbers"
  %s = Sigmoid(%d) @"sigmoid"
  %t = Transpose(%s) {perm=[0, 2, 1]} @"turn"
  %y = Exp(%t) @"grow"
  output %y
})");
  return graph;
}

const std::vector<TapPoint> kBase = {{"0_map", "r", "relu\nsquare"}, {"1_map", "s", "sigmoid"}, {"2_map", "y", "grow"}};
const std::vector<TapPoint> kCandidate = {
    {"0_codes", "q", "relu\nsquare\nto_codes"}, {"1_map", "s", "sigmoid\nto_numbers"}, {"2_map", "y", "grow"}};

// "relu: q against r, kernel k" of every match, or the reason instead.
std::vector<std::string> cut(const Graph& below, const Graph& above, const std::vector<TapPoint>& base_taps,
                             const std::vector<TapPoint>& candidate_taps) {
  auto matches = match_layers(below, above);
  cut_at_taps(below, above, base_taps, candidate_taps, matches);
  std::vector<std::string> lines;
  for (const LayerMatch& m : matches)
    lines.push_back(fmt::format("{}: {}, kernel {}", above.node(m.node).name,
                                m.base_value ? fmt::format("{} against {}{}", above.value(m.value).name,
                                                           below.value(*m.base_value).name, m.reason)
                                             : m.reason,
                                m.kernel));
  return lines;
}

TEST(LayerMatch, WithoutTapsEveryValueIsCompared) {
  std::vector<std::string> lines;
  for (const LayerMatch& m : match_layers(base(), candidate())) {
    ASSERT_TRUE(m.base_value);
    EXPECT_EQ(candidate().value(m.value).name, base().value(*m.base_value).name);
    EXPECT_EQ(m.kernel + m.reason, "");
    lines.push_back(candidate().node(m.node).name);
  }
  EXPECT_THAT(lines, ElementsAre("square", "relu", "sigmoid", "turn", "grow"));
}

TEST(LayerMatch, IsCutAtTheResultsOfKernels) {
  EXPECT_THAT(cut(base(), candidate(), kBase, kCandidate),
              ElementsAre("square: inside kernel 0_codes, kernel 0_codes", "relu: q against r, kernel 0_codes",
                          "sigmoid: s against s, kernel 1_map",
                          "turn: a view of another value, without a kernel of its own, kernel ",
                          "grow: y against y, kernel 2_map"));
}

TEST(LayerMatch, ABaseThatFusesFurtherSaysWhere) {
  const std::vector<TapPoint> fused = {{"0_fused", "s", "relu\nsigmoid\nsquare"}, {"1_map", "y", "grow"}};
  EXPECT_THAT(
      cut(base(), candidate(), fused, kCandidate),
      ElementsAre("square: inside kernel 0_codes, kernel 0_codes",
                  "relu: inside kernel 0_fused of the base model, kernel 0_codes", "sigmoid: s against s, kernel 1_map",
                  "turn: a view of another value, without a kernel of its own, kernel ",
                  "grow: y against y, kernel 2_map"));
}

TEST(LayerMatch, AViewOfTheBaseAgainstAKernel) {
  std::vector<TapPoint> copied = kCandidate;
  copied.insert(copied.end() - 1, {"2_copy", "t", "turn"});
  EXPECT_THAT(
      cut(base(), candidate(), kBase, copied),
      testing::Contains("turn: in the base model a view of another value, without a kernel of its own, kernel 2_copy"));
}

// A kernel takes in all that reads its value, in several ways that meet again; names may hold anything.
TEST(LayerMatch, RegionsWithSeveralReadersAreOneKernel) {
  const Graph graph = parsed(R"(graph "gate" stage imported opset 17 {
  input %x : f32[batch,2,3]
  %a = Exp(%x) @"up"
  %g = Sigmoid(%a) @"ga\x0ate"
  %m = Mul(%a, %g) @"product"
  %y = Relu(%m) @"last"
  output %y
})");
  const std::vector<TapPoint> taps = {{"0_map", "m", "ga\nte\nproduct\nup"}, {"1_map", "y", "last"}};
  EXPECT_THAT(cut(graph, graph, taps, taps),
              ElementsAre("up: inside kernel 0_map, kernel 0_map", "ga\nte: inside kernel 0_map, kernel 0_map",
                          "product: m against m, kernel 0_map", "last: y against y, kernel 1_map"));
}

}  // namespace
}  // namespace cupel
