// Add, Sub, Mul, Div, Mod, Max, Min with broadcasting, Add and Mul on codes too (docs/quantization.md 3, 4). What is
// neither binary32 nor a code is combined by the routine of that name.
#include <fmt/format.h>

#include "base/scalar_math.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/combine.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

// Of binary32; all other elements are combined by the runtime's routine.
struct AddOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return a + b; }
};
struct SubOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return a - b; }
};
struct MulOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return a * b; }
};
struct DivOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return a / b; }
};
struct MaxOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return scalar::greater(a, b); }
};
struct MinOf {
  [[gnu::always_inline]] float operator()(float a, float b) const { return scalar::less(a, b); }
};

// out may be a.
template <class F>
CUPEL_CLONES void combine(F f, const float* a, int64_t a_step, const float* __restrict b, int64_t b_step, int64_t n,
                          float* out) {
  if (a_step == 0) {
    const float constant = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = f(constant, b[i * b_step]);
  } else if (b_step == 0) {
    const float constant = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], constant);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  }
}

template <class F>
void combine_tensors(const EvalContext& c, F f, const Tensor& a, const Tensor& b) {
  const float *x = a.data<float>().data(), *y = b.data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  const BroadcastWalk walk(c.out().dims(), {&a.dims(), &b.dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    combine(f, x + from[0], walk.step(0), y + from[1], walk.step(1), n, out + at);
  });
}

// ---- Codes
// -------------------------------------------------------------------------------------------------------------

// to_code(fma(f32(qb − zb), mb, f32(qa − za) · ma), zy) with ma = f32(double(sa) / double(sy)), mb likewise
struct AddCodes {
  float a_ratio, b_ratio;
  AddCodes(float sa, float sb, float sy) : a_ratio(scale_ratio(sa, sy)), b_ratio(scale_ratio(sb, sy)) {}
  [[gnu::always_inline]] float operator()(int32_t a, int32_t b) const {
    return __builtin_fmaf(static_cast<float>(b), b_ratio, static_cast<float>(a) * a_ratio);
  }
};
// to_code(f32((qa − za)(qb − zb)) · f32(double(sa) · double(sb) / double(sy)), zy)
struct MulCodes {
  float ratio;
  MulCodes(float sa, float sb, float sy) : ratio(product_ratio(sa, sb, sy)) {}
  [[gnu::always_inline]] float operator()(int32_t a, int32_t b) const { return static_cast<float>(a * b) * ratio; }
};

template <class F>
CUPEL_CLONES void combine_codes(F f, ByteCodes a_codes, const uint8_t* __restrict a, int64_t a_step, ByteCodes b_codes,
                                const uint8_t* __restrict b, int64_t b_step, CodeRange range, int64_t n,
                                uint8_t* __restrict out) {
  if (a_step == 0) {
    const int32_t constant = a_codes.centered(*a);
    for (int64_t i = 0; i < n; ++i)
      out[i] = static_cast<uint8_t>(to_code(f(constant, b_codes.centered(b[i * b_step])), range));
  } else if (b_step == 0) {
    const int32_t constant = b_codes.centered(*b);
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<uint8_t>(to_code(f(a_codes.centered(a[i]), constant), range));
  } else {
    for (int64_t i = 0; i < n; ++i)
      out[i] = static_cast<uint8_t>(to_code(f(a_codes.centered(a[i]), b_codes.centered(b[i])), range));
  }
}

template <class F>
void combine_code_tensors(const EvalContext& c) {
  const TensorType &x = *c.input_types[0], &y = *c.input_types[1], &result = c.output_types[0];
  const F f(x.quant->scale[0], y.quant->scale[0], result.quant->scale[0]);
  const ByteCodes x_codes(x), y_codes(y);
  const CodeRange range(result.dtype, result.quant->zero_point[0]);
  const uint8_t *a = byte_elements(c.in(0)), *b = byte_elements(c.in(1));
  uint8_t* out = byte_elements(c.out());
  const BroadcastWalk walk(c.out().dims(), {&c.in(0).dims(), &c.in(1).dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    combine_codes(f, x_codes, a + from[0], walk.step(0), y_codes, b + from[1], walk.step(1), range, n, out + at);
  });
}

// ---- Types
// -------------------------------------------------------------------------------------------------------------

// Numbers of any type without parameters; every operand has the type of the first.
template <ElementFunction f>
Status expect_numbers(const InferContext& c) {
  for (size_t i = 0; i < c.inputs.size(); ++i)
    if (!c.has(i)) return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
  if (c.type(0).dtype != DType::f32) return expect_function(c, f);
  for (size_t i = 1; i < c.inputs.size(); ++i) CUPEL_TRY(expect_dtype(c, i, DType::f32));
  return {};
}

template <ElementFunction f>
Result<Types> infer_numbers(const InferContext& c) {
  CUPEL_TRY(expect_numbers<f>(c));
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.inputs.size(); ++i) shape = CUPEL_TRY(broadcast_shapes(shape, c.shape(i)));
  return Types{plain(c.type(0).dtype, std::move(shape))};
}

template <ElementFunction f>
Result<Types> infer_numbers_or_codes(const InferContext& c) {
  if (!c.type(0).quant && !c.type(1).quant) return infer_numbers<f>(c);
  CUPEL_TRY(expect_byte_codes(c, 0));
  CUPEL_TRY(expect_byte_codes(c, 1));
  return Types{CUPEL_TRY(declared_byte_codes(c, CUPEL_TRY(broadcast_shapes(c.shape(0), c.shape(1)))))};
}

// ---- Shape arithmetic
// --------------------------------------------------------------------------------------------------

using Folded = Result<std::optional<std::vector<Dim>>>;
using FoldedElement = Result<std::optional<Dim>>;

// The value of a fallible operation on dimensions; unknown where Cupel cannot express it, an error where it is wrong.
FoldedElement known_or_unknown(Result<Dim> d) {
  if (d) return std::optional(std::move(*d));
  if (d.error().kind == ErrorKind::unsupported) return std::nullopt;
  return std::unexpected(std::move(d).error());
}
FoldedElement fold_add(const Dim& a, const Dim& b) { return known_or_unknown(dim_add(a, b)); }
FoldedElement fold_sub(const Dim& a, const Dim& b) {
  return known_or_unknown(dim_add(a, Dim(CUPEL_TRY(checked_mul(b.factor, -1)), b.symbol)));
}
FoldedElement fold_mul(const Dim& a, const Dim& b) { return known_or_unknown(dim_mul(a, b)); }
FoldedElement fold_div(const Dim& a, const Dim& b) {
  if (b == Dim(0)) return bad_input("", "an integer is divided by 0", "correct the model");
  if (a == Dim(0)) return std::optional(Dim(0));
  if (a.is_constant() && b.is_constant()) {
    if (b.factor == -1) return std::optional(Dim(CUPEL_TRY(checked_mul(a.factor, -1))));
    return std::optional(Dim(a.factor / b.factor));
  }
  if ((!b.is_constant() && a.symbol != b.symbol) || b.factor == -1 || a.factor % b.factor != 0) return std::nullopt;
  return known_or_unknown(dim_div_exact(a, b));
}
FoldedElement fold_mod(const Dim& a, const Dim& b) {
  if (b == Dim(0)) return bad_input("", "an integer is divided by 0", "correct the model");
  if (!a.is_constant() || !b.is_constant()) return std::nullopt;
  return std::optional(Dim(modulo_of(a.factor, b.factor)));
}
FoldedElement fold_max(const Dim& a, const Dim& b) {
  if (a == b) return std::optional(a);
  if (!a.is_constant() || !b.is_constant()) return std::nullopt;
  return std::optional(a.factor > b.factor ? a : b);
}
FoldedElement fold_min(const Dim& a, const Dim& b) {
  if (a == b) return std::optional(a);
  if (!a.is_constant() || !b.is_constant()) return std::nullopt;
  return std::optional(a.factor < b.factor ? a : b);
}

// Element by element over the broadcast operands, from left to right.
template <FoldedElement (*kFold)(const Dim&, const Dim&)>
Folded fold(const InferContext& c) {
  const DType type = c.type(0).dtype;
  if (type != DType::s64 && type != DType::s32) return std::nullopt;
  const auto is_known = [&](size_t i) {
    return c.has(i) && c.contents[i] != nullptr && is_static(c.shape(i)) &&
           static_cast<int64_t>(c.contents[i]->size()) == element_count(static_dims(c.shape(i)));
  };
  if (!is_known(0)) return std::nullopt;
  std::vector<Dim> so_far = *c.contents[0];
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.inputs.size(); ++i) {
    if (!is_known(i)) return std::nullopt;
    const Dims a = static_dims(shape), b = static_dims(c.shape(i));
    shape = CUPEL_TRY(broadcast_shapes(shape, c.shape(i)));
    const Dims out = static_dims(shape);
    if (CUPEL_TRY(count_elements(out)) > 4096) return std::nullopt;
    const BroadcastWalk walk(out, {&a, &b});
    std::vector<Dim> results;
    std::vector<std::pair<int64_t, int64_t>> pairs;
    walk.for_range(0, walk.size(), [&](int64_t, const BroadcastWalk::Offsets& from, int64_t n) {
      for (int64_t j = 0; j < n; ++j) pairs.emplace_back(from[0] + j * walk.step(0), from[1] + j * walk.step(1));
    });
    for (const auto& [p, q] : pairs) {
      std::optional<Dim> d = CUPEL_TRY(kFold(so_far[static_cast<size_t>(p)], (*c.contents[i])[static_cast<size_t>(q)]));
      if (!d || (type == DType::s32 && d->is_constant() && (d->factor < INT32_MIN || d->factor > INT32_MAX)))
        return std::nullopt;
      results.push_back(std::move(*d));
    }
    so_far = std::move(results);
  }
  return std::optional(std::move(so_far));
}

// With fmod for operands that are not negative, where both forms agree.
Folded fold_mod_contents(const InferContext& c) {
  const bool sign_of_first = attr_int(c.attributes, "fmod", 0) != 0;
  for (size_t i = 0; sign_of_first && i < 2; ++i) {
    if (!c.has(i) || c.contents[i] == nullptr) return std::nullopt;
    for (const Dim& d : *c.contents[i])
      if (d.factor < 0) return std::nullopt;
  }
  return fold<fold_mod>(c);
}

// ---- Meanings
// ----------------------------------------------------------------------------------------------------------

template <class F>
Status reference(const EvalContext& c) {
  if (c.in(0).dtype() != DType::f32) return evaluate_routine(c);
  combine_tensors(c, F{}, c.in(0), c.in(1));
  return {};
}

template <class F, class CodesF>
Status reference_with_codes(const EvalContext& c) {
  if (c.input_types[0]->quant) {
    combine_code_tensors<CodesF>(c);
    return {};
  }
  return reference<F>(c);
}

// Of one operand a copy; of more, from left to right.
template <class F>
Status reference_variadic(const EvalContext& c) {
  if (c.in(0).dtype() != DType::f32) return evaluate_routine(c);
  if (c.inputs.size() == 1) {
    std::copy(c.in(0).bytes().begin(), c.in(0).bytes().end(), c.out().mutable_bytes().begin());
    return {};
  }
  combine_tensors(c, F{}, c.in(0), c.in(1));
  for (size_t i = 2; i < c.inputs.size(); ++i) combine_tensors(c, F{}, Tensor(c.out()), c.in(i));
  return {};
}

Result<RoutineUse> routine_mod(const RoutineContext& c) {
  return attr_int(c.attributes, "fmod", 0) != 0 ? routine_combine<ElementFunction::remainder>(c)
                                                : routine_combine<ElementFunction::modulo>(c);
}

}  // namespace

namespace ops {

const OpDef kAdd{.name = "Add",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .quant_rule = QuantRule::add,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers_or_codes<ElementFunction::add>,
                 .fold_contents = fold<fold_add>,
                 .reference = reference_with_codes<AddOf, AddCodes>,
                 .routine = routine_combine<ElementFunction::add>,
                 .samples = {R"(graph "add" stage imported opset 17 {
  input %a : f32[batch,3,5,7]
  input %b : f32[batch,3,5,7]
  %y = Add(%a, %b)
  output %y
})",
                             R"(graph "add_channel_bias" stage imported opset 17 {
  input %a : f32[batch,3,5,7]
  input %b : f32[3,1,1]
  %y = Add(%b, %a)
  output %y
})",
                             R"(graph "add_both_broadcast" stage imported opset 17 {
  input %a : f32[batch,1,5]
  input %b : f32[3,1]
  %y = Add(%a, %b)
  output %y
})",
                             R"(graph "add_integers" stage imported opset 17 {
  input %a : s64[batch,3]
  input %b : s64[]
  %y = Add(%a, %b)
  output %y
})",
                             R"(graph "add_codes" stage integer opset 17 {
  input %a : u8[batch,3,5,7] quant(scale=[0x1.4p-5], zero_point=[113])
  input %b : u8[batch,3,5,7] quant(scale=[0x1.cp-6], zero_point=[7])
  %y = Add(%a, %b) : u8[batch,3,5,7] quant(scale=[0x1.2p-4], zero_point=[120])
  output %y
})",
                             R"(graph "add_codes_broadcast" stage integer opset 17 {
  input %a : s8[3,1] quant(scale=[0x1.4p-5], zero_point=[-3])
  input %b : u8[batch,3,5] quant(scale=[0x1.cp-6], zero_point=[200])
  %y = Add(%a, %b) : s8[batch,3,5] quant(scale=[0x1.2p-5], zero_point=[-20])
  output %y
})",
                             R"(graph "add_wide_numbers" stage imported opset 17 {
  input %a : f64[batch,3,1]
  input %b : f64[3,5]
  %y = Add(%a, %b)
  output %y
})"}};

const OpDef kSub{.name = "Sub",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers<ElementFunction::sub>,
                 .fold_contents = fold<fold_sub>,
                 .reference = reference<SubOf>,
                 .routine = routine_combine<ElementFunction::sub>,
                 .samples = {R"(graph "sub" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[batch,1,7]
  %y = Sub(%a, %b)
  output %y
})",
                             R"(graph "sub_scalar_first" stage imported opset 17 {
  constant %one : f32[] = [1.0]
  input %b : f32[batch,9]
  %y = Sub(%one, %b)
  output %y
})",
                             R"(graph "sub_short" stage imported opset 17 {
  input %a : s16[batch,3]
  input %b : s16[batch,3]
  %y = Sub(%a, %b)
  output %y
})"}};

const OpDef kMul{.name = "Mul",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .quant_rule = QuantRule::mul,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers_or_codes<ElementFunction::mul>,
                 .fold_contents = fold<fold_mul>,
                 .reference = reference_with_codes<MulOf, MulCodes>,
                 .routine = routine_combine<ElementFunction::mul>,
                 .samples = {R"(graph "mul" stage imported opset 17 {
  input %a : f32[batch,3,5,7]
  input %b : f32[batch,3,5,7]
  %y = Mul(%a, %b)
  output %y
})",
                             R"(graph "mul_excitation" stage imported opset 17 {
  input %a : f32[batch,3,5,7]
  input %b : f32[batch,3,1,1]
  %y = Mul(%a, %b)
  output %y
})",
                             R"(graph "mul_codes" stage integer opset 17 {
  input %a : u8[batch,3,5] quant(scale=[0x1.4p-5], zero_point=[113])
  input %b : s8[batch,3,1] quant(scale=[0x1.cp-6], zero_point=[7])
  %y = Mul(%a, %b) : u8[batch,3,5] quant(scale=[0x1.2p-5], zero_point=[128])
  output %y
})",
                             R"(graph "mul_bytes" stage imported opset 17 {
  input %a : u8[batch,5]
  input %b : u8[]
  %y = Mul(%b, %a)
  output %y
})"}};

const OpDef kDiv{.name = "Div",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers<ElementFunction::div>,
                 .fold_contents = fold<fold_div>,
                 .reference = reference<DivOf>,
                 .routine = routine_combine<ElementFunction::div>,
                 .samples = {R"(graph "div" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[batch,3,1]
  %y = Div(%a, %b)
  output %y
})",
                             R"(graph "div_integers" stage imported opset 17 {
  input %a : s64[batch,5]
  constant %b : s64[5] = [1, -2, 3, -4, 5]
  %y = Div(%a, %b)
  output %y
})",
                             R"(graph "div_bytes" stage imported opset 17 {
  input %a : s8[batch,4]
  constant %b : s8[4] = [-1, 3, -5, 127]
  %y = Div(%a, %b)
  output %y
})"}};

const OpDef kMod{.name = "Mod",
                 .since_opset = 10,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .attributes = {{"fmod", AttributeKind::integer}},
                 .elements = Elements::elementwise,
                 .infer = infer_numbers<ElementFunction::modulo>,
                 .fold_contents = fold_mod_contents,
                 .reference = evaluate_routine,
                 .routine = routine_mod,
                 .samples = {R"(graph "mod" stage imported opset 17 {
  input %a : s64[batch,6]
  constant %b : s64[6] = [3, -3, 5, -7, 1, -1]
  %y = Mod(%a, %b)
  output %y
})",
                             R"(graph "mod_sign_of_dividend" stage imported opset 17 {
  input %a : s32[batch,3]
  constant %b : s32[3] = [3, -4, 7]
  %y = Mod(%a, %b) {fmod=1}
  output %y
})",
                             R"(graph "mod_numbers" stage imported opset 17 {
  input %a : f32[batch,3]
  constant %b : f32[3] = [1.5, -0.75, 0.3]
  %y = Mod(%a, %b) {fmod=1}
  output %y
})",
                             R"(graph "mod_numbers_sign_of_divisor" stage imported opset 28 {
  input %a : f32[batch,3]
  constant %b : f32[3] = [1.5, -0.75, 0.3]
  %y = Mod(%a, %b)
  output %y
})",
                             R"(graph "mod_wide_numbers" stage imported opset 17 {
  input %a : f64[batch,3]
  constant %b : f64[3] = [1.5, -0.75, 0.3]
  %y = Mod(%a, %b) {fmod=1}
  output %y
})"}};

const OpDef kMax{.name = "Max",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 1,
                 .max_inputs = -1,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers<ElementFunction::greater>,
                 .fold_contents = fold<fold_max>,
                 .reference = reference_variadic<MaxOf>,
                 .routine = routine_combine<ElementFunction::greater>,
                 .samples = {R"(graph "max" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[3,1]
  %y = Max(%a, %b)
  output %y
})",
                             R"(graph "max_three" stage imported opset 17 {
  input %a : f32[7]
  input %b : f32[batch,1,1]
  input %c : f32[3,1]
  %y = Max(%a, %b, %c)
  output %y
})",
                             R"(graph "max_one" stage imported opset 17 {
  input %a : f32[batch,5]
  %y = Max(%a)
  output %y
})",
                             R"(graph "max_unsigned" stage imported opset 17 {
  input %a : u64[batch,3]
  input %b : u64[3]
  input %c : u64[1]
  %y = Max(%a, %b, %c)
  output %y
})"}};

const OpDef kMin{.name = "Min",
                 .since_opset = 1,
                 .operand_types = same_type(kNumberTypes),
                 .min_inputs = 1,
                 .max_inputs = -1,
                 .elements = Elements::elementwise,
                 .infer = infer_numbers<ElementFunction::less>,
                 .fold_contents = fold<fold_min>,
                 .reference = reference_variadic<MinOf>,
                 .routine = routine_combine<ElementFunction::less>,
                 .samples = {R"(graph "min" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[]
  %y = Min(%a, %b)
  output %y
})",
                             R"(graph "min_integers" stage imported opset 17 {
  input %a : s64[batch,3]
  input %b : s64[3]
  input %c : s64[1]
  %y = Min(%a, %b, %c)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
