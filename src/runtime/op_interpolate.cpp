// interpolate: y[o] = Σ over the taps of every axis of weight · x[index], in binary32, the last axis innermost, taps in
// ascending order, products and sums rounded one by one. Operands: x, then for each axis that is not copied an index
// table s32[extent, taps] and a weight table f32[extent, taps]. Attributes: one for each axis of x, whether it has
// tables; then the number (binary32 bits) that stands where some index is −1.
#include "runtime/op_call.h"

namespace cupel {
namespace {

struct Axis {
  const int32_t* indices = nullptr;
  const float* weights = nullptr;
  int64_t taps = 1, stride = 1;  // stride: in elements of x
};

// Σ of the axes from `d` on at the coordinates `at`; `outside` is set where an index is −1.
float sum_of(const float* x, const Axis* axes, int64_t rank, int64_t d, const int64_t* at, bool& outside) {
  if (d == rank) return *x;
  const Axis& axis = axes[d];
  if (axis.indices == nullptr) return sum_of(x + at[d] * axis.stride, axes, rank, d + 1, at, outside);
  const int32_t* indices = axis.indices + at[d] * axis.taps;
  const float* weights = axis.weights + at[d] * axis.taps;
  float sum = 0.0f;
  for (int64_t t = 0; t < axis.taps; ++t) {
    if (indices[t] < 0) {
      outside = true;
      return 0.0f;
    }
    sum = sum + weights[t] * sum_of(x + indices[t] * axis.stride, axes, rank, d + 1, at, outside);
  }
  return sum;
}

// Two taps along each of the last two axes, as images are enlarged: the same sums.
void bilinear_row(const float* x, const Axis& vertical, const Axis& horizontal, int64_t row, float* y, int64_t width) {
  const int32_t* v = vertical.indices + row * 2;
  const float *upper = x + v[0] * vertical.stride, *lower = x + v[1] * vertical.stride;
  const float a = vertical.weights[row * 2], b = vertical.weights[row * 2 + 1];
  for (int64_t i = 0; i < width; ++i) {
    const int64_t left = horizontal.indices[i * 2], right = horizontal.indices[i * 2 + 1];
    const float p = horizontal.weights[i * 2], q = horizontal.weights[i * 2 + 1];
    const float above = (0.0f + p * upper[left]) + q * upper[right];
    const float below = (0.0f + p * lower[left]) + q * lower[right];
    y[i] = (0.0f + a * above) + b * below;
  }
}

struct Tables {
  Axis axes[kMostOpRank];
  bool bilinear = false;  // and no index is −1
  bool sound = true, inside = true;
};

Tables tables_of(const OpCall& call, const OpTensor& x) {
  Tables tables;
  int64_t operand = 1, stride = 1, with_tables = 0;
  for (int64_t d = 0; d < x.rank; ++d) {
    if (call.attribute(d) == 0) continue;
    const OpTensor indices = call.operand(operand), weights = call.operand(operand + 1);
    tables.sound = tables.sound && indices_within(indices, -1, x.dims[d]);
    tables.inside = tables.inside && indices_within(indices, 0, x.dims[d]);
    tables.axes[d] = {indices.as<int32_t>(), weights.as<float>(), indices.dims[1], 1};
    operand += 2;
    ++with_tables;
  }
  for (int64_t d = x.rank; d-- > 0; stride *= x.dims[d]) tables.axes[d].stride = stride;
  const Axis *vertical = x.rank >= 2 ? &tables.axes[x.rank - 2] : nullptr,
             *horizontal = vertical != nullptr ? vertical + 1 : nullptr;
  tables.bilinear = vertical != nullptr && with_tables == 2 && vertical->indices != nullptr &&
                    horizontal->indices != nullptr && vertical->taps == 2 && horizontal->taps == 2 && tables.inside;
  return tables;
}

}  // namespace

const char* check_interpolate(const OpCall& call) {
  if (call.results() != 1 || call.operands() < 1) return "expected one result, and an operand";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.is(DType::f32) || !y.is(DType::f32) || x.rank != y.rank || x.rank < 1) return "expected f32 of equal rank";
  if (call.attributes() != x.rank + 1) return "expected an attribute for each axis, and one";
  if (call.units() * y.dims[y.rank - 1] != y.size()) return "expected a unit for each row of the result";
  int64_t operand = 1;
  for (int64_t d = 0; d < x.rank; ++d) {
    if (call.attribute(d) == 0) {
      if (x.dims[d] != y.dims[d]) return "an axis without tables changes its extent";
      continue;
    }
    if (operand + 2 > call.operands()) return "a table is missing";
    const OpTensor indices = call.operand(operand), weights = call.operand(operand + 1);
    if (!indices.is(DType::s32) || !weights.is(DType::f32) || indices.rank != 2 || weights.rank != 2 ||
        indices.dims[0] != y.dims[d] || weights.dims[0] != y.dims[d] || indices.dims[1] != weights.dims[1] ||
        indices.dims[1] < 1)
      return "a table has another shape than its axis";
    operand += 2;
  }
  return operand == call.operands() ? nullptr : "more operands than tables";
}

void run_interpolate(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), y = call.result(0);
  const Tables tables = tables_of(call, x);
  if (!tables.sound) return call.fault(begin, 0, 0);
  const int64_t rank = x.rank, width = y.dims[rank - 1];
  const float outside_value = call.real(rank);
  for (int64_t row = begin; row < end; ++row) {
    float* to = y.as<float>() + row * width;
    int64_t at[kMostOpRank] = {}, rest = row;
    for (int64_t d = rank - 1; d-- > 0; rest /= y.dims[d]) at[d] = rest % y.dims[d];
    if (tables.bilinear) {
      int64_t plane = 0;
      for (int64_t d = 0; d + 2 < rank; ++d) plane += at[d] * tables.axes[d].stride;
      bilinear_row(x.as<float>() + plane, tables.axes[rank - 2], tables.axes[rank - 1], at[rank - 2], to, width);
      continue;
    }
    for (int64_t i = 0; i < width; ++i) {
      at[rank - 1] = i;
      bool outside = false;
      const float sum = sum_of(x.as<float>(), tables.axes, rank, 0, at, outside);
      to[i] = outside ? outside_value : sum;
    }
  }
}

}  // namespace cupel
