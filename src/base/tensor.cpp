#include "base/tensor.h"

#include <cstring>
#include <new>

namespace cupel {

int64_t byte_count(DType type, int64_t elements) { return (elements * dtype_bits(type) + 7) / 8; }

Tensor::Tensor(DType type, Dims dims) : type_(type), dims_(std::move(dims)), size_(element_count(dims_)) {
  const size_t bytes = (static_cast<size_t>(bytes_size()) + 127) / 64 * 64;  // one spare line for vector tails
  auto* memory = static_cast<std::byte*>(::operator new(bytes, std::align_val_t{64}));
  std::memset(memory, 0, bytes);
  buffer_ = std::shared_ptr<std::byte>(memory, [](std::byte* p) { ::operator delete(p, std::align_val_t{64}); });
}

Tensor Tensor::reshaped(Dims dims) const {
  assert(element_count(dims) == size_);
  Tensor t = *this;
  t.dims_ = std::move(dims);
  return t;
}

Tensor Tensor::bit_cast_to(DType type) const {
  assert(dtype_bits(type) == dtype_bits(type_));
  Tensor t = *this;
  t.type_ = type;
  return t;
}

Tensor Tensor::rows(int64_t begin, int64_t count) const {
  assert(rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dims_[0] && dtype_bits(type_) >= 8);
  Tensor t = *this;
  const int64_t row_elements = dims_[0] == 0 ? 0 : size_ / dims_[0];
  t.dims_[0] = count;
  t.size_ = row_elements * count;
  t.buffer_ = std::shared_ptr<std::byte>(buffer_, buffer_.get() + begin * row_elements * dtype_bits(type_) / 8);
  return t;
}

namespace {
template <class T>
T load(const std::byte* base, int64_t i) {
  T value;
  std::memcpy(&value, base + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
}  // namespace

double Tensor::at(int64_t i) const {
  assert(i >= 0 && i < size_);
  const std::byte* p = buffer_.get();
  switch (type_) {
    case DType::f32: return load<float>(p, i);
    case DType::f64: return load<double>(p, i);
    case DType::f16: return f16_to_f32(load<uint16_t>(p, i));
    case DType::bf16: return bf16_to_f32(load<uint16_t>(p, i));
    case DType::f8e4m3: return f8e4m3_to_f32(load<uint8_t>(p, i));
    case DType::f8e5m2: return f8e5m2_to_f32(load<uint8_t>(p, i));
    default: return static_cast<double>(int_at(i));
  }
}

int64_t Tensor::int_at(int64_t i) const {
  assert(i >= 0 && i < size_);
  const std::byte* p = buffer_.get();
  switch (type_) {
    case DType::u8:
    case DType::boolean: return load<uint8_t>(p, i);
    case DType::s8: return load<int8_t>(p, i);
    case DType::u16: return load<uint16_t>(p, i);
    case DType::s16: return load<int16_t>(p, i);
    case DType::u32: return load<uint32_t>(p, i);
    case DType::s32: return load<int32_t>(p, i);
    case DType::u64: return static_cast<int64_t>(load<uint64_t>(p, i));
    case DType::s64: return load<int64_t>(p, i);
    case DType::u4:
    case DType::s4: {
      const int nibble = (load<uint8_t>(p, i / 2) >> (i % 2 * 4)) & 15;
      return type_ == DType::s4 && nibble > 7 ? nibble - 16 : nibble;
    }
    default: return static_cast<int64_t>(at(i));
  }
}

bool Tensor::operator==(const Tensor& other) const {
  return type_ == other.type_ && dims_ == other.dims_ &&
         (buffer_ == other.buffer_ || size_ == 0 ||
          std::memcmp(buffer_.get(), other.buffer_.get(), static_cast<size_t>(bytes_size())) == 0);
}

}  // namespace cupel
