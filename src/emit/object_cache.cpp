#include "emit/object_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/folder.h"
#include "base/hash.h"
#include "base/replace_file.h"
#include "emit/protocol.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "cupel object 1";
constexpr int64_t kMostEntryBytes = int64_t{1} << 30;

// What a file of the cache holds.
struct Entry {
  std::string mark, key, emitter, checksum, object;
  template <class Archive, class Self>
  static void fields(Archive&& archive, Self& self) {
    archive(self.mark), archive(self.key), archive(self.emitter), archive(self.checksum), archive(self.object);
  }
};

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : nullptr;
}

// CUPEL_CACHE_MAX; nothing when it is no whole number of MB.
std::optional<int64_t> limit_megabytes() {
  const char* text = variable("CUPEL_CACHE_MAX");
  if (text == nullptr) return 1024;
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [at, code] = std::from_chars(text, end, value);
  if (code != std::errc() || at != end || value < 0 || value > int64_t{1} << 30) return std::nullopt;
  return value;
}

// Nobody else can change what the status describes.
bool is_ours_alone(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Folders that are not there yet are made, the cache's own ones for this user alone.
bool make_folders(const fs::path& folder, const fs::path& objects) {
  std::error_code failure;
  if (!folder.parent_path().empty()) fs::create_directories(folder.parent_path(), failure);
  for (const fs::path& path : {folder, objects.parent_path(), objects})
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return false;
  return true;
}

// The whole regular file, which belongs to this user alone; its time becomes now.
std::optional<Bytes> read_entry(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } close{fd};
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || !is_ours_alone(status) ||
      status.st_size > kMostEntryBytes)
    return std::nullopt;
  Bytes content(static_cast<size_t>(status.st_size));
  for (size_t done = 0; done < content.size();) {
    const ssize_t n = ::read(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    done += static_cast<size_t>(n);
  }
  ::futimens(fd, nullptr);
  return content;
}

std::string checksum_of(std::string_view object) { return to_hex(sha256(object)); }

}  // namespace

fs::path ObjectCache::default_folder() {
  if (std::getenv("CUPEL_CACHE") != nullptr) return std::getenv("CUPEL_CACHE");
  if (const char* folder = variable("XDG_CACHE_HOME")) return fs::path(folder) / "cupel";
  if (const char* home = variable("HOME")) return fs::path(home) / ".cache" / "cupel";
  return {};
}

int64_t ObjectCache::default_limit_bytes() { return limit_megabytes().value_or(0) << 20; }

Status ObjectCache::check_folder(const fs::path& folder) {
  if (folder.empty()) return {};
  if (!limit_megabytes())
    return usage_error("CUPEL_CACHE_MAX",
                       fmt::format("found {}, expected a whole number of MB", printable(variable("CUPEL_CACHE_MAX"))),
                       "correct or unset the variable; until then no kernel is kept");
  for (const fs::path& path : {folder, folder / "objects"}) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) continue;
    const bool others = status.st_uid != geteuid();
    if (is_ours_alone(status)) continue;
    return usage_error(printable(path.string()),
                       others ? "belongs to another user, so no kernel is kept there or taken from it"
                              : "can be written to by other users, so no kernel is kept there or taken from it",
                       others ? "name a folder of your own by CUPEL_CACHE"
                              : "take the right from them (chmod go-w), or name another folder by CUPEL_CACHE");
  }
  return {};
}

ObjectCache::ObjectCache(fs::path folder, std::string emitter, int64_t limit_bytes)
    : folder_(std::move(folder)), emitter_(std::move(emitter)), limit_bytes_(limit_bytes) {
  if (emitter_.empty() || limit_bytes_ <= 0 || !check_folder(folder_)) folder_.clear();
}

fs::path ObjectCache::path_of(const std::string& key) const { return folder_ / "objects" / key.substr(0, 2) / key; }

std::optional<Bytes> ObjectCache::find(const std::string& key) const {
  if (folder_.empty()) return std::nullopt;
  const fs::path path = path_of(key);
  if (const auto content = read_entry(path)) {
    const auto entry = from_payload<Entry>(*content);
    if (entry && entry->mark == kMark && entry->key == key && entry->emitter == emitter_ &&
        entry->checksum == checksum_of(entry->object)) {
      const auto bytes = std::as_bytes(std::span(entry->object));
      return Bytes(bytes.begin(), bytes.end());
    }
  }
  ::unlink(path.c_str());
  return std::nullopt;
}

void ObjectCache::keep(const std::string& key, const Bytes& object) const {
  if (folder_.empty()) return;
  const fs::path path = path_of(key);
  if (!make_folders(folder_, path.parent_path())) return;
  Entry entry{
      std::string(kMark), key, emitter_, {}, std::string(reinterpret_cast<const char*>(object.data()), object.size())};
  entry.checksum = checksum_of(entry.object);
  const Bytes content = to_payload(entry);
  if (static_cast<int64_t>(content.size()) > std::min(limit_bytes_, kMostEntryBytes)) return;
  if (replace_file(path, content, {.synced = false, .mode = 0600})) kept_ = true;
}

void ObjectCache::trim() const {
  if (!kept_) return;
  struct Kept {
    fs::path path;
    int64_t bytes;
    timespec used;
  };
  std::vector<Kept> all;
  int64_t bytes = 0;
  const fs::path objects = folder_ / "objects";
  const std::vector<std::string> none;
  for (const std::string& part : names_in(objects).value_or(none))
    for (const std::string& name : names_in(objects / part).value_or(none)) {
      struct stat status{};
      fs::path path = objects / part / name;
      if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      all.push_back({std::move(path), status.st_size, status.st_mtim});
      bytes += status.st_size;
    }
  if (bytes <= limit_bytes_) return;
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Kept& kept : all) {
    if (bytes <= limit_bytes_) break;
    if (::unlink(kept.path.c_str()) == 0) bytes -= kept.bytes;
  }
}

}  // namespace cupel
