// A folder of results that appear together or not at all.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cupel {

// Files are written into a hidden folder inside the wanted one and moved into place by commit(). Without a commit the
// destructor removes them, and the folders that open() made.
class OutputFolder {
 public:
  // Makes the folder and its parents. usage when it cannot be made or written to.
  static Result<OutputFolder> open(const std::filesystem::path& folder);
  OutputFolder(OutputFolder&&) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;
  ~OutputFolder();

  // Where a file lies before commit(), and where it will lie.
  std::filesystem::path staged(const std::string& name) const { return staging_ / name; }
  std::filesystem::path destination(const std::string& name) const { return folder_ / name; }
  // The error of something that wrote to a staged path, with the final path as its place.
  Status placed(Status status) const;
  Status write(const std::string& name, std::string_view content) const;

  // Moves every staged file into place, replacing older ones.
  Status commit();

 private:
  OutputFolder() = default;
  std::filesystem::path folder_, staging_;   // staging_ is empty once nothing is staged
  std::vector<std::filesystem::path> made_;  // outermost first
};

}  // namespace cupel
