// reduce: y = the sum, product, greatest or least of the elements of x along some dimensions, or their mean, in
// row-major order. Attributes: the function, then one for each dimension of x, 1 where it is reduced. Integers wrap
// around; the greatest and the least pass over NaN. A unit is an element of y.
#include "runtime/element_functions.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

enum Function : int64_t { sum, product, greatest, least, mean, functions };

template <class T>
T start_of(int64_t f, bool truths) {
  using Limits = std::numeric_limits<T>;
  if (f == least && truths) return T(1);
  if (f == greatest) return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  if (f == least) return Limits::has_infinity ? Limits::infinity() : Limits::max();
  return f == product ? T(1) : T(0);
}

template <class T>
T next_of(int64_t f, T so_far, T x) {
  using F = ElementFunction;
  switch (f) {
    case product: return function_of_two<F::mul>(so_far, x);
    case greatest: return function_of_two<F::greater>(x, so_far);
    case least: return function_of_two<F::less>(x, so_far);
    default: return function_of_two<F::add>(so_far, x);
  }
}

// Dimensions of x that stay, or vanish, and where their elements lie.
struct Walk {
  int64_t rank = 0, count = 1, dims[kMostOpRank], strides[kMostOpRank];

  Walk(const OpCall& call, bool reduced) {
    const OpTensor x = call.operand(0);
    for (int64_t d = 0; d < x.rank; ++d) {
      if ((call.attribute(1 + d) != 0) != reduced) continue;
      dims[rank] = x.dims[d];
      strides[rank++] = x.elements(d + 1, x.rank);
      count *= x.dims[d];
    }
  }
  int64_t offset(int64_t i) const {
    int64_t at = 0;
    for (int64_t d = rank; d-- > 0; i /= dims[d]) at += i % dims[d] * strides[d];
    return at;
  }
};

template <class T>
void reduce(const OpCall& call, int64_t begin, int64_t end) {
  const int64_t f = call.attribute(0);
  const Walk kept(call, false), gone(call, true);
  const int64_t row = gone.rank == 0 ? 1 : gone.dims[gone.rank - 1],
                step = gone.rank == 0 ? 0 : gone.strides[gone.rank - 1];
  const T* x = call.operand(0).as<T>();
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t first = kept.offset(unit);
    T result = start_of<T>(f, call.operand(0).is(DType::boolean));
    for (int64_t i = 0; i < gone.count; i += row) {
      const T* from = x + first + gone.offset(i);
      for (int64_t j = 0; j < row; ++j) result = next_of(f, result, from[j * step]);
    }
    if constexpr (std::is_same_v<T, double>)
      if (f == mean) result = result / static_cast<double>(gone.count);
    call.result(0).as<T>()[unit] = result;
  }
}

}  // namespace

const char* check_reduce(const OpCall& call) {
  if (call.results() != 1 || call.operands() != 1) return "expected x and y";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.present() || x.dtype != y.dtype) return "expected equal types";
  if (call.attributes() != 1 + x.rank) return "expected a function and an attribute for each dimension";
  const int64_t f = call.attribute(0);
  if (f < 0 || f >= functions || (f == mean && !x.is(DType::f64))) return "no such function";
  if (x.is(DType::boolean) && f != greatest && f != least) return "no such function of truths";
  if (x.is(DType::f16) || x.is(DType::bf16) || x.is(DType::u4) || x.is(DType::s4) || x.is(DType::f8e4m3) ||
      x.is(DType::f8e5m2))
    return "no function of this type";
  if (y.size() != Walk(call, false).count || call.units() != y.size()) return "expected a unit for each element of y";
  return nullptr;
}

void run_reduce(const OpCall& call, int64_t begin, int64_t end) {
  switch (static_cast<DType>(call.operand(0).dtype)) {
    case DType::f32: return reduce<float>(call, begin, end);
    case DType::f64: return reduce<double>(call, begin, end);
    case DType::boolean:
    case DType::u8: return reduce<uint8_t>(call, begin, end);
    case DType::s8: return reduce<int8_t>(call, begin, end);
    case DType::u16: return reduce<uint16_t>(call, begin, end);
    case DType::s16: return reduce<int16_t>(call, begin, end);
    case DType::u32: return reduce<uint32_t>(call, begin, end);
    case DType::s32: return reduce<int32_t>(call, begin, end);
    case DType::u64: return reduce<uint64_t>(call, begin, end);
    default: return reduce<int64_t>(call, begin, end);
  }
}

}  // namespace cupel
