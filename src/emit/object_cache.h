// Objects on disk, so that no kernel is compiled twice. The cache is never needed: whatever goes wrong with it, objects
// are made anew.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"

namespace cupel {

class ObjectCache {
 public:
  // An empty folder: nothing is kept.
  explicit ObjectCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // CUPEL_CACHE ("": none), else XDG_CACHE_HOME/cupel, else HOME/.cache/cupel, else none.
  static std::filesystem::path default_folder();

  // `key`: hexadecimal SHA-256 of everything the object depends on. A broken entry is removed and counts as missing.
  std::optional<Bytes> find(const std::string& key) const;
  // Written beside and renamed, with a checksum.
  void keep(const std::string& key, const Bytes& object) const;

 private:
  std::filesystem::path path_of(const std::string& key) const;
  std::filesystem::path folder_;
};

}  // namespace cupel
