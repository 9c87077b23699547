// Names of ONNX's element types (ops/onnx_dtype.h has their numbers).
#pragma once

#include <cstdint>
#include <string>

namespace cupel {

// "string", "complex64", … of any TensorProto.DataType, for messages about types that Cupel lacks.
std::string onnx_type_name(int64_t number);

}  // namespace cupel
