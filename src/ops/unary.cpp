// Functions of one element (docs/quantization.md 4); on codes a table of all 256 (section 3, unary functions).
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"
#include "ops/scalar_math.h"

namespace cupel {
namespace {

using namespace ops;

// Each function is made from its node, then applied to one real number.
#define CUPEL_FUNCTION(name, expression)                                          \
  struct name {                                                                   \
    explicit name(const EvalContext&) {}                                          \
    [[gnu::always_inline]] float operator()(float x) const { return expression; } \
  };
CUPEL_FUNCTION(Relu, 0.0f > x ? 0.0f : x)
CUPEL_FUNCTION(Sigmoid, sigmoid_f32(x))
CUPEL_FUNCTION(HardSwish, hard_swish_f32(x))
CUPEL_FUNCTION(Silu, silu_f32(x))
CUPEL_FUNCTION(GeluErf, gelu_f32(x))
CUPEL_FUNCTION(GeluTanh, gelu_tanh_f32(x))
CUPEL_FUNCTION(Tanh, tanh_f32(x))
CUPEL_FUNCTION(Erf, erf_f32(x))
CUPEL_FUNCTION(Exp, exp_f32(x))
CUPEL_FUNCTION(Log, log_f32(x))
CUPEL_FUNCTION(Softplus, softplus_f32(x))
CUPEL_FUNCTION(Sqrt, __builtin_sqrtf(x))
CUPEL_FUNCTION(Reciprocal, 1.0f / x)
CUPEL_FUNCTION(Neg, -x)
CUPEL_FUNCTION(Abs, __builtin_fabsf(x))
CUPEL_FUNCTION(Floor, floor_f32(x))
CUPEL_FUNCTION(Ceil, ceil_f32(x))
CUPEL_FUNCTION(Round, round_half_even_f32(x))
#undef CUPEL_FUNCTION

struct LeakyRelu {
  float alpha;
  explicit LeakyRelu(const EvalContext& c) : alpha(attr_real(c.attributes, "alpha", 0.01f)) {}
  [[gnu::always_inline]] float operator()(float x) const { return x < 0.0f ? alpha * x : x; }
};

struct HardSigmoid {
  float alpha, beta;
  explicit HardSigmoid(const EvalContext& c)
      : alpha(attr_real(c.attributes, "alpha", 0.2f)), beta(attr_real(c.attributes, "beta", 0.5f)) {}
  [[gnu::always_inline]] float operator()(float x) const { return hard_sigmoid_f32(x, alpha, beta); }
};

struct Clip {
  float low, high;
  explicit Clip(const EvalContext& c)
      : low(c.has(1) ? c.in(1).data<float>()[0] : -std::numeric_limits<float>::infinity()),
        high(c.has(2) ? c.in(2).data<float>()[0] : std::numeric_limits<float>::infinity()) {}
  [[gnu::always_inline]] float operator()(float x) const {
    const float t = low > x ? low : x;
    return high < t ? high : t;
  }
};

template <class F>
CUPEL_CLONES void apply(F f, const float* __restrict x, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

template <class F>
Status reference(const EvalContext& c) {
  const F f(c);
  if (c.input_types[0]->quant) {
    look_up(c, table_of(f, *c.input_types[0], c.output_types[0]));
    return {};
  }
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(c.in(0).size(), kPartOperations,
                         [&](int64_t begin, int64_t end) { apply(f, x + begin, end - begin, out + begin); });
  return {};
}

Status reference_gelu(const EvalContext& c) {
  return attr_text(c.attributes, "approximate", "none") == "tanh" ? reference<GeluTanh>(c) : reference<GeluErf>(c);
}

Result<Types> infer_gelu(const InferContext& c) {
  const std::string form = attr_text(c.attributes, "approximate", "none");
  if (form != "none" && form != "tanh")
    return bad_input("", fmt::format("approximate is \"{}\", expected \"none\" or \"tanh\"", printable(form)),
                     "correct the attribute");
  return infer_function(c);
}

Result<Types> infer_clip(const InferContext& c) {
  for (size_t i : {1, 2}) {
    if (!c.has(i)) continue;
    CUPEL_TRY(expect_dtype(c, i, DType::f32));
    const std::string_view bound = i == 1 ? "the lower bound" : "the upper bound";
    if (CUPEL_TRY(shape_elements(c.shape(i))) != Dim(1))
      return bad_input("",
                       fmt::format("{} (operand {}) has shape {}, expected one element", bound, i, to_text(c.shape(i))),
                       "correct the model's shapes");
    if (c.constants[i] == nullptr)
      return unsupported("", fmt::format("{} (operand {}) is computed at run time", bound, i),
                         "export the model with constant bounds");
  }
  return infer_function(c);
}

// A row of the table: a function of one operand without further ones.
OpDef function(std::string_view name, int since_opset, Status (*meaning)(const EvalContext&),
               std::vector<std::string_view> samples, std::vector<AttributeSpec> attributes = {}) {
  return {.name = name,
          .since_opset = since_opset,
          .attributes = std::move(attributes),
          .quant_rule = QuantRule::unary,
          .infer = infer_function,
          .reference = meaning,
          .samples = std::move(samples)};
}

// Samples that every function has: floats of an odd size, and codes.
#define CUPEL_FLOAT_SAMPLE(op)      \
  "graph \"" op                     \
  "\" stage imported opset 20 {\n"  \
  "  input %x : f32[batch,3,5,7]\n" \
  "  %y = " op                      \
  "(%x)\n"                          \
  "  output %y\n"                   \
  "}"
#define CUPEL_CODES_SAMPLE(op)                                             \
  "graph \"" op                                                            \
  "_codes\" stage integer opset 20 {\n"                                    \
  "  input %x : u8[batch,3,7] quant(scale=[0x1.4p-5], zero_point=[113])\n" \
  "  %y = " op                                                             \
  "(%x) : s8[batch,3,7] quant(scale=[0x1.8p-6], zero_point=[-9])\n"        \
  "  output %y\n"                                                          \
  "}"
#define CUPEL_FUNCTION_SAMPLES(op) {CUPEL_FLOAT_SAMPLE(op), CUPEL_CODES_SAMPLE(op)}

}  // namespace

namespace ops {

const OpDef kRelu = function("Relu", 6, reference<Relu>, CUPEL_FUNCTION_SAMPLES("Relu"));
const OpDef kSigmoid = function("Sigmoid", 6, reference<Sigmoid>, CUPEL_FUNCTION_SAMPLES("Sigmoid"));
const OpDef kTanh = function("Tanh", 6, reference<Tanh>, CUPEL_FUNCTION_SAMPLES("Tanh"));
const OpDef kErf = function("Erf", 9, reference<Erf>, CUPEL_FUNCTION_SAMPLES("Erf"));
const OpDef kExp = function("Exp", 6, reference<Exp>, CUPEL_FUNCTION_SAMPLES("Exp"));
const OpDef kLog = function("Log", 6, reference<Log>, CUPEL_FUNCTION_SAMPLES("Log"));
const OpDef kSoftplus = function("Softplus", 1, reference<Softplus>, CUPEL_FUNCTION_SAMPLES("Softplus"));
const OpDef kSqrt = function("Sqrt", 6, reference<Sqrt>, CUPEL_FUNCTION_SAMPLES("Sqrt"));
const OpDef kReciprocal = function("Reciprocal", 6, reference<Reciprocal>, CUPEL_FUNCTION_SAMPLES("Reciprocal"));
const OpDef kNeg = function("Neg", 6, reference<Neg>, CUPEL_FUNCTION_SAMPLES("Neg"));
const OpDef kAbs = function("Abs", 6, reference<Abs>, CUPEL_FUNCTION_SAMPLES("Abs"));
const OpDef kFloor = function("Floor", 6, reference<Floor>, CUPEL_FUNCTION_SAMPLES("Floor"));
const OpDef kCeil = function("Ceil", 6, reference<Ceil>, CUPEL_FUNCTION_SAMPLES("Ceil"));
const OpDef kRound = function("Round", 11, reference<Round>, CUPEL_FUNCTION_SAMPLES("Round"));

const OpDef kLeakyRelu = function("LeakyRelu", 6, reference<LeakyRelu>,
                                  {CUPEL_FLOAT_SAMPLE("LeakyRelu"), CUPEL_CODES_SAMPLE("LeakyRelu"),
                                   R"(graph "leaky_relu_alpha" stage imported opset 20 {
  input %x : f32[2,9]
  %y = LeakyRelu(%x) {alpha=0.3}
  output %y
})"},
                                  {{"alpha", AttributeKind::real}});

const OpDef kHardSigmoid = function("HardSigmoid", 6, reference<HardSigmoid>,
                                    {CUPEL_FLOAT_SAMPLE("HardSigmoid"), CUPEL_CODES_SAMPLE("HardSigmoid"),
                                     R"(graph "hard_sigmoid_sixth" stage imported opset 20 {
  input %x : f32[2,9]
  %y = HardSigmoid(%x) {alpha=0x1.555556p-3, beta=0.5}
  output %y
})"},
                                    {{"alpha", AttributeKind::real}, {"beta", AttributeKind::real}});

const OpDef kHardSwish{.name = "HardSwish",
                       .since_opset = 14,
                       .quant_rule = QuantRule::unary,
                       .infer = infer_function,
                       .reference = reference<HardSwish>,
                       .spelled_by = "hard-sigmoid form",
                       .samples = CUPEL_FUNCTION_SAMPLES("HardSwish")};

const OpDef kSilu{.name = "Silu",
                  .since_opset = 0,
                  .quant_rule = QuantRule::unary,
                  .infer = infer_function,
                  .reference = reference<Silu>,
                  .spelled_by = "x*sigmoid(x)",
                  .samples = CUPEL_FUNCTION_SAMPLES("Silu")};

const OpDef kGelu{.name = "Gelu",
                  .since_opset = 20,
                  .attributes = {{"approximate", AttributeKind::text}},
                  .quant_rule = QuantRule::unary,
                  .infer = infer_gelu,
                  .reference = reference_gelu,
                  .spelled_by = "erf form or tanh form",
                  .samples = {CUPEL_FLOAT_SAMPLE("Gelu"), CUPEL_CODES_SAMPLE("Gelu"),
                              R"(graph "gelu_tanh" stage imported opset 20 {
  input %x : f32[batch,3,17]
  %y = Gelu(%x) {approximate="tanh"}
  output %y
})"}};

const OpDef kClip{.name = "Clip",
                  .since_opset = 6,
                  .min_inputs = 1,
                  .max_inputs = 3,
                  .quant_rule = QuantRule::unary,
                  .infer = infer_clip,
                  .reference = reference<Clip>,
                  .samples = {R"(graph "clip" stage imported opset 17 {
  input %x : f32[batch,3,5,7]
  constant %low : f32[] = [-0.5]
  constant %high : f32[] = [0.75]
  %y = Clip(%x, %low, %high)
  output %y
})",
                              R"(graph "clip_upper_only" stage imported opset 17 {
  input %x : f32[batch,9]
  constant %high : f32[] = [0.25]
  %y = Clip(%x, _, %high)
  output %y
})",
                              R"(graph "clip_unbounded" stage imported opset 17 {
  input %x : f32[3,1]
  %y = Clip(%x)
  output %y
})",
                              R"(graph "clip_codes" stage integer opset 17 {
  input %x : u8[batch,3,7] quant(scale=[0x1p-5], zero_point=[100])
  constant %low : f32[] = [0.0]
  constant %high : f32[] = [6.0]
  %y = Clip(%x, %low, %high) : u8[batch,3,7] quant(scale=[0x1.8p-6], zero_point=[0])
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
