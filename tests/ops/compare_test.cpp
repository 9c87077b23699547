// Equal, Greater, Less, GreaterOrEqual, LessOrEqual, Not, And, Or, Xor, Where, IsNaN, IsInf.
#include <limits>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kAnd, ops::kEqual, ops::kGreater, ops::kGreaterOrEqual, ops::kIsInf, ops::kIsNaN, ops::kLess,
    ops::kLessOrEqual, ops::kNot, ops::kOr, ops::kWhere, ops::kXor;
using Truth = std::vector<bool>;

Tensor truth(Dims dims, std::initializer_list<bool> values) { return Tensor::of<bool>(std::move(dims), values); }

TEST(CompareOps, ComparesNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor a = Tensor::of<float>({5}, {1, 2, 3, nan, -0.0f}), b = Tensor::of<float>({5}, {2, 2, 1, nan, 0.0f});
  EXPECT_EQ(elements<bool>(run(kEqual, {a, b})), (Truth{false, true, false, false, true}));
  EXPECT_EQ(elements<bool>(run(kGreater, {a, b})), (Truth{false, false, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kLess, {a, b})), (Truth{true, false, false, false, false}));
  EXPECT_EQ(elements<bool>(run(kGreaterOrEqual, {a, b})), (Truth{false, true, true, false, true}));
  EXPECT_EQ(elements<bool>(run(kLessOrEqual, {a, b})), (Truth{true, true, false, false, true}));
  const Tensor p = Tensor::of<int64_t>({2, 1}, {-5, int64_t{1} << 40}), q = Tensor::of<int64_t>({2}, {-5, 0});
  const Tensor less = run(kLess, {p, q});
  EXPECT_EQ(less.dims(), (Dims{2, 2}));
  EXPECT_EQ(elements<bool>(less), (Truth{false, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kGreater, {q, p})), (Truth{false, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kEqual, {Tensor::of<uint8_t>({2}, {200, 3}), Tensor::scalar<uint8_t>(200)})),
            (Truth{true, false}));
  EXPECT_EQ(elements<bool>(run(kGreater, {Tensor::of<int8_t>({2}, {-1, 3}), Tensor::scalar<int8_t>(0)})),
            (Truth{false, true}));
  EXPECT_EQ(elements<bool>(run(kLess, {Tensor::of<int32_t>({2}, {-1, 3}), Tensor::scalar<int32_t>(0)})),
            (Truth{true, false}));
}

TEST(CompareOps, CombinesTruth) {
  const Tensor a = truth({2, 2}, {false, false, true, true}), b = truth({2}, {false, true});
  EXPECT_EQ(elements<bool>(run(kAnd, {a, b})), (Truth{false, false, false, true}));
  EXPECT_EQ(elements<bool>(run(kOr, {b, a})), (Truth{false, true, true, true}));
  EXPECT_EQ(elements<bool>(run(kEqual, {a, b})), (Truth{true, false, false, true}));
  EXPECT_EQ(elements<bool>(run(kNot, {a})), (Truth{true, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kXor, {a, b})), (Truth{false, true, true, false}));
}

TEST(CompareOps, ClassifiesNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::of<float>({5}, {nan, infinity, -infinity, 0, -3e38f});
  EXPECT_EQ(elements<bool>(run(kIsNaN, {x})), (Truth{true, false, false, false, false}));
  EXPECT_EQ(elements<bool>(run(kIsInf, {x})), (Truth{false, true, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kIsInf, {x}, {{"detect_negative", int64_t{0}}})),
            (Truth{false, true, false, false, false}));
  EXPECT_EQ(elements<bool>(run(kIsInf, {x}, {{"detect_positive", int64_t{0}}})),
            (Truth{false, false, true, false, false}));
  EXPECT_EQ(elements<bool>(run(kIsInf, {x}, {{"detect_positive", int64_t{0}}, {"detect_negative", int64_t{0}}})),
            Truth(5, false));
  EXPECT_EQ(message_of(run_op(kIsNaN, {Tensor(DType::s32, {2})})),
            "bad input; operand 0 is s32, ONNX allows f32, f64, f16, bf16, f8e4m3, f8e5m2\n  convert the operand");
}

TEST(CompareOps, AnyByteButZeroIsTrue) {
  Tensor a(DType::boolean, {3});
  a.mutable_bytes()[1] = std::byte{2};
  a.mutable_bytes()[2] = std::byte{255};
  const Tensor b = truth({3}, {true, true, true});
  EXPECT_EQ(run(kAnd, {a, b}), truth({3}, {false, true, true}));
  EXPECT_EQ(run(kEqual, {a, b}), truth({3}, {false, true, true}));
  EXPECT_EQ(run(kOr, {a, truth({}, {false})}), truth({3}, {false, true, true}));
  EXPECT_EQ(run(kXor, {a, b}), truth({3}, {true, false, false}));
  EXPECT_EQ(run(kNot, {a}), truth({3}, {true, false, false}));
  EXPECT_EQ(elements<float>(run(kWhere, {a, Tensor::scalar(1.0f), Tensor::scalar(2.0f)})),
            (std::vector<float>{2, 1, 1}));
}

TEST(CompareOps, WhereChoosesElementsOfAnySize) {
  const Tensor condition = truth({2, 1}, {true, false});
  const Tensor y = run(kWhere, {condition, Tensor::of<float>({3}, {1, 2, 3}), Tensor::scalar(-1.0f)});
  EXPECT_EQ(y.dims(), (Dims{2, 3}));
  EXPECT_EQ(elements<float>(y), (std::vector<float>{1, 2, 3, -1, -1, -1}));
  EXPECT_EQ(elements<int64_t>(
                run(kWhere, {condition, Tensor::of<int64_t>({2, 1}, {7, 8}), Tensor::of<int64_t>({1, 2}, {5, 6})})),
            (std::vector<int64_t>{7, 7, 5, 6}));
  EXPECT_EQ(elements<uint8_t>(run(kWhere, {condition, Tensor::scalar<uint8_t>(9), Tensor::scalar<uint8_t>(4)})),
            (std::vector<uint8_t>{9, 4}));
  EXPECT_EQ(elements<int16_t>(run(kWhere, {condition, Tensor::scalar<int16_t>(9), Tensor::scalar<int16_t>(-4)})),
            (std::vector<int16_t>{9, -4}));
  Tensor many(DType::boolean, {300, 7, 31});
  for (int64_t i = 0; i < many.size(); i += 3) many.mutable_bytes()[static_cast<size_t>(i)] = std::byte{1};
  const Tensor a = random_reals({7, 31}, 1), b = random_reals({300, 1, 1}, 2);
  const auto chosen = elements<float>(run(kWhere, {many, a, b}));
  for (size_t i = 0; i < chosen.size(); ++i)
    ASSERT_EQ(chosen[i], i % 3 == 0 ? a.data<float>()[i % 217] : b.data<float>()[i / 217]);
}

TEST(CompareOps, TypesAreChecked) {
  const TensorType reals{DType::f32, {2}, {}}, bools{DType::boolean, {2}, {}},
      codes = codes_type(DType::u8, {2}, 0.5f, 0);
  EXPECT_EQ((*infer_op(kEqual, {reals, reals}))[0], (TensorType{DType::boolean, {2}, {}}));
  EXPECT_EQ(message_of(infer_op(kGreater, {bools, bools})),
            "bad input; operand 0 is bool, ONNX allows f32, f64, f16, bf16, u8, s8, u16, s16, u32, s32, u64, s64\n  "
            "convert the operand");
  EXPECT_EQ(message_of(infer_op(kEqual, {TensorType{DType::f64, {2}, {}}, reals})),
            "bad input; operand 1 is f32, operand 0 is f64\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kAnd, {bools, reals})),
            "bad input; operand 1 is f32, ONNX allows bool\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kEqual, {codes, codes})),
            "unsupported; operand 0 holds u8[2] quant(scale=0.5, zero_point=0), which this op does not take as codes\n "
            " keep this op in float");
  EXPECT_EQ(message_of(infer_op(kWhere, {reals, reals, reals})),
            "bad input; operand 0 is f32, ONNX allows bool\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kWhere, {bools, reals, bools})),
            "bad input; operand 2 is bool, operand 1 is f32\n  convert the operand");
  const TensorType nibbles{DType::u4, {2}, {}};
  EXPECT_EQ(message_of(infer_op(kWhere, {bools, nibbles, nibbles})),
            "unsupported; operand 1 is u4, expected a type of at least 8 bits\n  convert the operands");
}

TEST(CompareOps, ShapeArithmeticIsFolded) {
  const Dim batch(1, "batch");
  const auto known = [](std::vector<Dim> contents, DType type = DType::s64) {
    Operand operand(TensorType{type, {static_cast<int64_t>(contents.size())}, {}});
    operand.contents = std::move(contents);
    return operand;
  };
  using Known = std::vector<Dim>;
  const Operand shape = known({batch, 3, -1});
  EXPECT_EQ(*fold_op(kEqual, {shape, known({-1})}), (Known{0, 0, 1}));
  EXPECT_EQ(*fold_op(kEqual, {shape, shape}), (Known{1, 1, 1}));
  EXPECT_EQ(*fold_op(kEqual, {shape, known({4})}), std::nullopt);  // the batch may be 4
  EXPECT_EQ(*fold_op(kEqual, {shape, known({0})}), std::nullopt);  // or 0
  EXPECT_EQ(*fold_op(kGreater, {shape, known({-2})}), (Known{1, 1, 1}));
  EXPECT_EQ(*fold_op(kLess, {known({2, 3}), known({3, 3})}), (Known{1, 0}));
  const Operand mask = known({1, 0, 1}, DType::boolean);
  EXPECT_EQ(*fold_op(kWhere, {mask, shape, known({7})}), (Known{batch, 7, -1}));
  EXPECT_EQ(*fold_op(kNot, {mask}), (Known{0, 1, 0}));
  EXPECT_EQ(*fold_op(kAnd, {mask, known({1, 1, 0}, DType::boolean)}), (Known{1, 0, 0}));
  EXPECT_EQ(*fold_op(kOr, {mask, known({0, 0, 0}, DType::boolean)}), (Known{1, 0, 1}));
  EXPECT_EQ(*fold_op(kWhere, {mask, shape, Tensor::of<int64_t>({1}, {7})}), std::nullopt);
}

}  // namespace
}  // namespace cupel
