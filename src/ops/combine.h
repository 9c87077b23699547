// Elementwise ops on elements of which kernels have no expressions, as uses of the runtime's routine `combine`.
#pragma once

#include <algorithm>
#include <span>

#include "ir/op_def.h"
#include "runtime/element_functions.h"

namespace cupel::ops {

// Whether an element type has the function.
bool has_function(DType type, ElementFunction f);

// Operands from the first to the last; each behind the first takes its place by `next`, or the last one of these.
RoutineUse combination(const RoutineContext& c, ElementFunction first, std::span<const ElementFunction> next);

template <ElementFunction f>
Result<RoutineUse> routine_combine(const RoutineContext& c) {
  if constexpr (takes_one(f)) {
    return combination(c, f, {});
  } else {
    constexpr ElementFunction kNext[] = {f};
    return combination(c, ElementFunction::copy, kNext);
  }
}

// unsupported unless all operands have the type of the first, which has the function, and hold no codes.
Status expect_function(const InferContext& c, ElementFunction f);

}  // namespace cupel::ops
