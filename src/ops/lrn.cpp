// LRN (docs/quantization.md 4): each element divided by a power of the squares of its neighbours along the channels.
#include <fmt/format.h>

#include <vector>

#include "base/more_scalar_math.h"
#include "ir/graph.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer_lrn(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  if (c.shape(0).size() < 2)
    return bad_input("", fmt::format("operand 0 has shape {}, expected a batch and channels", to_text(c.shape(0))),
                     "correct the model's shapes");
  const int64_t size = attr_int(c.attributes, "size", 0);
  if (size < 1 || size > kMaxElements)
    return bad_input("", fmt::format("size is {}, expected at least 1", size), "correct the attribute");
  return Types{plain(DType::f32, c.shape(0))};
}

// x / (bias + alpha · (sum of squares / size))^beta; the sum over ascending channels from +0, as AveragePool adds.
Status reference_lrn(const EvalContext& c) {
  const Dims& dims = c.in(0).dims();
  if (c.in(0).empty()) return {};
  const int64_t channels = dims[1], inner = strides_of(dims)[1], size = attr_int(c.attributes, "size", 1);
  const float alpha = attr_real(c.attributes, "alpha", 1e-4f), beta = attr_real(c.attributes, "beta", 0.75f),
              bias = attr_real(c.attributes, "bias", 1.0f);
  const auto count = static_cast<float>(size);
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  const int64_t before = (size - 1) / 2, after = size - 1 - before;
  c.threads.parallel_for(dims[0] * channels, std::max<int64_t>(1, kPartOperations / (inner * std::min(size, channels))),
                         [&](int64_t begin, int64_t end) {
                           for (int64_t row = begin; row < end; ++row) {
                             const int64_t channel = row % channels;
                             const int64_t first = std::max<int64_t>(0, channel - before),
                                           last = std::min(channels - 1, channel + after);
                             for (int64_t i = 0; i < inner; ++i) {
                               float sum = 0;
                               for (int64_t k = first; k <= last; ++k) {
                                 const float neighbour = x[(row - channel + k) * inner + i];
                                 sum = sum + neighbour * neighbour;
                               }
                               const float base = bias + alpha * (sum / count);
                               out[row * inner + i] = x[row * inner + i] / scalar::power_sequence(base, beta);
                             }
                           }
                         });
  return {};
}

Cost cost(const Attributes& attributes, std::span<const TensorType* const> inputs, std::span<const TensorType>) {
  return {0, (attr_int(attributes, "size", 1) + 3) * elements_per_item(*inputs[0])};
}

}  // namespace

namespace ops {

const OpDef kLRN{.name = "LRN",
                 .since_opset = 1,
                 .operand_types = {{kFloatTypes}},
                 .attributes = {{"alpha", AttributeKind::real},
                                {"beta", AttributeKind::real},
                                {"bias", AttributeKind::real},
                                {"size", AttributeKind::integer, true}},
                 .infer = infer_lrn,
                 .reference = reference_lrn,
                 .cost = cost,
                 .samples = {R"(graph "lrn" stage imported opset 17 {
  input %x : f32[batch,7,5,3]
  %y = LRN(%x) {alpha=0.001, beta=0.5, bias=2.0, size=5}
  output %y
})",
                             R"(graph "lrn_line" stage imported opset 17 {
  input %x : f32[batch,6,4]
  %y = LRN(%x) {size=3}
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
