// Reshape, Flatten, Squeeze, Unsqueeze: shapes with a symbolic batch, elements in place, whole messages.
#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kFlatten, ops::kReshape, ops::kSqueeze, ops::kUnsqueeze;

const Dim kBatch(1, "batch");
const std::string kCorrect = "\n  correct the model's shapes";

TEST(Reshape, ShapesFollowOnnx) {
  const TensorType x = reals_type({kBatch, 3, 4, 5});
  EXPECT_EQ(shape_of(kReshape, {x, known({0, -1, 10})}), "[batch,6,10]");
  EXPECT_EQ(shape_of(kReshape, {x, known({-1, 60})}), "[batch,60]");
  EXPECT_EQ(shape_of(kReshape, {x, known({-1, 5})}), "[12*batch,5]");
  EXPECT_EQ(shape_of(kReshape, {x, known({2, -1, 6})}), "[2,5*batch,6]");
  EXPECT_EQ(shape_of(kReshape, {x, known_shape({kBatch, -1})}), "[batch,60]");
  EXPECT_EQ(shape_of(kReshape, {x, known_shape({Dim(12, "batch"), -1})}), "[12*batch,5]");
  EXPECT_EQ(shape_of(kReshape, {x, known_shape({3, kBatch, 20})}), "[3,batch,20]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({Dim(49, "batch"), 8}), known({-1, 49, 8})}), "[batch,49,8]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({6}), known({})}),
            "bad input; 6 elements of shape [6] do not fit shape []" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {reals_type({1, 1}), known({})}), "[]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({}), known({1, -1})}), "[1,1]");
}

TEST(Reshape, EmptyTensors) {
  EXPECT_EQ(shape_of(kReshape, {reals_type({0, 3}), known({5, 0})}),
            "bad input; 0 elements of shape [0,3] do not fit shape [5,0]" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {reals_type({0, 3}), known({5, 0})}, {{"allowzero", int64_t{1}}}), "[5,0]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({0, 3}), known({0, 7})}), "[0,7]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({0, 3}), known({-1, 7})}), "[0,7]");
  EXPECT_EQ(shape_of(kReshape, {reals_type({0, 3}), known({0, -1})}),
            "bad input; the wanted shape [0,-1] has both 0 and -1" + kCorrect);
  EXPECT_EQ(run(kReshape, {Tensor(DType::f32, {0, 3}), known({0, 7})}).dims(), (Dims{0, 7}));
}

TEST(Reshape, Refusals) {
  const TensorType x = reals_type({kBatch, 6}), fixed = reals_type({4, 6});
  EXPECT_EQ(shape_of(kReshape, {fixed, known({-1, -1})}),
            "bad input; the wanted shape [-1,-1] has more than one -1" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {fixed, known({-2, 12})}),
            "bad input; the wanted shape [-2,12] has the negative dimension -2" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {fixed, known({4, 6, 0})}),
            "bad input; the wanted shape [4,6,0] copies dimension 2 of an operand of shape [4,6]" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {fixed, known({5, -1})}),
            "bad input; 24 elements of shape [4,6] do not fit shape [5,-1]" + kCorrect);
  EXPECT_EQ(shape_of(kReshape, {x, known({1, 6})}),
            "bad input; 6*batch elements of shape [batch,6] do not fit shape [1,6]\n"
            "  export the model with a symbolic batch in all its shapes, or with a constant one");
  EXPECT_EQ(shape_of(kReshape, {fixed, Operand(TensorType{DType::s64, {2}, {}})}),
            "unsupported; the shape (operand 1) is computed at run time\n"
            "  give open sizes with --dim or --shape, and parameters with --value");
  EXPECT_EQ(shape_of(kReshape, {fixed, Operand(reals_type({2}))}),
            "bad input; operand 1 is f32, ONNX allows s32, s64\n  convert the operand");
  EXPECT_EQ(shape_of(kReshape, {fixed, constant(Tensor::of<int64_t>({1, 2}, {4, 6}))}),
            "bad input; the shape (operand 1) has shape [1,2], expected one dimension\n  export the model again");
  EXPECT_EQ(shape_of(kReshape, {fixed, known({INT64_MAX, 3, -1})}),
            "resource; shape arithmetic: 9223372036854775807 * 3 exceeds 64 bits\n  use a model with smaller tensors");
  TensorType per_axis{DType::s8, {2, 3}, QuantParams{{0.5f, 0.25f}, {0, 0}, 0}};
  EXPECT_EQ(shape_of(kReshape, {per_axis, known({6})}),
            "unsupported; codes with per-axis parameters cannot be moved\n  keep this op in float");
}

TEST(Reshape, KeepsElementsAndParameters) {
  for (DType type : kMovedTypes) {
    const Tensor x = random_codes(type, {2, 3, 4}, 1), y = run(kReshape, {x, known({4, -1})});
    expect_moved(x, y, {4, 6}, [](const Dims& i) { return i[0] * 6 + i[1]; });
  }
  const Tensor nibbles = random_codes(DType::u4, {2, 3}, 1);
  EXPECT_EQ(run(kReshape, {nibbles, known({3, 2})}), nibbles.reshaped({3, 2}));
  const auto types = infer_op(kReshape, {codes(Tensor(DType::u8, {2, 3}), 0.5f, 7), known({6})});
  ASSERT_TRUE(types);
  EXPECT_EQ((*types)[0], codes_type(DType::u8, {6}, 0.5f, 7));
}

TEST(Flatten, Shapes) {
  const TensorType x = reals_type({kBatch, 3, 4, 5});
  EXPECT_EQ(shape_of(kFlatten, {x}), "[batch,60]");
  EXPECT_EQ(shape_of(kFlatten, {x}, {{"axis", int64_t{0}}}), "[1,60*batch]");
  EXPECT_EQ(shape_of(kFlatten, {x}, {{"axis", int64_t{-1}}}), "[12*batch,5]");
  EXPECT_EQ(shape_of(kFlatten, {x}, {{"axis", int64_t{4}}}), "[60*batch,1]");
  EXPECT_EQ(shape_of(kFlatten, {reals_type({})}, {{"axis", int64_t{0}}}), "[1,1]");
  EXPECT_EQ(shape_of(kFlatten, {x}, {{"axis", int64_t{5}}}),
            "bad input; axis 5 is outside a tensor of rank 4\n  correct the attribute");
  EXPECT_EQ(shape_of(kFlatten, {x}, {{"axis", int64_t{-5}}}),
            "bad input; axis -5 is outside a tensor of rank 4\n  correct the attribute");
  const Tensor data = random_reals({2, 3, 4}, 3);
  EXPECT_EQ(run(kFlatten, {data}, {{"axis", int64_t{2}}}), data.reshaped({6, 4}));
}

TEST(Squeeze, Shapes) {
  const TensorType x = reals_type({kBatch, 1, 5, 1});
  EXPECT_EQ(shape_of(kSqueeze, {x, known({1, -1})}), "[batch,5]");
  EXPECT_EQ(shape_of(kSqueeze, {x, known({3})}), "[batch,1,5]");
  EXPECT_EQ(shape_of(kSqueeze, {x, known({})}), "[batch,1,5,1]");
  EXPECT_EQ(shape_of(kSqueeze, {reals_type({1, 3, 1})}), "[3]");
  EXPECT_EQ(shape_of(kSqueeze, {reals_type({Dim(2, "batch"), 1})}), "[2*batch]");
  EXPECT_EQ(shape_of(kSqueeze, {x}),
            "unsupported; whether the symbolic dimension batch is removed depends on its value\n"
            "  export the model with the axes to squeeze");
  EXPECT_EQ(shape_of(kSqueeze, {x, known({0})}),
            "unsupported; the symbolic dimension batch of shape [batch,1,5,1] is squeezed\n"
            "  export the model with that dimension constant");
  EXPECT_EQ(shape_of(kSqueeze, {x, known({2})}),
            "bad input; dimension 2 of shape [batch,1,5,1] is 5, expected 1" + kCorrect);
  EXPECT_EQ(shape_of(kSqueeze, {x, known({1, -3})}), "bad input; axis -3 is given twice\n  export the model again");
  EXPECT_EQ(shape_of(kSqueeze, {x, known({4})}),
            "bad input; axis 4 is outside a tensor of rank 4\n  correct the attribute");
  const Tensor data = random_reals({2, 1, 4}, 3);
  EXPECT_EQ(run(kSqueeze, {data, known({1})}), data.reshaped({2, 4}));
}

TEST(Unsqueeze, Shapes) {
  const TensorType x = reals_type({kBatch, 5});
  EXPECT_EQ(shape_of(kUnsqueeze, {x, known({1})}), "[batch,1,5]");
  EXPECT_EQ(shape_of(kUnsqueeze, {x, known({-1, 0})}), "[1,batch,5,1]");
  EXPECT_EQ(shape_of(kUnsqueeze, {reals_type({}), constant(Tensor::scalar<int64_t>(0))}), "[1]");
  EXPECT_EQ(shape_of(kUnsqueeze, {x, known({0, -4})}), "bad input; axis -4 is given twice\n  export the model again");
  EXPECT_EQ(shape_of(kUnsqueeze, {x, known({3})}),
            "bad input; axis 3 is outside a tensor of rank 3\n  correct the attribute");
  EXPECT_EQ(shape_of(kUnsqueeze, {x, known({0, 1, 2, 3, 4, 5, 6})}),
            "unsupported; rank 9 exceeds 8\n  reshape the tensor to fewer dimensions");
  const Tensor data = random_reals({2, 4}, 3);
  EXPECT_EQ(run(kUnsqueeze, {data, known({1})}), data.reshaped({2, 1, 4}));
}

}  // namespace
}  // namespace cupel
