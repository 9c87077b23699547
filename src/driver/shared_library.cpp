#include "driver/shared_library.h"

#include <dlfcn.h>
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
#include "emit/elf_reader.h"
#include "emit/image_note.h"

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

// A file's content as long as this value lives; empty when there is no memory.
class Mapping {
 public:
  Mapping(int fd, size_t size) {
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped != MAP_FAILED) content_ = {static_cast<const std::byte*>(mapped), size};
  }
  ~Mapping() {
    if (!content_.empty()) munmap(const_cast<std::byte*>(content_.data()), content_.size());
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::span<const std::byte> content() const { return content_; }

 private:
  std::span<const std::byte> content_;
};

// The exported objects. Checks that the file is a whole shared library for this architecture: the dynamic linker maps
// what the headers promise, and reading beyond the end of a file is fatal.
Result<std::vector<SharedLibrary::Object>> read_objects(const ElfReader& elf, const std::string& place) {
  const auto header = elf.library_header();
  if (!header) return bad_input(place, "is not a shared library of 64 bits", kRemedy);
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
  const int fd = memfd_create("cupel-image", MFD_CLOEXEC | MFD_ALLOW_SEALING | executable);
  return fd >= 0 || errno != EINVAL ? fd : memfd_create("cupel-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
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

Status SharedLibrary::open(const std::string& place, Origin origin) {
  // What is checked below is what is loaded: nobody can change it any more.
  struct stat status{};
  if (fcntl(file_->fd(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0 ||
      fstat(file_->fd(), &status) != 0)
    return no_memory(place);
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return bad_input(place, "is empty, expected a shared library", kRemedy);
  {
    const Mapping mapping(file_->fd(), size);
    if (mapping.content().empty()) return no_memory(place);
    if (origin == Origin::file) CUPEL_TRY(check_image(mapping.content(), place));
    objects_ = CUPEL_TRY(read_objects(ElfReader(mapping.content()), place));
  }
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
  CUPEL_TRY(library.open(place, Origin::own));
  return library;
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
  CUPEL_TRY(library.open(place, Origin::file));
  return library;
}

}  // namespace cupel
