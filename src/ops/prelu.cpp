// PRelu: slope · x below 0, with slopes that broadcast to x.
#include <fmt/format.h>

#include "base/scalar_math.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

Result<Types> infer_prelu(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  CUPEL_TRY(expect_dtype(c, 1, DType::f32));
  const auto together = broadcast_shapes(c.shape(0), c.shape(1));
  if (!together || *together != c.shape(0))
    return bad_input("",
                     fmt::format("the slope has shape {}, expected one that broadcasts to {}", to_text(c.shape(1)),
                                 to_text(c.shape(0))),
                     "correct the model's shapes");
  return Types{plain(DType::f32, c.shape(0))};
}

CUPEL_CLONES void apply(const float* __restrict x, int64_t n, const float* __restrict slope, int64_t step,
                        float* __restrict out) {
  if (step == 0) {
    const float constant = *slope;
    for (int64_t i = 0; i < n; ++i) out[i] = scalar::select(x[i] < 0.0f, constant * x[i], x[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = scalar::select(x[i] < 0.0f, slope[i] * x[i], x[i]);
  }
}

Status reference_prelu(const EvalContext& c) {
  const float *x = c.in(0).data<float>().data(), *slope = c.in(1).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  const BroadcastWalk walk(c.out().dims(), {&c.in(0).dims(), &c.in(1).dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    apply(x + from[0], n, slope + from[1], walk.step(1), out + at);
  });
  return {};
}

}  // namespace

namespace ops {

const OpDef kPRelu{.name = "PRelu",
                   .since_opset = 1,
                   .operand_types = same_type(kFloatTypes | kWideIntegerTypes),
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .elements = Elements::elementwise,
                   .infer = infer_prelu,
                   .reference = reference_prelu,
                   .samples = {R"(graph "prelu_channels" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  input %slope : f32[3,1,1]
  %y = PRelu(%x, %slope)
  output %y
})",
                               R"(graph "prelu_one_slope" stage imported opset 17 {
  input %x : f32[batch,9]
  constant %slope : f32[1] = [0.25]
  %y = PRelu(%x, %slope)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
