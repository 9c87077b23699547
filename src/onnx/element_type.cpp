#include "onnx/element_type.h"

#include <algorithm>
#include <array>

namespace cupel {
namespace {

struct Row {
  int32_t number;
  std::string_view name;
  std::optional<DType> type;
};

constexpr auto kRows = std::to_array<Row>({
    {1, "float", DType::f32},
    {2, "uint8", DType::u8},
    {3, "int8", DType::s8},
    {4, "uint16", DType::u16},
    {5, "int16", DType::s16},
    {6, "int32", DType::s32},
    {7, "int64", DType::s64},
    {8, "string", std::nullopt},
    {9, "bool", DType::boolean},
    {10, "float16", DType::f16},
    {11, "double", DType::f64},
    {12, "uint32", DType::u32},
    {13, "uint64", DType::u64},
    {14, "complex64", std::nullopt},
    {15, "complex128", std::nullopt},
    {16, "bfloat16", DType::bf16},
    {17, "float8e4m3fn", DType::f8e4m3},
    {18, "float8e4m3fnuz", std::nullopt},
    {19, "float8e5m2", DType::f8e5m2},
    {20, "float8e5m2fnuz", std::nullopt},
    {21, "uint4", DType::u4},
    {22, "int4", DType::s4},
    {23, "float4e2m1", std::nullopt},
    {24, "float8e8m0", std::nullopt},
    {25, "uint2", std::nullopt},
    {26, "int2", std::nullopt},
});

}  // namespace

std::optional<DType> dtype_from_onnx(int64_t number) {
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.number == number; });
  return row == kRows.end() ? std::nullopt : row->type;
}

int32_t onnx_number(DType type) {
  return std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.type == type; })->number;
}

std::string onnx_type_name(int64_t number) {
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.number == number; });
  return row == kRows.end() ? "number " + std::to_string(number) : std::string(row->name);
}

}  // namespace cupel
