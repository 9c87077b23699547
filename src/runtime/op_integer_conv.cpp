// integer_conv: convolution y[n, o, …] = Σ (x − zx) · (w − zw[o]) in 32 bits, wrapping around; padding adds nothing.
//
// Operands: x u8 or s8 [N, C, spatial…]; zx of x's type, one; w u8 or s8 [O, C / groups, taps…]; zw of w's type, one or
// one for each o. zx and zw may be absent, which is 0. Attributes: groups; for each spatial axis stride, dilation and
// the padding before it. Result: y s32 [N, O, spatial…]. A unit is a row of y along its last axis.
#include "runtime/op_call.h"

namespace cupel {
namespace {

enum Operand { kX, kZx, kW, kZw, kOperands };
constexpr int64_t kMostAxes = kMostOpRank - 2, kAxisInts = 3, kLimit = int64_t{1} << 31;

struct Axis {
  int64_t in, out, taps, stride, dilation, pad;

  int64_t position(int64_t o, int64_t tap) const { return o * stride - pad + tap * dilation; }
  // The windows whose tap lies inside the input: [first(tap), limit(tap)).
  int64_t first(int64_t tap) const {
    const int64_t behind = pad - tap * dilation;
    return behind <= 0 ? 0 : (behind + stride - 1) / stride;
  }
  int64_t limit(int64_t tap) const {
    const int64_t room = in - 1 + pad - tap * dilation, windows = room < 0 ? 0 : room / stride + 1;
    return windows < out ? windows : out;
  }
};

struct Convolution {
  OpTensor x, zx, w, zw, y;
  int64_t groups, axes;
  Axis axis[kMostAxes];

  explicit Convolution(const OpCall& call)
      : x(call.operand(kX)),
        zx(call.operand(kZx)),
        w(call.operand(kW)),
        zw(call.operand(kZw)),
        y(call.result(0)),
        groups(call.attribute(0)),
        axes(x.rank - 2) {
    for (int64_t d = 0; d < axes; ++d)
      axis[d] = {x.dims[2 + d],
                 y.dims[2 + d],
                 w.dims[2 + d],
                 call.attribute(1 + kAxisInts * d),
                 call.attribute(2 + kAxisInts * d),
                 call.attribute(3 + kAxisInts * d)};
  }
};

int32_t zero_of(const OpTensor& zero, int64_t o) {
  if (!zero.present()) return 0;
  const int64_t i = zero.size() == 1 ? 0 : o;
  return zero.is(DType::s8) ? zero.as<int8_t>()[i] : zero.as<uint8_t>()[i];
}

// y[i] += factor · (x[i · stride] − zero) for windows [begin, end) of a row.
template <class T>
void add_tap(const T* x, const Axis& axis, int64_t tap, int32_t factor, int32_t zero, uint32_t* y) {
  const int64_t begin = axis.first(tap), end = axis.limit(tap);
  if (begin >= end) return;
  const T* from = x + axis.position(begin, tap);
  if (axis.stride == 1)
    for (int64_t i = 0; i < end - begin; ++i) y[begin + i] += static_cast<uint32_t>(factor * (from[i] - zero));
  else
    for (int64_t i = 0; i < end - begin; ++i)
      y[begin + i] += static_cast<uint32_t>(factor * (from[i * axis.stride] - zero));
}

// The taps of the axes before the last at `at`; false where one lies in padding. `row`: the row of x, among those of
// its channel; `tap`: among the rows of taps.
bool row_of(const Convolution& c, const int64_t* at, int64_t taps, int64_t& row) {
  row = 0;
  int64_t stride = 1;
  for (int64_t d = c.axes - 1; d-- > 0; taps /= c.axis[d].taps) {
    const int64_t position = c.axis[d].position(at[d], taps % c.axis[d].taps);
    if (position < 0 || position >= c.axis[d].in) return false;
    row += position * stride;
    stride *= c.axis[d].in;
  }
  return true;
}

template <class T, class W>
void run_rows(const Convolution& c, int64_t begin, int64_t end) {
  const Axis& last = c.axis[c.axes - 1];
  const int64_t channels = c.w.dims[1], outputs = c.y.dims[1], per_group = outputs / c.groups;
  const int64_t rows_out = c.y.elements(2, c.y.rank - 1), rows_in = c.x.elements(2, c.x.rank - 1);
  const int64_t tap_rows = c.w.elements(2, c.w.rank - 1);
  const int32_t zero = zero_of(c.zx, 0);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t n = unit / rows_out / outputs, o = unit / rows_out % outputs;
    int64_t at[kMostAxes] = {}, rest = unit % rows_out;
    for (int64_t d = c.axes - 1; d-- > 0; rest /= c.axis[d].out) at[d] = rest % c.axis[d].out;
    uint32_t* y = c.y.as<uint32_t>() + unit * last.out;
    memset(y, 0, static_cast<size_t>(last.out) * sizeof *y);
    const int32_t weight_zero = zero_of(c.zw, o);
    const int64_t first_channel = n * c.x.dims[1] + o / per_group * channels;
    for (int64_t k = 0; k < channels; ++k)
      for (int64_t taps = 0; taps < tap_rows; ++taps) {
        int64_t row = 0;
        if (!row_of(c, at, taps, row)) continue;
        const T* x = c.x.as<T>() + ((first_channel + k) * rows_in + row) * last.in;
        const W* w = c.w.as<W>() + ((o * channels + k) * tap_rows + taps) * last.taps;
        for (int64_t t = 0; t < last.taps; ++t) add_tap(x, last, t, w[t] - weight_zero, zero, y);
      }
  }
}

bool is_byte(const OpTensor& t) { return t.is(DType::u8) || t.is(DType::s8); }

}  // namespace

const char* check_integer_conv(const OpCall& call) {
  if (call.results() != 1 || call.operands() != kOperands) return "expected one result and four operands";
  const OpTensor x = call.operand(kX), w = call.operand(kW), y = call.result(0);
  if (!is_byte(x) || !is_byte(w) || !y.is(DType::s32)) return "expected bytes, and s32";
  if (x.rank < 3 || w.rank != x.rank || y.rank != x.rank) return "expected equal ranks of at least 3";
  if (call.attributes() != 1 + kAxisInts * (x.rank - 2)) return "expected three attributes for each axis, and one";
  const Convolution c(call);
  if (c.groups < 1 || w.dims[0] % c.groups != 0 || x.dims[1] % c.groups != 0 || x.dims[1] / c.groups != w.dims[1] ||
      y.dims[1] != w.dims[0] || y.dims[0] != x.dims[0])
    return "channels do not fit";
  if ((c.zx.present() && (c.zx.dtype != x.dtype || c.zx.size() != 1)) ||
      (c.zw.present() && (c.zw.dtype != w.dtype || (c.zw.size() != 1 && c.zw.size() != w.dims[0]))))
    return "a zero point has another shape";
  for (int64_t d = 0; d < c.axes; ++d) {
    const Axis& a = c.axis[d];
    for (const int64_t v : {a.in, a.out, a.taps, a.stride, a.dilation})
      if (v < 1 || v >= kLimit) return "an axis is too large";
    if (a.pad <= -kLimit || a.pad >= kLimit) return "an axis is too large";
  }
  if (call.units() * y.dims[y.rank - 1] != y.size()) return "expected a unit for each row of the result";
  return nullptr;
}

void run_integer_conv(const OpCall& call, int64_t begin, int64_t end) {
  const Convolution c(call);
  const bool x_signed = c.x.is(DType::s8), w_signed = c.w.is(DType::s8);
  if (x_signed && w_signed) return run_rows<int8_t, int8_t>(c, begin, end);
  if (x_signed) return run_rows<int8_t, uint8_t>(c, begin, end);
  if (w_signed) return run_rows<uint8_t, int8_t>(c, begin, end);
  run_rows<uint8_t, uint8_t>(c, begin, end);
}

}  // namespace cupel
