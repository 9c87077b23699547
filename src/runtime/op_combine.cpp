// combine: y = f(… f(f(x0), x1) …, xn) element by element, operands broadcast to y (runtime/element_functions.h).
// Operands of one type; one behind the first may be absent. An attribute for each operand: the function of the first
// alone, then those of what there is so far and the operand. One that gives truths has two operands. A unit is an
// element. An integer divided by 0 is a fault.
#include "runtime/element_functions.h"
#include "runtime/op_call.h"

namespace cupel {
namespace {

using F = ElementFunction;

F function_at(const OpCall& call, int64_t i) { return static_cast<F>(call.attribute(i)); }

// An operand under the dimensions of the result.
struct Spread {
  int64_t strides[kMostOpRank] = {};  // in elements; 0 where it is broadcast

  Spread(const OpTensor& x, const OpTensor& y) {
    int64_t stride = 1;
    for (int64_t d = x.rank; d-- > 0; stride *= x.dims[d])
      if (x.dims[d] != 1) strides[d + y.rank - x.rank] = stride;
  }
  int64_t step(const OpTensor& y) const { return y.rank == 0 ? 0 : strides[y.rank - 1]; }
  int64_t offset(const OpTensor& y, int64_t element) const {
    int64_t at = 0;
    for (int64_t d = y.rank; d-- > 0; element /= y.dims[d]) at += element % y.dims[d] * strides[d];
    return at;
  }
};

// Calls body(first element of y, elements) for the rows of y that [begin, end) touches.
template <class Body>
void for_rows(const OpTensor& y, int64_t begin, int64_t end, Body body) {
  const int64_t row = y.rank == 0 ? 1 : y.dims[y.rank - 1];
  while (begin < end) {
    const int64_t left = row - begin % row, n = end - begin < left ? end - begin : left;
    body(begin, n);
    begin += n;
  }
}

template <F f, class T>
void apply_one(T* y, int64_t n) {
  if constexpr (has_function<T>(f))
    for (int64_t i = 0; i < n; ++i) y[i] = function_of_one<f>(y[i]);
}

template <F f, class T, class R>
void apply_two(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n, R* y) {
  if constexpr (has_function<T>(f))
    for (int64_t i = 0; i < n; ++i) y[i] = function_of_two<f>(a[i * a_step], b[i * b_step]);
}

template <class T>
void apply_first(F f, T* y, int64_t n) {
  switch (f) {
    case F::negative: return apply_one<F::negative>(y, n);
    case F::magnitude: return apply_one<F::magnitude>(y, n);
    case F::sign: return apply_one<F::sign>(y, n);
    case F::inverted: return apply_one<F::inverted>(y, n);
    case F::positive: return apply_one<F::positive>(y, n);
    case F::reciprocal: return apply_one<F::reciprocal>(y, n);
    case F::square_root: return apply_one<F::square_root>(y, n);
    case F::floor: return apply_one<F::floor>(y, n);
    case F::ceil: return apply_one<F::ceil>(y, n);
    case F::round: return apply_one<F::round>(y, n);
    case F::exp: return apply_one<F::exp>(y, n);
    case F::log: return apply_one<F::log>(y, n);
    default: return;
  }
}

template <class T>
void apply_next(F f, T* y, const T* b, int64_t step, int64_t n) {
  switch (f) {
    case F::add: return apply_two<F::add>(y, 1, b, step, n, y);
    case F::sub: return apply_two<F::sub>(y, 1, b, step, n, y);
    case F::mul: return apply_two<F::mul>(y, 1, b, step, n, y);
    case F::div: return apply_two<F::div>(y, 1, b, step, n, y);
    case F::remainder: return apply_two<F::remainder>(y, 1, b, step, n, y);
    case F::modulo: return apply_two<F::modulo>(y, 1, b, step, n, y);
    case F::greater: return apply_two<F::greater>(y, 1, b, step, n, y);
    case F::less: return apply_two<F::less>(y, 1, b, step, n, y);
    case F::bit_and: return apply_two<F::bit_and>(y, 1, b, step, n, y);
    case F::bit_or: return apply_two<F::bit_or>(y, 1, b, step, n, y);
    case F::bit_xor: return apply_two<F::bit_xor>(y, 1, b, step, n, y);
    case F::shift_left: return apply_two<F::shift_left>(y, 1, b, step, n, y);
    case F::shift_right: return apply_two<F::shift_right>(y, 1, b, step, n, y);
    default: return;
  }
}

template <class T>
void compare(F f, const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t n, uint8_t* y) {
  switch (f) {
    case F::is_equal: return apply_two<F::is_equal>(a, a_step, b, b_step, n, y);
    case F::is_greater: return apply_two<F::is_greater>(a, a_step, b, b_step, n, y);
    case F::is_less: return apply_two<F::is_less>(a, a_step, b, b_step, n, y);
    case F::is_at_least: return apply_two<F::is_at_least>(a, a_step, b, b_step, n, y);
    default: return apply_two<F::is_at_most>(a, a_step, b, b_step, n, y);
  }
}

// The first of the divisors that is 0; n where there is none.
template <class T>
int64_t first_zero(F f, const T* b, int64_t step, int64_t n) {
  const bool divides = f == F::div || f == F::remainder || f == F::modulo;
  if constexpr (std::is_integral_v<T>)
    for (int64_t i = 0; divides && i < n; ++i)
      if (b[i * step] == 0) return i;
  return n;
}

template <class T>
void combine(const OpCall& call, int64_t begin, int64_t end) {
  const OpTensor y = call.result(0), x = call.operand(0);
  const Spread first(x, y);
  for_rows(y, begin, end, [&](int64_t at, int64_t n) {
    const T* from = x.as<T>() + first.offset(y, at);
    if (call.operands() > 1 && gives_truth(function_at(call, 1))) {
      const OpTensor b = call.operand(1);
      const Spread second(b, y);
      return compare(function_at(call, 1), from, first.step(y), b.as<T>() + second.offset(y, at), second.step(y), n,
                     y.as<uint8_t>() + at);
    }
    T* to = y.as<T>() + at;
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * first.step(y)];
    apply_first(function_at(call, 0), to, n);
    for (int64_t k = 1; k < call.operands(); ++k) {
      const OpTensor b = call.operand(k);
      if (!b.present()) continue;
      const Spread next(b, y);
      const T* other = b.as<T>() + next.offset(y, at);
      if (const int64_t zero = first_zero(function_at(call, k), other, next.step(y), n); zero < n)
        return call.divided_by_zero(at + zero, at + zero);
      apply_next(function_at(call, k), to, other, next.step(y), n);
    }
  });
}

bool broadcasts(const OpTensor& x, const OpTensor& y) {
  for (int64_t d = 0; d < x.rank; ++d) {
    const int64_t at = d + y.rank - x.rank;
    if (x.dims[d] != 1 && (at < 0 || x.dims[d] != y.dims[at])) return false;
  }
  return true;
}

template <class T>
const char* check_functions(const OpCall& call) {
  for (int64_t k = 0; k < call.attributes(); ++k) {
    const F f = function_at(call, k);
    if (call.attribute(k) < 0 || f >= F::count || takes_one(f) != (k == 0)) return "no function of so many operands";
    if (f != F::copy && !has_function<T>(f)) return "no function of this type";
    if (gives_truth(f) && (call.operands() != 2 || function_at(call, 0) != F::copy)) return "truths are combined";
  }
  return nullptr;
}

// Calls body(T{}) with the type of the elements; false for one that has none here.
template <class Body>
bool with_type(int64_t dtype, Body body) {
  switch (static_cast<DType>(dtype)) {
    case DType::f32: return body(float{}), true;
    case DType::f64: return body(double{}), true;
    case DType::u8: return body(uint8_t{}), true;
    case DType::s8: return body(int8_t{}), true;
    case DType::u16: return body(uint16_t{}), true;
    case DType::s16: return body(int16_t{}), true;
    case DType::u32: return body(uint32_t{}), true;
    case DType::s32: return body(int32_t{}), true;
    case DType::u64: return body(uint64_t{}), true;
    case DType::s64: return body(int64_t{}), true;
    default: return false;
  }
}

}  // namespace

const char* check_combine(const OpCall& call) {
  if (call.results() != 1 || call.operands() < 1 || call.attributes() != call.operands())
    return "expected one result, and a function for each operand";
  const OpTensor x = call.operand(0), y = call.result(0);
  if (!x.present()) return "the first operand is absent";
  const bool truths = call.operands() == 2 && gives_truth(function_at(call, 1));
  if (truths ? y.element_bytes() != 1 || !call.operand(1).present() : x.dtype != y.dtype)
    return "a result of another type";
  for (int64_t k = 0; k < call.operands(); ++k) {
    const OpTensor b = call.operand(k);
    if (!b.present()) continue;
    if (b.dtype != x.dtype) return "expected operands of one type";
    if (!broadcasts(b, y)) return "an operand does not broadcast to the result";
  }
  const char* wrong = nullptr;
  if (!with_type(x.dtype, [&](auto t) { wrong = check_functions<decltype(t)>(call); }))
    return "no functions of this type";
  if (wrong != nullptr) return wrong;
  return call.units() == y.size() ? nullptr : "expected a unit for each element";
}

void run_combine(const OpCall& call, int64_t begin, int64_t end) {
  with_type(call.operand(0).dtype, [&](auto t) { combine<decltype(t)>(call, begin, end); });
}

}  // namespace cupel
