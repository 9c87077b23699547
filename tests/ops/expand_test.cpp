// Expand and Tile: every element against its place, shapes with a symbolic batch.
#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kExpand, ops::kTile;

const Dim kBatch(1, "batch");

TEST(Expand, BroadcastsEveryWidth) {
  struct Case {
    Dims x;
    std::vector<int64_t> shape;
    Dims y;
  };
  const std::vector<Case> cases = {{{3, 1, 5}, {2, 1, 7, 1}, {2, 3, 7, 5}},
                                   {{4, 1}, {1, 6}, {4, 6}},
                                   {{1}, {0}, {0}},
                                   {{}, {3, 2}, {3, 2}},
                                   {{5}, {}, {5}},
                                   {{1, 70, 1, 90}, {9, 1, 8, 1}, {9, 70, 8, 90}},
                                   {{1, 1, 1}, {40, 50, 60}, {40, 50, 60}},
                                   {{3, 1}, {1}, {3, 1}}};
  for (DType type : kMovedTypes)
    for (const Case& k : cases) {
      const Tensor x = random_codes(type, k.x, 1);
      expect_moved(x, run(kExpand, {x, known(k.shape)}), k.y, [&](const Dims& i) {
        Dims own(i.end() - static_cast<std::ptrdiff_t>(k.x.size()), i.end());
        for (size_t a = 0; a < own.size(); ++a) own[a] %= k.x[a];
        return flat_index(own, k.x);
      });
    }
}

TEST(Expand, Shapes) {
  const TensorType token = reals_type({1, 1, 768});
  EXPECT_EQ(shape_of(kExpand, {token, known_shape({kBatch, 1, 768})}), "[batch,1,768]");
  EXPECT_EQ(shape_of(kExpand, {token, known_shape({kBatch, 1, 1})}), "[batch,1,768]");
  EXPECT_EQ(shape_of(kExpand, {reals_type({kBatch, 3}), known({1, 1})}), "[batch,3]");
  EXPECT_EQ(shape_of(kExpand, {token, known({1, -1, 768})}),
            "bad input; the wanted shape [1,-1,768] holds the negative number -1\n  correct the model's shapes");
  EXPECT_EQ(shape_of(kExpand, {token, known({767})}),
            "bad input; shapes [1,1,768] and [767] do not broadcast\n  correct the model's shapes");
}

TEST(Expand, FoldsOneElement) {
  EXPECT_EQ(contents_text(fold_op(kExpand, {known_shape({kBatch}), known({3})})), "[batch,batch,batch]");
  EXPECT_EQ(contents_text(fold_op(kExpand, {known({2, 3}), known({2})})), "[2,3]");
  EXPECT_EQ(contents_text(fold_op(kExpand, {known({2}), known_shape({kBatch})})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kExpand, {known({2}), known({65})})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kExpand, {known({2}), known({2, 1})})), "unknown");
}

TEST(Tile, RepeatsEveryWidth) {
  struct Case {
    Dims x;
    std::vector<int64_t> repeats;
  };
  const std::vector<Case> cases = {{{2, 3}, {2, 2}},   {{3, 4, 5}, {1, 3, 1}}, {{1, 1, 70}, {50, 20, 1}},
                                   {{7}, {0}},         {{0, 3}, {4, 2}},       {{}, {}},
                                   {{5, 1}, {1, 600}}, {{2, 3, 4}, {3, 2, 5}}, {{1, 2, 1, 3}, {2, 1, 3, 1}}};
  for (DType type : kMovedTypes)
    for (const Case& k : cases) {
      const Tensor x = random_codes(type, k.x, 1);
      Dims wanted;
      for (size_t a = 0; a < k.x.size(); ++a) wanted.push_back(k.x[a] * k.repeats[a]);
      expect_moved(x, run(kTile, {x, known(k.repeats)}), wanted, [&](Dims i) {
        for (size_t a = 0; a < i.size(); ++a) i[a] %= k.x[a];
        return flat_index(i, k.x);
      });
    }
}

TEST(Tile, Shapes) {
  EXPECT_EQ(shape_of(kTile, {reals_type({1, 1, 768}), known_shape({kBatch, 1, 1})}), "[batch,1,768]");
  EXPECT_EQ(shape_of(kTile, {reals_type({kBatch, 3}), known({2, 1})}), "[2*batch,3]");
  EXPECT_EQ(shape_of(kTile, {reals_type({kBatch, 3}), known({2})}),
            "bad input; 1 repeats for an operand of rank 2\n  export the model again");
  EXPECT_EQ(shape_of(kTile, {reals_type({kBatch}), known({-1})}),
            "bad input; repeats [-1] holds the negative number -1\n  correct the model's shapes");
  EXPECT_EQ(shape_of(kTile, {reals_type({kBatch}), known_shape({kBatch})}),
            "unsupported; shape arithmetic: batch * batch multiplies two symbolic dimensions\n"
            "  give its size with --dim or --shape");
}

}  // namespace
}  // namespace cupel
