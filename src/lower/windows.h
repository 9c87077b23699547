// The geometry of windows over images, as lowering needs it.
#pragma once

#include "lower/places.h"
#include "ops/window.h"

namespace cupel {

// Both spatial axes of a window, and the halo they need.
struct Window {
  WindowAxis h, w;
  Halo halo = {};
};
// Of an op whose elements are windowed, over two spatial dimensions.
Window window_of(const Graph& graph, const Node& node);
// What lies in the halo that the node reads: the least number where it selects the greatest, else zero.
HaloFill window_fill(const Node& node);
// What a window reads of an image with byte stride `channel_stride` from one channel to the next: the first tap of each
// position of a space {N, h, w, channels}, without N where that is 1.
Access window_access(const Steps& steps, const Placed& x, const Window& window, int64_t channel_stride);
// Its taps over a placed image, rows first.
std::vector<ReductionLoop> window_taps(const Placed& x, const Window& window);
// Where its taps along one axis read zeros of the halo only.
Border border_of(const TensorType& x, const WindowAxis& axis);

}  // namespace cupel
