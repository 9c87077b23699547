// top_k: the k greatest (or least) elements along one axis, in order, and their indices; of equal elements the first
// comes first, and NaN is above all numbers. Operand: x, f32, s32 or s64. Results: values, indices s64. Attributes:
// axis, whether the greatest are wanted. Scratch: an s64 for each element of the axis. One unit.
#include "runtime/op_call.h"

namespace cupel {
namespace {

inline bool is_nan(float x) { return x != x; }
inline bool is_nan(int64_t) { return false; }
inline bool is_nan(int32_t) { return false; }

// A line of x, [n] elements `stride` apart.
template <class T>
struct Line {
  const T* x;
  int64_t stride;
  bool greatest;

  // Whether element i comes before element j.
  bool before(int64_t i, int64_t j) const {
    const T a = x[i * stride], b = x[j * stride];
    if (is_nan(a) != is_nan(b)) return is_nan(a) == greatest;
    if (a != b && !is_nan(a)) return (a > b) == greatest;
    return i < j;
  }
};

// Moves heap[at] down until it comes before its children.
template <class T>
void sift(const Line<T>& line, int64_t* heap, int64_t at, int64_t size) {
  for (int64_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && line.before(heap[child + 1], heap[child])) ++child;
    if (!line.before(heap[child], heap[at])) return;
    const int64_t moved = heap[at];
    heap[at] = heap[child];
    heap[child] = moved;
    at = child;
  }
}

template <class T>
void select(const OpCall& call) {
  const OpTensor x = call.operand(0), values = call.result(0), indices = call.result(1);
  const int64_t axis = call.attribute(0), n = x.dims[axis], k = values.dims[axis], inner = x.elements(axis + 1, x.rank);
  auto* heap = reinterpret_cast<int64_t*>(call.scratch());
  for (int64_t outer = 0; outer < x.elements(0, axis); ++outer)
    for (int64_t i = 0; i < inner; ++i) {
      const Line<T> line = {x.as<T>() + outer * n * inner + i, inner, call.attribute(1) != 0};
      for (int64_t e = 0; e < n; ++e) heap[e] = e;
      for (int64_t at = n / 2; at-- > 0;) sift(line, heap, at, n);
      int64_t size = n;
      for (int64_t place = 0; place < k; ++place) {
        const int64_t to = (outer * k + place) * inner + i;
        values.as<T>()[to] = line.x[heap[0] * inner];
        indices.as<int64_t>()[to] = heap[0];
        heap[0] = heap[--size];
        sift(line, heap, 0, size);
      }
    }
}

}  // namespace

const char* check_top_k(const OpCall& call) {
  if (call.results() != 2 || call.operands() != 1 || call.attributes() != 2)
    return "expected x, values, indices and 2 attributes";
  const OpTensor x = call.operand(0), values = call.result(0), indices = call.result(1);
  if (!x.is(DType::f32) && !x.is(DType::s32) && !x.is(DType::s64)) return "x is not f32, s32 or s64";
  if (values.dtype != x.dtype || !indices.is(DType::s64)) return "expected values of x's type and indices s64";
  const int64_t axis = call.attribute(0);
  if (axis < 0 || axis >= x.rank || values.rank != x.rank || indices.rank != x.rank) return "the axis is none of x";
  for (int64_t d = 0; d < x.rank; ++d) {
    if (values.dims[d] != indices.dims[d]) return "values and indices of different shapes";
    if (d == axis ? values.dims[d] > x.dims[d] : values.dims[d] != x.dims[d]) return "values do not come from x";
  }
  if (call.scratch_bytes() / 8 < x.dims[axis]) return "expected scratch for each element of the axis";
  return call.units() == 1 ? nullptr : "expected one unit";
}

void run_top_k(const OpCall& call, int64_t, int64_t) {
  const OpTensor x = call.operand(0);
  if (x.is(DType::f32)) {
    select<float>(call);
  } else if (x.is(DType::s32)) {
    select<int32_t>(call);
  } else {
    select<int64_t>(call);
  }
}

}  // namespace cupel
