#include "base/shape.h"

#include <gtest/gtest.h>

#include <limits>

namespace cupel {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(), kGreatest = std::numeric_limits<int64_t>::max();
const Dim kBatch(1, "batch"), kLength(1, "length");

template <class T>
std::string failure(const Result<T>& result) {
  return result ? "no error" : result.error().message();
}

TEST(CheckedArithmetic, NamesTheOperands) {
  EXPECT_EQ(checked_mul(-4, 5), -20);
  EXPECT_EQ(checked_add(kGreatest, kLeast), -1);
  EXPECT_EQ(failure(checked_mul(kGreatest, 2)),
            "shape arithmetic: 9223372036854775807 * 2 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(failure(checked_mul(kLeast, -1)),
            "shape arithmetic: -9223372036854775808 * -1 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(failure(checked_add(kGreatest, 1)),
            "shape arithmetic: 9223372036854775807 + 1 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(checked_mul(kGreatest, 2).error().exit_code(), 6);
}

TEST(Dims, MultiplyAddAndDivide) {
  EXPECT_EQ(dim_mul(Dim(7), kBatch), Dim(7, "batch"));
  EXPECT_EQ(dim_mul(kBatch, Dim(0)), Dim(0));
  EXPECT_EQ(dim_add(kBatch, Dim(2, "batch")), Dim(3, "batch"));
  EXPECT_EQ(dim_add(kBatch, Dim(0)), kBatch);
  EXPECT_EQ(dim_add(kBatch, Dim(-1, "batch")), Dim(0));
  EXPECT_EQ(dim_div_exact(Dim(49, "batch"), Dim(7)), Dim(7, "batch"));
  EXPECT_EQ(dim_div_exact(Dim(6, "batch"), kBatch), Dim(6));
  EXPECT_EQ(dim_div_exact(Dim(6), Dim(-1)), Dim(-6));
  EXPECT_EQ(failure(dim_mul(kBatch, kLength)),
            "shape arithmetic: batch * length multiplies two symbolic dimensions\n  give its size with --dim or "
            "--shape");
  EXPECT_EQ(failure(dim_add(kBatch, Dim(1))),
            "shape arithmetic: batch + 1 adds to a symbolic dimension\n  give its size with --dim or --shape");
  EXPECT_EQ(failure(dim_div_exact(Dim(6), Dim(0))),
            "shape arithmetic: division of 6 by 0\n  correct the model's shapes");
  EXPECT_EQ(failure(dim_div_exact(Dim(7, "batch"), Dim(2))),
            "shape arithmetic: 7*batch is not a multiple of 2\n  correct the model's shapes");
  EXPECT_EQ(failure(dim_div_exact(Dim(6), kBatch)),
            "shape arithmetic: 6 is not a multiple of batch\n  correct the model's shapes");
  EXPECT_EQ(failure(dim_div_exact(Dim(kLeast), Dim(-1))),
            "shape arithmetic: -9223372036854775808 * -1 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(failure(dim_mul(Dim(kGreatest), Dim(3, "batch"))),
            "shape arithmetic: 9223372036854775807 * 3 exceeds 64 bits\n  use a model with smaller tensors");
}

TEST(Shapes, CountTheirElements) {
  EXPECT_EQ(count_elements({}), 1);
  EXPECT_EQ(count_elements({3, 0, 5}), 0);
  EXPECT_EQ(count_elements({int64_t{1} << 34}), int64_t{1} << 34);
  EXPECT_EQ(shape_elements({kBatch, 3, 4}), Dim(12, "batch"));
  EXPECT_EQ(failure(count_elements({2, -1})), "shape [2,-1]: a dimension is negative\n  correct the model's shapes");
  EXPECT_EQ(
      failure(count_elements({(int64_t{1} << 34) + 1})),
      "shape [17179869185]: 17179869185 elements exceed the limit of 17179869184\n  use a model with smaller tensors");
  EXPECT_EQ(failure(count_elements({kGreatest, 2, 0})),
            "shape arithmetic: 9223372036854775807 * 2 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(failure(count_elements(Dims(9, 1))),
            "shape [1,1,1,1,1,1,1,1,1]: rank 9 exceeds 8\n  reshape the tensor to fewer dimensions");
}

TEST(Shapes, BindTheirSymbol) {
  EXPECT_EQ(bind_shape({Dim(7, "batch"), 3}, 4), (Dims{28, 3}));
  EXPECT_EQ(bind_shape({kBatch}, 0), Dims{0});
  EXPECT_EQ(failure(bind_shape({Dim(int64_t{1} << 40, "batch")}, int64_t{1} << 26)),
            "shape arithmetic: 1099511627776 * 67108864 exceeds 64 bits\n  use a model with smaller tensors");
  EXPECT_EQ(failure(bind_shape({kBatch}, int64_t{1} << 27)),
            "a symbolic dimension of 134217728; it must be below 2^27\n  use fewer items at once");
}

TEST(Shapes, Broadcast) {
  EXPECT_EQ(broadcast_shapes({kBatch, 1, 5}, {4, 1}), (Shape{kBatch, 4, 5}));
  EXPECT_EQ(broadcast_shapes({1}, {kBatch}), Shape{kBatch});
  EXPECT_EQ(broadcast_shapes({0}, {1}), Shape{0});
  EXPECT_EQ(broadcast_shapes({}, {}), Shape{});
  EXPECT_EQ(failure(broadcast_shapes({2, 3}, {kBatch, 3})),
            "shapes [2,3] and [batch,3] do not broadcast\n  correct the model's shapes");
}

TEST(Shapes, NormalizeAnAxis) {
  EXPECT_EQ(normalize_axis(-1, 4), 3);
  EXPECT_EQ(normalize_axis(3, 4), 3);
  EXPECT_EQ(failure(normalize_axis(4, 4)), "axis 4 is outside a tensor of rank 4\n  correct the attribute");
  EXPECT_EQ(failure(normalize_axis(-5, 4)), "axis -5 is outside a tensor of rank 4\n  correct the attribute");
  EXPECT_EQ(failure(normalize_axis(0, 0)), "axis 0 is outside a tensor of rank 0\n  correct the attribute");
}

TEST(Shapes, HostileSymbolsArePrintable) { EXPECT_EQ(to_text(Shape{Dim(2, "\x1b[31m"), 3}), "[2*\\x1b[31m,3]"); }

}  // namespace
}  // namespace cupel
