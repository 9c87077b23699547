// cumulate: y[i] = x[0] + … + x[i] along one axis, from left to right, rounded after each addition (or · for products).
// Operand: x, f32, s32 or s64; integers wrap. Attributes: axis, whether x[i] itself is left out (y[0] is then 0, or 1),
// whether the axis is walked from its end, whether products are formed. Units: the elements before the axis.
#include "runtime/op_call.h"

namespace cupel {
namespace {

// What wraps is computed without a sign.
inline float plus(float a, float b) { return a + b; }
inline float times(float a, float b) { return a * b; }
inline int32_t plus(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
inline int32_t times(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
}
inline int64_t plus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t times(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

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
          to[i] = product ? times(sum[i], own[i]) : plus(sum[i], own[i]);
    }
}

}  // namespace

const char* check_cumulate(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1 || call.attributes() != 4) return "expected x, y and 4 attributes";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.is(DType::f32) && !x.is(DType::s32) && !x.is(DType::s64)) return "x is not f32, s32 or s64";
  if (x.dtype != y.dtype || x.rank != y.rank) return "expected equal types and ranks";
  for (int64_t d = 0; d < x.rank; ++d)
    if (x.dims[d] != y.dims[d]) return "expected equal shapes";
  const int64_t axis = call.attribute(0);
  if (axis < 0 || axis >= x.rank) return "the axis is none of x";
  return call.units() == x.elements(0, axis) ? nullptr : "expected a unit for each element before the axis";
}

void run_cumulate(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0);
  if (x.is(DType::f32)) {
    cumulate<float>(call, begin, end);
  } else if (x.is(DType::s32)) {
    cumulate<int32_t>(call, begin, end);
  } else {
    cumulate<int64_t>(call, begin, end);
  }
}

}  // namespace cupel
