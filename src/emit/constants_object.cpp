#include "emit/constants_object.h"

#include <elf.h>

#include <cstring>

namespace cupel {
namespace {

template <class T>
void append(Bytes& to, const T& value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), from, from + sizeof value);
}
void append(Bytes& to, const std::string& text) {
  const auto* from = reinterpret_cast<const std::byte*>(text.data());
  to.insert(to.end(), from, from + text.size());
}
void align(Bytes& to, size_t to_multiple) { to.resize((to.size() + to_multiple - 1) / to_multiple * to_multiple); }

}  // namespace

Bytes constants_object(std::span<const std::byte> content, const std::string& symbol) {
  // Sections: none, .rodata, .symtab, .strtab, .shstrtab, .note.GNU-stack.
  constexpr size_t kHead = 64;
  const std::string section_names(std::string_view("\0.rodata\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack\0", 51));
  auto name_at = [&](const char* name) { return static_cast<Elf64_Word>(section_names.find(name)); };
  Bytes file;
  file.reserve(content.size() + 1024 + symbol.size());
  file.resize(kHead);
  file.insert(file.end(), content.begin(), content.end());
  align(file, 8);
  const size_t symbols_at = file.size();
  Elf64_Sym none = {}, named = {};
  named.st_name = 1;
  named.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
  named.st_other = STV_HIDDEN;
  named.st_shndx = 1;
  named.st_size = content.size();
  append(file, none);
  append(file, named);
  const size_t strings_at = file.size();
  const std::string strings = std::string(1, '\0') + symbol + std::string(1, '\0');
  append(file, strings);
  const size_t names_at = file.size();
  append(file, section_names);
  align(file, 8);
  const size_t sections_at = file.size();
  auto section = [&](Elf64_Word name, Elf64_Word type, Elf64_Xword flags, size_t at, size_t size,
                     Elf64_Xword alignment) {
    Elf64_Shdr header = {};
    header.sh_name = name;
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_offset = at;
    header.sh_size = size;
    header.sh_addralign = alignment;
    if (type == SHT_SYMTAB) {
      header.sh_link = 3;
      header.sh_info = 1;
      header.sh_entsize = sizeof(Elf64_Sym);
    }
    append(file, header);
  };
  section(0, SHT_NULL, 0, 0, 0, 0);
  section(name_at(".rodata"), SHT_PROGBITS, SHF_ALLOC, kHead, content.size(), 64);
  section(name_at(".symtab"), SHT_SYMTAB, 0, symbols_at, 2 * sizeof(Elf64_Sym), 8);
  section(name_at(".strtab"), SHT_STRTAB, 0, strings_at, strings.size(), 1);
  section(name_at(".shstrtab"), SHT_STRTAB, 0, names_at, section_names.size(), 1);
  section(name_at(".note.GNU-stack"), SHT_PROGBITS, 0, sections_at, 0, 1);
  Elf64_Ehdr head = {};
  std::memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_REL;
  head.e_machine = EM_X86_64;
  head.e_version = EV_CURRENT;
  head.e_shoff = sections_at;
  head.e_ehsize = sizeof head;
  head.e_shentsize = sizeof(Elf64_Shdr);
  head.e_shnum = 6;
  head.e_shstrndx = 4;
  std::memcpy(file.data(), &head, sizeof head);
  return file;
}

}  // namespace cupel
