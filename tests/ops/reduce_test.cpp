// Reductions against loops over all elements, in ascending order; ArgMax.
#include <cmath>
#include <limits>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kArgMax, ops::kArgMin, ops::kReduceMax, ops::kReduceMean, ops::kReduceMin, ops::kReduceProd, ops::kReduceSum;
using Ints = std::vector<int64_t>;

Operand axes(std::initializer_list<int64_t> values) {
  return constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

// For every result, the elements it reduces, ascending.
std::vector<Ints> groups_of(const Dims& dims, const std::vector<bool>& reduces) {
  int64_t results = 1;
  for (size_t d = 0; d < dims.size(); ++d)
    if (!reduces[d]) results *= dims[d];
  std::vector<Ints> groups(static_cast<size_t>(results));
  for (int64_t e = 0; e < element_count(dims); ++e) {
    int64_t rest = e, group = 0, step = 1;
    for (size_t d = dims.size(); d-- > 0; rest /= dims[d])
      if (!reduces[d]) {
        group += rest % dims[d] * step;
        step *= dims[d];
      }
    groups[static_cast<size_t>(group)].push_back(e);
  }
  return groups;
}

struct ReduceCase {
  Dims dims;
  Ints axes;
};
const std::vector<ReduceCase> kCases = {{{2, 3, 5, 7}, {2, 3}},
                                        {{2, 3, 5, 7}, {1}},
                                        {{2, 3, 5, 7}, {1, 3}},
                                        {{2, 3, 5, 7}, {0, 2}},
                                        {{2, 3, 5, 7}, {-1}},
                                        {{2, 3, 5, 7}, {0}},
                                        {{9, 6}, {0, 1}},
                                        {{4, 1, 3}, {1}},
                                        {{0, 3}, {1}},
                                        {{6, 300, 40}, {1}},
                                        {{50, 3000}, {0}},
                                        {{3, 2, 3, 2, 3, 2}, {0, 2, 4}},
                                        {{3, 2, 3, 2, 3, 2}, {1, 3, 5}},
                                        {{70, 65, 9}, {2, 1}}};

TEST(ReduceOps, FloatsAscend) {
  for (const ReduceCase& r : kCases) {
    const Operand given =
        constant(Tensor::of<int64_t>({static_cast<int64_t>(r.axes.size())}, std::span<const int64_t>(r.axes)));
    std::vector<bool> reduces(r.dims.size(), false);
    for (int64_t a : r.axes) reduces[static_cast<size_t>(a < 0 ? a + static_cast<int64_t>(r.dims.size()) : a)] = true;
    Dims kept, dropped;
    for (size_t d = 0; d < r.dims.size(); ++d) {
      kept.push_back(reduces[d] ? 1 : r.dims[d]);
      if (!reduces[d]) dropped.push_back(r.dims[d]);
    }
    const Tensor x = random_reals(r.dims, 2), q = random_codes(DType::u8, r.dims, 3);
    const Tensor sum = run(kReduceSum, {x, given}), mean = run(kReduceMean, {x, given}, {{"keepdims", int64_t{0}}});
    const Tensor greatest = run(kReduceMax, {x, given}), least = run(kReduceMin, {x, given});
    const Tensor mean_q = run(kReduceMean, {codes(q, 0.037f, 113), given}, {}, {codes_type(DType::s8, {}, 0.01f, -9)});
    const Tensor least_q = run(kReduceMin, {codes(q, 0.037f, 113), given}),
                 greatest_q = run(kReduceMax, {codes(q, 0.037f, 113), given});
    EXPECT_EQ(sum.dims(), kept);
    EXPECT_EQ(mean.dims(), dropped);
    const auto groups = groups_of(r.dims, reduces);
    ASSERT_EQ(static_cast<int64_t>(groups.size()), sum.size());
    for (size_t g = 0; g < groups.size(); ++g) {
      float total = 0, top = -INFINITY, bottom = INFINITY;
      int32_t total_q = 0;
      int64_t top_q = 0, bottom_q = 255;
      for (int64_t e : groups[g]) {
        const float v = x.data<float>()[static_cast<size_t>(e)];
        total += v;
        top = std::fmax(top, v);
        bottom = std::fmin(bottom, v);
        total_q += static_cast<int32_t>(q.int_at(e)) - 113;
        top_q = std::max(top_q, q.int_at(e));
        bottom_q = std::min(bottom_q, q.int_at(e));
      }
      const auto i = static_cast<int64_t>(g);
      const auto n = static_cast<double>(groups[g].size());
      ASSERT_EQ(sum.data<float>()[g], total) << to_text(r.dims) << " at " << g;
      ASSERT_EQ(mean.data<float>()[g], total / static_cast<float>(n));
      ASSERT_EQ(greatest.data<float>()[g], top);
      ASSERT_EQ(least.data<float>()[g], bottom);
      const float v = static_cast<float>(total_q) * static_cast<float>(double{0.037f} / (double{0.01f} * n));
      ASSERT_EQ(mean_q.int_at(i), std::fmin(std::fmax(std::nearbyint(v) - 9, -128), 127));
      ASSERT_EQ(greatest_q.int_at(i), top_q);
      ASSERT_EQ(least_q.int_at(i), bottom_q);
    }
  }
}

TEST(ReduceOps, AbsentOrEmptyAxesMeanAllOrNone) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(elements<float>(run(kReduceSum, {x}, {{"keepdims", int64_t{0}}})), (std::vector<float>{10}));
  EXPECT_EQ(run(kReduceSum, {x}, {{"keepdims", int64_t{0}}}).dims(), Dims{});
  EXPECT_EQ(run(kReduceMean, {x, axes({})}).dims(), (Dims{1, 1}));
  const Attributes noop = {{"noop_with_empty_axes", int64_t{1}}};
  EXPECT_EQ(run(kReduceMean, {x}, noop), x);
  EXPECT_EQ(run(kReduceMax, {x, axes({})}, noop), x);
  EXPECT_EQ(elements<float>(run(kReduceMean, {x, axes({0})}, noop)), (std::vector<float>{2, 3}));
  EXPECT_EQ(elements<float>(run(kReduceSum, {Tensor::scalar(3.0f)})), (std::vector<float>{3}));
}

TEST(ReduceOps, IntegersAndEmptySets) {
  const Tensor x = Tensor::of<int64_t>({2, 2}, {INT64_MAX, 1, -5, 2});
  EXPECT_EQ(elements<int64_t>(run(kReduceSum, {x, axes({1})})), (Ints{INT64_MIN, -3}));
  EXPECT_EQ(elements<int64_t>(run(kReduceMax, {x, axes({0})})), (Ints{INT64_MAX, 2}));
  EXPECT_EQ(elements<int64_t>(run(kReduceMin, {x, axes({0})})), (Ints{-5, 1}));
  EXPECT_EQ(elements<int32_t>(run(kReduceMin, {Tensor::of<int32_t>({3}, {4, -2, 9})})), (std::vector<int32_t>{-2}));
  EXPECT_EQ(elements<int64_t>(run(kReduceProd, {x, axes({1})})), (Ints{INT64_MAX, -10}));
  EXPECT_EQ(elements<int32_t>(run(kReduceProd, {Tensor::of<int32_t>({3}, {65536, 65536, 3})})),
            (std::vector<int32_t>{0}));
  const Tensor none(DType::f32, {2, 0});
  EXPECT_EQ(elements<float>(run(kReduceProd, {none, axes({1})})), (std::vector<float>{1, 1}));
  EXPECT_EQ(elements<float>(run(kReduceSum, {none, axes({1})})), (std::vector<float>{0, 0}));
  EXPECT_TRUE(std::isnan(run(kReduceMean, {none, axes({1})}).at(0)));
  EXPECT_EQ(run(kReduceMax, {none, axes({1})}).at(0), -INFINITY);
  EXPECT_EQ(
      run(kReduceMean, {codes(Tensor(DType::u8, {2, 0}), 0.5f, 3), axes({1})}, {}, {codes_type(DType::u8, {}, 0.5f, 7)})
          .int_at(1),
      7);
}

TEST(ReduceOps, ProductsAscend) {
  const Tensor x = random_reals({3, 7, 5}, 8, 0.5f, 1.75f);
  const Tensor y = run(kReduceProd, {x, axes({1})}, {{"keepdims", int64_t{0}}});
  ASSERT_EQ(y.dims(), (Dims{3, 5}));
  for (int64_t r = 0; r < y.size(); ++r) {
    float product = 1;
    for (int64_t i = 0; i < 7; ++i) product *= x.data<float>()[static_cast<size_t>((r / 5 * 7 + i) * 5 + r % 5)];
    ASSERT_EQ(y.data<float>()[static_cast<size_t>(r)], product);
  }
}

TEST(ReduceOps, TypesAreChecked) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, 3, 5}, {}};
  EXPECT_EQ((*infer_op(kReduceMean, {x, axes({-1})}))[0].shape, (Shape{batch, 3, 1}));
  EXPECT_EQ((*infer_op(kReduceMean, {x, axes({0})}, {{"keepdims", int64_t{0}}}))[0].shape, (Shape{3, 5}));
  EXPECT_EQ(message_of(infer_op(kReduceMean, {x, axes({3})})),
            "bad input; axis 3 is outside a tensor of rank 3\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kReduceMean, {x, axes({1, -2})})),
            "bad input; axis -2 is given twice\n  correct the axes");
  EXPECT_EQ(message_of(infer_op(kReduceMean, {x, axes({1})}, {{"keepdims", int64_t{2}}})),
            "bad input; keepdims is 2, expected 0 or 1\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kReduceMean, {x, Tensor::of<int64_t>({1}, {1})})),
            "unsupported; axes (operand 1) is computed at run time\n  give open sizes with --dim or --shape, and "
            "parameters with --value");
  EXPECT_EQ(message_of(infer_op(kReduceMean, {TensorType{DType::s64, {3}, {}}})),
            "unsupported; operand 0 is s64, expected f32\n  convert the operand");
  EXPECT_EQ(message_of(infer_op(kReduceSum, {codes_type(DType::u8, {3}, 0.5f, 0)})),
            "unsupported; operand 0 is u8[3] quant(scale=0.5, zero_point=0), expected numbers\n  convert the operand");
  EXPECT_EQ((*infer_op(kReduceMax, {codes_type(DType::u8, {batch, 3}, 0.5f, 9), axes({1})}))[0],
            codes_type(DType::u8, {batch, 1}, 0.5f, 9));
  EXPECT_EQ(
      message_of(infer_op(kReduceMean, {codes_type(DType::u8, {batch, 16777216}, 0.5f, 0)}, {},
                          {codes_type(DType::u8, {}, 0.5f, 0)})),
      "unsupported; a sum of 16777216 codes could leave 32 bits; at most 8388607 are summed\n  keep this op in float");
}

TEST(ReduceOps, ArgMinFindsFirstOrLast) {
  const Tensor x = Tensor::of<float>({2, 4}, {1, 0, 7, 0, 2, 5, 5, 2});
  EXPECT_EQ(elements<int64_t>(run(kArgMin, {x}, {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}})), (Ints{1, 0}));
  EXPECT_EQ(elements<int64_t>(run(kArgMin, {x}, {{"axis", int64_t{1}}, {"select_last_index", int64_t{1}}})),
            (Ints{3, 3}));
  EXPECT_EQ(elements<int64_t>(run(kArgMin, {Tensor::of<int64_t>({3}, {INT64_MAX, INT64_MIN, -1})})), (Ints{1}));
  EXPECT_EQ(elements<int64_t>(run(kArgMin, {codes(Tensor::of<uint8_t>({3}, {9, 200, 3}), 0.25f, 3)})), (Ints{2}));
}

TEST(ReduceOps, ArgMaxFindsFirstOrLast) {
  const Tensor x = Tensor::of<float>({2, 4}, {1, 7, 7, 0, 5, 2, 5, 5});
  EXPECT_EQ(elements<int64_t>(run(kArgMax, {x}, {{"axis", int64_t{-1}}, {"keepdims", int64_t{0}}})), (Ints{1, 0}));
  EXPECT_EQ(elements<int64_t>(run(kArgMax, {x}, {{"axis", int64_t{1}}, {"select_last_index", int64_t{1}}})),
            (Ints{2, 3}));
  const Tensor first = run(kArgMax, {x});
  EXPECT_EQ(first.dims(), (Dims{1, 4}));
  EXPECT_EQ(elements<int64_t>(first), (Ints{1, 0, 0, 1}));
  const Tensor q = random_codes(DType::s8, {700, 11, 5}, 3);
  const Tensor y = run(kArgMax, {codes(q, 0.25f, 3)}, {{"axis", int64_t{1}}, {"keepdims", int64_t{0}}});
  EXPECT_EQ(y.dims(), (Dims{700, 5}));
  for (int64_t r = 0; r < y.size(); ++r) {
    int64_t best = 0;
    for (int64_t i = 1; i < 11; ++i)
      if (q.int_at((r / 5 * 11 + i) * 5 + r % 5) > q.int_at((r / 5 * 11 + best) * 5 + r % 5)) best = i;
    ASSERT_EQ(y.int_at(r), best);
  }
  EXPECT_EQ(run(kArgMax, {Tensor(DType::f32, {0, 3})}, {{"axis", int64_t{1}}}).dims(), (Dims{0, 1}));
  EXPECT_EQ(message_of(run_op(kArgMax, {Tensor(DType::f32, {2, 0})}, {{"axis", int64_t{1}}})),
            "bad input; axis 1 of shape [2,0] is empty\n  correct the model's shapes");
  EXPECT_EQ(message_of(run_op(kArgMax, {x}, {{"axis", int64_t{2}}})),
            "bad input; axis 2 is outside a tensor of rank 2\n  correct the attribute");
}

}  // namespace
}  // namespace cupel
