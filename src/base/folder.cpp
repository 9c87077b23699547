#include "base/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

namespace cupel {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

// The next name, null at the end or, with errno, after an error.
const char* next_name(const Folder& folder) {
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(folder.get());
    if (entry == nullptr) return nullptr;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
}

}  // namespace

std::expected<std::vector<std::string>, int> names_in(const std::filesystem::path& path) {
  const Folder folder(::opendir(path.c_str()));
  if (!folder) return std::unexpected(errno);
  std::vector<std::string> names;
  while (const char* name = next_name(folder)) names.emplace_back(name);
  if (errno != 0) return std::unexpected(errno);
  std::sort(names.begin(), names.end());
  return names;
}

void remove_with_files(const std::filesystem::path& path) noexcept {
  const Folder folder(::opendir(path.c_str()));
  if (!folder) return;
  while (const char* name = next_name(folder)) ::unlinkat(::dirfd(folder.get()), name, 0);
  ::rmdir(path.c_str());
}

}  // namespace cupel
