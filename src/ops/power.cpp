// Pow with a constant exponent of 0, 1, 2, 3, ½ or −1 (docs/quantization.md 4).
#include <fmt/format.h>

#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

#define CUPEL_POWER(name, expression)                                             \
  struct name {                                                                   \
    [[gnu::always_inline]] float operator()(float x) const { return expression; } \
  };
CUPEL_POWER(Square, x* x)
CUPEL_POWER(Cube, x* x* x)
CUPEL_POWER(SquareRoot, __builtin_sqrtf(x))
CUPEL_POWER(Same, x)
CUPEL_POWER(Inverse, 1.0f / x)
#undef CUPEL_POWER
struct One {
  [[gnu::always_inline]] float operator()(float) const { return 1.0f; }
};

Result<Types> infer_pow(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  const TensorType& e = c.type(1);
  if (e.quant || (e.dtype != DType::f32 && e.dtype != DType::s32 && e.dtype != DType::s64))
    return unsupported("", fmt::format("the exponent (operand 1) is {}, expected f32, s32 or s64", to_text(e)),
                       "convert the exponent");
  if (c.constants[1] == nullptr)
    return unsupported("", "the exponent (operand 1) is computed at run time",
                       "use a constant exponent of one element");
  const Tensor& exponent = *c.constants[1];
  if (exponent.size() != 1)
    return unsupported(
        "", fmt::format("the exponent (operand 1) has shape {}, expected one element", to_text(exponent.dims())),
        "use a constant exponent of one element");
  const double value = exponent.at(0);
  if (value != 2 && value != 3 && value != 0.5 && value != 1 && value != -1 && value != 0)
    return unsupported("", fmt::format("the exponent is {}, expected 2, 3, 0.5, 1, -1 or 0", value),
                       "write the power with other ops");
  return Types{plain(DType::f32, CUPEL_TRY(broadcast_shapes(c.shape(0), e.shape)))};
}

template <class F>
CUPEL_CLONES void apply(F f, const float* __restrict x, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

template <class F>
Status power(const EvalContext& c, F f) {
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(c.in(0).size(), kPartOperations,
                         [&](int64_t begin, int64_t end) { apply(f, x + begin, end - begin, out + begin); });
  return {};
}

Status reference_pow(const EvalContext& c) {
  const double exponent = c.in(1).at(0);
  if (exponent == 2) return power(c, Square{});
  if (exponent == 3) return power(c, Cube{});
  if (exponent == 0.5) return power(c, SquareRoot{});
  if (exponent == 1) return power(c, Same{});
  if (exponent == -1) return power(c, Inverse{});
  return power(c, One{});
}

}  // namespace

namespace ops {

const OpDef kPow{.name = "Pow",
                 .since_opset = 7,
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
                 .parameters_from = 1,
                 .infer = infer_pow,
                 .reference = reference_pow,
                 .samples = {R"(graph "pow_square" stage imported opset 17 {
  input %x : f32[batch,3,7]
  constant %e : f32[] = [2.0]
  %y = Pow(%x, %e)
  output %y
})",
                             R"(graph "pow_cube" stage imported opset 17 {
  input %x : f32[batch,3,7]
  constant %e : s64[1] = [3]
  %y = Pow(%x, %e)
  output %y
})",
                             R"(graph "pow_root" stage imported opset 17 {
  input %x : f32[5]
  constant %e : f32[1,1] = [0.5]
  %y = Pow(%x, %e)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
