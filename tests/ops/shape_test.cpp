// Shape and Size, and whole chains of shape arithmetic as exporters write them, built into a Graph.
#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kShape, ops::kSize;

const Dim kBatch(1, "batch");

TEST(Shape, PartsOfTheShape) {
  const TensorType x = reals_type({kBatch, 3, 5, 7});
  const auto part = [&](Attributes attributes) { return contents_text(fold_op(kShape, {x}, attributes)); };
  EXPECT_EQ(part({}), "[batch,3,5,7]");
  EXPECT_EQ(part({{"start", int64_t{1}}}), "[3,5,7]");
  EXPECT_EQ(part({{"start", int64_t{-3}}, {"end", int64_t{-1}}}), "[3,5]");
  EXPECT_EQ(part({{"start", INT64_MIN}, {"end", INT64_MAX}}), "[batch,3,5,7]");
  EXPECT_EQ(part({{"start", int64_t{3}}, {"end", int64_t{1}}}), "[]");
  EXPECT_EQ(shape_of(kShape, {x}, {{"start", int64_t{3}}, {"end", int64_t{1}}}), "[0]");
  EXPECT_EQ(run(kShape, {random_reals({2, 3, 5}, 1)}, {{"start", int64_t{1}}}), integers({3, 5}));
  EXPECT_EQ(run(kShape, {Tensor::scalar<float>(1)}), integers({}));
}

TEST(Size, ProductOfTheShape) {
  EXPECT_EQ(contents_text(fold_op(kSize, {reals_type({kBatch, 3, 5})})), "[15*batch]");
  EXPECT_EQ(contents_text(fold_op(kSize, {reals_type({})})), "[1]");
  EXPECT_EQ(contents_text(fold_op(kSize, {reals_type({kBatch, kBatch})})), "unknown");
  EXPECT_EQ(run(kSize, {random_reals({2, 3, 5}, 1)}), Tensor::scalar<int64_t>(30));
}

// A graph that grows by one node a call; the test fails when a node is refused.
class ShapeChain {
 public:
  ValueId input(Shape shape) { return graph_.add_input("x", reals_type(std::move(shape))); }
  ValueId vector(std::vector<int64_t> values) { return graph_.add_constant("c", integers(std::move(values))); }
  ValueId scalar(int64_t value) { return graph_.add_constant("c", Tensor::scalar<int64_t>(value)); }
  ValueId node(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    const auto added = graph_.add_node(op, "", std::move(inputs), std::move(attributes), {"v"});
    if (!added) {
      ADD_FAILURE() << added.error().message();
      return ValueId{0};
    }
    return graph_.node(*added).outputs[0];
  }
  std::string shape(ValueId id) const { return to_text(graph_.type(id).shape); }
  std::string contents(ValueId id) const {
    const auto& known = graph_.value(id).contents;
    return known ? to_text(*known) : "unknown";
  }

 private:
  Graph graph_;
};

using namespace cupel::ops;

// timm and torchvision: patches flattened, a class token expanded over the batch and put in front.
TEST(ShapeArithmetic, VisionTransformerPatches) {
  ShapeChain g;
  const Attributes to_s64 = {{"to", int64_t{7}}};
  const ValueId x = g.input({kBatch, 768, 14, 14});
  const ValueId shape = g.node(kShape, {x});
  const ValueId batch = g.node(kGather, {shape, g.scalar(0)}), height = g.node(kGather, {shape, g.scalar(2)});
  EXPECT_EQ(g.contents(batch), "[batch]");
  EXPECT_EQ(g.shape(batch), "[]");
  // 14 · 14 / 1 → cast → unsqueeze → concat → reshape
  const ValueId area = g.node(kMul, {height, g.node(kGather, {shape, g.scalar(-1)})});
  const ValueId patches = g.node(kCast, {g.node(kCast, {g.node(kDiv, {area, g.scalar(1)})}, to_s64)}, to_s64);
  EXPECT_EQ(g.contents(patches), "[196]");
  const ValueId axis = g.vector({0});
  const ValueId wanted =
      g.node(kConcat, {g.node(kUnsqueeze, {batch, axis}), g.vector({768}), g.node(kUnsqueeze, {patches, axis})},
             {{"axis", int64_t{0}}});
  EXPECT_EQ(g.contents(wanted), "[batch,768,196]");
  const ValueId flat = g.node(kReshape, {x, wanted});
  EXPECT_EQ(g.shape(flat), "[batch,768,196]");
  const ValueId tokens = g.node(kTranspose, {flat}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId first =
      g.node(kConcat, {g.node(kSlice, {shape, g.vector({0}), g.vector({1}), g.vector({0})}), g.vector({1, 1})},
             {{"axis", int64_t{0}}});
  const ValueId token = g.node(kConstantOfShape, {g.vector({1, 1, 768})});
  const ValueId sequence = g.node(kConcat, {g.node(kTile, {token, first}), tokens}, {{"axis", int64_t{1}}});
  EXPECT_EQ(g.shape(sequence), "[batch,197,768]");
  // Heads: Shape → Gather → Div → Concat → Reshape → Transpose, and the class token taken out again.
  const ValueId sizes = g.node(kShape, {sequence});
  const ValueId width = g.node(kDiv, {g.node(kGather, {sizes, g.scalar(2)}), g.scalar(12)});
  const ValueId heads =
      g.node(kConcat,
             {g.node(kSlice, {sizes, g.vector({0}), g.vector({2})}), g.vector({12}), g.node(kUnsqueeze, {width, axis})},
             {{"axis", int64_t{0}}});
  EXPECT_EQ(g.contents(heads), "[batch,197,12,64]");
  const ValueId split =
      g.node(kTranspose, {g.node(kReshape, {sequence, heads})}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  EXPECT_EQ(g.shape(split), "[batch,12,197,64]");
  const ValueId merged = g.node(kMul, {batch, g.scalar(12)});
  const ValueId rows =
      g.node(kConcat, {g.node(kUnsqueeze, {merged, axis}), g.vector({-1, 64})}, {{"axis", int64_t{0}}});
  EXPECT_EQ(g.contents(rows), "[12*batch,-1,64]");
  EXPECT_EQ(g.shape(g.node(kReshape, {split, rows})), "[12*batch,197,64]");
  EXPECT_EQ(g.shape(g.node(kGather, {sequence, g.scalar(0)}, {{"axis", int64_t{1}}})), "[batch,768]");
}

// torch.Tensor.expand(batch, -1, -1): −1 is replaced by 1 through ConstantOfShape, Mul, Equal and Where.
TEST(ShapeArithmetic, ExpandOfAClassToken) {
  ShapeChain g;
  const ValueId x = g.input({kBatch, 196, 768});
  const ValueId batch = g.node(kUnsqueeze, {g.node(kGather, {g.node(kShape, {x}), g.scalar(0)}), g.vector({0})});
  const ValueId asked = g.node(kConcat, {batch, g.vector({-1, -1})}, {{"axis", int64_t{0}}});
  const ValueId ones = g.node(kConstantOfShape, {g.vector({3})}, {{"value", integers({1})}});
  const ValueId unset = g.node(kEqual, {asked, g.node(kMul, {ones, g.scalar(-1)})});
  const ValueId wanted = g.node(kWhere, {unset, ones, asked});
  EXPECT_EQ(g.contents(wanted), "[batch,1,1]");
  const ValueId token = g.node(kConstantOfShape, {g.vector({1, 1, 768})});
  EXPECT_EQ(g.shape(g.node(kExpand, {token, wanted})), "[batch,1,768]");
}

// Swin: windows of 7 × 7 move into the batch and back.
TEST(ShapeArithmetic, SwinWindows) {
  ShapeChain g;
  const ValueId x = g.input({kBatch, 56, 56, 96});
  const ValueId shape = g.node(kShape, {x});
  const ValueId axis = g.vector({0});
  const auto dim = [&](int64_t i) { return g.node(kGather, {shape, g.scalar(i)}); };
  const auto one = [&](ValueId id) { return g.node(kUnsqueeze, {id, axis}); };
  const ValueId rows = g.node(kDiv, {dim(1), g.scalar(7)});
  const ValueId wanted = g.node(kConcat, {one(dim(0)), one(rows), g.vector({7}), one(rows), g.vector({7}), one(dim(3))},
                                {{"axis", int64_t{0}}});
  const ValueId split =
      g.node(kTranspose, {g.node(kReshape, {x, wanted})}, {{"perm", std::vector<int64_t>{0, 1, 3, 2, 4, 5}}});
  const ValueId windows = g.node(kReshape, {split, g.vector({-1, 49, 96})});
  EXPECT_EQ(g.shape(windows), "[64*batch,49,96]");
  const ValueId count = g.node(kGather, {g.node(kShape, {windows}), g.scalar(0)});
  const ValueId images = g.node(kDiv, {count, g.scalar(64)});
  EXPECT_EQ(g.contents(images), "[batch]");
  const ValueId back = g.node(kConcat, {one(images), g.vector({8, 8, 7, 7, -1})}, {{"axis", int64_t{0}}});
  EXPECT_EQ(g.shape(g.node(kReshape, {windows, back})), "[batch,8,8,7,7,96]");
}

}  // namespace
}  // namespace cupel
