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

  // Of bytes that this process has linked: loading runs their code. bad_input at `place` when the content is no whole
  // shared library or refers to symbols that are missing; unsupported when it is for another architecture; resource
  // when memory or file descriptors run out.
  static Result<SharedLibrary> load(std::span<const std::byte> content, const std::string& place);
  // The same of a regular file, which is copied. Nothing of it runs unless the copy passes check_image
  // (emit/image_note.h), whose errors come first.
  static Result<SharedLibrary> load_file(const std::filesystem::path& path);
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
  enum class Origin { own, file };
  SharedLibrary();
  Status open(const std::string& place, Origin origin);

  std::unique_ptr<MemoryFile> file_;
  void* library_ = nullptr;
  std::vector<Object> objects_;
};

}  // namespace cupel
