// Files that appear whole or not at all, under names that nobody else can have prepared.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"

namespace cupel {

// 32 hexadecimal digits of the system's random numbers. resource when it gives none.
Result<std::string> random_name();

struct NewFileOptions {
  // The content is on the disk before the file is there; otherwise a machine that stops may leave less of it, which is
  // for files that are checked when they are read.
  bool synced = true;
  unsigned mode = 0666;  // less what the umask takes
};

// Writes a new file beside `path` (".cupel-" and a random name) and renames it. What was at `path`, a link too, is
// replaced and never followed or written to. usage when the place cannot be written, resource when the disk is full.
Status replace_file(const std::filesystem::path& path, std::span<const std::byte> content,
                    const NewFileOptions& options = {});

}  // namespace cupel
