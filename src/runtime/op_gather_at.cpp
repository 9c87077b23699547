// gather_at: y[i] = x at index i, elements of any type. Operands: x, indices (op_indexed.h). Attributes: whether
// indices are tuples, the axis or the number of shared dimensions. Units: elements or blocks of y. An index that is
// outside is a fault.
#include "runtime/op_indexed.h"

namespace cupel {
namespace {

Indexing indexing_of(const OpCall& call) {
  return {call.operand(0), call.operand(1), call.attribute(0) != 0, call.attribute(1)};
}

}  // namespace

const char* check_gather_at(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 2 || call.attributes() != 2)
    return "expected x, indices, y and 2 attributes";
  const OpTensor y = call.result(0);
  if (call.operand(0).dtype != y.dtype || !call.operand(1).present()) return "expected equal types";
  const Indexing all = indexing_of(call);
  if (const char* unsound = all.unsound()) return unsound;
  if (y.size() != all.count() * all.block()) return "expected an element of y for each that is addressed";
  return call.units() == all.count() ? nullptr : "expected a unit for each index";
}

void run_gather_at(const OpCall& call, int64_t begin, int64_t end) {
  const Indexing all = indexing_of(call);
  const OpTensor y = call.result(0);
  const int64_t bytes = all.x.element_bytes(), length = all.block() * bytes;
  int64_t bad = 0, extent = 0;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t from = all.offset(i, bad, extent);
    if (from < 0) return call.fault(i, bad, extent);
    memcpy(y.data + i * length, all.x.data + from * bytes, static_cast<size_t>(length));
  }
}

}  // namespace cupel
