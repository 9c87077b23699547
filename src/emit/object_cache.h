// Objects on disk, so that no kernel is compiled twice. The cache is never needed: whatever goes wrong with it, objects
// are made anew.
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"

namespace cupel {

class ObjectCache {
 public:
  // `emitter` names the build that makes the objects; without such a name, or a folder, nothing is kept. Nor is it in a
  // folder that check_folder refuses. `limit_bytes`: of all objects together.
  ObjectCache(std::filesystem::path folder, std::string emitter, int64_t limit_bytes = default_limit_bytes());

  // CUPEL_CACHE ("": none), else XDG_CACHE_HOME/cupel, else HOME/.cache/cupel, else none.
  static std::filesystem::path default_folder();
  // CUPEL_CACHE_MAX in MB, else 1024 MB; 0, which keeps nothing, when that is no whole number.
  static int64_t default_limit_bytes();
  // Why the cache is not used: a folder that others can write to may hold code of theirs, and a limit has to be a
  // number. Good for a folder that is not there yet, and for none.
  static Status check_folder(const std::filesystem::path& folder);

  // `key`: hexadecimal SHA-256 of everything the object depends on. The object that was kept under this key by this
  // emitter and has its recorded checksum; any other entry there is removed and counts as missing.
  std::optional<Bytes> find(const std::string& key) const;
  // Appears whole or not at all.
  void keep(const std::string& key, const Bytes& object) const;
  // After something was kept: removes the objects that were not found or kept for the longest time, until the rest is
  // within the limit.
  void trim() const;

 private:
  std::filesystem::path path_of(const std::string& key) const;
  std::filesystem::path folder_;  // empty: nothing is kept
  std::string emitter_;
  int64_t limit_bytes_;
  mutable std::atomic<bool> kept_ = false;
};

}  // namespace cupel
