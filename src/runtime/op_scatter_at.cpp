// scatter_at: y = x, then for each index in order y at it = update, or y + update, y · update, the greater or the
// lesser of them. Operands: x, indices (op_indexed.h), updates; elements of any type where nothing is computed, else
// f32, s32 or s64 (integers wrap). Attributes: whether indices are tuples, the axis, the reduction (0 none, 1 add, 2
// mul, 3 max, 4 min). One unit. An index that is outside is a fault.
#include "runtime/op_indexed.h"

namespace cupel {
namespace {

enum Reduction : int64_t { none, add, mul, max, min };

template <class T, class Wide>
T combined(int64_t reduction, T a, T b) {
  switch (reduction) {
    case add: return static_cast<T>(static_cast<Wide>(a) + static_cast<Wide>(b));
    case mul: return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
    case max: return a != a || a > b ? a : b;  // NaN stays
    default: return a != a || a < b ? a : b;
  }
}

Indexing indexing_of(const OpCall& call) {
  return {call.result(0), call.operand(1), call.attribute(0) != 0, call.attribute(1)};
}

// Wide: without a sign, for integers.
template <class T, class Wide>
void combine(const OpCall& call, const OpTensor& updates, int64_t update, int64_t to, int64_t count) {
  T* y = call.result(0).as<T>() + to;
  const T* from = updates.as<T>() + update;
  for (int64_t e = 0; e < count; ++e) y[e] = combined<T, Wide>(call.attribute(2), y[e], from[e]);
}

}  // namespace

const char* check_scatter_at(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 3 || call.attributes() != 3)
    return "expected x, indices, updates, y and 3 attributes";
  const OpTensor x = call.operand(0), updates = call.operand(2), y = call.result(0);
  if (x.dtype != y.dtype || x.rank != y.rank || updates.dtype != y.dtype || !call.operand(1).present())
    return "expected equal types";
  for (int64_t d = 0; d < x.rank; ++d)
    if (x.dims[d] != y.dims[d]) return "expected equal shapes";
  const Indexing all = indexing_of(call);
  if (const char* unsound = all.unsound()) return unsound;
  if (updates.size() != all.count() * all.block()) return "expected an update for each element that is addressed";
  const int64_t reduction = call.attribute(2);
  if (reduction < none || reduction > min) return "no such reduction";
  if (reduction != none && !x.is(DType::f32) && !x.is(DType::s32) && !x.is(DType::s64))
    return "a reduction of another type than f32, s32 or s64";
  return call.units() == 1 ? nullptr : "expected one unit";
}

void run_scatter_at(const OpCall& call, int64_t, int64_t) {
  const Indexing all = indexing_of(call);
  const OpTensor x = call.operand(0), updates = call.operand(2), y = call.result(0);
  const int64_t bytes = x.element_bytes(), block = all.block(), count = all.count();
  memcpy(y.data, x.data, static_cast<size_t>(x.size() * bytes));
  int64_t bad = 0, extent = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t to = all.offset(i, bad, extent);
    if (to < 0) return call.fault(0, bad, extent);
    if (call.attribute(2) == none) {
      memcpy(y.data + to * bytes, updates.data + i * block * bytes, static_cast<size_t>(block * bytes));
    } else if (x.is(DType::f32)) {
      combine<float, float>(call, updates, i * block, to, block);
    } else if (x.is(DType::s32)) {
      combine<int32_t, uint32_t>(call, updates, i * block, to, block);
    } else {
      combine<int64_t, uint64_t>(call, updates, i * block, to, block);
    }
  }
}

}  // namespace cupel
