// Gather: every element against its place, bounds at run time, folding of shape arithmetic.
#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kGather;

const Dim kBatch(1, "batch");

TEST(Gather, EveryAxisAndWidth) {
  const Tensor indices = Tensor::of<int64_t>({2, 3}, {4, -1, 0, -5, 2, 2});
  const int64_t rows[] = {4, 4, 0, 0, 2, 2};
  for (DType type : kMovedTypes)
    for (size_t axis = 0; axis < 3; ++axis) {
      Dims dims = {70, 30, 40};
      dims[axis] = 5;
      const Tensor x = random_codes(type, dims, 3);
      Dims wanted(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(axis));
      wanted.insert(wanted.end(), {2, 3});
      wanted.insert(wanted.end(), dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1, dims.end());
      const Tensor y = run(kGather, {x, indices}, {{"axis", static_cast<int64_t>(axis) - 3}});
      expect_moved(x, y, wanted, [&](const Dims& i) {
        Dims own(i.begin(), i.begin() + static_cast<std::ptrdiff_t>(axis));
        own.push_back(rows[i[axis] * 3 + i[axis + 1]]);
        own.insert(own.end(), i.begin() + static_cast<std::ptrdiff_t>(axis) + 2, i.end());
        return flat_index(own, dims);
      });
    }
}

TEST(Gather, ScalarsAndEmptyTensors) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(run(kGather, {x, Tensor::scalar<int32_t>(-1)}), Tensor::of<float>({3}, {4, 5, 6}));
  EXPECT_EQ(run(kGather, {x, Tensor::scalar<int64_t>(1)}, {{"axis", int64_t{1}}}), Tensor::of<float>({2}, {2, 5}));
  EXPECT_EQ(run(kGather, {x, Tensor(DType::s64, {0})}).dims(), (Dims{0, 3}));
  EXPECT_EQ(run(kGather, {Tensor(DType::f32, {4, 0}), integers({3, 1})}).dims(), (Dims{2, 0}));
}

TEST(Gather, BoundsAreCheckedAtRunTime) {
  const Tensor x = random_reals({4, 5}, 1);
  const Attributes axis = {{"axis", int64_t{1}}};
  for (const auto& [index, text] : {std::pair<int64_t, std::string>{5, "5"},
                                    {-6, "-6"},
                                    {INT64_MIN, "-9223372036854775808"},
                                    {INT64_MAX, "9223372036854775807"}})
    EXPECT_EQ(message_of(run_op(kGather, {x, integers({0, 4, index})}, axis)),
              "bad input; index " + text +
                  " (element 2 of the indices) is outside dimension 1 of size 5\n  correct the indices");
  EXPECT_EQ(message_of(run_op(kGather, {Tensor(DType::f32, {0}), integers({0})})),
            "bad input; index 0 (element 0 of the indices) is outside dimension 0 of size 0\n  correct the indices");
}

TEST(Gather, Types) {
  const TensorType x = reals_type({kBatch, 5, 3});
  EXPECT_EQ(shape_of(kGather, {x, TensorType{DType::s64, {kBatch, 7}, {}}}, {{"axis", int64_t{1}}}),
            "[batch,batch,7,3]");
  EXPECT_EQ(shape_of(kGather, {x, known({1})}), "[1,5,3]");
  EXPECT_EQ(shape_of(kGather, {x, known({5})}, {{"axis", int64_t{1}}}),
            "bad input; index 5 (element 0 of the indices) is outside dimension 1 of size 5\n  correct the indices");
  EXPECT_EQ(shape_of(kGather, {x, reals_type({1})}),
            "bad input; operand 1 is f32, ONNX allows s32, s64\n  convert the operand");
  EXPECT_EQ(shape_of(kGather, {x, known({0})}, {{"axis", int64_t{3}}}),
            "bad input; axis 3 is outside a tensor of rank 3\n  correct the attribute");
  EXPECT_EQ(shape_of(kGather, {reals_type({}), known({0})}),
            "bad input; axis 0 is outside a tensor of rank 0\n  correct the attribute");
  const auto types = infer_op(kGather, {codes_type(DType::u8, {4}, 0.5f, 3), known({2})});
  ASSERT_TRUE(types);
  EXPECT_EQ((*types)[0], codes_type(DType::u8, {1}, 0.5f, 3));
}

TEST(Gather, FoldsVectors) {
  const Operand shape = known_shape({kBatch, 3, 224});
  EXPECT_EQ(contents_text(fold_op(kGather, {shape, constant(Tensor::scalar<int64_t>(0))})), "[batch]");
  EXPECT_EQ(contents_text(fold_op(kGather, {shape, known({-1, 0})})), "[224,batch]");
  EXPECT_EQ(contents_text(fold_op(kGather, {shape, integers({0})})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kGather, {integers({1}), known({0})})), "unknown");
}

}  // namespace
}  // namespace cupel
