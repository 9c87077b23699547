// InstanceNormalization (docs/quantization.md 4): each channel of each sample by its own mean and variance.
#include <fmt/format.h>

#include <vector>

#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/partial_sums.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer_instance_normalization(const InferContext& c) {
  const Shape& x = c.shape(0);
  for (size_t i = 0; i < 3; ++i) CUPEL_TRY(expect_dtype(c, i, DType::f32));
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  if (!(epsilon >= 0) || epsilon > 3.4028234e38f)
    return bad_input("", fmt::format("epsilon is {}, expected a finite number of at least 0", epsilon),
                     "correct the attribute");
  if (x.size() < 3)
    return bad_input("", fmt::format("operand 0 has shape {}, expected a batch, channels and more", to_text(x)),
                     "correct the model's shapes");
  for (size_t i = 1; i < 3; ++i)
    if (c.shape(i) != Shape{x[1]})
      return bad_input(
          "",
          fmt::format("{} has shape {}, expected [{}]", i == 1 ? "scale" : "bias", to_text(c.shape(i)), to_text(x[1])),
          "correct the model's shapes");
  return Types{plain(DType::f32, x)};
}

struct SquareSum {
  [[gnu::always_inline]] float operator()(float partial, float d) const { return __builtin_fmaf(d, d, partial); }
};

CUPEL_CLONES void normalize_channel(const float* __restrict x, int64_t n, float epsilon, float scale, float bias,
                                    float* __restrict out) {
  const auto count = static_cast<float>(n);
  const float mean = sum64(x, n, PlainSum{}) / count;
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] - mean;
  const float r = 1.0f / __builtin_sqrtf(sum64(out, n, SquareSum{}) / count + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = (out[i] * r) * scale + bias;
}

Status reference_instance_normalization(const EvalContext& c) {
  if (c.in(0).empty()) return {};
  const int64_t channels = c.in(0).dims()[1], inner = strides_of(c.in(0).dims())[1];
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  const float *x = c.in(0).data<float>().data(), *scale = c.in(1).data<float>().data(),
              *bias = c.in(2).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(
      c.in(0).size() / inner, std::max<int64_t>(1, kPartOperations / inner), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          normalize_channel(x + r * inner, inner, epsilon, scale[r % channels], bias[r % channels], out + r * inner);
      });
  return {};
}

Cost cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType>) {
  return {0, 6 * elements_per_item(*inputs[0])};
}

}  // namespace

namespace ops {

const OpDef kInstanceNormalization{.name = "InstanceNormalization",
                                   .since_opset = 1,
                                   .operand_types = same_type(kFloatTypes),
                                   .min_inputs = 3,
                                   .max_inputs = 3,
                                   .attributes = {{"epsilon", AttributeKind::real}},
                                   .infer = infer_instance_normalization,
                                   .reference = reference_instance_normalization,
                                   .cost = cost,
                                   .samples = {R"(graph "instance_normalization" stage imported opset 17 {
  input %x : f32[batch,3,9,11]
  input %s : f32[3]
  input %b : f32[3]
  %y = InstanceNormalization(%x, %s, %b) {epsilon=0.001}
  output %y
})",
                                               R"(graph "instance_normalization_line" stage imported opset 17 {
  input %x : f32[batch,2,70]
  constant %s : f32[2] = [1.5, -0.25]
  constant %b : f32[2] = [0.0, 3.0]
  %y = InstanceNormalization(%x, %s, %b)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
