// image-folder: one sub-folder per class, sorted by the bytes of its name; label = position in that order.
// image-list: a text file with a path and a label on each line.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/file.h"
#include "base/folder.h"
#include "data/image.h"
#include "data/source.h"

namespace cupel {
namespace {

constexpr int64_t kMaxImageFileBytes = int64_t{1} << 30;
constexpr int64_t kMaxListBytes = int64_t{1} << 30;

class ImageSource final : public Source {
 public:
  ImageSource(std::filesystem::path folder, std::vector<ImageFile> files, int64_t channels, SourceFacts facts)
      : Source(std::move(facts)), folder_(std::move(folder)), files_(std::move(files)), channels_(channels) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }
  std::vector<SampleType> types() const override { return {{DType::u8, {-1, -1, channels_}, true}}; }
  Result<std::vector<Tensor>> sample(int64_t index) const override {
    const Bytes file = CUPEL_TRY(read_file(path(index), kMaxImageFileBytes));
    return std::vector<Tensor>{CUPEL_TRY(decode_image(file, sample_place(index), channels_))};
  }
  std::string sample_place(int64_t index) const override { return printable(path(index).string(), 1000); }
  Result<int64_t> content_bytes(int64_t index) const override {
    struct stat st{};
    if (::stat(path(index).c_str(), &st) != 0) return no_such_file(sample_place(index));
    return static_cast<int64_t>(st.st_size);
  }
  Result<Digest> content_digest(int64_t index) const override {
    return sha256(CUPEL_TRY(read_file(path(index), kMaxImageFileBytes)));
  }

 private:
  std::filesystem::path path(int64_t index) const { return folder_ / files_[static_cast<size_t>(index)].path; }

  std::filesystem::path folder_;
  std::vector<ImageFile> files_;
  int64_t channels_;
};

bool is_image_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

struct Entry {
  std::string name;
  bool is_folder;
  bool is_file;
};

// Entries sorted by name, without those whose name starts with a dot.
Result<std::vector<Entry>> list_folder(const std::filesystem::path& folder) {
  const std::string place = printable(folder.string(), 1000);
  const auto names = names_in(folder);
  if (!names)
    return bad_input(place, fmt::format("folder cannot be read: {}", std::strerror(names.error())),
                     "check the path and its permissions");
  std::vector<Entry> entries;
  for (const std::string& name : *names) {
    if (name.starts_with('.')) continue;
    std::error_code ignored;
    const auto kind = std::filesystem::status(folder / name, ignored).type();
    entries.push_back(
        {name, kind == std::filesystem::file_type::directory, kind == std::filesystem::file_type::regular});
  }
  return entries;
}

}  // namespace

Result<std::unique_ptr<Source>> make_image_source(const std::string& place, std::filesystem::path folder,
                                                  std::vector<ImageFile> files, int64_t channels, SourceFacts facts) {
  if (channels != 1 && channels != 3)
    return bad_input(place, fmt::format("channels is {}", channels), "channels is 1 (gray) or 3 (red, green, blue)");
  if (files.empty()) return bad_input(place, "holds no .jpg, .jpeg or .png file", "check the path");
  for (const ImageFile& file : files) facts.labels.push_back(file.label);
  return std::make_unique<ImageSource>(std::move(folder), std::move(files), channels, std::move(facts));
}

Result<std::unique_ptr<Source>> open_image_folder(const SourceDescription& description) {
  const std::filesystem::path folder = description.path("folder");
  const std::string place = printable(folder.string(), 1000);
  SourceFacts facts;
  facts.identity = file_identity(folder);
  facts.labels_place = place;
  std::vector<ImageFile> files;
  int64_t skipped = 0;
  for (const Entry& entry : CUPEL_TRY(list_folder(folder))) {
    if (!entry.is_folder) {
      ++skipped;
      continue;
    }
    const auto label = static_cast<int64_t>(facts.class_names.size());
    facts.class_names.push_back(entry.name);
    for (const Entry& image : CUPEL_TRY(list_folder(folder / entry.name))) {
      if (image.is_file && is_image_name(image.name))
        files.push_back({entry.name + "/" + image.name, label});
      else
        ++skipped;
    }
  }
  if (skipped > 0)
    facts.warnings.push_back(
        fmt::format("{}: {} entries skipped that are no .jpg, .jpeg or .png file of a class folder", place, skipped));
  return make_image_source(place, folder, std::move(files), description.integer("channels").value_or(3),
                           std::move(facts));
}

Result<std::unique_ptr<Source>> open_image_list(const SourceDescription& description) {
  const std::filesystem::path list = description.path("list");
  const std::string place = printable(list.string(), 1000);
  const Bytes bytes = CUPEL_TRY(read_file(list, kMaxListBytes));
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  SourceFacts facts;
  facts.identity = file_identity(list);
  facts.labels_place = place;
  std::vector<ImageFile> files;
  for (int64_t line = 1; !rest.empty(); ++line) {
    std::string_view text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    const size_t last = text.find_last_not_of(" \t\r");
    if (last == std::string_view::npos) continue;
    text = text.substr(0, last + 1);
    const size_t gap = text.find_last_of(" \t");
    const size_t path_end = gap == std::string_view::npos ? gap : text.find_last_not_of(" \t", gap);
    int64_t label = 0;
    const char* begin = gap == std::string_view::npos ? text.data() : text.data() + gap + 1;
    const char* end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(begin, end, label);
    if (path_end == std::string_view::npos || code != std::errc() || stop != end)
      return bad_input(fmt::format("{}: line {}", place, line),
                       fmt::format("found \"{}\", expected a path and a class number", printable(text)),
                       "write one \"path number\" a line");
    files.push_back({std::string(text.substr(0, path_end + 1)), label});
  }
  const std::filesystem::path folder = description.text("folder") ? description.path("folder") : list.parent_path();
  return make_image_source(place, folder, std::move(files), description.integer("channels").value_or(3),
                           std::move(facts));
}

}  // namespace cupel
