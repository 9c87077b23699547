// Checks of ops that move elements: every element of the result against the place it comes from, found by a loop over
// indices.
#pragma once

#include <cstring>

#include "ops/run_op.h"

namespace cupel::testing {

// Element types of every width that is moved.
inline constexpr DType kMovedTypes[] = {DType::u8, DType::f16, DType::f32, DType::s64, DType::boolean};

// Position of `index` in a row-major tensor.
inline int64_t flat_index(const Dims& index, const Dims& dims) {
  int64_t flat = 0;
  for (size_t k = 0; k < dims.size(); ++k) flat = flat * dims[k] + index[k];
  return flat;
}

// y has the dimensions, and its element at every index is the element of x that `place(index)` numbers; −1:
// `otherwise`.
template <class Place>
void expect_moved(const Tensor& x, const Tensor& y, const Dims& dims, Place&& place,
                  const Tensor& otherwise = Tensor()) {
  ASSERT_EQ(y.dtype(), x.dtype());
  ASSERT_EQ(y.dims(), dims);
  const auto bytes = static_cast<size_t>(dtype_bits(x.dtype()) / 8);
  for (int64_t i = 0; i < y.size(); ++i) {
    Dims index(dims.size());
    for (size_t k = dims.size(), rest = static_cast<size_t>(i); k-- > 0; rest /= static_cast<size_t>(dims[k]))
      index[k] = static_cast<int64_t>(rest % static_cast<size_t>(dims[k]));
    const int64_t from = place(index);
    ASSERT_LT(from, x.size());
    const std::byte* wanted =
        from < 0 ? otherwise.bytes().data() : x.bytes().data() + static_cast<size_t>(from) * bytes;
    ASSERT_EQ(std::memcmp(y.bytes().data() + static_cast<size_t>(i) * bytes, wanted, bytes), 0)
        << dtype_name(x.dtype()) << " element " << to_text(index);
  }
}

inline Tensor integers(std::vector<int64_t> values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values));
}

// A constant vector of s64.
inline Operand known(std::vector<int64_t> values) { return constant(integers(std::move(values))); }

// A vector of s64 whose elements are shape arithmetic.
inline Operand known_shape(std::vector<Dim> elements) {
  Operand operand(TensorType{DType::s64, {static_cast<int64_t>(elements.size())}, std::nullopt});
  operand.contents = std::move(elements);
  return operand;
}

inline TensorType reals_type(Shape shape) { return {DType::f32, std::move(shape), std::nullopt}; }

// The text of the shape of result 0, or the error.
inline std::string shape_of(const OpDef& op, const std::vector<Operand>& operands, const Attributes& attributes = {}) {
  const auto types = infer_op(op, operands, attributes);
  return types ? to_text((*types)[0].shape) : message_of(types);
}

// The text of known elements, "unknown", or the error.
inline std::string contents_text(const Result<std::optional<std::vector<Dim>>>& contents) {
  if (!contents) return message_of(contents);
  return *contents ? to_text(**contents) : "unknown";
}

}  // namespace cupel::testing
