#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "data/source.h"

namespace cupel {
namespace {

enum class SettingType { text, path, paths, integer };

struct SettingRow {
  std::string_view key;
  SettingType type = SettingType::text;
  bool required = false;
};

struct FormatRow {
  std::string_view name;
  std::array<SettingRow, 7> settings;  // unused ones have an empty key
  Result<std::unique_ptr<Source>> (*open)(const SourceDescription&);
  bool several_arrays = false;  // a sample may be more than one
};

// Of every format: a file of arrays of labels, which metrics name.
constexpr SettingRow kTargets = {"targets", SettingType::path, false};

constexpr bool kRequired = true;
constexpr std::array<FormatRow, 5> kFormats = {{
    {"cifar",
     {{{"files", SettingType::paths, kRequired}, {"class_count", SettingType::integer, kRequired}}},
     open_cifar},
    {"idx",
     {{{"images", SettingType::path, kRequired}, {"labels", SettingType::path}, {"image_layout", SettingType::text}}},
     open_idx},
    {"image-folder",
     {{{"folder", SettingType::path, kRequired}, {"channels", SettingType::integer}}},
     open_image_folder},
    {"image-list",
     {{{"list", SettingType::path, kRequired}, {"folder", SettingType::path}, {"channels", SettingType::integer}}},
     open_image_list},
    {"npz",
     {{{"images", SettingType::path},
       {"image_key", SettingType::text},
       {"image_layout", SettingType::text},
       {"arrays", SettingType::path},
       {"each_file", SettingType::text},
       {"labels", SettingType::path},
       {"label_key", SettingType::text}}},
     open_npz,
     true},
}};

// Folders that a Debian package fills.
struct PackageRow {
  std::string_view folder;
  std::string_view package;
};
constexpr std::array<PackageRow, 1> kPackages = {{{"/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist"}}};

std::string_view type_text(SettingType type) {
  switch (type) {
    case SettingType::text: return "a string";
    case SettingType::path: return "a string (a path)";
    case SettingType::paths: return "an array of strings (paths)";
    case SettingType::integer: return "an integer";
  }
  return "";
}

bool has_type(const Setting& setting, SettingType type) {
  switch (type) {
    case SettingType::text: return std::holds_alternative<std::string>(setting);
    case SettingType::path:
      return std::holds_alternative<std::string>(setting) && !std::get<std::string>(setting).empty();
    case SettingType::paths: {
      const auto* list = std::get_if<std::vector<std::string>>(&setting);
      return list != nullptr && !list->empty() && std::ranges::none_of(*list, &std::string::empty);
    }
    case SettingType::integer: return std::holds_alternative<int64_t>(setting);
  }
  return false;
}

std::string setting_names(const FormatRow& row) {
  std::string names;
  for (const SettingRow& s : row.settings)
    if (!s.key.empty()) names += (names.empty() ? "" : ", ") + std::string(s.key);
  return names + ", " + std::string(kTargets.key);
}

Status check_settings(const FormatRow& row, const SourceDescription& description) {
  for (const auto& [key, setting] : description.settings) {
    const auto* found = std::ranges::find(row.settings, key, &SettingRow::key);
    if (key == kTargets.key) found = &kTargets;
    if (key.empty() || found == row.settings.end())
      return bad_input(description.place, fmt::format("unknown setting \"{}\"", printable(key)),
                       fmt::format("format {} has the settings {}", row.name, setting_names(row)));
    if (!has_type(setting, found->type))
      return bad_input(description.place, fmt::format("\"{}\" is not {}", key, type_text(found->type)),
                       "correct the value");
  }
  for (const SettingRow& s : row.settings)
    if (s.required && !description.settings.contains(std::string(s.key)))
      return bad_input(description.place, fmt::format("\"{}\" is missing", s.key),
                       fmt::format("format {} has the settings {}", row.name, setting_names(row)));
  return {};
}

// The package that would bring a file that the settings name and that is not there; empty when there is none.
std::string missing_package(const FormatRow& row, const SourceDescription& description) {
  for (const SettingRow& s : row.settings) {
    if (s.type != SettingType::path && s.type != SettingType::paths) continue;
    if (!description.settings.contains(std::string(s.key))) continue;
    const auto paths = s.type == SettingType::path ? std::vector{description.path(std::string(s.key))}
                                                   : description.paths(std::string(s.key));
    for (const auto& path : paths)
      for (const PackageRow& p : kPackages)
        if (std::error_code none; path.native().starts_with(p.folder) && !std::filesystem::exists(path, none))
          return std::string(p.package);
  }
  return {};
}

}  // namespace

std::string to_text(const SampleType& type) {
  if (!type.image) return fmt::format("{} {}", dtype_name(type.type), to_text(type.dims));
  std::string text = fmt::format("{} image ", dtype_name(type.type));
  for (size_t i = 0; i < type.dims.size(); ++i)
    text += (i == 0 ? "" : "x") + (type.dims[i] < 0 ? "?" : std::to_string(type.dims[i]));
  return text;
}

std::filesystem::path SourceDescription::path(const std::string& key) const {
  return folder / std::get<std::string>(settings.at(key));
}

std::vector<std::filesystem::path> SourceDescription::paths(const std::string& key) const {
  std::vector<std::filesystem::path> all;
  for (const std::string& file : std::get<std::vector<std::string>>(settings.at(key))) all.push_back(folder / file);
  return all;
}

std::optional<std::string> SourceDescription::text(const std::string& key) const {
  const auto found = settings.find(key);
  if (found == settings.end()) return std::nullopt;
  return std::get<std::string>(found->second);
}

std::optional<int64_t> SourceDescription::integer(const std::string& key) const {
  const auto found = settings.find(key);
  if (found == settings.end()) return std::nullopt;
  return std::get<int64_t>(found->second);
}

std::string format_names() {
  std::string names;
  for (const FormatRow& row : kFormats) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

Result<std::unique_ptr<Source>> open_source(const SourceDescription& description) {
  const auto* row = std::ranges::find(kFormats, description.format, &FormatRow::name);
  if (row == kFormats.end())
    return unsupported(description.place, fmt::format("format \"{}\" is not supported", printable(description.format)),
                       "supported formats: " + format_names());
  CUPEL_TRY(check_settings(*row, description));
  if (!description.inputs.empty() && !row->several_arrays)
    return bad_input(description.place,
                     fmt::format("format {} gives one array, and [inputs] is for several", row->name),
                     "use format npz with arrays, or describe the one input in [preprocess]");
  auto source = row->open(description);
  if (source) return source;
  Error error = std::move(source).error();
  if (const std::string package = missing_package(*row, description);
      error.code == ErrorCode::no_such_file && !package.empty())
    error.remedy = fmt::format("install the Debian package {0}: apt-get install {0}", package);
  return std::unexpected(std::move(error).within(description.place));
}

std::string file_identity(const std::filesystem::path& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return path.string();
  return fmt::format("{}:{}", static_cast<uint64_t>(st.st_dev), static_cast<uint64_t>(st.st_ino));
}

}  // namespace cupel
