// SHA-256, for content hashes and for choosing samples.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/tensor.h"

namespace cupel {

using Digest = std::array<uint8_t, 32>;
Digest sha256(std::span<const std::byte> bytes);
// Of the parts one after another.
Digest sha256(std::initializer_list<std::span<const std::byte>> parts);
Digest sha256(std::string_view text);
// Lower-case hexadecimal, 64 characters.
std::string to_hex(const Digest& digest);
// First 16 hexadecimal digits of SHA-256 over dtype name, dimensions and bytes: names a constant in graph text.
std::string content_hash(const Tensor& tensor);

}  // namespace cupel
