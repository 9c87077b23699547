// Any bytes as a file of a data set. The first byte chooses what is read.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <span>
#include <string>

#include "data/description.h"
#include "data/image.h"
#include "data/npy.h"
#include "data/source.h"
#include "fuzz/findings.h"

namespace cupel::fuzz {
namespace {

// The bytes as a file of its own, without a place on a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const uint8_t> bytes) : fd_(memfd_create("fuzzed", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::write(fd_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

template <class T>
bool accepted(const Result<T>& result) {
  if (!result) expect_users(result.error());
  return result.has_value();
}

// Every sample of a source, as an evaluation reads them.
void read_source(const std::string& format, const MemoryFile& file, std::map<std::string, Setting> settings) {
  settings.insert_or_assign(
      format == "cifar" ? "files" : "images",
      format == "cifar" ? Setting(std::vector<std::string>{file.path().string()}) : Setting(file.path().string()));
  const auto source = open_source({.name = "fuzzed", .place = "fuzzed.toml:1", .format = format, .settings = settings});
  if (!accepted(source)) return;
  for (int64_t i = 0; i < std::min<int64_t>((*source)->size(), 4); ++i) {
    accepted((*source)->sample(i));
    accepted((*source)->content_bytes(i));
    accepted((*source)->content_digest(i));
  }
}

void expect_written_as_read(const Tensor& tensor) {
  const auto bytes = format_npy(tensor, "written");
  if (!accepted(bytes)) return;
  const auto again = parse_npy(*bytes, "written");
  if (!again || !(*again == tensor)) finding("an array that was written reads otherwise");
}

void run(uint8_t choice, std::span<const uint8_t> bytes) {
  const std::span<const std::byte> file = std::as_bytes(bytes);
  switch (choice % 8) {
    case 0: accepted(read_description(MemoryFile(bytes).path())); return;
    case 1:
      if (const auto array = parse_npy(file, "fuzzed.npy"); accepted(array)) expect_written_as_read(*array);
      return;
    case 2:
      if (const auto arrays = read_npz(MemoryFile(bytes).path()); accepted(arrays))
        for (const auto& [name, array] : *arrays) expect_written_as_read(array);
      return;
    case 3: accepted(decode_jpeg(file, "fuzzed.jpg", 3)); return;
    case 4: accepted(decode_png(file, "fuzzed.png", 1)); return;
    case 5: accepted(decode_image(file, "fuzzed", choice & 8 ? 1 : 3)); return;
    case 6: read_source("idx", MemoryFile(bytes), {}); return;
    default: read_source("cifar", MemoryFile(bytes), {{"class_count", int64_t{10}}}); return;
  }
}

}  // namespace
}  // namespace cupel::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) cupel::fuzz::run(data[0], {data + 1, size - 1});
  return 0;
}
