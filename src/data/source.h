// Sources of samples: one class per way of storage, opened once, then read by any number of threads.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// What a sample is. Images are height, width, channels throughout src/data; height and width are -1 when they differ
// from image to image.
struct SampleType {
  DType type = DType::u8;
  Dims dims;
  bool image = false;
  bool operator==(const SampleType&) const = default;
};
// "u8 image 28x28x1" (height, width, channels; "?" for unknown) or "f32 [16]".
std::string to_text(const SampleType& type);

// What holds for a whole source.
struct SourceFacts {
  std::string identity;                  // equal for two sources that store the same samples under the same indices
  std::vector<std::string> input_names;  // of a sample's arrays, in their order; empty: one array without a name
  std::vector<int64_t> labels;           // one per sample; empty when the source has none
  std::string labels_place;              // the file that holds the labels
  std::vector<std::string> class_names;  // empty when the source names no classes
  std::vector<std::string> warnings;
};

// A sample is one array for each input of a network. Every function may be called from several threads at once; index
// is in [0, size()).
class Source {
 public:
  explicit Source(SourceFacts facts) : facts_(std::move(facts)) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  const SourceFacts& facts() const { return facts_; }
  virtual int64_t size() const = 0;
  // Of each array of a sample.
  virtual std::vector<SampleType> types() const = 0;
  // Tensors that nobody else holds, one of each type. bad_input when a file of the sample is damaged.
  virtual Result<std::vector<Tensor>> sample(int64_t index) const = 0;
  // The sample as a user knows it: "train.idx: sample 7", "cats/1.png".
  virtual std::string sample_place(int64_t index) const = 0;
  // Size and SHA-256 of the stored sample (elements of its arrays, bytes of an image file), label not included.
  virtual Result<int64_t> content_bytes(int64_t index) const = 0;
  virtual Result<Digest> content_digest(int64_t index) const = 0;

 private:
  SourceFacts facts_;
};

// One value of a TOML table.
using Setting = std::variant<std::string, int64_t, std::vector<std::string>>;

// What an [inputs.NAME] table says of the arrays that a source holds.
struct StoredInput {
  std::string name;  // of the network's input
  std::string key;   // of the array
  std::optional<std::string> image_layout;
};

// A [sources.NAME] table.
struct SourceDescription {
  std::string name;
  std::string place;             // "x.toml:3: sources.train"
  std::filesystem::path folder;  // relative paths start here
  std::string format;
  std::map<std::string, Setting> settings;  // without "format"
  std::vector<StoredInput> inputs;          // of the whole data set; empty where it has no [inputs]

  // The setting made a path; requires a string setting of that key.
  std::filesystem::path path(const std::string& key) const;
  std::vector<std::filesystem::path> paths(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const;
  std::optional<int64_t> integer(const std::string& key) const;
};

// Looks the format up in the table of formats, checks the settings against its row and opens the source.
// unsupported for a format that is no row; bad_input for wrong settings and files.
Result<std::unique_ptr<Source>> open_source(const SourceDescription& description);
// "cifar, idx, …": the formats that are rows.
std::string format_names();

// The formats' opening functions, called through the table.
Result<std::unique_ptr<Source>> open_cifar(const SourceDescription& description);
Result<std::unique_ptr<Source>> open_idx(const SourceDescription& description);
Result<std::unique_ptr<Source>> open_image_folder(const SourceDescription& description);
Result<std::unique_ptr<Source>> open_image_list(const SourceDescription& description);
Result<std::unique_ptr<Source>> open_npz(const SourceDescription& description);

// npz with the setting arrays: files of one array for each input.
Result<std::unique_ptr<Source>> open_npz_files(const SourceDescription& description);

// How samples lie in an array [samples, …].
struct ArrayLayout {
  SampleType type;              // of a sample
  bool channels_first = false;  // images that are stored so
};
// Rank 3 is images height x width; rank 4 is images in image_layout ("HWC" or "CHW", required there); image_layout
// "none" and all other ranks make plain samples. bad_input (at `place`) when there are no samples, or another layout.
Result<ArrayLayout> array_layout(const std::string& place, const Tensor& array,
                                 const std::optional<std::string>& image_layout);
// The bytes of a sample as they are stored, and the sample.
std::span<const std::byte> stored_sample(const Tensor& array, int64_t index);
Tensor sample_of(const Tensor& array, int64_t index, const ArrayLayout& layout);

// A source over an array [samples, …] in memory, read as array_layout says.
// bad_input (at `place`) when there are labels of another number than samples, too.
Result<std::unique_ptr<Source>> make_array_source(const std::string& place, Tensor array,
                                                  const std::optional<std::string>& image_layout, SourceFacts facts);
// Labels from an array of integers [n] or [n,1].
Result<std::vector<int64_t>> labels_from(const std::string& place, const Tensor& array);
// Those of facts.labels, one for each of the `samples` of `place`; none are fine.
Status check_label_count(const std::string& place, int64_t samples, const SourceFacts& facts);
// An .npy file as it is, or the array `key` of an .npz file. `key_name`: the setting, for errors.
Result<Tensor> read_array_file(const std::filesystem::path& path, const std::optional<std::string>& key,
                               std::string_view key_name);

// A source over image files that are decoded when asked for.
struct ImageFile {
  std::string path;  // below the folder
  int64_t label = 0;
};
Result<std::unique_ptr<Source>> make_image_source(const std::string& place, std::filesystem::path folder,
                                                  std::vector<ImageFile> files, int64_t channels, SourceFacts facts);

// A text that is equal for two paths of one file or folder (device and inode); the path itself when it cannot be read.
std::string file_identity(const std::filesystem::path& path);

}  // namespace cupel
