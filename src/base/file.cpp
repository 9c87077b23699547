#include "base/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "base/replace_file.h"

namespace cupel {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string reason(int error) { return std::strerror(error); }

Result<Bytes> read_range(int fd, const std::string& place, int64_t offset, int64_t length) {
  Bytes content(static_cast<size_t>(length));
  int64_t done = 0;
  while (done < length) {
    const ssize_t n = ::pread(fd, content.data() + done, static_cast<size_t>(length - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return bad_input(place, "cannot be read: " + reason(errno), "check the file and its permissions");
    if (n == 0)
      return bad_input(place, "ends at byte " + std::to_string(offset + done) + " while being read",
                       "do not change the file while Cupel reads it");
    done += n;
  }
  return content;
}

Result<int64_t> regular_size(int fd, const std::string& place) {
  struct stat st{};
  if (::fstat(fd, &st) != 0)
    return bad_input(place, "cannot be examined: " + reason(errno), "check the file and its permissions");
  if (!S_ISREG(st.st_mode)) return bad_input(place, "is not a regular file", "name a file");
  return static_cast<int64_t>(st.st_size);
}

Result<Fd> open_beneath(const std::filesystem::path& folder, const std::string& relative) {
  const std::string place = printable(relative);
  const std::string rule =
      "external data must be a regular file inside the model's folder, reached without symbolic links";
  if (relative.empty() || relative.front() == '/') return bad_input(place, "is not a relative path", rule);
  const std::string base = folder.empty() ? "." : folder.string();
  Fd directory(::open(base.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return bad_input(base, "cannot be opened: " + reason(errno), "check the folder");
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  Fd file(static_cast<int>(::syscall(SYS_openat2, directory.get(), relative.c_str(), &how, sizeof how)));
  if (file.get() < 0) {
    const int error = errno;
    if (error == EXDEV) return bad_input(place, "leads outside the model's folder", rule);
    if (error == ELOOP) return bad_input(place, "passes a symbolic link", rule);
    return bad_input(place, "cannot be opened: " + reason(error), "put the file beside the model");
  }
  struct stat st{};
  if (::fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) return bad_input(place, "is not a regular file", rule);
  if (st.st_nlink != 1) return bad_input(place, "has " + std::to_string(st.st_nlink) + " hard links, expected 1", rule);
  return file;
}

}  // namespace

Result<Bytes> read_file(const std::filesystem::path& path, int64_t max_bytes) {
  const std::string place = printable(path.string());
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    if (errno == ENOENT) return bad_input(place, "no such file", "check the path");
    return bad_input(place, "cannot be opened: " + reason(errno), "check the file and its permissions");
  }
  const int64_t size = CUPEL_TRY(regular_size(fd.get(), place));
  if (size > max_bytes)
    return resource_error(place, std::to_string(size) + " bytes exceed the limit of " + std::to_string(max_bytes),
                          "use a smaller file");
  return read_range(fd.get(), place, 0, size);
}

Result<Bytes> read_file_maybe_gzip(const std::filesystem::path& path, int64_t max_bytes) {
  Bytes raw = CUPEL_TRY(read_file(path, max_bytes));
  if (raw.size() < 2 || raw[0] != std::byte{0x1f} || raw[1] != std::byte{0x8b}) return raw;
  const std::string place = printable(path.string());
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return internal_error(place, "zlib cannot start");
  stream.next_in = reinterpret_cast<Bytef*>(raw.data());
  size_t fed = 0;
  // One byte beyond the limit, so that content of exactly max_bytes is told from more.
  const size_t capacity = static_cast<size_t>(max_bytes) + 1;
  Bytes out(std::min<size_t>(capacity, std::max<size_t>(raw.size() * 4, 65536)));
  size_t produced = 0;
  int code = Z_OK;
  for (;;) {
    // A gzip file may hold several members one after the other.
    const size_t left = stream.avail_in + (raw.size() - fed);
    if (code == Z_STREAM_END && left == 0) break;
    if (code == Z_STREAM_END) inflateReset(&stream);
    if (stream.avail_in == 0 && fed < raw.size()) {
      const size_t piece = std::min<size_t>(raw.size() - fed, 1u << 30);
      stream.next_in = reinterpret_cast<Bytef*>(raw.data() + fed);
      stream.avail_in = static_cast<uInt>(piece);
      fed += piece;
    }
    if (produced == out.size()) {
      if (out.size() >= capacity) break;
      out.resize(std::min<size_t>(capacity, out.size() * 2));
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + produced);
    const size_t room = std::min<size_t>(out.size() - produced, 1u << 30);
    stream.avail_out = static_cast<uInt>(room);
    code = inflate(&stream, Z_NO_FLUSH);
    produced += room - stream.avail_out;
    const bool starved = code == Z_BUF_ERROR && stream.avail_in == 0 && fed == raw.size();
    if ((code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) || starved) {
      inflateEnd(&stream);
      return bad_input(place, "is not a complete gzip file", "fetch or copy the file again");
    }
  }
  inflateEnd(&stream);
  if (produced >= capacity)
    return resource_error(place, "inflates to more than " + std::to_string(max_bytes) + " bytes", "use a smaller file");
  out.resize(produced);
  return out;
}

Status make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error || !std::filesystem::is_directory(path, error))
    return usage_error(printable(path.string()),
                       "folder cannot be made: " + (error ? error.message() : "a file of that name exists"),
                       "choose a place you can write to");
  return {};
}

namespace {

// Whether a file is there that is written to as it is, since renaming one over it would destroy it: a device, a pipe,
// or one of the system's links (/dev/stdout).
bool is_written_in_place(const std::filesystem::path& path) {
  using std::filesystem::file_type;
  std::error_code ignored;
  const std::string place = std::filesystem::absolute(path, ignored).lexically_normal().string();
  if (std::filesystem::symlink_status(path, ignored).type() == file_type::symlink &&
      (place.starts_with("/dev/") || place.starts_with("/proc/")))
    return true;
  const file_type kind = std::filesystem::status(path, ignored).type();
  return kind != file_type::regular && kind != file_type::not_found && kind != file_type::none;
}

// An ordinary file, to which a link led or that was put there just now, is not written to.
Status write_in_place(const std::filesystem::path& path, std::span<const std::byte> content) {
  const std::string place = printable(path.string());
  const auto trouble = [&](int error) -> Status {
    const std::string cause = "cannot be written: " + reason(error);
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
      return resource_error(place, cause, "free some space or choose another place");
    return usage_error(place, cause, "choose a place you can write to");
  };
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  struct stat st{};
  if (fd.get() < 0 || ::fstat(fd.get(), &st) != 0) return trouble(errno);
  if (S_ISREG(st.st_mode)) return usage_error(place, "leads to an ordinary file", "name that file itself");
  while (!content.empty()) {
    const ssize_t n = ::write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return trouble(errno);
    content = content.subspan(static_cast<size_t>(n));
  }
  return {};
}

}  // namespace

Status write_file(const std::filesystem::path& path, std::span<const std::byte> content) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return usage_error(printable(path.string()), "is a folder", "name a file");
  return is_written_in_place(path) ? write_in_place(path, content) : replace_file(path, content);
}

Status write_file(const std::filesystem::path& path, std::string_view content) {
  return write_file(path, std::as_bytes(std::span(content.data(), content.size())));
}

Result<int64_t> file_size_beneath(const std::filesystem::path& folder, const std::string& relative) {
  Fd fd = CUPEL_TRY(open_beneath(folder, relative));
  return regular_size(fd.get(), printable(relative));
}

Result<Bytes> read_beneath(const std::filesystem::path& folder, const std::string& relative, int64_t offset,
                           int64_t length) {
  const std::string place = printable(relative);
  Fd fd = CUPEL_TRY(open_beneath(folder, relative));
  const int64_t size = CUPEL_TRY(regular_size(fd.get(), place));
  if (offset < 0 || length < 0)
    return bad_input(place,
                     "offset " + std::to_string(offset) + " or length " + std::to_string(length) + " is negative",
                     "export the model again");
  int64_t end = 0;
  if (__builtin_add_overflow(offset, length, &end) || end > size)
    return bad_input(place,
                     "bytes " + std::to_string(offset) + " to " + std::to_string(offset) + "+" +
                         std::to_string(length) + " were expected, but the file has " + std::to_string(size),
                     "export the model again; its data file is incomplete");
  return read_range(fd.get(), place, offset, length);
}

namespace {
// Length of the well-formed UTF-8 sequence at s[i] that is no control character; 0 otherwise.
size_t printable_length(std::string_view s, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char c = byte(i);
  if (c < 0x20 || c == 0x7f) return 0;
  if (c < 0x80) return 1;
  const size_t length = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
  if (length == 0 || c >= 0xf5 || i + length > s.size()) return 0;
  for (size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  if (c == 0xc2 && byte(i + 1) < 0xa0) return 0;                                         // C1 controls
  if ((c == 0xe0 && byte(i + 1) < 0xa0) || (c == 0xf0 && byte(i + 1) < 0x90)) return 0;  // overlong
  if ((c == 0xed && byte(i + 1) >= 0xa0) || (c == 0xf4 && byte(i + 1) >= 0x90)) return 0;
  return length;
}
}  // namespace

std::string printable(std::string_view name, size_t limit) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < name.size();) {
    if (out.size() >= limit) return out + "…";
    if (const size_t n = printable_length(name, i)) {
      out += name.substr(i, n);
      i += n;
    } else {
      const auto c = static_cast<unsigned char>(name[i++]);
      out += {'\\', 'x', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  return out;
}

}  // namespace cupel
