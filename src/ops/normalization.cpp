// LayerNormalization, RMSNormalization and BatchNormalization in their inference forms (docs/quantization.md 4).
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

Status expect_epsilon(const InferContext& c) {
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  if (!(epsilon >= 0) || epsilon > 3.4028234e38f)
    return bad_input("", fmt::format("epsilon is {}, expected a finite number of at least 0", epsilon),
                     "correct the attribute");
  return {};
}

// ---- LayerNormalization
// ------------------------------------------------------------------------------------------------

Result<Types> infer_layer_normalization(const InferContext& c) {
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (c.has(i)) CUPEL_TRY(expect_dtype(c, i, DType::f32));
  CUPEL_TRY(expect_epsilon(c));
  const int64_t stash = attr_int(c.attributes, "stash_type", 1);
  if (stash != 1)
    return unsupported("", fmt::format("stash_type is {}, expected 1 (binary32)", stash),
                       "export the model with binary32 statistics");
  const Shape& x = c.shape(0);
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", -1), static_cast<int64_t>(x.size())));
  const Shape normalized(x.begin() + axis, x.end());
  for (size_t i : {1, 2}) {
    if (!c.has(i)) continue;
    const auto together = broadcast_shapes(c.shape(i), normalized);
    if (!together || *together != normalized)
      return bad_input("",
                       fmt::format("{} has shape {}, expected one that broadcasts to {}", i == 1 ? "scale" : "bias",
                                   to_text(c.shape(i)), to_text(normalized)),
                       "correct the model's shapes");
  }
  return Types{plain(DType::f32, x)};
}

struct SquareSum {
  [[gnu::always_inline]] float operator()(float partial, float d) const { return __builtin_fmaf(d, d, partial); }
};

// bias may be null.
CUPEL_CLONES void normalize_row(const float* __restrict x, int64_t n, float epsilon, const float* __restrict scale,
                                const float* __restrict bias, float* __restrict out) {
  const auto count = static_cast<float>(n);
  const float mean = sum64(x, n, PlainSum{}) / count;
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] - mean;
  const float v = sum64(out, n, SquareSum{});
  const float r = 1.0f / __builtin_sqrtf(v / count + epsilon);
  if (bias != nullptr) {
    for (int64_t i = 0; i < n; ++i) out[i] = __builtin_fmaf(out[i] * r, scale[i], bias[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = (out[i] * r) * scale[i];
  }
}

// The tensor's elements repeated to the dimensions it broadcasts to.
std::vector<float> expanded(const Tensor& t, const Dims& dims) {
  std::vector<float> elements(static_cast<size_t>(element_count(dims)));
  const float* from = t.data<float>().data();
  const BroadcastWalk walk(dims, {&t.dims()});
  walk.for_range(0, walk.size(), [&](int64_t at, const BroadcastWalk::Offsets& offsets, int64_t n) {
    for (int64_t i = 0; i < n; ++i) elements[static_cast<size_t>(at + i)] = from[offsets[0] + i * walk.step(0)];
  });
  return elements;
}

Status reference_layer_normalization(const EvalContext& c) {
  const Dims& dims = c.in(0).dims();
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", -1), c.in(0).rank()));
  if (c.in(0).empty()) return {};
  const Dims normalized(dims.begin() + axis, dims.end());
  const int64_t n = element_count(normalized);
  const std::vector<float> scale = expanded(c.in(1), normalized),
                           bias = c.has(2) ? expanded(c.in(2), normalized) : std::vector<float>();
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(
      c.in(0).size() / n, std::max<int64_t>(1, kPartOperations / n), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          normalize_row(x + r * n, n, epsilon, scale.data(), c.has(2) ? bias.data() : nullptr, out + r * n);
      });
  return {};
}

Cost cost_layer_normalization(const Attributes&, std::span<const TensorType* const> inputs,
                              std::span<const TensorType>) {
  return {0, 5 * elements_per_item(*inputs[0])};
}

// ---- RMSNormalization
// --------------------------------------------------------------------------------------------------

CUPEL_CLONES void scale_row(const float* __restrict x, int64_t n, float epsilon, const float* __restrict scale,
                            float* __restrict out) {
  const float r = 1.0f / __builtin_sqrtf(sum64(x, n, SquareSum{}) / static_cast<float>(n) + epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] * r) * scale[i];
}

Status reference_rms_normalization(const EvalContext& c) {
  const Dims& dims = c.in(0).dims();
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(c.attributes, "axis", -1), c.in(0).rank()));
  if (c.in(0).empty()) return {};
  const Dims normalized(dims.begin() + axis, dims.end());
  const int64_t n = element_count(normalized);
  const std::vector<float> scale = expanded(c.in(1), normalized);
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(c.in(0).size() / n, std::max<int64_t>(1, kPartOperations / n),
                         [&](int64_t begin, int64_t end) {
                           for (int64_t r = begin; r < end; ++r)
                             scale_row(x + r * n, n, epsilon, scale.data(), out + r * n);
                         });
  return {};
}

// ---- BatchNormalization
// ------------------------------------------------------------------------------------------------

Result<Types> infer_batch_normalization(const InferContext& c) {
  const Shape& x = c.shape(0);
  for (size_t i = 0; i < 5; ++i) CUPEL_TRY(expect_dtype(c, i, DType::f32));
  CUPEL_TRY(expect_epsilon(c));
  if (attr_int(c.attributes, "training_mode", 0) != 0)
    return unsupported("", "training_mode is set: the statistics would be those of the batch",
                       "export the model in inference mode");
  if (x.size() < 2)
    return bad_input("", fmt::format("operand 0 has shape {}, expected a batch and channels", to_text(x)),
                     "correct the model's shapes");
  constexpr std::array<std::string_view, 5> kNames = {"x", "scale", "bias", "mean", "variance"};
  for (size_t i = 1; i < 5; ++i)
    if (c.shape(i) != Shape{x[1]})
      return bad_input("", fmt::format("{} has shape {}, expected [{}]", kNames[i], to_text(c.shape(i)), to_text(x[1])),
                       "correct the model's shapes");
  return Types{plain(DType::f32, x)};
}

CUPEL_CLONES void scale_run(const float* __restrict x, int64_t n, float a, float b, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = __builtin_fmaf(x[i], a, b);
}
CUPEL_CLONES void scale_channels(const float* __restrict x, int64_t n, const float* __restrict a,
                                 const float* __restrict b, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = __builtin_fmaf(x[i], a[i], b[i]);
}

Status reference_batch_normalization(const EvalContext& c) {
  const int64_t channels = c.in(0).dims()[1], inner = strides_of(c.in(0).dims())[1];
  if (c.in(0).empty()) return {};
  const auto scale = c.in(1).data<float>(), bias = c.in(2).data<float>(), mean = c.in(3).data<float>(),
             variance = c.in(4).data<float>();
  const float epsilon = attr_real(c.attributes, "epsilon", 1e-5f);
  std::vector<float> a(static_cast<size_t>(channels)), b(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = scale[i] / __builtin_sqrtf(variance[i] + epsilon);
    b[i] = __builtin_fmaf(-mean[i], a[i], bias[i]);
  }
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  if (inner == 1) {
    c.threads.parallel_for(c.in(0).size() / channels, std::max<int64_t>(1, kPartOperations / channels),
                           [&](int64_t begin, int64_t end) {
                             for (int64_t r = begin; r < end; ++r)
                               scale_channels(x + r * channels, channels, a.data(), b.data(), out + r * channels);
                           });
    return {};
  }
  c.threads.parallel_for(c.in(0).size() / inner, std::max<int64_t>(1, kPartOperations / inner),
                         [&](int64_t begin, int64_t end) {
                           for (int64_t r = begin; r < end; ++r) {
                             const auto channel = static_cast<size_t>(r % channels);
                             scale_run(x + r * inner, inner, a[channel], b[channel], out + r * inner);
                           }
                         });
  return {};
}

}  // namespace

namespace ops {

const OpDef kLayerNormalization{.name = "LayerNormalization",
                                .since_opset = 17,
                                .operand_types = same_type(kFloatTypes),
                                .min_inputs = 2,
                                .max_inputs = 3,
                                .max_outputs = 3,  // the statistics are refused when asked for
                                .attributes = {{"axis", AttributeKind::integer},
                                               {"epsilon", AttributeKind::real},
                                               {"stash_type", AttributeKind::integer}},
                                .infer = infer_layer_normalization,
                                .reference = reference_layer_normalization,
                                .cost = cost_layer_normalization,
                                .spelled_by = "reduce-mean form",
                                .samples = {R"(graph "layer_normalization" stage imported opset 17 {
  input %x : f32[batch,5,70]
  input %s : f32[70]
  input %b : f32[70]
  %y = LayerNormalization(%x, %s, %b) {epsilon=1e-06}
  output %y
})",
                                            R"(graph "layer_normalization_no_bias" stage imported opset 17 {
  input %x : f32[batch,64]
  input %s : f32[64]
  %y = LayerNormalization(%x, %s)
  output %y
})",
                                            R"(graph "layer_normalization_two_axes" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  input %s : f32[5,7]
  input %b : f32[7]
  %y = LayerNormalization(%x, %s, %b) {axis=2}
  output %y
})",
                                            R"(graph "layer_normalization_of_a_vector" stage imported opset 17 {
  input %x : f32[64]
  input %s : f32[64]
  %y = LayerNormalization(%x, %s)
  output %y
})"}};

const OpDef kRMSNormalization{.name = "RMSNormalization",
                              .since_opset = 23,
                              .operand_types = {{kFloatTypes}},
                              .min_inputs = 2,
                              .max_inputs = 2,
                              .attributes = {{"axis", AttributeKind::integer},
                                             {"epsilon", AttributeKind::real},
                                             {"stash_type", AttributeKind::integer}},
                              .infer = infer_layer_normalization,
                              .reference = reference_rms_normalization,
                              .cost = cost_layer_normalization,
                              .spelled_by = "reduce-mean form",
                              .samples = {R"(graph "rms_normalization" stage imported opset 23 {
  input %x : f32[batch,5,70]
  input %s : f32[70]
  %y = RMSNormalization(%x, %s) {epsilon=1e-06}
  output %y
})",
                                          R"(graph "rms_normalization_two_axes" stage imported opset 23 {
  input %x : f32[batch,3,5,7]
  input %s : f32[5,7]
  %y = RMSNormalization(%x, %s) {axis=2}
  output %y
})",
                                          R"(graph "rms_normalization_of_a_vector" stage imported opset 23 {
  input %x : f32[64]
  input %s : f32[64]
  %y = RMSNormalization(%x, %s)
  output %y
})"}};

const OpDef kBatchNormalization{
    .name = "BatchNormalization",
    .since_opset = 1,
    .operand_types = {{kFloatTypes}, {kFloatTypes}, {kFloatTypes, 1}, {kFloatTypes}, {kFloatTypes, 3}},
    .min_inputs = 5,
    .max_inputs = 5,
    .max_outputs = 5,  // the running statistics are refused when asked for
    .attributes = {{"epsilon", AttributeKind::real},
                   {"momentum", AttributeKind::real},
                   {"training_mode", AttributeKind::integer}},
    .elements = Elements::elementwise,
    .parameters_from = 1,
    .infer = infer_batch_normalization,
    .reference = reference_batch_normalization,
    .samples = {R"(graph "batch_normalization" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  input %s : f32[3]
  input %b : f32[3]
  input %m : f32[3]
  constant %v : f32[3] = [1.0, 0.5, 2.0]
  %y = BatchNormalization(%x, %s, %b, %m, %v)
  output %y
})",
                R"(graph "batch_normalization_features" stage imported opset 17 {
  input %x : f32[batch,3]
  input %s : f32[3]
  input %b : f32[3]
  input %m : f32[3]
  constant %v : f32[3] = [1.0, 0.5, 2.0]
  %y = BatchNormalization(%x, %s, %b, %m, %v) {epsilon=0.001, momentum=0.9}
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
