// Equal, Greater, Less, GreaterOrEqual, LessOrEqual, Not, And, Or, Xor, Where: comparisons and choices with
// broadcasting. A bool is true when its byte is not 0.
#include <fmt/format.h>

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

struct EqualTo {
  template <class T>
  [[gnu::always_inline]] bool operator()(T a, T b) const {
    return a == b;
  }
};
struct SameTruth {
  [[gnu::always_inline]] bool operator()(uint8_t a, uint8_t b) const { return (a != 0) == (b != 0); }
};
struct GreaterThan {
  template <class T>
  [[gnu::always_inline]] bool operator()(T a, T b) const {
    return a > b;
  }
};
struct LessThan {
  template <class T>
  [[gnu::always_inline]] bool operator()(T a, T b) const {
    return a < b;
  }
};
struct AtLeast {
  template <class T>
  [[gnu::always_inline]] bool operator()(T a, T b) const {
    return a >= b;
  }
};
struct AtMost {
  template <class T>
  [[gnu::always_inline]] bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct Both {
  [[gnu::always_inline]] bool operator()(uint8_t a, uint8_t b) const { return (a != 0) & (b != 0); }
};
struct Either {
  [[gnu::always_inline]] bool operator()(uint8_t a, uint8_t b) const { return (a | b) != 0; }
};

struct OnlyOne {
  [[gnu::always_inline]] bool operator()(uint8_t a, uint8_t b) const { return (a != 0) != (b != 0); }
};

template <class T, class F>
CUPEL_CLONES void compare(F f, const T* __restrict a, int64_t a_step, const T* __restrict b, int64_t b_step, int64_t n,
                          uint8_t* __restrict out) {
  if (a_step == 0) {
    const T constant = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = f(constant, b[i * b_step]);
  } else if (b_step == 0) {
    const T constant = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], constant);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  }
}

template <class T, class F>
Status compare_tensors(const EvalContext& c, F f) {
  const T* a = reinterpret_cast<const T*>(c.in(0).bytes().data());
  const T* b = reinterpret_cast<const T*>(c.in(1).bytes().data());
  uint8_t* out = byte_elements(c.out());
  const BroadcastWalk walk(c.out().dims(), {&c.in(0).dims(), &c.in(1).dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    compare(f, a + from[0], walk.step(0), b + from[1], walk.step(1), n, out + at);
  });
  return {};
}

template <class F>
Status reference_compare(const EvalContext& c) {
  switch (c.in(0).dtype()) {
    case DType::f32: return compare_tensors<float>(c, F{});
    case DType::s32: return compare_tensors<int32_t>(c, F{});
    case DType::u8: return compare_tensors<uint8_t>(c, F{});
    case DType::s8: return compare_tensors<int8_t>(c, F{});
    case DType::boolean: return compare_tensors<uint8_t>(c, SameTruth{});
    case DType::s64: return compare_tensors<int64_t>(c, F{});
    default: return evaluate_routine(c);
  }
}

template <class F>
Status reference_logic(const EvalContext& c) {
  return compare_tensors<uint8_t>(c, F{});
}

Status reference_not(const EvalContext& c) {
  const uint8_t* x = byte_elements(c.in(0));
  uint8_t* out = byte_elements(c.out());
  for (int64_t i = 0; i < c.in(0).size(); ++i) out[i] = x[i] == 0;
  return {};
}

template <class T>
CUPEL_CLONES void choose(const uint8_t* __restrict condition, int64_t condition_step, const T* __restrict a,
                         int64_t a_step, const T* __restrict b, int64_t b_step, int64_t n, T* __restrict out) {
  for (int64_t i = 0; i < n; ++i) {
    const T x = a[i * a_step], y = b[i * b_step];
    out[i] = condition[i * condition_step] != 0 ? x : y;
  }
}

template <class T>
Status choose_tensors(const EvalContext& c) {
  const uint8_t* condition = byte_elements(c.in(0));
  const T* a = reinterpret_cast<const T*>(c.in(1).bytes().data());
  const T* b = reinterpret_cast<const T*>(c.in(2).bytes().data());
  T* out = reinterpret_cast<T*>(c.out().mutable_bytes().data());
  const BroadcastWalk walk(c.out().dims(), {&c.in(0).dims(), &c.in(1).dims(), &c.in(2).dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    choose(condition + from[0], walk.step(0), a + from[1], walk.step(1), b + from[2], walk.step(2), n, out + at);
  });
  return {};
}

Status reference_where(const EvalContext& c) {
  switch (dtype_bits(c.out().dtype())) {
    case 8: return choose_tensors<uint8_t>(c);
    case 16: return choose_tensors<uint16_t>(c);
    case 32: return choose_tensors<uint32_t>(c);
    default: return choose_tensors<uint64_t>(c);
  }
}

Status expect_plain(const InferContext& c, size_t i) {
  if (c.type(i).quant)
    return unsupported("",
                       fmt::format("operand {} holds {}, which this op does not take as codes", i, to_text(c.type(i))),
                       "keep this op in float");
  return {};
}

template <bool kOrdered>
Result<Types> infer_compare(const InferContext& c) {
  const DType t = c.type(0).dtype;
  if (t != DType::f32 && (kOrdered || t != DType::boolean)) CUPEL_TRY(expect_function(c, ElementFunction::is_equal));
  CUPEL_TRY(expect_dtype(c, 1, t));
  CUPEL_TRY(expect_plain(c, 0));
  CUPEL_TRY(expect_plain(c, 1));
  return Types{plain(DType::boolean, CUPEL_TRY(broadcast_shapes(c.shape(0), c.shape(1))))};
}

Result<Types> infer_logic(const InferContext& c) {
  Shape shape = c.shape(0);
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    CUPEL_TRY(expect_dtype(c, i, DType::boolean));
    shape = CUPEL_TRY(broadcast_shapes(shape, c.shape(i)));
  }
  return Types{plain(DType::boolean, std::move(shape))};
}

Result<Types> infer_where(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::boolean));
  CUPEL_TRY(expect_dtype(c, 2, c.type(1).dtype));
  CUPEL_TRY(expect_plain(c, 1));
  CUPEL_TRY(expect_plain(c, 2));
  if (dtype_bits(c.type(1).dtype) < 8)
    return unsupported("",
                       fmt::format("operand 1 is {}, expected a type of at least 8 bits", dtype_name(c.type(1).dtype)),
                       "convert the operands");
  return Types{plain(c.type(1).dtype,
                     CUPEL_TRY(broadcast_shapes(c.shape(0), CUPEL_TRY(broadcast_shapes(c.shape(1), c.shape(2))))))};
}

// ---- Shape arithmetic
// --------------------------------------------------------------------------------------------------

using Folded = Result<std::optional<std::vector<Dim>>>;

// Contents of the operands, element by element of the broadcast result; nullopt when one of them is not known.
std::optional<std::vector<std::array<Dim, 3>>> aligned_contents(const InferContext& c) {
  std::array<Dims, 3> dims;
  Shape shape;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.has(i) || c.contents[i] == nullptr || !is_static(c.shape(i))) return std::nullopt;
    dims[i] = static_dims(c.shape(i));
    if (static_cast<int64_t>(c.contents[i]->size()) != element_count(dims[i])) return std::nullopt;
    auto wider = broadcast_shapes(shape, c.shape(i));
    if (!wider) return std::nullopt;
    shape = std::move(*wider);
  }
  const auto count = count_elements(static_dims(shape));
  if (!count || *count > 4096) return std::nullopt;
  const BroadcastWalk walk = c.inputs.size() == 3 ? BroadcastWalk(static_dims(shape), {&dims[0], &dims[1], &dims[2]})
                                                  : BroadcastWalk(static_dims(shape), {&dims[0], &dims[1]});
  std::vector<std::array<Dim, 3>> rows;
  walk.for_range(0, walk.size(), [&](int64_t, const BroadcastWalk::Offsets& from, int64_t n) {
    for (int64_t j = 0; j < n; ++j) {
      std::array<Dim, 3> row;
      for (size_t i = 0; i < c.inputs.size(); ++i)
        row[i] = (*c.contents[i])[static_cast<size_t>(from[i] + j * walk.step(i))];
      rows.push_back(std::move(row));
    }
  });
  return rows;
}

// Sign of a − b when it is the same for every value ≥ 0 of the symbol.
std::optional<int> order_of(const Dim& a, const Dim& b) {
  if (a == b) return 0;
  if (a.is_constant() && b.is_constant()) return a.factor < b.factor ? -1 : 1;
  if (b.is_constant() && a.factor > 0 && b.factor < 0) return 1;
  if (a.is_constant() && b.factor > 0 && a.factor < 0) return -1;
  return std::nullopt;
}

// Whether the order is one of these.
template <int... kOrders>
Folded fold_compare(const InferContext& c) {
  const auto rows = aligned_contents(c);
  if (!rows) return std::nullopt;
  std::vector<Dim> results;
  for (const auto& row : *rows) {
    const auto order = order_of(row[0], row[1]);
    if (!order) return std::nullopt;
    results.emplace_back(((*order == kOrders) || ...) ? 1 : 0);
  }
  return std::optional(std::move(results));
}

Folded fold_where(const InferContext& c) {
  const auto rows = aligned_contents(c);
  if (!rows) return std::nullopt;
  std::vector<Dim> results;
  for (const auto& row : *rows) {
    if (!row[0].is_constant()) return std::nullopt;
    results.push_back(row[0].factor != 0 ? row[1] : row[2]);
  }
  return std::optional(std::move(results));
}

Folded fold_not(const InferContext& c) {
  if (c.contents[0] == nullptr) return std::nullopt;
  std::vector<Dim> results;
  for (const Dim& d : *c.contents[0]) {
    if (!d.is_constant()) return std::nullopt;
    results.emplace_back(d.factor == 0 ? 1 : 0);
  }
  return std::optional(std::move(results));
}

template <class F>
Folded fold_logic(const InferContext& c) {
  const auto rows = aligned_contents(c);
  if (!rows) return std::nullopt;
  std::vector<Dim> results;
  for (const auto& row : *rows) {
    if (!row[0].is_constant() || !row[1].is_constant()) return std::nullopt;
    results.emplace_back(F{}(row[0].factor != 0, row[1].factor != 0) ? 1 : 0);
  }
  return std::optional(std::move(results));
}

}  // namespace

namespace ops {

const OpDef kEqual{.name = "Equal",
                   .since_opset = 1,
                   .operand_types = same_type(kNumberTypes | DType::boolean),
                   .min_inputs = 2,
                   .max_inputs = 2,
                   .elements = Elements::elementwise,
                   .infer = infer_compare<false>,
                   .fold_contents = fold_compare<0>,
                   .reference = reference_compare<EqualTo>,
                   .routine = routine_combine<ElementFunction::is_equal>,
                   .samples = {R"(graph "equal" stage imported opset 17 {
  input %a : s64[batch,3]
  input %b : s64[3]
  %y = Equal(%a, %b)
  output %y
})",
                               R"(graph "equal_bool" stage imported opset 17 {
  input %a : bool[batch,1,5]
  input %b : bool[3,1]
  %y = Equal(%a, %b)
  output %y
})",
                               R"(graph "equal_wide_numbers" stage imported opset 17 {
  input %a : f64[batch,3]
  input %b : f64[batch,1]
  %y = Equal(%a, %b)
  output %y
})"}};

const OpDef kGreater{.name = "Greater",
                     .since_opset = 1,
                     .operand_types = same_type(kNumberTypes),
                     .min_inputs = 2,
                     .max_inputs = 2,
                     .elements = Elements::elementwise,
                     .infer = infer_compare<true>,
                     .fold_contents = fold_compare<1>,
                     .reference = reference_compare<GreaterThan>,
                     .routine = routine_combine<ElementFunction::is_greater>,
                     .samples = {R"(graph "greater" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[]
  %y = Greater(%a, %b)
  output %y
})",
                                 R"(graph "greater_integers" stage imported opset 17 {
  input %a : s32[5]
  input %b : s32[batch,1]
  %y = Greater(%a, %b)
  output %y
})"}};

const OpDef kLess{.name = "Less",
                  .since_opset = 1,
                  .operand_types = same_type(kNumberTypes),
                  .min_inputs = 2,
                  .max_inputs = 2,
                  .elements = Elements::elementwise,
                  .infer = infer_compare<true>,
                  .fold_contents = fold_compare<-1>,
                  .reference = reference_compare<LessThan>,
                  .routine = routine_combine<ElementFunction::is_less>,
                  .samples = {R"(graph "less" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[batch,1,7]
  %y = Less(%a, %b)
  output %y
})",
                              R"(graph "less_integers" stage imported opset 17 {
  input %a : s64[]
  input %b : s64[batch,5]
  %y = Less(%a, %b)
  output %y
})",
                              R"(graph "less_unsigned" stage imported opset 17 {
  input %a : u32[batch,3]
  input %b : u32[3]
  %y = Less(%a, %b)
  output %y
})"}};

const OpDef kGreaterOrEqual{.name = "GreaterOrEqual",
                            .since_opset = 12,
                            .operand_types = same_type(kNumberTypes),
                            .min_inputs = 2,
                            .max_inputs = 2,
                            .elements = Elements::elementwise,
                            .infer = infer_compare<true>,
                            .fold_contents = fold_compare<0, 1>,
                            .reference = reference_compare<AtLeast>,
                            .routine = routine_combine<ElementFunction::is_at_least>,
                            .samples = {R"(graph "greater_or_equal" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[batch,1,7]
  %y = GreaterOrEqual(%a, %b)
  output %y
})",
                                        R"(graph "greater_or_equal_integers" stage imported opset 17 {
  input %a : s64[batch,5]
  input %b : s64[5]
  %y = GreaterOrEqual(%a, %b)
  output %y
})"}};

const OpDef kLessOrEqual{.name = "LessOrEqual",
                         .since_opset = 12,
                         .operand_types = same_type(kNumberTypes),
                         .min_inputs = 2,
                         .max_inputs = 2,
                         .elements = Elements::elementwise,
                         .infer = infer_compare<true>,
                         .fold_contents = fold_compare<-1, 0>,
                         .reference = reference_compare<AtMost>,
                         .routine = routine_combine<ElementFunction::is_at_most>,
                         .samples = {R"(graph "less_or_equal" stage imported opset 17 {
  input %a : f32[batch,3,7]
  input %b : f32[batch,1,7]
  %y = LessOrEqual(%a, %b)
  output %y
})",
                                     R"(graph "less_or_equal_integers" stage imported opset 17 {
  input %a : s64[batch,5]
  input %b : s64[5]
  %y = LessOrEqual(%a, %b)
  output %y
})"}};

const OpDef kNot{.name = "Not",
                 .since_opset = 1,
                 .operand_types = {{DType::boolean}},
                 .elements = Elements::elementwise,
                 .infer = infer_logic,
                 .fold_contents = fold_not,
                 .reference = reference_not,
                 .samples = {R"(graph "not" stage imported opset 17 {
  input %x : bool[batch,7]
  %y = Not(%x)
  output %y
})",
                             R"(graph "not_scalar" stage imported opset 17 {
  input %x : bool[]
  %y = Not(%x)
  output %y
})"}};

const OpDef kAnd{.name = "And",
                 .since_opset = 1,
                 .operand_types = {{DType::boolean}},
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
                 .infer = infer_logic,
                 .fold_contents = fold_logic<Both>,
                 .reference = reference_logic<Both>,
                 .samples = {R"(graph "and" stage imported opset 17 {
  input %a : bool[batch,3,7]
  input %b : bool[3,1]
  %y = And(%a, %b)
  output %y
})",
                             R"(graph "and_same" stage imported opset 17 {
  input %a : bool[batch,5]
  input %b : bool[batch,5]
  %y = And(%a, %b)
  output %y
})"}};

const OpDef kOr{.name = "Or",
                .since_opset = 1,
                .operand_types = {{DType::boolean}},
                .min_inputs = 2,
                .max_inputs = 2,
                .elements = Elements::elementwise,
                .infer = infer_logic,
                .fold_contents = fold_logic<Either>,
                .reference = reference_logic<Either>,
                .samples = {R"(graph "or" stage imported opset 17 {
  input %a : bool[batch,3,7]
  input %b : bool[7]
  %y = Or(%a, %b)
  output %y
})",
                            R"(graph "or_same" stage imported opset 17 {
  input %a : bool[batch,5]
  input %b : bool[batch,5]
  %y = Or(%a, %b)
  output %y
})"}};

const OpDef kXor{.name = "Xor",
                 .since_opset = 1,
                 .operand_types = {{DType::boolean}},
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
                 .infer = infer_logic,
                 .fold_contents = fold_logic<OnlyOne>,
                 .reference = reference_logic<OnlyOne>,
                 .samples = {R"(graph "xor" stage imported opset 17 {
  input %a : bool[batch,3,7]
  input %b : bool[7]
  %y = Xor(%a, %b)
  output %y
})",
                             R"(graph "xor_same" stage imported opset 17 {
  input %a : bool[batch,5]
  input %b : bool[batch,5]
  %y = Xor(%a, %b)
  output %y
})"}};

const OpDef kWhere{.name = "Where",
                   .since_opset = 9,
                   .operand_types = {{DType::boolean}, {kAnyType}, {kAnyType, 1}},
                   .min_inputs = 3,
                   .max_inputs = 3,
                   .elements = Elements::elementwise,
                   .infer = infer_where,
                   .fold_contents = fold_where,
                   .reference = reference_where,
                   .samples = {R"(graph "where" stage imported opset 17 {
  input %c : bool[batch,3,7]
  input %a : f32[batch,3,7]
  input %b : f32[batch,3,7]
  %y = Where(%c, %a, %b)
  output %y
})",
                               R"(graph "where_mask" stage imported opset 17 {
  input %c : bool[5,7]
  input %a : f32[batch,3,5,7]
  constant %b : f32[] = [-0x1.fffffep+127]
  %y = Where(%c, %a, %b)
  output %y
})",
                               R"(graph "where_integers" stage imported opset 17 {
  input %c : bool[batch,1]
  input %a : s64[5]
  input %b : s64[batch,5]
  %y = Where(%c, %a, %b)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
