// CIFAR's binary form: records of one label byte (CIFAR-10) or a coarse and a fine label byte (CIFAR-100; the fine one
// is the label), then 3072 bytes: red, green and blue planes of 32 x 32.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "data/source.h"

namespace cupel {

Result<std::unique_ptr<Source>> open_cifar(const SourceDescription& description) {
  constexpr int64_t kPixels = 3 * 32 * 32;
  const int64_t classes = *description.integer("class_count");
  if (classes != 10 && classes != 100)
    return bad_input("", fmt::format("class_count is {}", classes), "class_count is 10 (CIFAR-10) or 100 (CIFAR-100)");
  const int64_t record = kPixels + (classes == 10 ? 1 : 2);
  SourceFacts facts;
  std::vector<Bytes> files;
  int64_t samples = 0;
  for (const std::filesystem::path& path : description.paths("files")) {
    const std::string place = printable(path.string());
    facts.identity += file_identity(path) + " ";
    facts.labels_place += (facts.labels_place.empty() ? "" : ", ") + place;
    Bytes file = CUPEL_TRY(read_file_maybe_gzip(path));
    const auto found = static_cast<int64_t>(file.size());
    if (found == 0 || found % record != 0)
      return bad_input(place,
                       fmt::format("has {} bytes, expected a multiple of {}, the bytes of a CIFAR-{} record", found,
                                   record, classes),
                       "name a binary CIFAR file, plain or gzip, and the right class_count");
    samples += found / record;
    files.push_back(std::move(file));
  }
  Tensor array(DType::u8, {samples, 3, 32, 32});
  std::byte* to = array.mutable_bytes().data();
  for (const Bytes& file : files)
    for (const std::byte* from = file.data(); from != file.data() + file.size(); from += record) {
      facts.labels.push_back(std::to_integer<int64_t>(from[record - kPixels - 1]));
      to = std::copy(from + (record - kPixels), from + record, to);
    }
  return make_array_source(facts.labels_place, std::move(array), "CHW", std::move(facts));
}

}  // namespace cupel
