// Constant, ConstantOfShape, Range, Identity, Dropout.
#include <cmath>

#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kConstant, ops::kConstantOfShape, ops::kDropout, ops::kIdentity, ops::kRange;

const Dim kBatch(1, "batch");

TEST(Constant, EveryAttribute) {
  const Tensor value = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(run(kConstant, {}, {{"value", value}}), value);
  EXPECT_EQ(run(kConstant, {}, {{"value_int", int64_t{-7}}}), Tensor::scalar<int64_t>(-7));
  EXPECT_EQ(run(kConstant, {}, {{"value_ints", std::vector<int64_t>{3, 5}}}), integers({3, 5}));
  EXPECT_EQ(run(kConstant, {}, {{"value_ints", std::vector<int64_t>{}}}), integers({}));
  EXPECT_EQ(run(kConstant, {}, {{"value_float", 2.5f}}), Tensor::scalar<float>(2.5f));
  EXPECT_EQ(run(kConstant, {}, {{"value_floats", std::vector<float>{2.5f, -1}}}), Tensor::of<float>({2}, {2.5f, -1}));
  EXPECT_EQ(message_of(infer_op(kConstant, {})), "bad input; 0 values are given, expected 1\n  export the model again");
  EXPECT_EQ(message_of(infer_op(kConstant, {}, {{"value_int", int64_t{1}}, {"value_float", 1.0f}})),
            "bad input; 2 values are given, expected 1\n  export the model again");
  EXPECT_EQ(contents_text(fold_op(kConstant, {}, {{"value_ints", std::vector<int64_t>{3, 5}}})), "[3,5]");
  EXPECT_EQ(contents_text(fold_op(kConstant, {}, {{"value", value}})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kConstant, {}, {{"value", Tensor(DType::s64, {65})}})), "unknown");
}

TEST(ConstantOfShape, FillsTheShape) {
  EXPECT_EQ(run(kConstantOfShape, {known({2, 3})}), Tensor(DType::f32, {2, 3}));
  EXPECT_EQ(run(kConstantOfShape, {known({3})}, {{"value", Tensor::of<int64_t>({1}, {-1})}}), integers({-1, -1, -1}));
  EXPECT_EQ(run(kConstantOfShape, {known({2})}, {{"value", Tensor::of<bool>({1}, {true})}}),
            Tensor::of<bool>({2}, {true, true}));
  EXPECT_EQ(run(kConstantOfShape, {known({})}, {{"value", Tensor::scalar<double>(4)}}), Tensor::scalar<double>(4));
  EXPECT_EQ(run(kConstantOfShape, {known({0, 4})}).dims(), (Dims{0, 4}));
  EXPECT_EQ(shape_of(kConstantOfShape, {known_shape({kBatch, 3})}), "[batch,3]");
  EXPECT_EQ(shape_of(kConstantOfShape, {known({2, -3})}),
            "bad input; the wanted shape [2,-3] holds the negative number -3\n  correct the model's shapes");
  EXPECT_EQ(shape_of(kConstantOfShape, {known({2})}, {{"value", integers({1, 2})}}),
            "bad input; the value has 2 elements, expected 1\n  correct the attribute");
  EXPECT_EQ(contents_text(fold_op(kConstantOfShape, {known({3})}, {{"value", integers({-1})}})), "[-1,-1,-1]");
  EXPECT_EQ(contents_text(fold_op(kConstantOfShape, {known({3})})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kConstantOfShape, {known({65})}, {{"value", integers({-1})}})), "unknown");
  EXPECT_EQ(contents_text(fold_op(kConstantOfShape, {known_shape({kBatch})}, {{"value", integers({-1})}})), "unknown");
}

template <class T>
std::vector<Operand> bounds(T start, T limit, T delta) {
  return {constant(Tensor::scalar<T>(start)), constant(Tensor::scalar<T>(limit)), constant(Tensor::scalar<T>(delta))};
}

TEST(Range, EveryType) {
  EXPECT_EQ(run(kRange, bounds<int64_t>(10, -3, -4)), integers({10, 6, 2, -2}));
  EXPECT_EQ(run(kRange, bounds<int32_t>(0, 6, 3)), Tensor::of<int32_t>({2}, {0, 3}));
  EXPECT_EQ(run(kRange, bounds<int64_t>(3, 3, 1)), integers({}));
  EXPECT_EQ(run(kRange, bounds<int64_t>(3, 9, -1)), integers({}));
  EXPECT_EQ(run(kRange, bounds<int16_t>(-3, 2, 2)), Tensor::of<int16_t>({3}, {-3, -1, 1}));
  EXPECT_EQ(run(kRange, bounds<double>(0, 1, 0.25)), Tensor::of<double>({4}, {0, 0.25, 0.5, 0.75}));
  const Tensor y = run(kRange, bounds<float>(0.5f, 2.0f, 0.3f));
  EXPECT_EQ(y, Tensor::of<float>({5}, {0.5f, 0.5f + 1 * 0.3f, 0.5f + 2 * 0.3f, 0.5f + 3 * 0.3f, 0.5f + 4 * 0.3f}));
  EXPECT_EQ(run(kRange, bounds<int64_t>(INT64_MIN, INT64_MAX, int64_t{1} << 62)),
            integers({INT64_MIN, INT64_MIN / 2, 0, INT64_MAX / 2 + 1}));
  const Tensor narrow = run(kRange, bounds<int16_t>(-32768, 32767, 1));
  ASSERT_EQ(narrow.size(), 65535);
  EXPECT_EQ(narrow.int_at(65534), 32766);
}

TEST(Range, SymbolicLimitAndRefusals) {
  const auto scalar = [](Dim d) {
    Operand operand(TensorType{DType::s64, {}, {}});
    operand.contents = {d};
    return operand;
  };
  EXPECT_EQ(shape_of(kRange, {scalar(0), scalar(kBatch), scalar(1)}), "[batch]");
  EXPECT_EQ(shape_of(kRange, {scalar(0), scalar(7), scalar(2)}), "[4]");
  EXPECT_EQ(shape_of(kRange, {scalar(1), scalar(kBatch), scalar(1)}),
            "unsupported; a range from 1 to batch by 1\n"
            "  give open sizes with --dim or --shape, and parameters with --value");
  EXPECT_EQ(shape_of(kRange, {scalar(0), TensorType{DType::s64, {}, {}}, scalar(1)}),
            "unsupported; a bound of the range (operand 1) is computed at run time\n"
            "  give open sizes with --dim or --shape, and parameters with --value");
  EXPECT_EQ(shape_of(kRange, bounds<int64_t>(0, 5, 0)), "bad input; the range has a delta of 0\n  correct the model");
  EXPECT_EQ(shape_of(kRange, bounds<float>(0, 5, -0.0f)), "bad input; the range has a delta of 0\n  correct the model");
  EXPECT_EQ(shape_of(kRange, bounds<float>(0, INFINITY, 1)),
            "bad input; the range from 0 to inf by 1 is not finite\n  correct the model");
  EXPECT_EQ(shape_of(kRange, bounds<int64_t>(INT64_MIN, INT64_MAX, 1)),
            "resource; a range of 1.8446744073709552e+19 elements exceeds the limit of 17179869184\n"
            "  use a model with smaller tensors");
  EXPECT_EQ(shape_of(kRange, bounds<uint8_t>(0, 5, 1)),
            "bad input; operand 0 is u8, ONNX allows f32, f64, f16, bf16, s16, s32, s64\n  convert the operand");
  EXPECT_EQ(contents_text(fold_op(kRange, bounds<int64_t>(10, -3, -4))), "[10,6,2,-2]");
  EXPECT_EQ(contents_text(fold_op(kRange, bounds<int64_t>(0, 65, 1))), "unknown");
  EXPECT_EQ(contents_text(fold_op(kRange, {scalar(0), scalar(kBatch), scalar(1)})), "unknown");
}

TEST(Identity, KeepsEverything) {
  const Tensor x = random_codes(DType::s4, {3, 5}, 1);
  EXPECT_EQ(run(kIdentity, {x}), x);
  const TensorType per_axis{DType::s8, {2, 3}, QuantParams{{0.5f, 0.25f}, {0, 0}, 0}};
  const auto types = infer_op(kIdentity, {per_axis});
  ASSERT_TRUE(types);
  EXPECT_EQ((*types)[0], per_axis);
  EXPECT_EQ(contents_text(fold_op(kIdentity, {known_shape({kBatch, 3})})), "[batch,3]");
}

TEST(Dropout, IsTheIdentityAtInference) {
  const Tensor x = random_reals({2, 3}, 1);
  const Operand ratio = constant(Tensor::scalar<float>(0.5f));
  const auto outputs = run_op(kDropout, {x, ratio, constant(Tensor::scalar<bool>(false))});
  ASSERT_TRUE(outputs);
  EXPECT_EQ((*outputs)[0], x);
  EXPECT_EQ((*outputs)[1], Tensor::of<bool>({2, 3}, {true, true, true, true, true, true}));
  EXPECT_EQ(shape_of(kDropout, {x, ratio, constant(Tensor::scalar<bool>(true))}),
            "unsupported; training_mode is true; Cupel computes inference\n  export the model for inference");
  EXPECT_EQ(shape_of(kDropout, {x, ratio, TensorType{DType::boolean, {}, {}}}),
            "unsupported; training_mode (operand 2) is computed at run time\n  export the model for inference");
}

}  // namespace
}  // namespace cupel
