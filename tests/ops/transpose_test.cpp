// Transpose: every element against its place, on shapes that take every path of the strided copy.
#include <algorithm>

#include "ops/moved.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kTranspose;

void check(DType type, const Dims& dims, const std::vector<int64_t>& perm) {
  const Tensor x = random_codes(type, dims, 5);
  Dims wanted;
  for (int64_t axis : perm) wanted.push_back(dims[static_cast<size_t>(axis)]);
  expect_moved(x, run(kTranspose, {x}, {{"perm", perm}}), wanted, [&](const Dims& index) {
    Dims own(index.size());
    for (size_t k = 0; k < perm.size(); ++k) own[static_cast<size_t>(perm[k])] = index[k];
    return flat_index(own, dims);
  });
}

TEST(Transpose, EveryPermutationOfFourAxes) {
  std::vector<int64_t> perm = {0, 1, 2, 3};
  do {
    check(DType::f32, {2, 3, 4, 5}, perm);
    check(DType::u8, {3, 1, 7, 2}, perm);
  } while (std::next_permutation(perm.begin(), perm.end()));
}

TEST(Transpose, EveryWidthOnLargeAndEmptyShapes) {
  for (DType type : kMovedTypes) {
    check(type, {70, 131}, {1, 0});
    check(type, {3, 65, 33}, {0, 2, 1});
    check(type, {2, 197, 12, 16}, {0, 2, 1, 3});
    check(type, {2, 3, 40, 41}, {0, 2, 3, 1});
    check(type, {0, 3}, {1, 0});
    check(type, {7}, {0});
    check(type, {}, {});
  }
}

TEST(Transpose, WithoutPermutationTheOrderIsReversed) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(run(kTranspose, {x}), Tensor::of<float>({3, 2}, {1, 4, 2, 5, 3, 6}));
}

TEST(Transpose, TypesAndRefusals) {
  const TensorType x = reals_type({Dim(1, "batch"), 3, 5});
  EXPECT_EQ(shape_of(kTranspose, {x}), "[5,3,batch]");
  EXPECT_EQ(shape_of(kTranspose, {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}}), "[batch,5,3]");
  for (const std::vector<int64_t>& perm : {std::vector<int64_t>{0, 1}, {0, 1, 1}, {0, 1, 3}, {0, 1, -1}, {}})
    EXPECT_EQ(shape_of(kTranspose, {x}, {{"perm", perm}}),
              "bad input; perm " + to_text(perm) + " is no permutation of 3 axes\n  correct the attribute");
  EXPECT_EQ(shape_of(kTranspose, {TensorType{DType::s4, {2, 2}, {}}}),
            "unsupported; operand 0 is s4; 4-bit elements cannot be moved one by one\n  use 8-bit elements");
  const auto types = infer_op(kTranspose, {codes(Tensor(DType::s8, {2, 3}), 0.5f, -7)});
  ASSERT_TRUE(types);
  EXPECT_EQ((*types)[0], codes_type(DType::s8, {3, 2}, 0.5f, -7));
}

}  // namespace
}  // namespace cupel
