// What lies in a folder. The iterators of std::filesystem end the program where they find no memory.
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <vector>

namespace cupel {

// Names without "." and "..", sorted; an errno when the folder cannot be read.
std::expected<std::vector<std::string>, int> names_in(const std::filesystem::path& folder);

// Removes the folder and the files in it; what cannot be removed stays.
void remove_with_files(const std::filesystem::path& folder) noexcept;

}  // namespace cupel
