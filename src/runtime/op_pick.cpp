// pick: y[o] = x[index of every axis], elements of any type. Operands: x, then for each axis that is not copied an
// index table s32[extent]. Attributes: one for each axis of x, whether it has a table.
#include "runtime/op_call.h"

namespace cupel {
namespace {

template <class T>
void pick_rows(const OpCall& call, const OpTensor& x, const OpTensor& y, int64_t begin, int64_t end) {
  const int32_t* tables[kMostOpRank] = {};
  int64_t strides[kMostOpRank] = {}, stride = 1, operand = 1;
  for (int64_t d = 0; d < x.rank; ++d)
    if (call.attribute(d) != 0) {
      const OpTensor table = call.operand(operand++);
      if (!indices_within(table, 0, x.dims[d])) return call.fault(begin, 0, 0);
      tables[d] = table.as<int32_t>();
    }
  for (int64_t d = x.rank; d-- > 0; stride *= x.dims[d]) strides[d] = stride;
  const int64_t width = y.dims[y.rank - 1];
  const int32_t* last = tables[x.rank - 1];
  for (int64_t row = begin; row < end; ++row) {
    T* to = y.as<T>() + row * width;
    int64_t from = 0, rest = row;
    for (int64_t d = x.rank - 1; d-- > 0; rest /= y.dims[d]) {
      const int64_t at = rest % y.dims[d], index = tables[d] != nullptr ? tables[d][at] : at;
      from += index * strides[d];
    }
    const T* line = x.as<T>() + from;
    for (int64_t i = 0; i < width; ++i) to[i] = line[last != nullptr ? last[i] : i];
  }
}

}  // namespace

const char* check_pick(const OpCall& call) {
  if (call.results() != 1 || call.operands() < 1) return "expected one result, and an operand";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.present() || x.dtype != y.dtype || x.rank != y.rank || x.rank < 1) return "expected equal types and ranks";
  if (call.attributes() != x.rank) return "expected an attribute for each axis";
  if (call.units() * y.dims[y.rank - 1] != y.size()) return "expected a unit for each row of the result";
  int64_t operand = 1;
  for (int64_t d = 0; d < x.rank; ++d) {
    if (call.attribute(d) == 0) {
      if (x.dims[d] != y.dims[d]) return "an axis without a table changes its extent";
      continue;
    }
    const OpTensor table = operand < call.operands() ? call.operand(operand) : OpTensor();
    if (!table.is(DType::s32) || table.rank != 1 || table.dims[0] != y.dims[d])
      return "a table has another shape than its axis";
    ++operand;
  }
  return operand == call.operands() ? nullptr : "more operands than tables";
}

void run_pick(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), y = call.result(0);
  switch (x.element_bytes()) {
    case 1: pick_rows<uint8_t>(call, x, y, begin, end); break;
    case 2: pick_rows<uint16_t>(call, x, y, begin, end); break;
    case 4: pick_rows<uint32_t>(call, x, y, begin, end); break;
    default: pick_rows<uint64_t>(call, x, y, begin, end); break;
  }
}

}  // namespace cupel
