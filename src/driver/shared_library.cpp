#include "driver/shared_library.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace cupel {
namespace {

constexpr const char* kRemedy = "compile the model again";

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
constexpr const char* kMachineName = "x86-64";
#elif defined(__aarch64__)
constexpr int kMachine = EM_AARCH64;
constexpr const char* kMachineName = "aarch64";
#endif

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Structures at any place of the content, read only where they lie within it.
class ElfReader {
 public:
  ElfReader(const std::byte* content, uint64_t size) : content_(content), size_(size) {}

  bool holds(uint64_t offset, uint64_t bytes) const { return offset <= size_ && bytes <= size_ - offset; }
  template <class T>
  std::optional<T> at(uint64_t offset) const {
    if (!holds(offset, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, content_ + offset, sizeof value);
    return value;
  }
  // The text that begins at `offset` and ends before `end`.
  std::optional<std::string> text(uint64_t offset, uint64_t end) const {
    if (offset >= end || !holds(offset, end - offset)) return std::nullopt;
    const auto* begin = reinterpret_cast<const char*>(content_ + offset);
    const size_t length = strnlen(begin, end - offset);
    if (length == end - offset) return std::nullopt;
    return std::string(begin, length);
  }

 private:
  const std::byte* content_;
  uint64_t size_;
};

// The exported objects. Checks that the file is a whole shared library for this architecture: the dynamic linker maps
// what the headers promise, and reading beyond the end of a file is fatal.
Result<std::vector<SharedLibrary::Object>> read_objects(const ElfReader& elf, const std::string& place) {
  const auto header = elf.at<Elf64_Ehdr>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_type != ET_DYN)
    return bad_input(place, "is not a shared library of 64 bits", kRemedy);
  if (header->e_machine != kMachine)
    return unsupported(
        place, fmt::format("is for ELF machine {}, expected {} ({})", header->e_machine, kMachine, kMachineName),
        "compile the model for this machine");
  const auto cut_off = [&] { return bad_input(place, "is cut off: its headers name bytes beyond its end", kRemedy); };
  for (uint64_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = elf.at<Elf64_Phdr>(header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment || !elf.holds(segment->p_offset, segment->p_filesz)) return cut_off();
  }
  std::vector<SharedLibrary::Object> objects;
  for (uint64_t i = 0; i < header->e_shnum; ++i) {
    const auto section = elf.at<Elf64_Shdr>(header->e_shoff + i * sizeof(Elf64_Shdr));
    if (!section) return cut_off();
    if (section->sh_type != SHT_DYNSYM) continue;
    const auto names = section->sh_link < header->e_shnum
                           ? elf.at<Elf64_Shdr>(header->e_shoff + section->sh_link * sizeof(Elf64_Shdr))
                           : std::nullopt;
    if (!names || !elf.holds(section->sh_offset, section->sh_size) || !elf.holds(names->sh_offset, names->sh_size))
      return cut_off();
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
      const auto symbol = elf.at<Elf64_Sym>(section->sh_offset + at);
      if (!symbol || symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT) continue;
      auto name = elf.text(names->sh_offset + symbol->st_name, names->sh_offset + names->sh_size);
      if (!name) return cut_off();
      objects.push_back({std::move(*name), symbol->st_size});
    }
  }
  return objects;
}

std::unexpected<Error> no_memory(const std::string& place) {
  return resource_error(place, fmt::format("cannot be held in memory: {}", std::strerror(errno)),
                        "free memory or close files");
}

int make_memory_file() {
  constexpr unsigned executable = 0x10;  // MFD_EXEC, which older kernels do not know and do not need
  const int fd = memfd_create("cupel-image", MFD_CLOEXEC | executable);
  return fd >= 0 || errno != EINVAL ? fd : memfd_create("cupel-image", MFD_CLOEXEC);
}

}  // namespace

class SharedLibrary::MemoryFile {
 public:
  MemoryFile() : fd_(make_memory_file()) {}
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
};

SharedLibrary::SharedLibrary() : file_(std::make_unique<MemoryFile>()) {}
SharedLibrary::SharedLibrary(SharedLibrary&& other) noexcept
    : file_(std::move(other.file_)),
      library_(std::exchange(other.library_, nullptr)),
      objects_(std::move(other.objects_)) {}
SharedLibrary& SharedLibrary::operator=(SharedLibrary&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(library_, other.library_);
  std::swap(objects_, other.objects_);
  return *this;
}
SharedLibrary::~SharedLibrary() {
  if (library_ != nullptr) dlclose(library_);
}

void* SharedLibrary::find(const std::string& symbol) const { return dlsym(library_, symbol.c_str()); }

Status SharedLibrary::open(const std::string& place) {
  struct stat status{};
  if (fstat(file_->fd(), &status) != 0) return no_memory(place);
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return bad_input(place, "is empty, expected a shared library", kRemedy);
  void* content = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file_->fd(), 0);
  if (content == MAP_FAILED) return no_memory(place);
  auto objects = read_objects(ElfReader(static_cast<const std::byte*>(content), size), place);
  munmap(content, size);
  if (!objects) return std::unexpected(std::move(objects).error());
  objects_ = std::move(*objects);
  errno = 0;
  library_ = dlopen(fmt::format("/proc/self/fd/{}", file_->fd()).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) {
    if (errno == ENOMEM) return no_memory(place);
    const char* reason = dlerror();
    return bad_input(place,
                     fmt::format("cannot be loaded: {}", printable(reason != nullptr ? reason : "unknown reason", 500)),
                     kRemedy);
  }
  return {};
}

Result<SharedLibrary> SharedLibrary::load(std::span<const std::byte> content, const std::string& place) {
  SharedLibrary library;
  if (library.file_->fd() < 0) return no_memory(place);
  while (!content.empty()) {
    const ssize_t n = ::write(library.file_->fd(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return no_memory(place);
    content = content.subspan(static_cast<size_t>(n));
  }
  CUPEL_TRY(library.open(place));
  return library;
}

bool SharedLibrary::recognises(const std::filesystem::path& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  char magic[SELFMAG];
  return file.get() >= 0 && fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::read(file.get(), magic, sizeof magic) == static_cast<ssize_t>(sizeof magic) &&
         std::memcmp(magic, ELFMAG, SELFMAG) == 0;
}

Result<SharedLibrary> SharedLibrary::load_file(const std::filesystem::path& path) {
  const std::string place = printable(path.string());
  const Fd source(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (source.get() < 0 || fstat(source.get(), &status) != 0)
    return bad_input(place, fmt::format("cannot be opened: {}", std::strerror(errno)),
                     "check the file and its permissions");
  if (!S_ISREG(status.st_mode)) return bad_input(place, "is not a regular file", "name a file");
  SharedLibrary library;
  if (library.file_->fd() < 0) return no_memory(place);
  for (;;) {
    const ssize_t n = sendfile(library.file_->fd(), source.get(), nullptr, size_t{1} << 30);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return no_memory(place);
    if (n == 0) break;
  }
  CUPEL_TRY(library.open(place));
  return library;
}

}  // namespace cupel
