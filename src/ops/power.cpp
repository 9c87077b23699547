// Pow (docs/quantization.md 4): numbers by power_sequence, integers exactly, wrapping around.
#include <fmt/format.h>

#include <cmath>
#include <type_traits>

#include "base/more_scalar_math.h"
#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/elementwise.h"
#include "ops/op_table.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

bool is_computed(DType type) { return type == DType::f32 || type == DType::s32 || type == DType::s64; }
bool is_exponent(DType type) { return is_computed(type) || type == DType::u32 || type == DType::u64; }

Result<Types> infer_pow(const InferContext& c) {
  for (size_t i = 0; i < 2; ++i) {
    const TensorType& t = c.type(i);
    if (t.quant || !(i == 0 ? is_computed(t.dtype) : is_exponent(t.dtype)))
      return unsupported("",
                         fmt::format("{} (operand {}) is {}, expected f32, s32{}", i == 0 ? "the base" : "the exponent",
                                     i, to_text(t), i == 0 ? " or s64" : ", s64, u32 or u64"),
                         "convert the operand");
  }
  return Types{plain(c.type(0).dtype, CUPEL_TRY(broadcast_shapes(c.shape(0), c.shape(1))))};
}

// By squaring. Of a negative exponent what is left of the fraction: 1 and −1 have one, 0 has none that is known.
template <class T, class Y>
T integer_power(T base, Y exponent) {
  using U = std::make_unsigned_t<T>;
  if (exponent < 0) return base == 1 ? T{1} : base == -1 ? static_cast<T>(exponent % 2 == 0 ? 1 : -1) : T{0};
  U result = 1, square = static_cast<U>(base);
  for (; exponent > 0; exponent >>= 1, square *= square)
    if (exponent & 1) result *= square;
  return static_cast<T>(result);
}

// An exponent that is no integer goes by way of numbers, whose fraction is cut off.
template <class T>
T mixed_power(T base, float exponent) {
  if (std::trunc(exponent) == exponent && std::fabs(exponent) < 0x1p31f)
    return integer_power(base, static_cast<int64_t>(exponent));
  const float power = std::trunc(scalar::power_sequence(static_cast<float>(base), exponent));
  return std::fabs(power) < 0x1p31f ? static_cast<T>(power) : T{0};
}

struct PowerOf {
  [[gnu::always_inline]] float operator()(float x, float y) const { return scalar::power_sequence(x, y); }
  template <class Y>
  [[gnu::always_inline]] float operator()(float x, Y y) const {
    return scalar::power_sequence(x, static_cast<float>(y));
  }
  template <class X, class Y>
    requires std::is_integral_v<X>
  X operator()(X x, Y y) const {
    if constexpr (std::is_integral_v<Y>)
      return integer_power(x, y);
    else
      return mixed_power(x, y);
  }
};

template <class X, class Y>
CUPEL_CLONES void apply(const X* x, int64_t x_step, const Y* y, int64_t y_step, int64_t n, X* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = PowerOf{}(x[i * x_step], y[i * y_step]);
}

// One exponent for all: its form is chosen once.
struct Square {
  [[gnu::always_inline]] float operator()(float x) const { return x * x; }
};
struct Cube {
  [[gnu::always_inline]] float operator()(float x) const { return x * x * x; }
};
struct SquareRoot {
  [[gnu::always_inline]] float operator()(float x) const { return __builtin_sqrtf(x); }
};
template <class F>
CUPEL_CLONES void apply_form(F f, const float* __restrict x, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}
template <class F>
Status form(const EvalContext& c, F f) {
  const float* x = c.in(0).data<float>().data();
  float* out = c.out().mutable_data<float>().data();
  c.threads.parallel_for(c.in(0).size(), kPartOperations,
                         [&](int64_t begin, int64_t end) { apply_form(f, x + begin, end - begin, out + begin); });
  return {};
}

template <class X, class Y>
Status power(const EvalContext& c) {
  const X* x = c.in(0).data<X>().data();
  const Y* y = c.in(1).data<Y>().data();
  X* out = c.out().mutable_data<X>().data();
  const BroadcastWalk walk(c.out().dims(), {&c.in(0).dims(), &c.in(1).dims()});
  walk.for_each(c.threads, [&](int64_t at, const BroadcastWalk::Offsets& from, int64_t n) {
    apply(x + from[0], walk.step(0), y + from[1], walk.step(1), n, out + at);
  });
  return {};
}

template <class X>
Status power(const EvalContext& c) {
  switch (c.in(1).dtype()) {
    case DType::f32: return power<X, float>(c);
    case DType::s32: return power<X, int32_t>(c);
    case DType::u32: return power<X, uint32_t>(c);
    case DType::u64: return power<X, uint64_t>(c);
    default: return power<X, int64_t>(c);
  }
}

Status reference_pow(const EvalContext& c) {
  if (c.in(0).dtype() == DType::f32 && c.in(1).size() == 1 && c.out().dims() == c.in(0).dims()) {
    const double exponent = c.in(1).at(0);
    if (exponent == 2) return form(c, Square{});
    if (exponent == 3) return form(c, Cube{});
    if (exponent == 0.5) return form(c, SquareRoot{});
  }
  switch (c.in(0).dtype()) {
    case DType::f32: return power<float>(c);
    case DType::s32: return power<int32_t>(c);
    default: return power<int64_t>(c);
  }
}

}  // namespace

namespace ops {

const OpDef kPow{.name = "Pow",
                 .since_opset = 1,
                 .operand_types = {{kFloatTypes | DType::s32 | DType::s64}, {kNumberTypes}},
                 .min_inputs = 2,
                 .max_inputs = 2,
                 .elements = Elements::elementwise,
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
})",
                             R"(graph "pow_fraction" stage imported opset 17 {
  input %x : f32[batch,3,7]
  constant %e : f32[3,1] = [0.75, -2.5, 4.0]
  %y = Pow(%x, %e)
  output %y
})",
                             R"(graph "pow_computed" stage imported opset 17 {
  input %x : f32[batch,3,7]
  input %e : f32[batch,1,7]
  %y = Pow(%x, %e)
  output %y
})",
                             R"(graph "pow_integers" stage imported opset 17 {
  input %x : s64[batch,3]
  input %e : s64[3]
  %y = Pow(%x, %e)
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
