#include "emit/image_note.h"

#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/hash.h"
#include "emit/elf_reader.h"
#include "emit/image_builder.h"
#include "runtime/image.h"

namespace cupel {
namespace {

// An Image without steps.
const Bytes& image() {
  static const Bytes built = [] {
    WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
    Program program;
    program.model = "empty";
    auto bytes = build_image(program, *find_emit_target("x86-64-v3"), pool, {.cache_folder = {}});
    EXPECT_TRUE(bytes) << bytes.error().message();
    return bytes ? std::move(*bytes) : Bytes();
  }();
  return built;
}

size_t note_of(const Bytes& content) {
  const CupelImageNote head = {6, 36, kCupelNoteType, "Cupel", 0, {}};
  for (size_t at = 0; at + sizeof head <= content.size(); at += 4)
    if (std::memcmp(content.data() + at, &head, offsetof(CupelImageNote, version)) == 0) return at;
  ADD_FAILURE() << "no note";
  return 0;
}

std::string error_of(std::span<const std::byte> content) {
  const Status status = check_image(content, "m.so");
  if (status) return "no error";
  EXPECT_EQ(status.error().kind, ErrorKind::bad_input);
  return status.error().message();
}

TEST(ImageNote, OfACompiledModelIsRight) {
  EXPECT_EQ(error_of(image()), "no error");
  // The hash as anyone can compute it.
  Bytes blank = image();
  const size_t hash_at = note_of(blank) + offsetof(CupelImageNote, sha256);
  Digest said;
  std::memcpy(said.data(), blank.data() + hash_at, said.size());
  std::memset(blank.data() + hash_at, 0, said.size());
  EXPECT_EQ(said, sha256(blank));
}

TEST(ImageNote, AnyOtherByteIsDamage) {
  const size_t note = note_of(image());
  for (size_t at = 0; at < image().size(); at += 1 + image().size() / 2000) {
    Bytes changed = image();
    changed[at] ^= std::byte{1};
    const std::string error = error_of(changed);
    EXPECT_NE(error, "no error") << at;
    if (at > note + sizeof(CupelImageNote)) {
      EXPECT_EQ(error, "m.so: is damaged: the hash in its note is not that of its content\n  compile the model again");
    }
  }
  for (size_t size = 0; size < image().size(); size += 1 + image().size() / 200)
    EXPECT_NE(error_of(std::span(image()).first(size)), "no error") << size;
  Bytes longer = image();
  longer.push_back(std::byte{0});
  EXPECT_EQ(error_of(longer),
            "m.so: is damaged: the hash in its note is not that of its content\n  compile the model again");
}

TEST(ImageNote, OfAnotherVersionIsNamed) {
  Bytes other = image();
  const uint32_t version = kCupelImageVersion + 1;
  std::memcpy(other.data() + note_of(other) + offsetof(CupelImageNote, version), &version, sizeof version);
  ASSERT_TRUE(stamp_image(other));
  EXPECT_EQ(error_of(other), fmt::format("m.so: was written by another version of Cupel: its tables have version {}, "
                                         "expected {}\n  compile the model again with this version",
                                         version, version - 1));
}

TEST(ImageNote, OfAnotherOwnerIsNone) {
  Bytes other = image();
  other[note_of(other) + offsetof(CupelImageNote, owner)] = std::byte{'k'};
  EXPECT_EQ(
      error_of(other),
      "m.so: is a shared library without Cupel's note, so it is not run\n  name a file that `cupel compile` wrote, "
      "and compile the model again where an earlier version did");
  EXPECT_EQ(stamp_image(other).error().message(),
            "linking: the image has no note of Cupel\n  this is a defect of Cupel; please report it with the model");
  EXPECT_EQ(error_of(std::as_bytes(std::span("\177ELF, but nothing behind it"))),
            "m.so: is not a compiled model: no shared library of 64 bits\n  name a file that `cupel compile` wrote");
  EXPECT_EQ(error_of({}),
            "m.so: is not a compiled model: no shared library of 64 bits\n  name a file that `cupel compile` wrote");
}

// Headers of any content are read within the file's bounds; the sanitizers watch.
TEST(ImageNote, BrokenHeadersAreNoHarm) {
  std::mt19937_64 random(1);
  constexpr uint64_t kHostile[] = {0, 1, 3, 4, 12, ~uint64_t{0}, ~uint64_t{0} - 3, uint64_t{1} << 63, 0xffffffff};
  const ElfReader elf(image());
  const auto header = *elf.library_header();
  for (int round = 0; round < 3000; ++round) {
    Bytes changed = image();
    for (int k = 0; k < 3; ++k) {
      const size_t bytes = size_t{1} << random() % 4;
      const size_t head = header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr);
      const size_t at =
          random() % 2 == 0 ? random() % (head - 8) : note_of(image()) + random() % sizeof(CupelImageNote);
      const uint64_t value = random() % 2 == 0 ? kHostile[random() % std::size(kHostile)] : random();
      std::memcpy(changed.data() + at, &value, bytes);
    }
    if (changed != image()) {
      EXPECT_NE(error_of(changed), "no error");
    }
  }
}

TEST(ImageNote, ImagesRunNothingByThemselves) {
  const ElfReader elf(image());
  const auto header = *elf.library_header();
  int dynamic = 0;
  std::vector<std::string> needed;
  std::optional<Elf64_Phdr> segment;
  uint64_t names = 0;
  const auto each_entry = [&](auto&& at) {
    for (uint64_t i = 0; i < header.e_phnum; ++i) {
      segment = elf.at<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr));
      for (uint64_t k = 0; segment->p_type == PT_DYNAMIC && k + sizeof(Elf64_Dyn) <= segment->p_filesz;
           k += sizeof(Elf64_Dyn))
        at(*elf.at<Elf64_Dyn>(segment->p_offset + k));
    }
  };
  // Addresses equal offsets in the first segment, where lld puts the names.
  each_entry([&](const Elf64_Dyn& entry) { names = entry.d_tag == DT_STRTAB ? entry.d_un.d_ptr : names; });
  each_entry([&](const Elf64_Dyn& entry) {
    ++dynamic;
    for (const Elf64_Sxword runs : {DT_INIT, DT_FINI, DT_INIT_ARRAY, DT_FINI_ARRAY, DT_PREINIT_ARRAY})
      EXPECT_NE(entry.d_tag, runs);
    if (entry.d_tag == DT_NEEDED) needed.push_back(elf.text(names + entry.d_un.d_val, image().size()).value_or("?"));
  });
  EXPECT_GT(dynamic, 5);
  EXPECT_EQ(needed, std::vector<std::string>{"libc.so.6"});
}

}  // namespace
}  // namespace cupel
