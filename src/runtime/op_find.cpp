// find: y = the index along one axis of the greatest or least element of x, the first or the last of equal ones; a NaN
// stays where it comes first, and is passed over elsewhere. Attributes: axis, whether the least is looked for, whether
// the last. A unit is an element of y.
#include "runtime/op_call.h"

namespace cupel {
namespace {

template <class T>
void find(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0);
  const int64_t axis = call.attribute(0), n = x.dims[axis], inner = x.elements(axis + 1, x.rank);
  const bool least = call.attribute(1) != 0, last = call.attribute(2) != 0;
  int64_t* y = call.result(0).as<int64_t>();
  for (int64_t unit = begin; unit < end; ++unit) {
    const T* from = x.as<T>() + unit / inner * n * inner + unit % inner;
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i) {
      const T value = from[i * inner], chosen = from[best * inner];
      if ((least ? value < chosen : value > chosen) || (last && value == chosen)) best = i;
    }
    y[unit] = best;
  }
}

}  // namespace

const char* check_find(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1 || call.attributes() != 3) return "expected x, y and 3 attributes";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.present() || x.is(DType::f16) || x.is(DType::bf16) || x.is(DType::boolean)) return "x holds no numbers";
  if (!y.is(DType::s64)) return "y is not s64";
  const int64_t axis = call.attribute(0);
  if (axis < 0 || axis >= x.rank || x.dims[axis] == 0) return "the axis is none of x, or empty";
  const int64_t rows = x.elements(0, axis) * x.elements(axis + 1, x.rank);
  return y.size() == rows && call.units() == (rows > 0 ? rows : 1) ? nullptr
                                                                   : "expected a result and a unit for each row";
}

void run_find(const OpCall& call, int64_t begin, int64_t end) {
  if (call.result(0).size() == 0) return;
  switch (static_cast<DType>(call.operand(0).dtype)) {
    case DType::f32: return find<float>(call, begin, end);
    case DType::f64: return find<double>(call, begin, end);
    case DType::u8: return find<uint8_t>(call, begin, end);
    case DType::s8: return find<int8_t>(call, begin, end);
    case DType::u16: return find<uint16_t>(call, begin, end);
    case DType::s16: return find<int16_t>(call, begin, end);
    case DType::u32: return find<uint32_t>(call, begin, end);
    case DType::s32: return find<int32_t>(call, begin, end);
    case DType::u64: return find<uint64_t>(call, begin, end);
    default: return find<int64_t>(call, begin, end);
  }
}

}  // namespace cupel
