// Windows that slide over the spatial dimensions of an image: what convolutions and pooling share, in the interpreter
// and in lowering.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ir/op_def.h"

namespace cupel {

// The windows of one spatial dimension: `out` of them, each of `kernel` taps over `in` elements. Padding is resolved;
// steps that nothing takes are 1.
struct WindowAxis {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;

  // Elements from the first tap of a window to its last, both included.
  int64_t span() const { return (kernel - 1) * dilation + 1; }
  // Where window o starts.
  int64_t start(int64_t o) const { return o * stride - pad_begin; }
  // Elements behind the input that the last window reads; pad_end may be more.
  int64_t read_behind() const { return std::max<int64_t>(0, start(out - 1) + span() - in); }
  bool reads_padding() const { return pad_begin > 0 || read_behind() > 0; }

  // First tap of window o inside the input, and one past the last.
  int64_t first_tap(int64_t o) const { return start(o) >= 0 ? 0 : (-start(o) + dilation - 1) / dilation; }
  int64_t end_tap(int64_t o) const { return taps_below(o, in); }
  // Number of taps of window o at positions below `limit`.
  int64_t taps_below(int64_t o, int64_t limit) const {
    return start(o) >= limit ? 0 : std::min(kernel, (limit - 1 - start(o)) / dilation + 1);
  }
  // Taps of window o that an average divides by: those inside the input, or inside the padded input with include_pad (a
  // window that overhangs it in ceil_mode is cut).
  int64_t counted_taps(int64_t o, bool include_pad) const {
    return include_pad ? taps_below(o, in + pad_end) : std::max<int64_t>(0, end_tap(o) - first_tap(o));
  }
  // The windows whose tap k is inside the input: [first_window(k), end_window(k)).
  int64_t first_window(int64_t k) const {
    const int64_t behind = pad_begin - k * dilation;
    return behind <= 0 ? 0 : (behind + stride - 1) / stride;
  }
  int64_t end_window(int64_t k) const {
    const int64_t room = in - 1 + pad_begin - k * dilation;
    return room < 0 ? 0 : std::min(out, room / stride + 1);
  }
};

namespace ops {

// bad_input unless operand 0 has a batch, channels and a spatial dimension.
Status expect_image(const Shape& x);

// One axis for each spatial dimension of images `x` (batch, channels, spatial dimensions), by the attributes strides,
// dilations, pads and auto_pad. bad_input for what contradicts itself, unsupported for symbolic or too many dimensions,
// resource for numbers that are too large.
// Of a convolution by weights `w` (output channels, channels, taps) over so many spatial dimensions.
Result<std::vector<WindowAxis>> convolution_axes(const Attributes& attributes, const Shape& x, const Shape& w,
                                                 size_t most_dimensions = 2);
// Of pooling, by kernel_shape and ceil_mode too. Pads are shorter than a window spans, so that none lies in them alone.
Result<std::vector<WindowAxis>> pooling_axes(const Attributes& attributes, const Shape& x);
// Of any op whose elements are windowed.
Result<std::vector<WindowAxis>> window_axes(const OpDef& op, const Attributes& attributes,
                                            std::span<const TensorType* const> inputs);

}  // namespace ops
}  // namespace cupel
