// cast: y[i] = x[i] in another type, where no number can fail (runtime/convert.h). A unit is an element.
#include "runtime/convert.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

template <class From, class To>
void cast_elements(const OpTensor& x, const OpTensor& y, int64_t begin, int64_t end) {
  const From* from = x.as<From>();
  To* to = y.as<To>();
  for (int64_t i = begin; i < end; ++i) to[i] = converted<To>(from[i]);
}

template <class From>
void cast_from(const OpTensor& x, const OpTensor& y, int64_t begin, int64_t end) {
  switch (static_cast<DType>(y.dtype)) {
    case DType::f32: return cast_elements<From, float>(x, y, begin, end);
    case DType::f64: return cast_elements<From, double>(x, y, begin, end);
    case DType::u8: return cast_elements<From, uint8_t>(x, y, begin, end);
    case DType::s8: return cast_elements<From, int8_t>(x, y, begin, end);
    case DType::u16: return cast_elements<From, uint16_t>(x, y, begin, end);
    case DType::s16: return cast_elements<From, int16_t>(x, y, begin, end);
    case DType::u32: return cast_elements<From, uint32_t>(x, y, begin, end);
    case DType::s32: return cast_elements<From, int32_t>(x, y, begin, end);
    case DType::u64: return cast_elements<From, uint64_t>(x, y, begin, end);
    case DType::s64: return cast_elements<From, int64_t>(x, y, begin, end);
    default: return cast_elements<From, bool>(x, y, begin, end);
  }
}

}  // namespace

const char* check_cast(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1 || call.attributes() != 0) return "expected one result, one operand";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.present() || !always_fits(static_cast<DType>(x.dtype), static_cast<DType>(y.dtype)))
    return "numbers of the operand's type may not fit the result's";
  if (x.size() != y.size() || call.units() != y.size()) return "expected equal sizes, and a unit for each element";
  return nullptr;
}

void run_cast(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor x = call.operand(0), y = call.result(0);
  switch (static_cast<DType>(x.dtype)) {
    case DType::f32: return cast_from<float>(x, y, begin, end);
    case DType::f64: return cast_from<double>(x, y, begin, end);
    case DType::u8: return cast_from<uint8_t>(x, y, begin, end);
    case DType::s8: return cast_from<int8_t>(x, y, begin, end);
    case DType::u16: return cast_from<uint16_t>(x, y, begin, end);
    case DType::s16: return cast_from<int16_t>(x, y, begin, end);
    case DType::u32: return cast_from<uint32_t>(x, y, begin, end);
    case DType::s32: return cast_from<int32_t>(x, y, begin, end);
    case DType::u64: return cast_from<uint64_t>(x, y, begin, end);
    case DType::s64: return cast_from<int64_t>(x, y, begin, end);
    default: return cast_from<bool>(x, y, begin, end);
  }
}

}  // namespace cupel
