// Operators whose operands' values decide the size of their results: what constants give, and what waits for data.
#include <set>

#include "onnx/reader.h"
#include "spelled_operator.h"

namespace cupel {
namespace {

// What the operator gives when all of its operands are constants.
Tensor of_constants(const std::string& op, const std::vector<Tensor>& operands, const Attributes& attributes = {}) {
  return result({.op = op, .inputs = operands, .attributes = attributes, .computed = 0});
}

TEST(DataSizes, NonZeroGivesIndicesByAxes) {
  const Tensor x = Tensor::of<float>({2, 3}, {0, 1.5f, -0.0f, -2, 0, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(of_constants("NonZero", {x}), Tensor::of<int64_t>({2, 3}, {0, 1, 1, 1, 0, 2}));
  EXPECT_EQ(of_constants("NonZero", {Tensor(DType::s64, {4})}).dims(), (Dims{1, 0}));
}

TEST(DataSizes, SuppressionKeepsTheBestOfBoxesThatOverlap) {
  // Boxes (y, x, y, x): 1 lies on most of 0, 2 is apart, 3 is 2 with its corners exchanged.
  const Tensor boxes = Tensor::of<float>({1, 4, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 5, 5, 6, 6, 6, 6, 5, 5});
  const Tensor scores = Tensor::of<float>({1, 2, 4}, {0.5f, 0.9f, 0.3f, 0.3f, 0.1f, 0, 0.8f, 0.2f});
  const Tensor half = Tensor::of<float>({1}, {0.5f}), three = Tensor::of<int64_t>({1}, {3});
  EXPECT_EQ(of_constants("NonMaxSuppression", {boxes, scores, three, half}),
            Tensor::of<int64_t>({4, 3}, {0, 0, 1, 0, 0, 2, 0, 1, 2, 0, 1, 0}));
  EXPECT_EQ(of_constants("NonMaxSuppression", {boxes, scores, three, half, Tensor::of<float>({1}, {0.4f})}),
            Tensor::of<int64_t>({2, 3}, {0, 0, 1, 0, 1, 2}));
  EXPECT_EQ(of_constants("NonMaxSuppression", {boxes, scores}).dims(), (Dims{0, 3}));
}

TEST(DataSizes, UniqueSortsOrKeepsTheOrder) {
  const Tensor x = Tensor::of<int64_t>({6}, {2, 1, 1, 3, 4, 3});
  EXPECT_EQ(of_constants("Unique", {x}), Tensor::of<int64_t>({4}, {1, 2, 3, 4}));
  EXPECT_EQ(of_constants("Unique", {x}, {{"sorted", int64_t{0}}}), Tensor::of<int64_t>({4}, {2, 1, 3, 4}));
  const Tensor rows = Tensor::of<float>({3, 2}, {1, 0, 1, 0, 0, 4});
  EXPECT_EQ(of_constants("Unique", {rows}, {{"axis", int64_t{0}}}), Tensor::of<float>({2, 2}, {0, 4, 1, 0}));
}

TEST(DataSizes, Col2ImAddsBlocks) {
  // Two blocks of 2 by 2 in an image of 2 by 3: the middle column is in both.
  const Tensor columns = Tensor::of<float>({1, 4, 2}, {1, 10, 2, 20, 3, 30, 4, 40});
  const Tensor image = Tensor::of<int64_t>({2}, {2, 3}), block = Tensor::of<int64_t>({2}, {2, 2});
  EXPECT_EQ(result({"Col2Im", {columns, image, block}}), Tensor::of<float>({1, 1, 2, 3}, {1, 12, 20, 3, 34, 40}));
}

TEST(DataSizes, PartsEndWhereDataDecide) {
  ModelBuilder m;
  m.input("x", {2, 3}).node("Relu", {"x"}, {"h"}).node("NonZero", {"h"}, {"at"}).node("Neg", {"h"}, {"z"});
  m.node("Transpose", {"at"}, {"y"}).output("z").output("y");
  const std::string bytes = m.bytes();
  const auto read = [&](const KnownValues& known) {
    auto part = read_onnx_part(std::as_bytes(std::span(bytes)), ".", "m.onnx", {}, known);
    EXPECT_TRUE(part) << part.error().message();
    return std::move(part).value();
  };
  const auto names = [](const Graph& graph, const std::vector<ValueId>& ids) {
    std::set<std::string> found;
    for (const ValueId id : ids) found.insert(graph.value(id).name);
    return found;
  };
  const OnnxPart first = read({});
  EXPECT_EQ(names(first.graph, first.graph.outputs()), (std::set<std::string>{"z", "h"}));
  ASSERT_EQ(first.deciding.size(), 1u);
  EXPECT_EQ(first.deciding[0].operands, std::vector<std::string>{"h"});
  EXPECT_EQ(first.deciding[0].why.code, ErrorCode::computed_at_run_time);
  KnownValues known;
  known.inputs.emplace("z", TensorType{DType::f32, {2, 3}, std::nullopt});
  known.constants.emplace("h", Tensor::of<float>({2, 3}, {0, 1, 0, 0, 0, 2}));
  const OnnxPart last = read(known);
  EXPECT_TRUE(last.deciding.empty());
  EXPECT_TRUE(last.graph.inputs().empty());
  ASSERT_EQ(names(last.graph, last.graph.outputs()), (std::set<std::string>{"y"}));
  EXPECT_EQ(last.graph.type(last.graph.outputs()[0]).shape, (Shape{2, 2}));
  // As a whole it is refused, by the node's name.
  const auto whole = read_onnx_bytes(std::as_bytes(std::span(bytes)), ".", "m.onnx");
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().kind, ErrorKind::unsupported);
}

}  // namespace
}  // namespace cupel
