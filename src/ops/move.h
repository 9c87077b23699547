// Moving elements without looking at them, for every element type of whole bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor.h"
#include "ir/op_def.h"
#include "runtime/thread_pool.h"

namespace cupel::ops {

// A part of parallel work has at least this many elements.
inline constexpr int64_t kMoveGrain = 16384;

// moved_type (ops/rules.h) for ops that address single elements: 4-bit ones, two to a byte, are unsupported.
Result<TensorType> addressed_type(const InferContext& c, size_t i, Shape shape);

// Bytes of one element. Requires a type of at least 8 bits.
inline int64_t element_bytes(DType type) { return dtype_bits(type) / 8; }

// target[Σ index[k] · target_strides[k]] = source[Σ index[k] · source_strides[k]] for every index below `dims`.
// Strides count elements of `bytes` (1, 2, 4 or 8) bytes; those of the source may be 0 or negative. Different indices
// have different targets.
void move_elements(ThreadPool& threads, int64_t bytes, Dims dims, Dims source_strides, const std::byte* source,
                   Dims target_strides, std::byte* target);

// Calls body(E{}) with the unsigned integer type E of `bytes` (1, 2, 4 or 8) bytes.
template <class Body>
void with_element(int64_t bytes, Body&& body) {
  switch (bytes) {
    case 1: return body(uint8_t{});
    case 2: return body(uint16_t{});
    case 4: return body(uint32_t{});
    default: return body(uint64_t{});
  }
}

// Writes `count` times the element at `value`.
void fill_elements(int64_t bytes, const std::byte* value, int64_t count, std::byte* target);

// Reference of ops whose result 0 has the row-major elements of operand 0: it shares the bytes.
Status share_elements(const EvalContext& c);

// Cost of views and of shape arithmetic.
Cost no_cost(const Attributes&, std::span<const TensorType* const> inputs, std::span<const TensorType> outputs);

}  // namespace cupel::ops
