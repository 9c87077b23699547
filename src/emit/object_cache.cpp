#include "emit/object_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/hash.h"

namespace cupel {
namespace {

constexpr std::string_view kMark = "CUPELOBJ";

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : nullptr;
}

}  // namespace

std::filesystem::path ObjectCache::default_folder() {
  if (std::getenv("CUPEL_CACHE") != nullptr) return std::getenv("CUPEL_CACHE");
  if (const char* folder = variable("XDG_CACHE_HOME")) return std::filesystem::path(folder) / "cupel";
  if (const char* home = variable("HOME")) return std::filesystem::path(home) / ".cache" / "cupel";
  return {};
}

std::filesystem::path ObjectCache::path_of(const std::string& key) const {
  return folder_ / "objects" / key.substr(0, 2) / key;
}

std::optional<Bytes> ObjectCache::find(const std::string& key) const {
  if (folder_.empty()) return std::nullopt;
  const std::filesystem::path path = path_of(key);
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  auto content = read_file(path, int64_t{1} << 30);
  const size_t head = kMark.size() + sizeof(Digest);
  if (content && content->size() >= head && std::memcmp(content->data(), kMark.data(), kMark.size()) == 0) {
    Bytes object(content->begin() + static_cast<int64_t>(head), content->end());
    const Digest found = sha256(object);
    if (std::memcmp(content->data() + kMark.size(), found.data(), found.size()) == 0) return object;
  }
  std::filesystem::remove(path, ignored);
  return std::nullopt;
}

void ObjectCache::keep(const std::string& key, const Bytes& object) const {
  if (folder_.empty()) return;
  static std::atomic<uint64_t> count = 0;
  const std::filesystem::path path = path_of(key);
  std::error_code failure;
  std::filesystem::create_directories(path.parent_path(), failure);
  if (failure) return;
  const std::filesystem::path beside = fmt::format("{}.{}.{}", path.string(), getpid(), ++count);
  const Digest digest = sha256(object);
  {
    std::ofstream file(beside, std::ios::binary);
    file.write(kMark.data(), static_cast<std::streamsize>(kMark.size()));
    file.write(reinterpret_cast<const char*>(digest.data()), static_cast<std::streamsize>(digest.size()));
    file.write(reinterpret_cast<const char*>(object.data()), static_cast<std::streamsize>(object.size()));
    file.close();
    if (!file) failure = std::make_error_code(std::errc::io_error);
  }
  if (!failure) std::filesystem::rename(beside, path, failure);
  if (failure) std::filesystem::remove(beside, failure);
}

}  // namespace cupel
