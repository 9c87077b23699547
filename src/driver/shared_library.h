// A shared library held in memory: its file may change or vanish while it is loaded, and several copies stand side by
// side.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace cupel {

class SharedLibrary {
 public:
  // An object (no function) that the library exports.
  struct Object {
    std::string name;
    uint64_t bytes;
  };

  // bad_input at `place` when the content is no whole shared library or refers to symbols that are missing; unsupported
  // when it is for another architecture; resource when memory or file descriptors run out. Loading runs the library's
  // code.
  static Result<SharedLibrary> load(std::span<const std::byte> content, const std::string& place);
  // The same from a regular file, which is copied.
  static Result<SharedLibrary> load_file(const std::filesystem::path& path);
  // Whether a regular file begins as ELF files do; false when it cannot be read.
  static bool recognises(const std::filesystem::path& path);
  SharedLibrary(SharedLibrary&&) noexcept;
  SharedLibrary& operator=(SharedLibrary&&) noexcept;
  ~SharedLibrary();  // unloads it

  const std::vector<Object>& objects() const { return objects_; }
  // Null when there is no such symbol.
  void* find(const std::string& symbol) const;

 private:
  // An anonymous file. It stays open as long as the library is loaded: the dynamic linker knows libraries by the name
  // they were opened with, here the descriptor's, and would give this one for the next that has the same.
  class MemoryFile;
  SharedLibrary();
  Status open(const std::string& place);

  std::unique_ptr<MemoryFile> file_;
  void* library_ = nullptr;
  std::vector<Object> objects_;
};

}  // namespace cupel
