// Dense tensors: a dtype, constant dimensions and a shared block of bytes in row-major order.
#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/dtype.h"
#include "base/shape.h"

namespace cupel {

// Bytes a buffer needs for `elements` of `type` (4-bit types: rounded up to whole bytes).
int64_t byte_count(DType type, int64_t elements);

// Copies share the bytes. A tensor is written only by the code that made it, before it is shared.
class Tensor {
 public:
  Tensor() = default;
  // Zero-filled, 64-byte aligned. Requires checked dimensions (count_elements); throws std::bad_alloc.
  Tensor(DType type, Dims dims);

  template <class T>
  static Tensor of(Dims dims, std::span<const T> values) {
    Tensor t(DTypeOf<T>::value, std::move(dims));
    assert(values.size() == static_cast<size_t>(t.size()));
    std::copy(values.begin(), values.end(), t.mutable_data<T>().begin());
    return t;
  }
  template <class T>
  static Tensor of(Dims dims, std::initializer_list<T> values) {
    return of<T>(std::move(dims), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor scalar(T value) {
    return of<T>({}, {value});
  }

  DType dtype() const { return type_; }
  const Dims& dims() const { return dims_; }
  int64_t rank() const { return static_cast<int64_t>(dims_.size()); }
  int64_t size() const { return size_; }
  int64_t bytes_size() const { return byte_count(type_, size_); }
  bool empty() const { return size_ == 0; }

  std::span<const std::byte> bytes() const { return {buffer_.get(), static_cast<size_t>(bytes_size())}; }
  std::span<std::byte> mutable_bytes() { return {buffer_.get(), static_cast<size_t>(bytes_size())}; }
  template <class T>
  std::span<const T> data() const {
    assert(DTypeOf<T>::value == type_);
    return {reinterpret_cast<const T*>(buffer_.get()), static_cast<size_t>(size_)};
  }
  template <class T>
  std::span<T> mutable_data() {
    assert(DTypeOf<T>::value == type_);
    return {reinterpret_cast<T*>(buffer_.get()), static_cast<size_t>(size_)};
  }
  // The same bytes under other dimensions of equal element count.
  Tensor reshaped(Dims dims) const;
  // The same bytes read as another type of equal width.
  Tensor bit_cast_to(DType type) const;
  // Rows [begin, begin+count) of the leading dimension, sharing the bytes. Requires byte-aligned elements.
  Tensor rows(int64_t begin, int64_t count) const;

  // Element i as a number; integers exactly up to 2^53. Requires a type of at least 8 bits.
  double at(int64_t i) const;
  int64_t int_at(int64_t i) const;

  // Same dtype, dims and bytes.
  bool operator==(const Tensor& other) const;

 private:
  DType type_ = DType::f32;
  Dims dims_ = {0};
  int64_t size_ = 0;
  std::shared_ptr<std::byte> buffer_;
};

}  // namespace cupel
