#include "onnx/element_type.h"

#include <array>
#include <string_view>

namespace cupel {
namespace {

// By number.
constexpr auto kNames = std::to_array<std::string_view>(
    {"undefined", "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
     "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
     "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
     "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2"});

}  // namespace

std::string onnx_type_name(int64_t number) {
  if (number < 0 || number >= static_cast<int64_t>(kNames.size())) return "number " + std::to_string(number);
  return std::string(kNames[static_cast<size_t>(number)]);
}

}  // namespace cupel
