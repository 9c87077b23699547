// cast: y[i] = x[i] in another type (runtime/convert.h). A unit is an element. Attributes: what the
// bytes of x and of y are, where their type u8 does not say it, and whether floats of 8 bits saturate.
#include "runtime/convert.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

template <class From, class To>
void cast_elements(const OpCall& call, int64_t begin, int64_t end) {
  const From* from = call.operand(0).as<From>();
  To* to = call.result(0).as<To>();
  const bool saturate = call.attribute(2) != 0;
  for (int64_t i = begin; i < end; ++i) convert_element(from[i], to[i], saturate);
}

template <class From>
void cast_from(const OpCall& call, int64_t begin, int64_t end) {
  switch (static_cast<CastBytes>(call.attribute(1))) {
    case CastBytes::numbers: break;
    case CastBytes::truths: return cast_elements<From, bool>(call, begin, end);
    case CastBytes::e4m3: return cast_elements<From, E4m3>(call, begin, end);
    case CastBytes::e5m2: return cast_elements<From, E5m2>(call, begin, end);
  }
  switch (static_cast<DType>(call.result(0).dtype)) {
    case DType::f32: return cast_elements<From, float>(call, begin, end);
    case DType::f64: return cast_elements<From, double>(call, begin, end);
    case DType::f16: return cast_elements<From, Half>(call, begin, end);
    case DType::bf16: return cast_elements<From, Brain>(call, begin, end);
    case DType::u8: return cast_elements<From, uint8_t>(call, begin, end);
    case DType::s8: return cast_elements<From, int8_t>(call, begin, end);
    case DType::u16: return cast_elements<From, uint16_t>(call, begin, end);
    case DType::s16: return cast_elements<From, int16_t>(call, begin, end);
    case DType::u32: return cast_elements<From, uint32_t>(call, begin, end);
    case DType::s32: return cast_elements<From, int32_t>(call, begin, end);
    case DType::u64: return cast_elements<From, uint64_t>(call, begin, end);
    case DType::s64: return cast_elements<From, int64_t>(call, begin, end);
    default: return;
  }
}

}  // namespace

const char* check_cast(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1 || call.attributes() != 3)
    return "expected one result, one operand, three attributes";
  const OpTensor x = call.operand(0), y = call.result(0);
  const auto is_known = [](const OpTensor& t) {
    return t.present() && (has_cpp_type(static_cast<DType>(t.dtype)) || t.is(DType::f16) || t.is(DType::bf16));
  };
  if (!is_known(x) || !is_known(y)) return "a type of less than 8 bits, or a real one of 8";
  for (const int64_t i : {0, 1}) {
    const int64_t bytes = call.attribute(i);
    if (bytes < 0 || bytes > static_cast<int64_t>(CastBytes::e5m2)) return "unknown bytes";
    if (bytes != 0 && (i == 0 ? x : y).element_bytes() != 1) return "bytes in another type";
  }
  if (call.attribute(1) == 0 && y.is(DType::boolean)) return "the result holds no truths";
  if (x.size() != y.size() || call.units() != y.size()) return "expected equal sizes, and a unit for each element";
  return nullptr;
}

void run_cast(const OpCall& call, int64_t begin, int64_t end) {
  switch (static_cast<CastBytes>(call.attribute(0))) {
    case CastBytes::e4m3: return cast_from<E4m3>(call, begin, end);
    case CastBytes::e5m2: return cast_from<E5m2>(call, begin, end);
    default: break;
  }
  switch (static_cast<DType>(call.operand(0).dtype)) {
    case DType::f32: return cast_from<float>(call, begin, end);
    case DType::f64: return cast_from<double>(call, begin, end);
    case DType::f16: return cast_from<Half>(call, begin, end);
    case DType::bf16: return cast_from<Brain>(call, begin, end);
    case DType::u8: return cast_from<uint8_t>(call, begin, end);
    case DType::s8: return cast_from<int8_t>(call, begin, end);
    case DType::u16: return cast_from<uint16_t>(call, begin, end);
    case DType::s16: return cast_from<int16_t>(call, begin, end);
    case DType::u32: return cast_from<uint32_t>(call, begin, end);
    case DType::s32: return cast_from<int32_t>(call, begin, end);
    case DType::u64: return cast_from<uint64_t>(call, begin, end);
    case DType::s64: return cast_from<int64_t>(call, begin, end);
    default: return cast_from<bool>(call, begin, end);
  }
}

}  // namespace cupel
