// Files: whole reads with a cap, crash-safe writes, and opening strictly beneath a folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cupel {

using Bytes = std::vector<std::byte>;

// The whole regular file. bad_input when it is missing, not a regular file or unreadable; resource beyond max_bytes.
Result<Bytes> read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 34);
// A gzip file is inflated (all its members), any other returned as it is. resource beyond max_bytes of inflated
// content.
Result<Bytes> read_file_maybe_gzip(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 34);

// Written beside under a temporary name, synced and renamed: either the old file or all of the new one.
// A device or pipe is written to directly. usage when the place cannot be written, resource when the disk is full.
Status write_file(const std::filesystem::path& path, std::span<const std::byte> content);
Status write_file(const std::filesystem::path& path, std::string_view content);
// Makes the folder and its parents. usage when it cannot be made.
Status make_folder(const std::filesystem::path& path);

// Bytes [offset, offset+length) of folder/relative. The file must lie beneath `folder` without passing a symbolic link,
// be a regular file and have one hard link (reliability: external data). bad_input otherwise, or when it is too short.
Result<Bytes> read_beneath(const std::filesystem::path& folder, const std::string& relative, int64_t offset,
                           int64_t length);
// Size in bytes under the same rules.
Result<int64_t> file_size_beneath(const std::filesystem::path& folder, const std::string& relative);

// A name from a file, safe to print on a terminal: control characters and invalid UTF-8 become \xNN, cut at `limit`.
std::string printable(std::string_view name, size_t limit = 200);

}  // namespace cupel
