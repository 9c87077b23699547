// Slice against Python's slicing written as a loop, Split against the parts' offsets, shapes with a symbolic batch.
#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kSlice, ops::kSplit;

const Dim kBatch(1, "batch");
constexpr int64_t kFar = INT64_MAX;

// Indices that x[start:end:step] takes from an axis of `size`, by stepping.
std::vector<int64_t> taken(int64_t size, int64_t start, int64_t end, int64_t step) {
  const auto clamp = [&](int64_t v, int64_t low, int64_t high) {
    if (v < 0) v += size;
    return v < low ? low : v > high ? high : v;
  };
  std::vector<int64_t> indices;
  if (size == 0) return indices;
  if (step > 0) {
    const int64_t last = clamp(end, 0, size);
    for (int64_t i = clamp(start, 0, size); i < last; i += step) {
      indices.push_back(i);
      if (step > size) break;
    }
  } else {
    const int64_t last = clamp(end, -1, size - 1);
    for (int64_t i = clamp(start, 0, size - 1); i > last; i += step) {
      indices.push_back(i);
      if (step < -size) break;
    }
  }
  return indices;
}

TEST(Slice, EveryBoundAndStepOfOneAxis) {
  const std::vector<int64_t> bounds = {INT64_MIN, -INT64_MAX, -7, -6, -5, -4, -1, 0, 1, 2, 4, 5, 6, kFar};
  const std::vector<int64_t> steps = {INT64_MIN, -6, -2, -1, 1, 2, 3, 6, kFar};
  const Tensor x = random_reals({3, 5, 2}, 9);
  for (int64_t start : bounds)
    for (int64_t end : bounds)
      for (int64_t step : steps) {
        const auto indices = taken(5, start, end, step);
        const Tensor y = run(kSlice, {x, known({start}), known({end}), known({1}), known({step})});
        SCOPED_TRACE(to_text(Dims{start, end, step}));
        expect_moved(x, y, {3, static_cast<int64_t>(indices.size()), 2}, [&](const Dims& i) {
          return flat_index({i[0], indices[static_cast<size_t>(i[1])], i[2]}, x.dims());
        });
      }
}

TEST(Slice, SeveralAxesOfEveryWidth) {
  for (DType type : kMovedTypes) {
    const Tensor x = random_codes(type, {4, 30, 40, 7}, 2);
    const Tensor y =
        run(kSlice, {x, known({-2, 3, -1}), known({30, kFar, -kFar}), known({1, 0, -1}), known({1, 1, -2})});
    expect_moved(x, y, {1, 2, 40, 4},
                 [&](const Dims& i) { return flat_index({3 + i[0], 28 + i[1], i[2], 6 - 2 * i[3]}, x.dims()); });
  }
  const Tensor x = random_reals({0, 5}, 1);
  EXPECT_EQ(run(kSlice, {x, known({0, 1}), known({9, 3})}).dims(), (Dims{0, 2}));
  EXPECT_EQ(run(kSlice, {x, known({-1}), known({-kFar}), known({0}), known({-1})}).dims(), (Dims{0, 5}));
}

TEST(Slice, SymbolicDimensions) {
  const TensorType x = reals_type({kBatch, 9}), two = reals_type({Dim(6, "batch"), 9});
  const auto slice = [](const TensorType& type, Dim start, Dim end, int64_t step) {
    return shape_of(kSlice, {type, known_shape({start}), known_shape({end}), known({0}), known({step})});
  };
  EXPECT_EQ(slice(x, 0, kFar, 1), "[batch,9]");
  EXPECT_EQ(slice(x, 0, INT32_MAX, 1), "[batch,9]");
  EXPECT_EQ(slice(x, 0, 1'000'000'000, 1), "[batch,9]");
  EXPECT_EQ(slice(x, 0, int64_t{1} << 27, 1), "[batch,9]");
  EXPECT_EQ(slice(two, 0, INT32_MAX, 1), "[6*batch,9]");
  EXPECT_EQ(slice(x, -kFar, kBatch, 1), "[batch,9]");
  EXPECT_EQ(slice(x, 0, Dim(2, "batch"), 1), "[batch,9]");
  EXPECT_EQ(slice(x, 0, 0, 1), "[0,9]");
  EXPECT_EQ(slice(x, kBatch, kFar, 1), "[0,9]");
  EXPECT_EQ(slice(x, -1, -kFar, -1), "[batch,9]");
  EXPECT_EQ(slice(two, kBatch, Dim(3, "batch"), 1), "[2*batch,9]");
  EXPECT_EQ(slice(two, Dim(2, "batch"), kFar, 1), "[4*batch,9]");
  const auto refused = [](const std::string& what) {
    return "unsupported; a slice of the symbolic dimension " + what +
           "\n  export the model with that dimension constant";
  };
  EXPECT_EQ(slice(x, 1, kFar, 1), refused("batch from 1 to 9223372036854775807 with step 1"));
  EXPECT_EQ(slice(x, 0, -1, 1), refused("batch from 0 to -1 with step 1"));
  EXPECT_EQ(slice(x, 0, 10, 1), refused("batch from 0 to 10 with step 1"));
  EXPECT_EQ(slice(x, 0, (int64_t{1} << 27) - 1, 1), refused("batch from 0 to 134217727 with step 1"));
  EXPECT_EQ(slice(x, 0, kFar, 2), refused("batch from 0 to 9223372036854775807 with step 2"));
  EXPECT_EQ(slice(x, 0, Dim(1, "length"), 1), refused("batch from 0 to length with step 1"));
  EXPECT_EQ(shape_of(kSlice, {x, known({0}), known_shape({kBatch}), known({1})}),
            "unsupported; a bound of the slice of axis 1 is the symbolic dimension batch\n"
            "  give open sizes with --dim or --shape, and parameters with --value");
}

TEST(Slice, Refusals) {
  const TensorType x = reals_type({4, 5});
  const std::string again = "\n  export the model again";
  EXPECT_EQ(shape_of(kSlice, {x, known({0}), known({1, 2})}),
            "bad input; 1 starts, 2 ends, 1 axes, 1 steps, expected equally many" + again);
  EXPECT_EQ(shape_of(kSlice, {x, known({0, 0, 0}), known({1, 1, 1})}),
            "bad input; 3 axes are sliced, the operand has rank 2" + again);
  EXPECT_EQ(shape_of(kSlice, {x, known({0, 0}), known({1, 1}), known({1, -1})}),
            "bad input; axis -1 is given twice" + again);
  EXPECT_EQ(shape_of(kSlice, {x, known({0}), known({1}), known({1}), known({0})}),
            "bad input; the step of axis 1 is 0" + again);
  EXPECT_EQ(shape_of(kSlice, {x, known({0}), known({1}), known({2})}),
            "bad input; axis 2 is outside a tensor of rank 2\n  correct the attribute");
  EXPECT_EQ(shape_of(kSlice, {x, Operand(TensorType{DType::s64, {1}, {}}), known({1})}),
            "unsupported; starts (operand 1) is computed at run time\n"
            "  give open sizes with --dim or --shape, and parameters with --value");
}

TEST(Slice, FoldsVectors) {
  const Operand shape = known_shape({kBatch, 3, 224, 225});
  EXPECT_EQ(contents_text(fold_op(kSlice, {shape, known({2}), known({kFar})})), "[224,225]");
  EXPECT_EQ(contents_text(fold_op(kSlice, {shape, known({0}), known({1}), known({0})})), "[batch]");
  EXPECT_EQ(contents_text(fold_op(kSlice, {shape, known({-1}), known({-kFar}), known({0}), known({-2})})), "[225,3]");
  EXPECT_EQ(contents_text(fold_op(kSlice, {shape, known({3}), known({1})})), "[]");
  EXPECT_EQ(contents_text(fold_op(kSlice, {integers({1, 2}), known({0}), known({1})})), "unknown");
}

TEST(Split, PartsFollowEachOther) {
  for (DType type : kMovedTypes) {
    const Tensor x = random_codes(type, {30, 70, 9}, 4);
    for (size_t axis = 0; axis < 3; ++axis) {
      const int64_t size = x.dims()[axis];
      const std::vector<int64_t> sizes = {2, 0, size - 3, 1};
      const auto parts = run_op(kSplit, {x, known(sizes)}, {{"axis", static_cast<int64_t>(axis) - 3}});
      ASSERT_TRUE(parts);
      ASSERT_EQ(parts->size(), 4u);
      int64_t begin = 0;
      for (size_t p = 0; p < 4; ++p) {
        Dims dims = x.dims();
        dims[axis] = sizes[p];
        expect_moved(x, (*parts)[p], dims, [&](Dims i) {
          i[axis] += begin;
          return flat_index(i, x.dims());
        });
        begin += sizes[p];
      }
    }
  }
}

TEST(Split, EqualPartsWithTheRestInTheLast) {
  const auto shapes = [](Dim dim, int64_t parts) {
    const auto types = infer_op(kSplit, {reals_type({dim})}, {{"num_outputs", parts}});
    if (!types) return message_of(types);
    std::string text;
    for (const TensorType& t : *types) text += to_text(t.shape);
    return text;
  };
  EXPECT_EQ(shapes(6, 3), "[2][2][2]");
  EXPECT_EQ(shapes(7, 3), "[3][3][1]");
  EXPECT_EQ(shapes(4, 3), "[2][2][0]");
  EXPECT_EQ(shapes(Dim(6, "batch"), 3), "[2*batch][2*batch][2*batch]");
  EXPECT_EQ(shapes(5, 4), "bad input; a dimension of 5 cannot be split into 4 parts\n  correct the model's shapes");
  EXPECT_EQ(shapes(kBatch, 2),
            "unsupported; the symbolic dimension batch is split into 2 parts\n  export the model with that dimension "
            "constant");
  EXPECT_EQ(shapes(5, 0), "bad input; a split into 0 parts, expected at least 1\n  give split or num_outputs");
  EXPECT_EQ(shapes(5, INT64_MAX),
            "resource; a split into 9223372036854775807 parts exceeds the limit of 65536\n  split into fewer parts");
}

TEST(Split, Refusals) {
  const TensorType x = reals_type({kBatch, 6});
  const Attributes axis = {{"axis", int64_t{1}}};
  EXPECT_EQ(shape_of(kSplit, {x, known({2, 3})}, axis),
            "bad input; the split [2,3] does not add up to 6\n  correct the model's shapes");
  EXPECT_EQ(shape_of(kSplit, {x, known({7, -1})}, axis),
            "bad input; the split [7,-1] has the negative size -1\n  correct the model's shapes");
  EXPECT_EQ(shape_of(kSplit, {x, known({6})}, {{"axis", int64_t{1}}, {"num_outputs", int64_t{1}}}),
            "bad input; both split and num_outputs are given\n  export the model again");
  EXPECT_EQ(message_of(infer_op(kSplit, {x, known({3, 3})}, axis, {reals_type({kBatch, 6})})),
            "bad input; 1 results of a split into 2 parts\n  export the model again");
  EXPECT_EQ(shape_of(kSplit, {x, known_shape({kBatch})}), "[batch,6]");
}

TEST(Split, FoldsTheFirstPart) {
  EXPECT_EQ(contents_text(fold_op(kSplit, {known_shape({kBatch, 3, 4}), known({2, 1})})), "[batch,3]");
  EXPECT_EQ(contents_text(fold_op(kSplit, {integers({1, 2}), known({1, 1})})), "unknown");
}

}  // namespace
}  // namespace cupel
