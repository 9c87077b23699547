#include <fmt/format.h>

#include "base/file.h"
#include "data/npy.h"
#include "data/source.h"

namespace cupel {
namespace {

// The settings of one way to name arrays beside those of the other.
Status check_one_way(const SourceDescription& description) {
  const bool arrays = description.text("arrays").has_value();
  if (!arrays && !description.text("images"))
    return bad_input("", "neither \"arrays\" nor \"images\" is set",
                     "arrays names .npz files with one array for each input, images a file with one array in all");
  if (!arrays && !description.inputs.empty())
    return bad_input("", "[inputs] is for several arrays, and \"images\" names one",
                     "set arrays instead of images, or describe the one input in [preprocess]");
  if (!arrays && description.text("each_file"))
    return bad_input("", "\"each_file\" does not go with \"images\"", "remove it");
  for (const char* other : {"images", "image_key", "image_layout"})
    if (arrays && description.text(other))
      return bad_input("", fmt::format("\"{}\" does not go with \"arrays\"", other),
                       "remove it: key and image_layout of an array stand in [inputs.NAME]");
  return {};
}

}  // namespace

Result<Tensor> read_array_file(const std::filesystem::path& path, const std::optional<std::string>& key,
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

Result<std::unique_ptr<Source>> open_npz(const SourceDescription& description) {
  CUPEL_TRY(check_one_way(description));
  if (description.text("arrays")) return open_npz_files(description);
  const std::filesystem::path images = description.path("images");
  const auto image_key = description.text("image_key"), label_key = description.text("label_key");
  SourceFacts facts;
  facts.identity = file_identity(images) + " " + image_key.value_or("");
  Tensor array = CUPEL_TRY(read_array_file(images, image_key, "image_key"));
  if (description.text("labels") || label_key) {
    const std::filesystem::path labels = description.text("labels") ? description.path("labels") : images;
    facts.labels_place = printable(labels.string());
    const Tensor stored = CUPEL_TRY(read_array_file(labels, label_key, "label_key"));
    facts.labels = CUPEL_TRY(labels_from(facts.labels_place, stored));
  }
  return make_array_source(printable(images.string()), std::move(array), description.text("image_layout"),
                           std::move(facts));
}

}  // namespace cupel
