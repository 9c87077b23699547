// sample_grid: y[c, o] = x[c] at the place that grid[o] names, between its elements by interpolation. Operands: x
// f32[batch, channels, spatial…], grid f32[batch, places…, spatial dimensions], whose last dimension names the
// innermost axis of x first, from −1 to 1. Attributes: mode (0 nearest, 1 linear, 2 cubic), padding (0 zeros, 1 border,
// 2 reflection), whether −1 and 1 are the middles of the outer elements instead of their edges. Units: rows of y (all
// but the last dimension). Sums from +0 over the taps of an axis, ascending, product and sum rounded one by one, the
// last axis innermost.
#include "runtime/op_call.h"

namespace cupel {
namespace {

constexpr int64_t kMostAxes = 3;
constexpr float kFarthest = 0x1p+30f;

enum Mode : int64_t { nearest, linear, cubic };
enum Padding : int64_t { zeros, border, reflection };

// floor of a number of magnitude up to 2^30 and a bit.
inline int64_t floor_of(float x) {
  const auto whole = static_cast<int64_t>(x);
  return static_cast<float>(whole) > x ? whole - 1 : whole;
}

// x folded back into [low, high] at its ends.
float reflected(float x, float low, float high) {
  if (x >= low && x <= high) return x;
  const float range = high - low, outside = x < low ? low - x : x - high;
  if (!(range > 0)) return low;
  const int64_t times = floor_of(outside / range);
  const float rest = outside - static_cast<float>(times) * range;
  const bool from_low = (x < low) == (times % 2 == 0);
  return from_low ? low + rest : high - rest;
}

struct Axis {
  int64_t size = 1, stride = 1, padding = zeros;
  float low = 0, high = 0;  // where reflection folds

  // The element that stands for index i; −1 for a zero.
  int64_t element(int64_t i) const {
    if (i >= 0 && i < size) return i;
    if (padding == zeros) return -1;
    const auto folded = padding == reflection ? static_cast<int64_t>(reflected(static_cast<float>(i), low, high)) : i;
    return folded < 0 ? 0 : folded >= size ? size - 1 : folded;
  }
};

struct Taps {
  int64_t count = 0;
  int64_t at[4] = {};  // elements; −1: a zero
  float weight[4] = {};
};

// Keys' cubic convolution with a = −0.75 for a place t behind the second of four elements.
void cubic_weights(float t, float* weights) {
  constexpr float a = -0.75f;
  const float before = t + 1.0f, behind = 1.0f - t, last = 2.0f - t;
  weights[0] = ((a * before - 5.0f * a) * before + 8.0f * a) * before - 4.0f * a;
  weights[1] = (((a + 2.0f) * t - (a + 3.0f)) * t) * t + 1.0f;
  weights[2] = (((a + 2.0f) * behind - (a + 3.0f)) * behind) * behind + 1.0f;
  weights[3] = ((a * last - 5.0f * a) * last + 8.0f * a) * last - 4.0f * a;
}

Taps taps_of(const Axis& axis, int64_t mode, bool align, float place) {
  const auto size = static_cast<float>(axis.size);
  float x = align ? (place + 1.0f) / 2.0f * (size - 1.0f) : ((place + 1.0f) * size - 1.0f) / 2.0f;
  if (!(x >= -kFarthest)) x = -kFarthest;  // NaN too
  if (x > kFarthest) x = kFarthest;
  if (mode == nearest) {  // to even
    const int64_t below = floor_of(x);
    const float rest = x - static_cast<float>(below);
    x = static_cast<float>(rest > 0.5f || (rest == 0.5f && below % 2 != 0) ? below + 1 : below);
  }
  // The taps of cubic are folded one by one, as PyTorch and ONNX Runtime do.
  if (mode != cubic && (x < axis.low || x > axis.high)) {
    if (axis.padding == border) x = x < 0.0f ? 0.0f : x > size - 1.0f ? size - 1.0f : x;
    if (axis.padding == reflection) x = reflected(x, axis.low, axis.high);
  }
  Taps taps;
  if (mode == nearest) {
    taps.count = 1;
    taps.at[0] = axis.element(static_cast<int64_t>(x));
    taps.weight[0] = 1;
    return taps;
  }
  const int64_t first = floor_of(x);
  const float t = x - static_cast<float>(first);
  taps.count = mode == linear ? 2 : 4;
  for (int64_t k = 0; k < taps.count; ++k) taps.at[k] = axis.element(first + k - (mode == linear ? 0 : 1));
  if (mode == linear) {
    taps.weight[0] = 1.0f - t;
    taps.weight[1] = t;
  } else {
    cubic_weights(t, taps.weight);
  }
  return taps;
}

float sum_of(const float* x, const Axis* axes, const Taps* taps, int64_t rank) {
  if (rank == 0) return *x;
  float sum = 0.0f;
  for (int64_t k = 0; k < taps->count; ++k) {
    const float value = taps->at[k] < 0 ? 0.0f : sum_of(x + taps->at[k] * axes->stride, axes + 1, taps + 1, rank - 1);
    sum = sum + taps->weight[k] * value;
  }
  return sum;
}

}  // namespace

const char* check_sample_grid(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 2 || call.attributes() != 3)
    return "expected x, grid, y and 3 attributes";
  const OpTensor x = call.operand(0), grid = call.operand(1), y = call.result(0);
  if (!x.is(DType::f32) || !grid.is(DType::f32) || !y.is(DType::f32)) return "expected f32";
  const int64_t axes = x.rank - 2;
  if (axes < 1 || axes > kMostAxes || grid.rank != x.rank || y.rank != x.rank)
    return "expected 1 to 3 spatial dimensions";
  if (grid.dims[grid.rank - 1] != axes || grid.dims[0] != x.dims[0] || y.dims[0] != x.dims[0] || y.dims[1] != x.dims[1])
    return "x, grid and y do not fit";
  for (int64_t d = 0; d < axes; ++d) {
    if (y.dims[2 + d] != grid.dims[1 + d]) return "y has not the grid's places";
    if (x.dims[2 + d] < 1 || x.dims[2 + d] > (int64_t{1} << 24)) return "an axis of x is empty or above 2^24";
  }
  if (call.attribute(0) < nearest || call.attribute(0) > cubic || call.attribute(1) < zeros ||
      call.attribute(1) > reflection)
    return "no such mode or padding";
  return call.units() * y.dims[y.rank - 1] == y.size() ? nullptr : "expected a unit for each row of y";
}

void run_sample_grid(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), grid = call.operand(1), y = call.result(0);
  const int64_t spatial = x.rank - 2, width = y.dims[y.rank - 1], rows = y.elements(2, y.rank - 1);
  const bool align = call.attribute(2) != 0;
  Axis axes[kMostAxes];
  int64_t stride = 1;
  for (int64_t d = spatial; d-- > 0; stride *= x.dims[2 + d]) {
    const auto size = static_cast<float>(x.dims[2 + d]);
    axes[d] = {x.dims[2 + d], stride, call.attribute(1), align ? 0.0f : -0.5f, align ? size - 1.0f : size - 0.5f};
  }
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t image = unit / rows, batch = image / x.dims[1];
    const float* places = grid.as<float>() + (batch * rows + unit % rows) * width * spatial;
    for (int64_t i = 0; i < width; ++i) {
      Taps taps[kMostAxes];
      for (int64_t d = 0; d < spatial; ++d)
        taps[d] = taps_of(axes[d], call.attribute(0), align, places[i * spatial + spatial - 1 - d]);
      y.as<float>()[unit * width + i] = sum_of(x.as<float>() + image * stride, axes, taps, spatial);
    }
  }
}

}  // namespace cupel
