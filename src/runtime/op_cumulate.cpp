// cumulate: y[i] = x[0] + … + x[i] along one axis, from left to right, rounded after each addition (or · for products).
// Operand: x, f32, f64 or integers of 32 or 64 bits, which wrap. Attributes: axis, whether x[i] itself is left out
// (y[0] is then 0, or 1), whether the axis is walked from its end, whether products are formed. Units: the elements
// before the axis.
#include "runtime/element_functions.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

template <class T>
void cumulate(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), y = call.result(0);
  const int64_t axis = call.attribute(0), n = x.dims[axis], inner = x.elements(axis + 1, x.rank);
  const bool without_own = call.attribute(1) != 0, from_end = call.attribute(2) != 0, product = call.attribute(3) != 0;
  for (int64_t outer = begin; outer < end; ++outer)
    for (int64_t step = 0; step < n; ++step) {
      const int64_t row = (outer * n + (from_end ? n - 1 - step : step)) * inner;
      const int64_t before = from_end ? row + inner : row - inner;  // of the step before
      const T *own = x.as<T>() + (without_own ? before : row), *sum = y.as<T>() + before;
      T* to = y.as<T>() + row;
      for (int64_t i = 0; i < inner; ++i)
        if (step == 0)
          to[i] = without_own ? static_cast<T>(product) : own[i];
        else
          to[i] = product ? function_of_two<ElementFunction::mul>(sum[i], own[i])
                          : function_of_two<ElementFunction::add>(sum[i], own[i]);
    }
}

}  // namespace

const char* check_cumulate(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1 || call.attributes() != 4) return "expected x, y and 4 attributes";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.is(DType::f32) && !x.is(DType::f64) && !x.is(DType::s32) && !x.is(DType::s64) && !x.is(DType::u32) &&
      !x.is(DType::u64))
    return "x is neither real nor an integer of 32 or 64 bits";
  if (x.dtype != y.dtype || x.rank != y.rank) return "expected equal types and ranks";
  for (int64_t d = 0; d < x.rank; ++d)
    if (x.dims[d] != y.dims[d]) return "expected equal shapes";
  const int64_t axis = call.attribute(0);
  if (axis < 0 || axis >= x.rank) return "the axis is none of x";
  return call.units() == x.elements(0, axis) ? nullptr : "expected a unit for each element before the axis";
}

void run_cumulate(const OpCall& call, int64_t begin, int64_t end) {
  switch (static_cast<DType>(call.operand(0).dtype)) {
    case DType::f32: return cumulate<float>(call, begin, end);
    case DType::f64: return cumulate<double>(call, begin, end);
    case DType::s32: return cumulate<int32_t>(call, begin, end);
    case DType::u32: return cumulate<uint32_t>(call, begin, end);
    case DType::u64: return cumulate<uint64_t>(call, begin, end);
    default: return cumulate<int64_t>(call, begin, end);
  }
}

}  // namespace cupel
