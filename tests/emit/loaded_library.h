// A shared library loaded from its bytes.
#pragma once

#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/file.h"

namespace cupel {

class LoadedLibrary {
 public:
  explicit LoadedLibrary(const Bytes& bytes) {
    const int file = memfd_create("image", MFD_CLOEXEC);
    size_t written = 0;
    while (written < bytes.size()) {
      const ssize_t n = write(file, bytes.data() + written, bytes.size() - written);
      if (n <= 0) break;
      written += static_cast<size_t>(n);
    }
    handle_ = dlopen(fmt::format("/proc/self/fd/{}", file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ == nullptr) ADD_FAILURE() << dlerror();
    close(file);
  }
  ~LoadedLibrary() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  LoadedLibrary(const LoadedLibrary&) = delete;
  LoadedLibrary& operator=(const LoadedLibrary&) = delete;

  template <class Function>
  Function find(const std::string& symbol) const {
    return handle_ == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle_, symbol.c_str()));
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace cupel
