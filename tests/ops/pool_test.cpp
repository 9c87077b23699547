// Pooling: every window against loops over its taps, codes against their formula, sizes and refusals by hand.
#include <cmath>
#include <limits>

#include "ops/op_table.h"
#include "ops/run_op.h"

namespace cupel {
namespace {

using namespace cupel::testing;
using ops::kAveragePool, ops::kGlobalAveragePool, ops::kGlobalMaxPool, ops::kMaxPool;
using Ints = std::vector<int64_t>;

struct Window {
  Ints kernel, strides, dilations, pads;  // pads: begins, then ends
};

// The elements of one window in row-major order, and how many taps lie inside the padded input.
struct Taps {
  Ints elements;
  int64_t padded = 0;
};
Taps taps_of(const Window& w, const Dims& dims, const Dims& out, int64_t result) {
  const size_t n = w.kernel.size();
  Ints at(n);
  for (size_t d = n; d-- > 0; result /= out[d + 2]) at[d] = result % out[d + 2];
  int64_t plane = result, count = 1;
  for (int64_t k : w.kernel) count *= k;
  Taps taps;
  for (int64_t t = 0; t < count; ++t) {
    Ints tap(n);
    int64_t rest = t;
    for (size_t d = n; d-- > 0; rest /= w.kernel[d]) tap[d] = rest % w.kernel[d];
    int64_t element = plane;
    bool inside = true, inside_padded = true;
    for (size_t d = 0; d < n; ++d) {
      const int64_t p = at[d] * w.strides[d] - w.pads[d] + tap[d] * w.dilations[d];
      inside = inside && p >= 0 && p < dims[d + 2];
      inside_padded = inside_padded && p < dims[d + 2] + w.pads[d + n];
      element = element * dims[d + 2] + p;
    }
    if (inside) taps.elements.push_back(element);
    if (inside_padded) ++taps.padded;
  }
  return taps;
}

int32_t naive_code(float v, int32_t zero_point, int32_t low, int32_t high) {
  const double code = std::nearbyint(static_cast<double>(v)) + zero_point;
  return static_cast<int32_t>(std::fmin(std::fmax(code, low), high));
}

struct PoolCase {
  Dims dims;
  Window window;
  Dims out;
  Attributes more = {};
};

Attributes attributes_of(const PoolCase& p, bool dilations = true) {
  Attributes attributes = p.more;
  attributes["kernel_shape"] = p.window.kernel;
  attributes["strides"] = p.window.strides;
  if (dilations) attributes["dilations"] = p.window.dilations;
  if (!attributes.contains("auto_pad")) attributes["pads"] = p.window.pads;
  return attributes;
}

const std::vector<PoolCase>& cases() {
  const Attributes ceil = {{"ceil_mode", int64_t{1}}};
  const auto automatic = [](const char* how) { return Attributes{{"auto_pad", std::string(how)}}; };
  static const std::vector<PoolCase> kCases = {
      {{2, 3, 9, 7}, {{3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}}, {2, 3, 5, 4}},
      {{2, 3, 8, 8}, {{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}}, {2, 3, 4, 4}},
      {{1, 2, 6, 5}, {{3, 2}, {1, 1}, {1, 1}, {2, 0, 1, 1}}, {1, 2, 7, 5}},
      {{2, 2, 10, 11}, {{2, 3}, {3, 2}, {2, 1}, {0, 1, 1, 0}}, {2, 2, 4, 6}, ceil},
      {{1, 1, 5, 5},
       {{3, 3}, {3, 3}, {1, 1}, {1, 1, 1, 1}},
       {1, 1, 2, 2},
       ceil},  // a third window would start in the padding
      {{1, 1, 4, 6}, {{3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}}, {1, 1, 2, 3}, ceil},  // the last windows overhang
      {{2, 3, 12}, {{4}, {3}, {1}, {0, 1}}, {2, 3, 4}},
      {{1, 2, 7}, {{2}, {1}, {3}, {3, 2}}, {1, 2, 9}},
      {{2, 1, 4, 5, 6}, {{2, 2, 3}, {2, 1, 1}, {1, 2, 1}, {1, 0, 1, 0, 1, 2}}, {2, 1, 2, 4, 7}},
      {{1, 3, 6, 6}, {{3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}}, {1, 3, 3, 3}, automatic("SAME_UPPER")},
      {{1, 3, 6, 6}, {{3, 3}, {2, 2}, {1, 1}, {1, 1, 0, 0}}, {1, 3, 3, 3}, automatic("SAME_LOWER")},
      {{1, 3, 7, 6}, {{3, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}}, {1, 3, 3, 3}, automatic("VALID")},
      {{1, 1, 5}, {{1}, {4}, {1}, {0, 0}}, {1, 1, 2}, automatic("SAME_UPPER")},
      {{0, 3, 8, 8}, {{2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}}, {0, 3, 4, 4}},
      {{8, 16, 20, 21}, {{5, 5}, {1, 1}, {1, 1}, {2, 2, 2, 2}}, {8, 16, 20, 21}}};
  return kCases;
}

TEST(PoolOps, MaxPoolTakesTheGreatestOfEachWindow) {
  for (const PoolCase& p : cases())
    for (DType type : {DType::f32, DType::u8, DType::s8}) {
      const Tensor x = type == DType::f32 ? random_reals(p.dims, 5) : random_codes(type, p.dims, 5);
      const Operand operand = type == DType::f32 ? Operand(x) : codes(x, 0.5f, 3);
      const Tensor y = run(kMaxPool, {operand}, attributes_of(p));
      ASSERT_EQ(y.dims(), p.out);
      for (int64_t i = 0; i < y.size(); ++i) {
        double greatest = -INFINITY;
        for (int64_t e : taps_of(p.window, p.dims, p.out, i).elements) greatest = std::fmax(greatest, x.at(e));
        ASSERT_EQ(y.at(i), greatest) << to_text(p.dims) << " at " << i;
      }
    }
  const TensorType type = codes_type(DType::s8, {1, 1, 4}, 0.5f, 3);
  EXPECT_EQ((*infer_op(kMaxPool, {type}, {{"kernel_shape", Ints{2}}}))[0], codes_type(DType::s8, {1, 1, 3}, 0.5f, 3));
}

TEST(PoolOps, AveragePoolDividesByItsWindow) {
  for (const PoolCase& p : cases())
    for (int64_t include : {0, 1}) {
      Attributes attributes = attributes_of(p);
      attributes["count_include_pad"] = include;
      const Tensor x = random_reals(p.dims, 6), q = random_codes(DType::u8, p.dims, 7),
                   s = random_codes(DType::s8, p.dims, 8);
      const Tensor y = run(kAveragePool, {x}, attributes);
      const Tensor yq = run(kAveragePool, {codes(q, 0.037f, 113)}, attributes, {codes_type(DType::s8, {}, 0.021f, -9)});
      const Tensor ys = run(kAveragePool, {codes(s, 0.037f, -13)}, attributes, {codes_type(DType::u8, {}, 0.03f, 100)});
      ASSERT_EQ(y.dims(), p.out);
      for (int64_t i = 0; i < y.size(); ++i) {
        const Taps taps = taps_of(p.window, p.dims, p.out, i);
        const int64_t n = include != 0 ? taps.padded : static_cast<int64_t>(taps.elements.size());
        float sum = 0;
        int32_t sum_q = 0, sum_s = 0;
        for (int64_t e : taps.elements) {
          sum += x.data<float>()[static_cast<size_t>(e)];
          sum_q += static_cast<int32_t>(q.int_at(e)) - 113;
          sum_s += static_cast<int32_t>(s.int_at(e)) + 13;
        }
        ASSERT_EQ(y.data<float>()[static_cast<size_t>(i)], n == 0 ? 0 : sum / static_cast<float>(n))
            << to_text(p.dims) << " at " << i;
        const double divisor = static_cast<double>(std::max<int64_t>(1, n));
        const auto mq = static_cast<float>(double{0.037f} / (double{0.021f} * divisor)),
                   ms = static_cast<float>(double{0.037f} / (double{0.03f} * divisor));
        ASSERT_EQ(yq.int_at(i), naive_code(static_cast<float>(sum_q) * mq, -9, -128, 127)) << i;
        ASSERT_EQ(ys.int_at(i), naive_code(static_cast<float>(sum_s) * ms, 100, 0, 255)) << i;
      }
    }
}

TEST(PoolOps, MaxPoolPassesOverNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(
      elements<float>(run(kMaxPool, {Tensor::of<float>({1, 1, 4}, {nan, 1, nan, nan})}, {{"kernel_shape", Ints{2}}})),
      (std::vector<float>{1, 1, -std::numeric_limits<float>::infinity()}));
}

TEST(PoolOps, GlobalPoolsReduceAllSpatialDimensions) {
  for (const Dims& dims : std::vector<Dims>{{2, 3, 7, 7}, {1, 5, 9}, {2, 2, 3, 4, 5}, {0, 3, 4}, {40, 64, 5, 5}}) {
    const Tensor x = random_reals(dims, 3), q = random_codes(DType::u8, dims, 4);
    const Tensor mean = run(kGlobalAveragePool, {x}), greatest = run(kGlobalMaxPool, {x});
    const Tensor mean_q = run(kGlobalAveragePool, {codes(q, 0.037f, 13)}, {}, {codes_type(DType::u8, {}, 0.021f, 9)});
    const Tensor greatest_q = run(kGlobalMaxPool, {codes(q, 0.037f, 13)});
    Dims out(dims.size(), 1);
    out[0] = dims[0];
    out[1] = dims[1];
    ASSERT_EQ(mean.dims(), out);
    const int64_t n = dims[0] == 0 ? 1 : x.size() / (dims[0] * dims[1]);
    const auto m = static_cast<float>(double{0.037f} / (double{0.021f} * static_cast<double>(n)));
    for (int64_t r = 0; r < mean.size(); ++r) {
      float sum = 0, top = -INFINITY;
      int32_t sum_q = 0;
      int64_t top_q = 0;
      for (int64_t i = r * n; i < (r + 1) * n; ++i) {
        sum += x.data<float>()[static_cast<size_t>(i)];
        top = std::fmax(top, x.data<float>()[static_cast<size_t>(i)]);
        sum_q += static_cast<int32_t>(q.int_at(i)) - 13;
        top_q = std::max(top_q, q.int_at(i));
      }
      ASSERT_EQ(mean.data<float>()[static_cast<size_t>(r)], sum / static_cast<float>(n));
      ASSERT_EQ(greatest.data<float>()[static_cast<size_t>(r)], top);
      ASSERT_EQ(mean_q.int_at(r), naive_code(static_cast<float>(sum_q) * m, 9, 0, 255));
      ASSERT_EQ(greatest_q.int_at(r), top_q);
    }
  }
}

TEST(PoolOps, AttributesAndShapesAreChecked) {
  const Dim batch(1, "batch");
  const TensorType x{DType::f32, {batch, Dim(2, "batch"), 5, 6}, {}};
  const auto refused = [&](Attributes attributes) { return message_of(infer_op(kMaxPool, {x}, attributes)); };
  EXPECT_EQ((*infer_op(kMaxPool, {x}, {{"kernel_shape", Ints{2, 2}}}))[0].shape, (Shape{batch, Dim(2, "batch"), 4, 5}));
  EXPECT_EQ(refused({{"kernel_shape", Ints{2}}}),
            "bad input; kernel_shape, strides, dilations and pads have 1, 2, 2 and 4 entries, expected 2, 2, 2 and 4\n "
            " correct the attributes");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"strides", Ints{1, 0}}}),
            "bad input; window 2, stride 0, dilation 1, pads 0 and 0: window, stride and dilation must be at least 1, "
            "pads at least 0\n"
            "  correct the attributes");
  EXPECT_EQ(refused({{"kernel_shape", Ints{INT64_MAX, 2}}}),
            "resource; window 9223372036854775807, stride 1, dilation 1, pads 0 and 0: these must be below 2^20\n"
            "  use a model with smaller windows");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"pads", Ints{-1, 0, 0, 0}}}),
            "bad input; window 2, stride 1, dilation 1, pads -1 and 0: window, stride and dilation must be at least 1, "
            "pads at least 0\n"
            "  correct the attributes");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"pads", Ints{2, 0, 0, 0}}}),
            "unsupported; pads 2 and 0 of a window spanning 2: a window could lie in the padding alone\n  pad less "
            "than the window spans");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 7}}}),
            "bad input; a window spanning 7 does not fit the padded size 6\n  correct the model's shapes");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"auto_pad", std::string("SAME")}}),
            "bad input; auto_pad is SAME, expected NOTSET, VALID, SAME_UPPER or SAME_LOWER\n  correct the attribute");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"ceil_mode", int64_t{2}}}),
            "bad input; ceil_mode is 2, expected 0 or 1\n  correct the attribute");
  EXPECT_EQ(refused({{"kernel_shape", Ints{2, 2}}, {"storage_order", int64_t{2}}}),
            "bad input; storage_order is 2, expected 0 or 1\n  correct the attribute");
  EXPECT_EQ(message_of(infer_op(kAveragePool, {x}, {{"kernel_shape", Ints{2, 2}}, {"count_include_pad", int64_t{-1}}})),
            "bad input; count_include_pad is -1, expected 0 or 1\n  correct the attribute");
  EXPECT_EQ(
      message_of(infer_op(kMaxPool, {TensorType{DType::f32, {1, 2, batch}, {}}}, {{"kernel_shape", Ints{2}}})),
      "unsupported; the symbolic dimension batch of operand 0 [1,2,batch]\n  give its size with --dim or --shape");
  EXPECT_EQ(message_of(infer_op(kMaxPool, {TensorType{DType::f32, {1, 2}, {}}}, {{"kernel_shape", Ints{}}})),
            "bad input; operand 0 has shape [1,2], expected a batch, channels and at least one spatial dimension\n  "
            "correct the model's shapes");
  EXPECT_EQ(message_of(infer_op(kMaxPool, {TensorType{DType::f32, {1, 2, 3, 3, 3, 3}, {}}},
                                {{"kernel_shape", Ints{1, 1, 1, 1}}})),
            "unsupported; pooling over 4 spatial dimensions\n  use one to 3 spatial dimensions");
  EXPECT_EQ(message_of(infer_op(kMaxPool, {TensorType{DType::s64, {1, 2, 3}, {}}}, {{"kernel_shape", Ints{1}}})),
            "bad input; operand 0 is s64, ONNX allows f32, f64, f16, bf16, u8, s8\n  convert the operand");
  EXPECT_EQ(
      message_of(infer_op(kGlobalAveragePool, {codes_type(DType::u8, {1, 2, 4096, 4096}, 0.5f, 0)}, {},
                          {codes_type(DType::u8, {}, 0.5f, 0)})),
      "unsupported; a sum of 16777216 codes could leave 32 bits; at most 8388607 are summed\n  keep this op in float");
  EXPECT_EQ(message_of(infer_op(kGlobalMaxPool, {TensorType{DType::f32, {1, 2}, {}}})),
            "bad input; operand 0 has shape [1,2], expected a batch, channels and at least one spatial dimension\n  "
            "correct the model's shapes");
}

TEST(PoolOps, CostCountsTaps) {
  const TensorType x{DType::f32, {Dim(1, "batch"), 3, 9, 7}, {}};
  const Attributes attributes = {{"kernel_shape", Ints{3, 3}}};
  const std::vector<TensorType> out = *infer_op(kMaxPool, {x}, attributes);
  const std::vector<const TensorType*> in = {&x};
  EXPECT_EQ(kMaxPool.cost(attributes, in, out).elementwise, 3 * 7 * 5 * 9);
  EXPECT_EQ(kGlobalMaxPool.cost({}, in, out).elementwise, 3 * 9 * 7);
}

}  // namespace
}  // namespace cupel
