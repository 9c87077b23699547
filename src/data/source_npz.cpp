#include <fmt/format.h>

#include "base/file.h"
#include "data/npy.h"
#include "data/source.h"

namespace cupel {
namespace {

// An .npy file as it is, or the array `key` of an .npz file.
Result<Tensor> read_array(const std::filesystem::path& path, const std::optional<std::string>& key,
                          std::string_view key_name) {
  const std::string place = printable(path.string());
  if (path.extension() == ".npy") {
    if (key)
      return bad_input(place, fmt::format("is an .npy file of one array, but {} is set", key_name),
                       fmt::format("remove {}, or name an .npz file", key_name));
    return read_npy(path);
  }
  if (!key)
    return bad_input(place, fmt::format("{} is missing", key_name),
                     fmt::format("{} names the array of an .npz file", key_name));
  return read_npz_array(path, *key);
}

}  // namespace

Result<std::unique_ptr<Source>> open_npz(const SourceDescription& description) {
  const std::filesystem::path images = description.path("images");
  const auto image_key = description.text("image_key"), label_key = description.text("label_key");
  SourceFacts facts;
  facts.identity = file_identity(images) + " " + image_key.value_or("");
  Tensor array = CUPEL_TRY(read_array(images, image_key, "image_key"));
  if (description.text("labels") || label_key) {
    const std::filesystem::path labels = description.text("labels") ? description.path("labels") : images;
    facts.labels_place = printable(labels.string());
    const Tensor stored = CUPEL_TRY(read_array(labels, label_key, "label_key"));
    facts.labels = CUPEL_TRY(labels_from(facts.labels_place, stored));
  }
  return make_array_source(printable(images.string()), std::move(array), description.text("image_layout"),
                           std::move(facts));
}

}  // namespace cupel
