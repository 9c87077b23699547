// What the elementwise ops share: walking over a broadcast result, and functions of one code as a table.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "base/tensor.h"
#include "ir/op_def.h"
#include "ops/requantize.h"
#include "runtime/thread_pool.h"

namespace cupel::ops {

// Scalar operations that one part of a parallel loop has at least.
inline constexpr int64_t kPartOperations = 16384;

// Elements with the symbol bound to 1; 0 when they cannot be counted.
int64_t elements_per_item(const TensorType& type);

// bad_input unless operand i holds u8 or s8 codes with one scale.
Status expect_byte_codes(const InferContext& c, size_t i);
// The declared result type of an op on codes: u8 or s8 with one scale, of the inferred shape; bad_input otherwise.
Result<TensorType> declared_byte_codes(const InferContext& c, Shape shape);
// Type of a function of one element: f32 to f32, or 8-bit codes to declared 8-bit codes.
Result<std::vector<TensorType>> infer_function(const InferContext& c);

// Bytes of a tensor of 8-bit elements (u8, s8, bool).
inline const uint8_t* byte_elements(const Tensor& t) { return reinterpret_cast<const uint8_t*>(t.bytes().data()); }
inline uint8_t* byte_elements(Tensor& t) { return reinterpret_cast<uint8_t*>(t.mutable_bytes().data()); }

// How a byte becomes code − zero point: (byte ^ flip) − offset. One expression for u8 and s8.
struct ByteCodes {
  uint8_t flip = 0;
  int32_t offset = 0;

  explicit ByteCodes(const TensorType& type)
      : flip(type.dtype == DType::s8 ? 0x80 : 0),
        offset((type.dtype == DType::s8 ? 128 : 0) + type.quant->zero_point[0]) {}
  int32_t centered(uint8_t byte) const { return static_cast<int32_t>(byte ^ flip) - offset; }
};

// Walks over a result of given dimensions while up to three operands broadcast to it. Adjacent dimensions along which
// every operand is either contiguous or constant are merged.
class BroadcastWalk {
 public:
  static constexpr size_t kMaxOperands = 3;
  using Offsets = std::array<int64_t, kMaxOperands>;

  // Each operand's dimensions must broadcast to `out`.
  BroadcastWalk(const Dims& out, std::initializer_list<const Dims*> operands);

  int64_t size() const { return size_; }
  // Step of operand i inside a run: 0 or 1.
  int64_t step(size_t i) const { return strides_[i].back(); }

  // Calls body(result index, operand offsets, count) for the runs that cover the results [begin, end), ascending.
  template <class Body>
  void for_range(int64_t begin, int64_t end, Body&& body) const {
    const int64_t length = extents_.back();
    while (begin < end) {
      const int64_t in_run = begin % length, count = std::min(length - in_run, end - begin);
      body(begin, offsets_of(begin / length, in_run), count);
      begin += count;
    }
  }
  // The same over all results, on all threads.
  template <class Body>
  void for_each(ThreadPool& threads, Body&& body) const {
    threads.parallel_for(size_, kPartOperations, [&](int64_t begin, int64_t end) { for_range(begin, end, body); });
  }

 private:
  Offsets offsets_of(int64_t run, int64_t in_run) const;

  int64_t size_;
  Dims extents_;                            // never empty
  std::array<Dims, kMaxOperands> strides_;  // in elements, one for each extent
};

// One table entry for each byte pattern of the operand.
using CodeTable = std::array<uint8_t, 256>;

// table[q] = to_code(f(f32(q − zx) · sx) · f32(1 / double(sy)), zy)
template <class F>
CodeTable table_of(const F& f, const TensorType& x, const TensorType& y) {
  const float inverse = inverse_scale(y.quant->scale[0]);
  const CodeRange range(y.dtype, y.quant->zero_point[0]);
  CodeTable table;
  for (int i = 0; i < 256; ++i) {
    const int32_t code = x.dtype == DType::u8 ? i : static_cast<int8_t>(i);
    const float real = from_code(code, x.quant->zero_point[0], x.quant->scale[0]);
    table[static_cast<size_t>(i)] = static_cast<uint8_t>(to_code(f(real) * inverse, range));
  }
  return table;
}

// Output 0 = table[operand 0], byte by byte.
void look_up(const EvalContext& c, const CodeTable& table);

}  // namespace cupel::ops
