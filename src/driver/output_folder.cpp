#include "driver/output_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "base/folder.h"
#include "base/replace_file.h"

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
  out.staging_ = folder / (".cupel-" + CUPEL_TRY(random_name()));
  if (::mkdir(out.staging_.c_str(), 0700) != 0) {
    error = std::error_code(errno, std::generic_category());
    out.staging_.clear();
    const bool full = error == std::errc::no_space_on_device;
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
  if (!staging_.empty()) remove_with_files(staging_);
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
  const auto trouble = [](const fs::path& place, int error) {
    return usage_error(printable(place.string()), std::string("cannot be written: ") + std::strerror(error),
                       "choose a place you can write to");
  };
  const auto names = names_in(staging_);
  if (!names) return trouble(folder_, names.error());
  for (const std::string& name : *names)
    if (::rename((staging_ / name).c_str(), (folder_ / name).c_str()) != 0) return trouble(folder_ / name, errno);
  remove_with_files(staging_);
  staging_.clear();
  made_.clear();
  return {};
}

}  // namespace cupel
