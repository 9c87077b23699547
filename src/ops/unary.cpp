// Functions of one element (docs/quantization.md 4); on codes a table of all 256 (section 3, unary functions). What
// they compute stands in unary_functions.def.
#include <fmt/format.h>

#include <deque>
#include <limits>
#include <string>
#include <type_traits>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/combine.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"
#include "ops/unary_functions.h"

namespace cupel {
namespace {

using namespace ops;

struct Clip {
  float low, high;
  explicit Clip(const EvalContext& c)
      : low(c.has(1) ? c.in(1).data<float>()[0] : -std::numeric_limits<float>::infinity()),
        high(c.has(2) ? c.in(2).data<float>()[0] : std::numeric_limits<float>::infinity()) {}
  [[gnu::always_inline]] float operator()(float x) const { return scalar::less(high, scalar::greater(low, x)); }
};

template <class F>
CUPEL_CLONES void apply(F f, const float* __restrict x, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

template <class F>
F function_of(const EvalContext& c) {
  if constexpr (std::is_constructible_v<F, const Attributes&>)
    return F(c.attributes);
  else
    return F(c);
}

template <class F>
Status reference(const EvalContext& c) {
  if (c.in(0).dtype() != DType::f32 && !c.input_types[0]->quant) return evaluate_routine(c);
  const F f = function_of<F>(c);
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

// The functions that other elements than binary32 have too; `count` where there is none.
template <class F>
constexpr ElementFunction kFunction = ElementFunction::count;
template <>
constexpr ElementFunction kFunction<unary::Neg> = ElementFunction::negative;
template <>
constexpr ElementFunction kFunction<unary::Abs> = ElementFunction::magnitude;
template <>
constexpr ElementFunction kFunction<unary::Sign> = ElementFunction::sign;
template <>
constexpr ElementFunction kFunction<unary::Relu> = ElementFunction::positive;
template <>
constexpr ElementFunction kFunction<unary::Reciprocal> = ElementFunction::reciprocal;
template <>
constexpr ElementFunction kFunction<unary::Sqrt> = ElementFunction::square_root;
template <>
constexpr ElementFunction kFunction<unary::Floor> = ElementFunction::floor;
template <>
constexpr ElementFunction kFunction<unary::Ceil> = ElementFunction::ceil;
template <>
constexpr ElementFunction kFunction<unary::Round> = ElementFunction::round;
template <>
constexpr ElementFunction kFunction<unary::Exp> = ElementFunction::exp;
template <>
constexpr ElementFunction kFunction<unary::Log> = ElementFunction::log;

template <class F>
Result<Types> infer(const InferContext& c) {
  const TensorType& x = c.type(0);
  if (kFunction<F> == ElementFunction::count || x.quant || !has_function(x.dtype, kFunction<F>))
    return infer_function(c);
  return Types{plain(x.dtype, c.shape(0))};
}

// Of integers that are shapes or made of shapes.
template <int64_t (*kOf)(int64_t)>
Result<std::optional<std::vector<Dim>>> fold_integers(const InferContext& c) {
  const DType type = c.type(0).dtype;
  if (c.contents[0] == nullptr || (type != DType::s64 && type != DType::s32)) return std::nullopt;
  std::vector<Dim> results;
  for (const Dim& d : *c.contents[0]) {
    if (!d.is_constant() || d.factor == (type == DType::s32 ? INT32_MIN : INT64_MIN)) return std::nullopt;
    results.emplace_back(kOf(d.factor));
  }
  return std::optional(std::move(results));
}
int64_t negated(int64_t x) { return -x; }
int64_t size_of(int64_t x) { return x < 0 ? -x : x; }

template <class F>
auto fold_of() -> decltype(OpDef::fold_contents) {
  if (kFunction<F> == ElementFunction::negative) return fold_integers<negated>;
  if (kFunction<F> == ElementFunction::magnitude) return fold_integers<size_of>;
  return nullptr;
}

Status reference_gelu(const EvalContext& c) {
  return is_gelu_tanh(c.attributes) ? reference<unary::GeluTanh>(c) : reference<unary::GeluErf>(c);
}

Result<Types> infer_gelu(const InferContext& c) {
  const std::string form = attr_text(c.attributes, "approximate", "none");
  if (form != "none" && form != "tanh")
    return bad_input("", fmt::format("approximate is \"{}\", expected \"none\" or \"tanh\"", printable(form)),
                     "correct the attribute");
  return infer_function(c);
}

Result<Types> infer_clip(const InferContext& c) {
  const bool plain_numbers = c.type(0).dtype != DType::f32 && !c.type(0).quant;
  if (plain_numbers) CUPEL_TRY(expect_function(c, ElementFunction::greater));
  for (size_t i : {1, 2}) {
    if (!c.has(i)) continue;
    if (!plain_numbers) CUPEL_TRY(expect_dtype(c, i, DType::f32));
    const std::string_view bound = i == 1 ? "the lower bound" : "the upper bound";
    if (CUPEL_TRY(shape_elements(c.shape(i))) != Dim(1))
      return bad_input("",
                       fmt::format("{} (operand {}) has shape {}, expected one element", bound, i, to_text(c.shape(i))),
                       "correct the model's shapes");
    if (c.constants[i] == nullptr)
      return computed_at_run_time(fmt::format("{} (operand {}) is computed at run time", bound, i),
                                  "export the model with constant bounds");
  }
  if (plain_numbers) return Types{plain(c.type(0).dtype, c.shape(0))};
  return infer_function(c);
}

// A bound has one element, whatever its rank.
Result<RoutineUse> routine_clip(const RoutineContext& c) {
  constexpr ElementFunction kNext[] = {ElementFunction::greater, ElementFunction::less};
  return combination(c, ElementFunction::copy, kNext);
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

// The schema of a function without further operands. `samples`: those that every function has.
template <class F>
OpDef function(std::string_view name, int since_opset, DTypeSet types, std::string_view spelled_by,
               std::vector<std::string_view> samples) {
  OpDef op{.name = name,
           .since_opset = since_opset,
           .operand_types = {{types}},
           .quant_rule = QuantRule::unary,
           .elements = Elements::elementwise,
           .infer = infer<F>,
           .fold_contents = fold_of<F>(),
           .reference = reference<F>,
           .spelled_by = spelled_by,
           .samples = std::move(samples)};
  if constexpr (kFunction<F> != ElementFunction::count) op.routine = routine_combine<kFunction<F>>;
  static std::deque<std::string> texts;  // rows live as long as the program
  if (op.routine != nullptr)
    op.samples.push_back(texts.emplace_back(fmt::format(
        "graph \"{0}_wide\" stage imported opset 20 {{\n  input %x : f64[batch,7]\n  %y = {0}(%x)\n  output %y\n}}",
        name)));
  if (kFunction<F> == ElementFunction::negative || kFunction<F> == ElementFunction::magnitude)
    op.samples.push_back(texts.emplace_back(fmt::format(
        "graph \"{0}_bytes\" stage imported opset 20 {{\n  input %x : s8[batch,5]\n  %y = {0}(%x)\n  output %y\n}}",
        name)));
  std::string values;
  for (const UnaryParameter& p : F::kParameters) {
    if (p.name.empty()) continue;
    op.attributes.push_back({p.name, AttributeKind::real});
    values += fmt::format("{}{}={}", values.empty() ? "" : ", ", p.name, 0.75f * p.standard + 0.0625f);
  }
  if (values.empty()) return op;
  // One more with attributes that are not the defaults.
  op.samples.push_back(texts.emplace_back(
      fmt::format("graph \"{0}_attributes\" stage imported opset 20 {{\n  input %x : f32[2,9]\n  %y = {0}(%x) {{{1}}}\n"
                  "  output %y\n}}",
                  name, values)));
  return op;
}

}  // namespace

namespace ops {

#define CUPEL_UNARY(op, since_opset, types, spelled_by, ...) \
  const OpDef k##op =                                        \
      function<unary::op>(#op, since_opset, types, spelled_by, {CUPEL_FLOAT_SAMPLE(#op), CUPEL_CODES_SAMPLE(#op)});
#include "ops/unary_functions.def"
#undef CUPEL_UNARY

const OpDef kGelu{.name = "Gelu",
                  .since_opset = 20,
                  .operand_types = {{kFloatTypes}},
                  .attributes = {{"approximate", AttributeKind::text}},
                  .quant_rule = QuantRule::unary,
                  .elements = Elements::elementwise,
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
                  .since_opset = 1,
                  .operand_types = same_type(kNumberTypes),
                  .min_inputs = 1,
                  .max_inputs = 3,
                  .quant_rule = QuantRule::unary,
                  .elements = Elements::elementwise,
                  .parameters_from = 1,
                  .infer = infer_clip,
                  .reference = reference<Clip>,
                  .routine = routine_clip,
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
})",
                              R"(graph "clip_bytes" stage imported opset 17 {
  input %x : s8[batch,5]
  constant %low : s8[] = [-3]
  constant %high : s8[] = [100]
  %y = Clip(%x, %low, %high)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
