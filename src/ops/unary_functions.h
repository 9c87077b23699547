// Functions of one element as objects that compute them on any number type of base/scalar_math.h: on floats in the
// reference, on scalar expressions in kernels. One for each row of unary_functions.def, and the two forms of Gelu.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "base/more_scalar_math.h"
#include "ir/attribute.h"

namespace cupel::ops {

// A real attribute of a function and ONNX's default; an empty name is no attribute.
struct UnaryParameter {
  std::string_view name;
  float standard = 0;
};
using UnaryParameters = std::array<UnaryParameter, 2>;

namespace unary {

#define CUPEL_UNARY(op, since_opset, types, spelled_by, expression, ...)            \
  struct op {                                                                       \
    static constexpr UnaryParameters kParameters = {{__VA_ARGS__}};                 \
    std::array<float, 2> p;                                                         \
    explicit op(const Attributes& attributes)                                       \
        : p{attr_real(attributes, kParameters[0].name, kParameters[0].standard),    \
            attr_real(attributes, kParameters[1].name, kParameters[1].standard)} {} \
    template <class N>                                                              \
    [[gnu::always_inline]] N operator()(N x) const {                                \
      using namespace scalar;                                                       \
      return expression;                                                            \
    }                                                                               \
  };
#include "ops/unary_functions.def"
CUPEL_UNARY(GeluErf, 0, kFloatTypes, "", gelu_sequence(x))
CUPEL_UNARY(GeluTanh, 0, kFloatTypes, "", gelu_tanh_sequence(x))
#undef CUPEL_UNARY

}  // namespace unary

// Whether Gelu's attribute chooses the tanh form.
inline bool is_gelu_tanh(const Attributes& attributes) {
  return attr_text(attributes, "approximate", "none") == "tanh";
}

// Calls visit(function) with the function that op `name` computes of one real number; false when it computes none of
// these (Clip takes its bounds from operands).
template <class Visit>
bool visit_unary(std::string_view name, const Attributes& attributes, Visit&& visit) {
#define CUPEL_UNARY(op, ...)      \
  if (name == #op) {              \
    visit(unary::op(attributes)); \
    return true;                  \
  }
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
  if (name != "Gelu") return false;
  if (is_gelu_tanh(attributes))
    visit(unary::GeluTanh(attributes));
  else
    visit(unary::GeluErf(attributes));
  return true;
}

}  // namespace cupel::ops
