// Where the elements of a resized axis come from (ONNX, operator Resize).
#pragma once

#include <cstdint>
#include <vector>

#include "ir/attribute.h"

namespace cupel::ops {

// An axis of `from` elements that becomes one of `to`; begin and end: the region of mode tf_crop_and_resize, as parts
// of the axis.
struct ResizedAxis {
  int64_t from = 1, to = 1;
  float scale = 1.0f;
  float begin = 0.0f, end = 1.0f;
};

// For each of `to` elements `count` indices into the axis, in ascending order before they are held inside of it, and
// their weights. An index of −1 stands for extrapolation_value.
struct Taps {
  int64_t count = 1;
  std::vector<int32_t> indices;
  std::vector<float> weights;
};
// Of each element.
int64_t taps_count(const Attributes& attributes, const ResizedAxis& axis);
Taps taps_of(const Attributes& attributes, const ResizedAxis& axis);

}  // namespace cupel::ops
