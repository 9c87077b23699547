#include "emit/llvm/emitter_version.h"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/ErrorHandling.h"
#pragma GCC diagnostic pop

namespace cupel {
namespace {

// The note that the linker writes into every program it links with --build-id.
int find_build_id(dl_phdr_info* object, size_t, void* found) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const unsigned char*>(object->dlpi_addr + segment.p_vaddr);
    const unsigned char* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const unsigned char* name = at + sizeof *note;
      const unsigned char* content = name + (note->n_namesz + 3) / 4 * 4;
      if (note->n_type == NT_GNU_BUILD_ID)
        for (uint32_t k = 0; k < note->n_descsz; ++k)
          *static_cast<std::string*>(found) += fmt::format("{:02x}", content[k]);
      at = content + (note->n_descsz + 3) / 4 * 4;
    }
  }
  return 1;  // the first object is the program itself
}

}  // namespace

std::string emitter_version() {
  std::string identity;
  dl_iterate_phdr(find_build_id, &identity);
  if (identity.empty()) return {};
  return fmt::format("LLVM {}, cupel-emit {}", LLVM_VERSION_STRING, identity);
}

void install_fatal_error_replies(void (*reply)(void*, const char*, bool)) {
  llvm::install_fatal_error_handler(reply);
  llvm::install_bad_alloc_error_handler(reply);
}

}  // namespace cupel
