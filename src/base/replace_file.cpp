#include "base/replace_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/file.h"

namespace cupel {
namespace {

// A new file, removed unless it was renamed.
class NewFile {
 public:
  NewFile(std::string path, unsigned mode)
      : path_(std::move(path)),
        fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)) {}
  ~NewFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    if (!placed_) ::unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // false, with errno: what could not be done.
  bool opened() const { return fd_ >= 0; }
  bool write(std::span<const std::byte> content) {
    while (!content.empty()) {
      const ssize_t n = ::write(fd_, content.data(), content.size());
      if (n < 0 && errno != EINTR) return false;
      if (n > 0) content = content.subspan(static_cast<size_t>(n));
    }
    return true;
  }
  bool sync() { return ::fsync(fd_) == 0; }
  bool place(const std::filesystem::path& path) {
    placed_ = ::rename(path_.c_str(), path.c_str()) == 0;
    return placed_;
  }

 private:
  std::string path_;
  int fd_;
  bool placed_ = false;
};

}  // namespace

Result<std::string> random_name() {
  std::array<unsigned char, 16> bytes;
  size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return resource_error("temporary file",
                            std::string("the system gives no random numbers: ") + std::strerror(errno),
                            "use a system with getrandom");
    have += static_cast<size_t>(n);
  }
  std::string name;
  for (const unsigned char byte : bytes) {
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  return name;
}

Status replace_file(const std::filesystem::path& path, std::span<const std::byte> content,
                    const NewFileOptions& options) {
  NewFile file((path.parent_path() / (".cupel-" + CUPEL_TRY(random_name()))).string(), options.mode);
  const bool good = file.opened() && file.write(content) && (!options.synced || file.sync()) && file.place(path);
  if (good) return {};
  const int error = errno;
  const std::string cause = std::string("cannot be written: ") + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    return resource_error(printable(path.string()), cause, "free some space or choose another place");
  return usage_error(printable(path.string()), cause, "choose a place you can write to");
}

}  // namespace cupel
