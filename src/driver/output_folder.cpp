#include "driver/output_folder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/file.h"

namespace cupel {

namespace fs = std::filesystem;

Result<OutputFolder> OutputFolder::open(const fs::path& folder) {
  OutputFolder out;
  out.folder_ = folder;
  std::error_code error;
  // Folders that are not there yet, outermost first.
  for (fs::path at = folder.lexically_normal(); !at.empty() && !fs::exists(at, error); at = at.parent_path()) {
    if (at.has_filename()) out.made_.insert(out.made_.begin(), at);
    if (at == at.parent_path()) break;
  }
  CUPEL_TRY(make_folder(folder));
  out.staging_ = folder / fmt::format(".cupel-{}", ::getpid());
  fs::remove_all(out.staging_, error);
  fs::create_directory(out.staging_, error);
  if (error) {
    const bool full = error == std::errc::no_space_on_device;
    out.staging_.clear();
    return fail(full ? ErrorKind::resource : ErrorKind::usage, printable(folder.string()),
                "cannot be written: " + error.message(),
                full ? "free some space or choose another place" : "choose a place you can write to");
  }
  return out;
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : folder_(std::move(other.folder_)),
      staging_(std::exchange(other.staging_, {})),
      made_(std::exchange(other.made_, {})) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
  // Innermost first; a folder that is no longer empty stays.
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) fs::remove(*folder, ignored);
}

Status OutputFolder::placed(Status status) const {
  if (status) return status;
  Error error = std::move(status).error();
  const std::string staged = printable(staging_.string(), 4096), wanted = printable(folder_.string(), 4096);
  if (error.place.starts_with(staged)) error.place = wanted + error.place.substr(staged.size());
  return std::unexpected(std::move(error));
}

Status OutputFolder::write(const std::string& name, std::string_view content) const {
  return placed(write_file(staged(name), content));
}

Status OutputFolder::commit() {
  std::error_code error;
  std::vector<fs::path> names;
  for (fs::directory_iterator at(staging_, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename());
  std::sort(names.begin(), names.end());
  for (const fs::path& name : names) {
    if (error) break;
    fs::rename(staging_ / name, folder_ / name, error);
    if (error)
      return usage_error(printable((folder_ / name).string()), "cannot be written: " + error.message(),
                         "choose a place you can write to");
  }
  if (error)
    return usage_error(printable(folder_.string()), "cannot be written: " + error.message(),
                       "choose a place you can write to");
  fs::remove_all(staging_, error);
  staging_.clear();
  made_.clear();
  return {};
}

}  // namespace cupel
