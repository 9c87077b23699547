#include "base/dtype.h"

#include <array>

namespace cupel {
namespace {

struct Row {
  DType type;
  std::string_view name;
  int bits;
  int64_t min, max;
};
constexpr std::array<Row, 17> kRows = {{
    {DType::f32, "f32", 32, 0, 0},
    {DType::f64, "f64", 64, 0, 0},
    {DType::f16, "f16", 16, 0, 0},
    {DType::bf16, "bf16", 16, 0, 0},
    {DType::f8e4m3, "f8e4m3", 8, 0, 0},
    {DType::f8e5m2, "f8e5m2", 8, 0, 0},
    {DType::u8, "u8", 8, 0, 255},
    {DType::s8, "s8", 8, -128, 127},
    {DType::u16, "u16", 16, 0, 65535},
    {DType::s16, "s16", 16, -32768, 32767},
    {DType::u32, "u32", 32, 0, 4294967295},
    {DType::s32, "s32", 32, -2147483648LL, 2147483647},
    {DType::u64, "u64", 64, 0, INT64_MAX},
    {DType::s64, "s64", 64, INT64_MIN, INT64_MAX},
    {DType::boolean, "bool", 8, 0, 1},
    {DType::u4, "u4", 4, 0, 15},
    {DType::s4, "s4", 4, -8, 7},
}};
const Row& row(DType type) { return kRows[static_cast<size_t>(type)]; }

}  // namespace

int dtype_bits(DType type) { return row(type).bits; }
std::string_view dtype_name(DType type) { return row(type).name; }
int64_t dtype_min(DType type) { return row(type).min; }
int64_t dtype_max(DType type) { return row(type).max; }
std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& r : kRows)
    if (r.name == name) return r.type;
  return std::nullopt;
}

}  // namespace cupel
