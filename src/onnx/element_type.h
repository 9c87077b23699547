// Element types as ONNX numbers them (TensorProto.DataType).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/dtype.h"

namespace cupel {

std::optional<DType> dtype_from_onnx(int64_t number);
int32_t onnx_number(DType type);
// "string", "complex64", … of any number, for messages about types that Cupel lacks.
std::string onnx_type_name(int64_t number);

}  // namespace cupel
