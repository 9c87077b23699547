#include "emit/image_note.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "emit/elf_reader.h"
#include "runtime/image.h"

namespace cupel {
namespace {

constexpr const char* kRemedy = "compile the model again";

// Where the note of Cupel lies in a shared library; nothing when there is none. Notes lie in segments of their own
// kind: each is a header, the owner's name and a content, both filled up to whole words.
std::optional<uint64_t> find_note(const ElfReader& elf, const Elf64_Ehdr& header) {
  const auto whole_words = [](uint64_t bytes) { return (bytes + 3) / 4 * 4; };
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = elf.at<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment || segment->p_type != PT_NOTE || !elf.holds(segment->p_offset, segment->p_filesz)) continue;
    const uint64_t end = segment->p_offset + segment->p_filesz;
    for (uint64_t at = segment->p_offset; end - at >= sizeof(Elf64_Nhdr);) {
      const auto note = elf.at<Elf64_Nhdr>(at);
      const uint64_t bytes = sizeof(Elf64_Nhdr) + whole_words(note->n_namesz) + whole_words(note->n_descsz);
      if (bytes > end - at) break;
      if (bytes == sizeof(CupelImageNote) && note->n_type == kCupelNoteType && note->n_namesz == sizeof "Cupel" &&
          elf.text(at + sizeof(Elf64_Nhdr), end) == "Cupel")
        return at;
      at += bytes;
    }
  }
  return std::nullopt;
}

// Of the content with the note's hash taken as zeros.
Digest image_hash(std::span<const std::byte> content, uint64_t note_at) {
  static constexpr std::byte kZeros[sizeof CupelImageNote::sha256] = {};
  const uint64_t hash_at = note_at + offsetof(CupelImageNote, sha256);
  return sha256({content.first(hash_at), kZeros, content.subspan(hash_at + sizeof kZeros)});
}

}  // namespace

Status stamp_image(Bytes& image) {
  const ElfReader elf(image);
  const auto header = elf.library_header();
  const auto at = header ? find_note(elf, *header) : std::nullopt;
  if (!at) return internal_error("linking", "the image has no note of Cupel");
  const Digest hash = image_hash(image, *at);
  std::memcpy(image.data() + *at + offsetof(CupelImageNote, sha256), hash.data(), hash.size());
  return {};
}

Status check_image(std::span<const std::byte> content, const std::string& place) {
  const ElfReader elf(content);
  const auto header = elf.library_header();
  if (!header)
    return bad_input(place, "is not a compiled model: no shared library of 64 bits",
                     "name a file that `cupel compile` wrote");
  const auto at = find_note(elf, *header);
  if (!at)
    return bad_input(
        place, "is a shared library without Cupel's note, so it is not run",
        "name a file that `cupel compile` wrote, and compile the model again where an earlier version did");
  const auto note = elf.at<CupelImageNote>(*at);
  if (note->version != kCupelImageVersion)
    return bad_input(place,
                     fmt::format("was written by another version of Cupel: its tables have version {}, expected {}",
                                 note->version, static_cast<int>(kCupelImageVersion)),
                     "compile the model again with this version");
  const Digest hash = image_hash(content, *at);
  if (std::memcmp(note->sha256, hash.data(), hash.size()) != 0)
    return bad_input(place, "is damaged: the hash in its note is not that of its content", kRemedy);
  return {};
}

}  // namespace cupel
