// Types of graph values: element type, shape and, for codes, how a code stands for a real number.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace cupel {

// real = scale · (code − zero_point). Per tensor: axis −1 and one entry each. Per axis: one entry for each index of
// dimension `axis`. zero_point always has as many entries as scale.
struct QuantParams {
  std::vector<float> scale;         // finite, normal, > 0
  std::vector<int32_t> zero_point;  // within the code type
  int64_t axis = -1;

  bool per_tensor() const { return axis < 0; }
  float scale_at(int64_t channel) const { return scale[per_tensor() ? 0 : static_cast<size_t>(channel)]; }
  int32_t zero_point_at(int64_t channel) const { return zero_point[per_tensor() ? 0 : static_cast<size_t>(channel)]; }
  bool operator==(const QuantParams&) const = default;
};

// Checks the rules above for codes of `type` in a tensor of `shape`; bad_input with an empty place.
Status check_quant_params(const QuantParams& params, DType type, const Shape& shape);

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  std::optional<QuantParams> quant;

  bool is_quantized() const { return quant.has_value(); }
  bool operator==(const TensorType&) const = default;
};

// "u8[batch,16,28,28] quant(scale=[0x1p-7], zero_point=[128])"; long lists are cut with an ellipsis here (the graph
// printer writes them whole).
std::string to_text(const TensorType& type);

}  // namespace cupel
