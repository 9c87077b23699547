// Indices that address elements or blocks of a tensor: of gather_at and scatter_at.
#pragma once

#include "runtime/op_call.h"

namespace cupel {

// The two forms of ONNX. Elements: one index for each element, in place of its place along an axis (GatherElements,
// ScatterElements). Tuples: the last dimension of the indices holds a place in the leading dimensions of x behind the
// first `batch` ones, which they share, and addresses the block of the remaining dimensions (GatherND, ScatterND).
struct Indexing {
  OpTensor x, indices;
  bool tuples = false;
  int64_t axis = 0;  // of elements; of tuples the dimensions that are shared

  // All of these where nothing is unsound. Elements of x that each index addresses, and how many indices there are.
  int64_t block() const { return tuples ? x.elements(axis + length(), x.rank) : 1; }
  int64_t count() const { return tuples ? indices.elements(0, indices.rank - 1) : indices.size(); }
  int64_t length() const { return tuples ? indices.dims[indices.rank - 1] : 1; }

  int64_t index(int64_t i) const {
    return indices.is(DType::s64) ? indices.as<int64_t>()[i] : indices.as<int32_t>()[i];
  }

  // Whether shapes fit, so that `offset` reads no index that is not there.
  const char* unsound() const {
    if (!indices.is(DType::s32) && !indices.is(DType::s64)) return "the indices are not s32 or s64";
    if (x.rank < 1 || indices.rank < 1) return "expected at least one dimension";
    if (!tuples) {
      if (indices.rank != x.rank || axis < 0 || axis >= x.rank) return "the axis is none of x";
      for (int64_t d = 0; d < x.rank; ++d)
        if (d != axis && indices.dims[d] > x.dims[d]) return "more indices than elements";
      return nullptr;
    }
    if (axis < 0 || axis > indices.rank - 1 || length() < 0 || length() > x.rank - axis)
      return "tuples are longer than the rank";
    for (int64_t d = 0; d < axis; ++d)
      if (indices.dims[d] != x.dims[d]) return "shared dimensions differ";
    return nullptr;
  }

  // Where element or block i lies in x, in elements; −1 when an index is outside: then `bad` is it and `extent` its
  // bound.
  int64_t offset(int64_t i, int64_t& bad, int64_t& extent) const {
    return tuples ? tuple(i, bad, extent) : element(i, bad, extent);
  }

 private:
  static bool place(int64_t& at, int64_t size, int64_t& bad, int64_t& extent) {
    bad = at;
    extent = size;
    if (at < -size || at >= size) return false;
    if (at < 0) at += size;
    return true;
  }

  int64_t element(int64_t i, int64_t& bad, int64_t& extent) const {
    int64_t from = 0, stride = 1, rest = i;
    for (int64_t d = x.rank; d-- > 0; stride *= x.dims[d]) {
      int64_t at = rest % indices.dims[d];
      rest /= indices.dims[d];
      if (d == axis && !place(at = index(i), x.dims[d], bad, extent)) return -1;
      from += at * stride;
    }
    return from;
  }

  int64_t tuple(int64_t i, int64_t& bad, int64_t& extent) const {
    const int64_t entries = length(), in_batch = indices.elements(axis, indices.rank - 1);
    int64_t from = axis > 0 ? i / in_batch : 0;
    for (int64_t k = 0; k < entries; ++k) {
      int64_t at = index(i * entries + k);
      if (!place(at, x.dims[axis + k], bad, extent)) return -1;
      from = from * x.dims[axis + k] + at;
    }
    return from * block();
  }
};

}  // namespace cupel
