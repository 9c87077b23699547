// Pieces that the shape rules and meanings of many ops share.
#pragma once

#include <vector>

#include "base/tensor.h"
#include "ir/op_def.h"

namespace cupel::ops {

using Types = std::vector<TensorType>;

// A type without quantization.
inline TensorType plain(DType dtype, Shape shape) { return {dtype, std::move(shape), std::nullopt}; }

// The result type of an op on codes: declared dtype and parameters with the inferred shape. bad_input when the node
// declares none (text or a pass must give it). The caller checks the width it can write.
Result<TensorType> declared_codes(const InferContext& c, Shape shape);

// unsupported unless operand i has the dtype: types that ONNX forbids are refused before (infer_types).
Status expect_dtype(const InferContext& c, size_t i, DType dtype);
// bad_input unless operand i has the rank.
Status expect_rank(const InferContext& c, size_t i, int64_t rank);

// For ops that move or select elements: any dtype; per-tensor parameters stay, per-axis ones are refused (unsupported).
Result<TensorType> moved_type(const InferContext& c, size_t i, Shape shape);

// Constant integers of operand i (axes, shapes, pads…), from its known contents; an error when they are unknown or
// symbolic.
Result<std::vector<int64_t>> known_integers(const InferContext& c, size_t i, std::string_view what);

// Row-major strides in elements.
Dims strides_of(const Dims& dims);
// Strides with which an operand of `dims` is walked over the broadcast result `out` (0 along broadcast dimensions).
Dims broadcast_strides(const Dims& dims, const Dims& out);

}  // namespace cupel::ops
