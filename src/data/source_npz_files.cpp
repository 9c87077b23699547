// npz with the setting arrays: one .npz file, or a folder of them in the order of their names, each with one array for
// each input of the network.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>

#include "base/file.h"
#include "base/folder.h"
#include "data/npy.h"
#include "data/source.h"

namespace cupel {
namespace {

// Bytes of arrays that are kept beyond those of the file read last.
constexpr int64_t kKeptBytes = int64_t{1} << 30;

using Arrays = std::vector<Tensor>;  // [samples, …] each, in the order of the inputs

// What is read of every file.
struct FileForm {
  std::vector<StoredInput> inputs;
  bool is_sample = false;                // a file is one sample, whose arrays do not count samples
  std::optional<std::string> label_key;  // of the array with the file's labels
};

struct FileContent {
  Arrays arrays;
  std::vector<int64_t> labels;
};

std::string array_place(const std::filesystem::path& path, const std::string& key) {
  return fmt::format("{}: array \"{}\"", printable(path.string()), printable(key));
}

Result<Arrays> read_keys(const std::filesystem::path& path, const FileForm& form) {
  std::vector<std::string> keys;
  for (const StoredInput& input : form.inputs) keys.push_back(input.key);
  if (form.label_key) keys.push_back(*form.label_key);
  const std::vector<std::string> names = CUPEL_TRY(npz_names(path));
  for (size_t i = 0; i < keys.size(); ++i) {
    if (std::ranges::find(names, keys[i]) != names.end()) continue;
    std::string listed;
    for (const std::string& name : names) listed += (listed.empty() ? "" : ", ") + printable(name);
    return bad_input(
        printable(path.string()), fmt::format("has no array \"{}\"", printable(keys[i])),
        fmt::format(
            "name one of its arrays in {}: {}",
            i < form.inputs.size() ? fmt::format("key of [inputs.{}]", printable(form.inputs[i].name)) : "label_key",
            listed.empty() ? "it has none" : listed));
  }
  return read_npz_arrays(path, keys);
}

Result<FileContent> read_content(const std::filesystem::path& path, const FileForm& form) {
  FileContent content{CUPEL_TRY(read_keys(path, form)), {}};
  if (form.is_sample)
    for (Tensor& t : content.arrays) {
      const bool is_label = form.label_key && &t == &content.arrays.back();
      if (is_label && t.rank() == 1) continue;  // [1]
      Dims dims = t.dims();
      dims.insert(dims.begin(), 1);
      if (dims.size() > static_cast<size_t>(kMaxRank))
        return fail(ErrorKind::resource, printable(path.string()),
                    fmt::format("arrays {} and a batch exceed the limit of {} dimensions", to_text(t.dims()), kMaxRank),
                    "store samples of fewer dimensions");
      t = t.reshaped(std::move(dims));
    }
  if (form.label_key) {
    content.labels = CUPEL_TRY(labels_from(array_place(path, *form.label_key), content.arrays.back()));
    content.arrays.pop_back();
  }
  for (size_t i = 0; i < content.arrays.size(); ++i) {
    const Tensor& t = content.arrays[i];
    if (t.rank() == 0 || t.empty())
      return bad_input(array_place(path, form.inputs[i].key),
                       fmt::format("an array {} holds no samples", to_text(t.dims())),
                       "the first dimension counts the samples, and none may be 0 (each_file = \"sample\" is for files "
                       "of one sample without that dimension)");
    if (t.dims()[0] != content.arrays[0].dims()[0])
      return bad_input(array_place(path, form.inputs[i].key),
                       fmt::format("has {} samples, array \"{}\" has {}", t.dims()[0], printable(form.inputs[0].key),
                                   content.arrays[0].dims()[0]),
                       "the first dimension counts the samples: all arrays of a file need the same");
  }
  if (form.label_key && content.labels.size() != static_cast<size_t>(content.arrays[0].dims()[0]))
    return bad_input(
        array_place(path, *form.label_key),
        fmt::format("has {} labels, expected {}, one per sample", content.labels.size(), content.arrays[0].dims()[0]),
        "take samples and labels of one and the same set");
  return content;
}

Digest digest_of(const Arrays& arrays, int64_t sample) {
  std::string all;
  for (const Tensor& t : arrays) {
    const Digest digest = sha256(stored_sample(t, sample));
    all.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  return sha256(all);
}

class NpzFiles final : public Source {
 public:
  struct File {
    std::filesystem::path path;
    int64_t first = 0;  // of its samples, in the source
    int64_t count = 0;
  };

  NpzFiles(FileForm form, std::vector<File> files, std::vector<ArrayLayout> layouts, std::vector<Digest> digests,
           SourceFacts facts)
      : Source(std::move(facts)),
        form_(std::move(form)),
        files_(std::move(files)),
        layouts_(std::move(layouts)),
        digests_(std::move(digests)) {}

  int64_t size() const override { return static_cast<int64_t>(digests_.size()); }
  std::vector<SampleType> types() const override {
    std::vector<SampleType> types;
    for (const ArrayLayout& layout : layouts_) types.push_back(layout.type);
    return types;
  }
  Result<std::vector<Tensor>> sample(int64_t index) const override {
    const File& file = file_of(index);
    const auto arrays = CUPEL_TRY(arrays_of(file));
    std::vector<Tensor> sample;
    for (size_t i = 0; i < layouts_.size(); ++i)
      sample.push_back(sample_of((*arrays)[i], index - file.first, layouts_[i]));
    return sample;
  }
  std::string sample_place(int64_t index) const override {
    const File& file = file_of(index);
    const std::string path = printable(file.path.string());
    return form_.is_sample ? path : fmt::format("{}: sample {}", path, index - file.first);
  }
  Result<int64_t> content_bytes(int64_t) const override {
    int64_t bytes = 0;
    for (const ArrayLayout& layout : layouts_) bytes += byte_count(layout.type.type, element_count(layout.type.dims));
    return bytes;
  }
  Result<Digest> content_digest(int64_t index) const override { return digests_[static_cast<size_t>(index)]; }

 private:
  const File& file_of(int64_t index) const {
    return *std::prev(std::ranges::upper_bound(files_, index, {}, &File::first));
  }

  Result<std::shared_ptr<const Arrays>> arrays_of(const File& file) const {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(kept_, &file, &Kept::file);
    if (found != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, found);
      return kept_.front().arrays;
    }
    FileContent content = CUPEL_TRY(read_content(file.path, form_));
    int64_t bytes = 0;
    for (size_t i = 0; i < layouts_.size(); ++i) {
      const Tensor& t = content.arrays[i];
      bytes += t.bytes_size();
      const auto layout = array_layout("", t, form_.inputs[i].image_layout);
      if (!layout || !(layout->type == layouts_[i].type) || t.dims()[0] != file.count)
        return bad_input(array_place(file.path, form_.inputs[i].key), "has changed since the data set was opened",
                         "run the command again");
    }
    kept_bytes_ += bytes;
    kept_.push_front({&file, std::make_shared<const Arrays>(std::move(content.arrays)), bytes});
    while (kept_.size() > 1 && kept_bytes_ > kKeptBytes) {
      kept_bytes_ -= kept_.back().bytes;
      kept_.pop_back();
    }
    return kept_.front().arrays;
  }

  struct Kept {
    const File* file;
    std::shared_ptr<const Arrays> arrays;
    int64_t bytes;
  };

  FileForm form_;
  std::vector<File> files_;
  std::vector<ArrayLayout> layouts_;
  std::vector<Digest> digests_;  // of each sample
  mutable std::mutex mutex_;
  mutable std::list<Kept> kept_;  // the one used last first
  mutable int64_t kept_bytes_ = 0;
};

// The file itself, or the .npz files of a folder.
Result<std::vector<std::filesystem::path>> list_files(const std::filesystem::path& path, SourceFacts& facts) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) return std::vector{path};
  const std::string place = printable(path.string());
  const auto names = names_in(path);
  if (!names)
    return bad_input(place, fmt::format("folder cannot be read: {}", std::strerror(names.error())),
                     "check the path and its permissions");
  std::vector<std::filesystem::path> files;
  int64_t skipped = 0;
  for (const std::string& name : *names)
    if (!name.starts_with('.')) {
      if (name.ends_with(".npz"))
        files.push_back(path / name);
      else
        ++skipped;
    }
  if (files.empty()) return bad_input(place, "holds no .npz file", "check the path");
  if (skipped > 0)
    facts.warnings.push_back(fmt::format("{}: {} entries skipped that are no .npz file", place, skipped));
  return files;
}

// Inputs that have no [inputs.NAME]: every array but the labels, under its own name.
Result<std::vector<StoredInput>> inputs_by_name(const std::filesystem::path& path, const FileForm& form) {
  std::vector<StoredInput> inputs;
  for (const std::string& name : CUPEL_TRY(npz_names(path)))
    if (name != form.label_key) inputs.push_back({name, name, std::nullopt});
  if (inputs.empty())
    return bad_input(printable(path.string()), "has no array beside the labels", "store one array for each input");
  return inputs;
}

// The layouts of a file's arrays; those of the first file are `expected` of every other.
Status check_layouts(const FileForm& form, const std::filesystem::path& path, const Arrays& arrays,
                     const std::filesystem::path& first, std::vector<ArrayLayout>& expected) {
  for (size_t i = 0; i < arrays.size(); ++i) {
    const std::string place = array_place(path, form.inputs[i].key);
    ArrayLayout layout = CUPEL_TRY(array_layout(place, arrays[i], form.inputs[i].image_layout));
    if (expected.size() == i)
      expected.push_back(std::move(layout));
    else if (!(layout.type == expected[i].type))
      return bad_input(place,
                       fmt::format("its samples are {}, those of {} are {}", to_text(layout.type),
                                   printable(first.string()), to_text(expected[i].type)),
                       "all samples need one type and size: store them so, sequences padded to one length");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Source>> open_npz_files(const SourceDescription& description) {
  const std::filesystem::path path = description.path("arrays");
  const std::string each = description.text("each_file").value_or("batch");
  if (each != "batch" && each != "sample")
    return bad_input("", fmt::format("each_file is \"{}\"", printable(each)),
                     "each_file is \"batch\" (arrays [samples, …]) or \"sample\" (arrays without that dimension)");
  SourceFacts facts;
  facts.identity = file_identity(path) + " arrays";
  const bool own_labels = description.text("labels").has_value();
  FileForm form{description.inputs, each == "sample", own_labels ? std::nullopt : description.text("label_key")};
  const auto paths = CUPEL_TRY(list_files(path, facts));
  if (form.inputs.empty()) form.inputs = CUPEL_TRY(inputs_by_name(paths[0], form));
  // Without a layout of its own an array holds no images.
  for (StoredInput& input : form.inputs)
    if (!input.image_layout) input.image_layout = "none";
  for (const StoredInput& input : form.inputs) facts.input_names.push_back(input.name);

  std::vector<NpzFiles::File> files;
  std::vector<ArrayLayout> layouts;
  std::vector<Digest> digests;
  for (const std::filesystem::path& file : paths) {
    const FileContent content = CUPEL_TRY(read_content(file, form));
    CUPEL_TRY(check_layouts(form, file, content.arrays, paths[0], layouts));
    const int64_t count = content.arrays[0].dims()[0];
    files.push_back({file, static_cast<int64_t>(digests.size()), count});
    for (int64_t i = 0; i < count; ++i) digests.push_back(digest_of(content.arrays, i));
    facts.labels.insert(facts.labels.end(), content.labels.begin(), content.labels.end());
  }
  const std::string place = printable(path.string());
  facts.labels_place = place;
  if (own_labels) {
    facts.labels_place = printable(description.path("labels").string());
    const Tensor stored =
        CUPEL_TRY(read_array_file(description.path("labels"), description.text("label_key"), "label_key"));
    facts.labels = CUPEL_TRY(labels_from(facts.labels_place, stored));
    CUPEL_TRY(check_label_count(place, static_cast<int64_t>(digests.size()), facts));
  }
  return std::make_unique<NpzFiles>(std::move(form), std::move(files), std::move(layouts), std::move(digests),
                                    std::move(facts));
}

}  // namespace cupel
