// ELF files of 64 bits, least significant byte first, read as data. Nothing in them is trusted.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

namespace cupel {

// Structures at any place of the content, read only where they lie within it.
class ElfReader {
 public:
  explicit ElfReader(std::span<const std::byte> content) : content_(content.data()), size_(content.size()) {}

  // Whether the content begins as ELF files of any kind do.
  bool is_elf() const { return size_ >= SELFMAG && std::memcmp(content_, ELFMAG, SELFMAG) == 0; }
  // The header of a shared library.
  std::optional<Elf64_Ehdr> library_header() const {
    const auto header = at<Elf64_Ehdr>(0);
    if (!is_elf() || !header || header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_type != ET_DYN)
      return std::nullopt;
    return header;
  }

  bool holds(uint64_t offset, uint64_t bytes) const { return offset <= size_ && bytes <= size_ - offset; }
  template <class T>
  std::optional<T> at(uint64_t offset) const {
    if (!holds(offset, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, content_ + offset, sizeof value);
    return value;
  }
  // The text that begins at `offset` and ends before `end`.
  std::optional<std::string> text(uint64_t offset, uint64_t end) const {
    if (offset >= end || !holds(offset, end - offset)) return std::nullopt;
    const auto* begin = reinterpret_cast<const char*>(content_ + offset);
    const size_t length = strnlen(begin, end - offset);
    if (length == end - offset) return std::nullopt;
    return std::string(begin, length);
  }

 private:
  const std::byte* content_;
  uint64_t size_;
};

}  // namespace cupel
