// Kernels together with buffers to run them on, and the comparison of two results.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/same_bytes.h"
#include "kernel/kernel.h"

namespace cupel {

// Bytes at a 64-byte boundary.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(int64_t size) : size_(size), lines_(static_cast<size_t>((size + 63) / 64)) {}
  int64_t size() const { return size_; }
  std::byte* data() { return lines_.empty() ? nullptr : lines_[0].bytes; }
  const std::byte* data() const { return lines_.empty() ? nullptr : lines_[0].bytes; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  int64_t size_ = 0;
  std::vector<Line> lines_;
};

struct RandomKernel {
  Kernel kernel;
  std::vector<AlignedBytes> buffers;  // in the order of accesses_of, each with 64 spare bytes behind what is used
  AlignedBytes initial;               // the result's buffer as it was made
  int64_t items = 1;

  std::vector<std::byte*> pointers() {
    std::vector<std::byte*> all;
    for (AlignedBytes& buffer : buffers) all.push_back(buffer.data());
    return all;
  }
};

// The space of the result.
inline const Dims& space_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) -> const Dims& { return s.space; }, spec);
}
// Elements of the last dimension that a kernel may write: whole blocks of 16 for contract and window.
inline int64_t written_extent(const KernelSpec& spec) {
  const int64_t last = space_of(spec).back();
  return spec.index() < 2 ? (last + 15) / 16 * 16 : last;
}

// Calls body(coordinates) for all coordinates of `dims`.
template <class Body>
void for_each_coordinate(const Dims& dims, Body&& body) {
  Dims at(dims.size(), 0);
  while (true) {
    body(std::as_const(at));
    size_t d = at.size();
    while (d > 0 && ++at[d - 1] == dims[d - 1]) at[--d] = 0;
    if (d == 0) return;
  }
}

inline int64_t byte_offset(const Access& access, const Dims& at, int64_t item) {
  int64_t offset = access.offset + item * access.item_stride;
  for (size_t d = 0; d < at.size(); ++d) offset += access.strides[d] * at[d];
  return offset;
}

template <class T>
T element(const AlignedBytes& buffer, int64_t offset) {
  T value;
  std::memcpy(&value, buffer.data() + offset, sizeof value);
  return value;
}

// "" when every element of the result agrees and no byte outside what may be written has changed; otherwise the first
// difference.
inline std::string compare_results(const RandomKernel& random, const AlignedBytes& expected,
                                   const AlignedBytes& actual) {
  const Access& out = *accesses_of(random.kernel.spec)[0];
  Dims dims = space_of(random.kernel.spec);
  const int64_t last = dims.back(), size = dtype_bits(out.dtype) / 8;
  dims.back() = written_extent(random.kernel.spec);
  std::vector<bool> writable(static_cast<size_t>(expected.size()), false);
  std::string difference;
  for (int64_t item = 0; item < random.items; ++item)
    for_each_coordinate(dims, [&](const Dims& at) {
      const int64_t offset = byte_offset(out, at, item);
      for (int64_t i = 0; i < size; ++i) writable[static_cast<size_t>(offset + i)] = true;
      if (at.back() >= last || !difference.empty()) return;
      if (same_element(out.dtype, expected.data() + offset, actual.data() + offset)) return;
      std::string values;
      if (out.dtype == DType::f32) {
        const float e = element<float>(expected, offset), a = element<float>(actual, offset);
        values = fmt::format("expected {:a} ({:08x}), found {:a} ({:08x})", static_cast<double>(e),
                             std::bit_cast<uint32_t>(e), static_cast<double>(a), std::bit_cast<uint32_t>(a));
      } else if (out.dtype == DType::s32) {
        values =
            fmt::format("expected {}, found {}", element<int32_t>(expected, offset), element<int32_t>(actual, offset));
      } else {
        values =
            fmt::format("expected {}, found {}", element<uint8_t>(expected, offset), element<uint8_t>(actual, offset));
      }
      difference = fmt::format("item {} at {}: {}", item, to_text(at), values);
    });
  if (!difference.empty()) return difference;
  for (int64_t i = 0; i < expected.size(); ++i)
    if (!writable[static_cast<size_t>(i)] && actual.data()[i] != random.initial.data()[i])
      return fmt::format("byte {} is no element of the result and was written", i);
  return "";
}

// The result's buffer after evaluate_kernel; random itself is left alone.
inline AlignedBytes expected_result(const RandomKernel& random) {
  RandomKernel copy = random;
  const std::vector<std::byte*> pointers = copy.pointers();
  evaluate_kernel(copy.kernel, pointers, copy.items);
  return copy.buffers[0];
}

}  // namespace cupel
