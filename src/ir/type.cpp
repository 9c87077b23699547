#include "ir/type.h"

#include <fmt/format.h>

#include <cmath>

namespace cupel {

Status check_quant_params(const QuantParams& params, DType type, const Shape& shape) {
  const std::string remedy = "quantize the model again";
  if (!is_code(type)) return bad_input("", fmt::format("{} cannot hold quantized codes", dtype_name(type)), remedy);
  if (params.scale.empty() || params.scale.size() != params.zero_point.size())
    return bad_input("",
                     fmt::format("{} scales and {} zero points, expected equally many and at least one",
                                 params.scale.size(), params.zero_point.size()),
                     remedy);
  if (params.per_tensor()) {
    if (params.scale.size() != 1)
      return bad_input("", fmt::format("{} scales for a whole tensor, expected 1", params.scale.size()), remedy);
  } else {
    if (params.axis >= static_cast<int64_t>(shape.size()))
      return bad_input("", fmt::format("quantization axis {} is outside shape {}", params.axis, to_text(shape)),
                       remedy);
    const Dim& channels = shape[static_cast<size_t>(params.axis)];
    if (!(channels == Dim(static_cast<int64_t>(params.scale.size()))))
      return bad_input("",
                       fmt::format("{} scales for axis {} of shape {}, expected {}", params.scale.size(), params.axis,
                                   to_text(shape), to_text(channels)),
                       remedy);
  }
  for (size_t i = 0; i < params.scale.size(); ++i) {
    if (!(params.scale[i] > 0) || !std::isnormal(params.scale[i]))
      return bad_input("", fmt::format("scale {} is {}, expected a finite normal number above 0", i, params.scale[i]),
                       remedy);
    if (type == DType::s32 && params.zero_point[i] != 0)
      return unsupported("", fmt::format("zero point {} is {}, expected 0 for s32", i, params.zero_point[i]), remedy);
    if (params.zero_point[i] < dtype_min(type) || params.zero_point[i] > dtype_max(type))
      return bad_input("", fmt::format("zero point {} is {}, outside {}", i, params.zero_point[i], dtype_name(type)),
                       remedy);
  }
  return {};
}

std::string to_text(const TensorType& type) {
  std::string text = std::string(dtype_name(type.dtype)) + to_text(type.shape);
  if (!type.quant) return text;
  const QuantParams& q = *type.quant;
  text += " quant(";
  if (!q.per_tensor()) text += fmt::format("axis={}, ", q.axis);
  text += fmt::format("scale={}{}, zero_point={}{})", q.scale[0], q.scale.size() > 1 ? "…" : "", q.zero_point[0],
                      q.zero_point.size() > 1 ? "…" : "");
  return text;
}

}  // namespace cupel
