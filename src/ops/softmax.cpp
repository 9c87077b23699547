// Softmax: m = maximum, e = exp(x − m), t = sum64(e), e / t. LogSoftmax: (x − m) − log(t).
#include <limits>
#include <vector>

#include "base/scalar_math.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/partial_sums.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", -1), static_cast<int64_t>(c.shape(0).size())));
  return Types{plain(DType::f32, c.shape(0))};
}

// The greatest of n ≥ 1 elements, NaN passed over. Which of −0 and +0 it is makes no difference to x − m here.
[[gnu::always_inline]] inline float greatest(const float* x, int64_t n) {
  float lanes[16];
  std::fill_n(lanes, 16, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int j = 0; j < 16; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (int64_t j = 0; i + j < n; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  float m = lanes[0];
  for (int j = 1; j < 16; ++j) m = lanes[j] > m ? lanes[j] : m;
  return m;
}

// x and out may be the same row; `powers` has room for n numbers.
CUPEL_CLONES void softmax_row(const float* x, int64_t n, float* __restrict powers, float* out) {
  const float m = greatest(x, n);
  for (int64_t i = 0; i < n; ++i) powers[i] = exp_f32(x[i] - m);
  const float total = sum64(powers, n, PlainSum{});
  for (int64_t i = 0; i < n; ++i) out[i] = powers[i] / total;
}

CUPEL_CLONES void log_softmax_row(const float* x, int64_t n, float* __restrict powers, float* out) {
  const float m = greatest(x, n);
  for (int64_t i = 0; i < n; ++i) powers[i] = exp_f32(x[i] - m);
  const float log_total = log_f32(sum64(powers, n, PlainSum{}));
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] - m) - log_total;
}

template <void (*kRow)(const float*, int64_t, float*, float*)>
Status reference(const EvalContext& c) {
  const Dims& dims = c.in(0).dims();
  const auto axis = static_cast<size_t>(CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", -1), c.in(0).rank())));
  if (c.in(0).empty()) return {};
  const int64_t n = dims[axis], inner = strides_of(dims)[axis], rows = c.in(0).size() / n;
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(rows, std::max<int64_t>(1, kPartOperations / (8 * n)), [&](int64_t begin, int64_t end) {
    std::vector<float> powers(static_cast<size_t>(n)), line(inner == 1 ? 0 : static_cast<size_t>(n));
    for (int64_t r = begin; r < end; ++r) {
      if (inner == 1) {
        kRow(x + r * n, n, powers.data(), out + r * n);
        continue;
      }
      const int64_t first = r / inner * n * inner + r % inner;
      for (int64_t i = 0; i < n; ++i) line[static_cast<size_t>(i)] = x[first + i * inner];
      kRow(line.data(), n, powers.data(), line.data());
      for (int64_t i = 0; i < n; ++i) out[first + i * inner] = line[static_cast<size_t>(i)];
    }
  });
  return {};
}

Cost cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType>) {
  return {0, 5 * elements_per_item(*inputs[0])};
}

}  // namespace

namespace ops {

const OpDef kSoftmax{.name = "Softmax",
                     .since_opset = 1,
                     .operand_types = {{kFloatTypes}},
                     .attributes = {{"axis", AttributeKind::integer}},
                     .infer = infer,
                     .reference = reference<softmax_row>,
                     .cost = cost,
                     .samples = {R"(graph "softmax" stage imported opset 17 {
  input %x : f32[batch,3,67]
  %y = Softmax(%x)
  output %y
})",
                                 R"(graph "softmax_axis" stage imported opset 17 {
  input %x : f32[batch,10,3]
  %y = Softmax(%x) {axis=-2}
  output %y
})",
                                 R"(graph "softmax_one" stage imported opset 17 {
  input %x : f32[2,1]
  %y = Softmax(%x) {axis=1}
  output %y
})",
                                 R"(graph "softmax_of_a_vector" stage imported opset 17 {
  input %x : f32[19]
  %y = Softmax(%x)
  output %y
})"}};

const OpDef kLogSoftmax{.name = "LogSoftmax",
                        .since_opset = 1,
                        .operand_types = {{kFloatTypes}},
                        .attributes = {{"axis", AttributeKind::integer}},
                        .infer = infer,
                        .reference = reference<log_softmax_row>,
                        .cost = cost,
                        .samples = {R"(graph "log_softmax" stage imported opset 17 {
  input %x : f32[batch,10]
  %y = LogSoftmax(%x)
  output %y
})",
                                    R"(graph "log_softmax_axis" stage imported opset 17 {
  input %x : f32[2,130,3]
  %y = LogSoftmax(%x) {axis=1}
  output %y
})",
                                    R"(graph "log_softmax_of_a_vector" stage imported opset 17 {
  input %x : f32[19]
  %y = LogSoftmax(%x)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
