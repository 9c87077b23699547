// roi_align: y[r, c, p, q] = the mean, or the greatest, of samples of x[image of r, c] in cell (p, q) of region r,
// which is cut into as many cells as y has. Operands: x [N, C, H, W], regions [R, 4] (x, y of two corners), images [R].
// A cell has sampling_ratio² samples in a regular grid, or, where that is 0, as many as it has pixels of x along each
// axis, rounded up; none where it has no extent. A sample is Σ weight · x over its four neighbours, from left to right
// and top to bottom, each product rounded, or the greatest of these products; beyond one pixel outside x it is 0. In
// binary32, by the formulas of ONNX Runtime. Attributes: whether the greatest is taken, whether pixels have their
// centers at halves, sampling_ratio, the bits of the scale from regions to x. A unit is a channel of a region.
#include "runtime/op_call.h"

namespace cupel {
namespace {

// Along one axis: two neighbours and their weights.
struct Neighbours {
  int64_t low, high;
  float of_low, of_high;
  bool outside;
};
Neighbours neighbours(float at, int64_t extent) {
  // A NaN, too, is outside.
  if (!(at >= -1.0f && at <= static_cast<float>(extent))) return {0, 0, 0.0f, 0.0f, true};
  if (at <= 0.0f) at = 0.0f;
  const auto low = static_cast<int64_t>(at);
  if (low >= extent - 1) return {extent - 1, extent - 1, 1.0f, 0.0f, false};
  const float part = at - static_cast<float>(low);
  return {low, low + 1, 1.0f - part, part, false};
}

// Along one axis of a region: begin and extent of its cells, and the samples of each.
struct Cells {
  float begin, extent;
  int64_t samples;
  float at(int64_t cell, int64_t sample) const {
    return begin + static_cast<float>(cell) * extent +
           (static_cast<float>(sample) + 0.5f) * extent / static_cast<float>(samples);
  }
};
Cells cells_of(float from, float to, int64_t count, const OpCall& call) {
  constexpr float kMost = 4096;  // samples, where the region has no sane extent
  const bool half_pixel = call.attribute(1) != 0;
  const float scale = call.real(3), offset = half_pixel ? 0.5f : 0.0f;
  const float begin = from * scale - offset;
  float extent = to * scale - offset - begin;
  if (!half_pixel && !(extent > 1.0f)) extent = 1.0f;
  const float cell = extent / static_cast<float>(count);
  if (call.attribute(2) > 0) return {begin, cell, call.attribute(2)};
  const float wanted = !(cell > 0.0f) ? 0.0f : cell < kMost ? cell : kMost;
  const auto whole = static_cast<int64_t>(wanted);
  return {begin, cell, static_cast<float>(whole) < wanted ? whole + 1 : whole};
}

float sample(const float* x, int64_t width, const Neighbours& v, const Neighbours& h, bool greatest) {
  const float a = v.of_low * h.of_low * x[v.low * width + h.low], b = v.of_low * h.of_high * x[v.low * width + h.high],
              c = v.of_high * h.of_low * x[v.high * width + h.low],
              d = v.of_high * h.of_high * x[v.high * width + h.high];
  if (!greatest) return a + b + c + d;
  const float ab = a > b ? a : b, cd = c > d ? c : d;
  return ab > cd ? ab : cd;
}

float pooled(const float* x, int64_t height, int64_t width, const Cells& rows, const Cells& columns, int64_t p,
             int64_t q, bool greatest) {
  float result = 0.0f;
  bool first = true;
  for (int64_t i = 0; i < rows.samples; ++i) {
    const Neighbours v = neighbours(rows.at(p, i), height);
    for (int64_t k = 0; k < columns.samples; ++k) {
      const Neighbours h = neighbours(columns.at(q, k), width);
      const float value = v.outside || h.outside ? 0.0f : sample(x, width, v, h, greatest);
      result = !greatest ? result + value : first || value > result ? value : result;
      first = false;
    }
  }
  const int64_t count = rows.samples * columns.samples;
  return greatest ? result : result / static_cast<float>(count > 0 ? count : 1);
}

}  // namespace

const char* check_roi_align(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 3 || call.attributes() != 4) return "expected y, x, regions, images";
  const OpTensor x = call.operand(0), regions = call.operand(1), images = call.operand(2), y = call.result(0);
  if (!x.is(DType::f32) || !y.is(DType::f32) || !regions.is(DType::f32) || !images.is(DType::s64))
    return "expected f32, and s64 indices";
  if (x.rank != 4 || y.rank != 4 || regions.rank != 2 || images.rank != 1) return "expected ranks 4, 2, 1, 4";
  if (regions.dims[1] != 4 || images.dims[0] != regions.dims[0] || y.dims[0] != regions.dims[0] ||
      y.dims[1] != x.dims[1])
    return "shapes do not fit";
  if (call.attribute(2) < 0 || call.attribute(2) > 256) return "too many samples";
  const int64_t rows = y.dims[0] * y.dims[1];
  return call.units() == (rows > 0 ? rows : 1) ? nullptr : "expected a unit for each channel of a region";
}

void run_roi_align(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), y = call.result(0);
  const int64_t channels = x.dims[1], height = x.dims[2], width = x.dims[3], area = y.dims[2] * y.dims[3];
  if (y.size() == 0) return;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t region = unit / channels, channel = unit % channels;
    const float* corner = call.operand(1).as<float>() + 4 * region;
    int64_t image = call.operand(2).as<int64_t>()[region];
    if (image < -x.dims[0] || image >= x.dims[0]) return call.fault(unit, image, x.dims[0]);
    if (image < 0) image += x.dims[0];
    const Cells rows = cells_of(corner[1], corner[3], y.dims[2], call),
                columns = cells_of(corner[0], corner[2], y.dims[3], call);
    const float* from = x.as<float>() + (image * channels + channel) * height * width;
    float* to = call.result(0).as<float>() + unit * area;
    for (int64_t i = 0; i < area; ++i)
      to[i] = height * width == 0
                  ? 0.0f
                  : pooled(from, height, width, rows, columns, i / y.dims[3], i % y.dims[3], call.attribute(0) != 0);
  }
}

}  // namespace cupel
