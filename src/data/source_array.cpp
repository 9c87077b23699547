#include <fmt/format.h>

#include <cstring>

#include "base/file.h"
#include "data/source.h"

namespace cupel {
namespace {

class ArraySource final : public Source {
 public:
  ArraySource(std::string place, Tensor array, SampleType type, bool channels_first, SourceFacts facts)
      : Source(std::move(facts)),
        place_(std::move(place)),
        array_(std::move(array)),
        type_(std::move(type)),
        channels_first_(channels_first),
        sample_bytes_(byte_count(type_.type, element_count(type_.dims))) {}

  int64_t size() const override { return array_.dims()[0]; }
  SampleType type() const override { return type_; }

  Result<Tensor> sample(int64_t index) const override {
    Tensor out(type_.type, type_.dims);
    const std::span<const std::byte> in = content(index);
    if (!channels_first_) {
      std::ranges::copy(in, out.mutable_bytes().begin());
      return out;
    }
    const int64_t width = dtype_bits(type_.type) / 8, channels = type_.dims[2], pixels = type_.dims[0] * type_.dims[1];
    std::byte* to = out.mutable_bytes().data();
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t c = 0; c < channels; ++c)
        std::memcpy(to + (p * channels + c) * width, in.data() + (c * pixels + p) * width, static_cast<size_t>(width));
    return out;
  }
  std::string sample_place(int64_t index) const override { return fmt::format("{}: sample {}", place_, index); }
  Result<int64_t> content_bytes(int64_t) const override { return sample_bytes_; }
  Result<Digest> content_digest(int64_t index) const override { return sha256(content(index)); }

 private:
  std::span<const std::byte> content(int64_t index) const {
    return array_.bytes().subspan(static_cast<size_t>(index * sample_bytes_), static_cast<size_t>(sample_bytes_));
  }

  std::string place_;
  Tensor array_;
  SampleType type_;
  bool channels_first_;
  int64_t sample_bytes_;
};

}  // namespace

Result<std::unique_ptr<Source>> make_array_source(const std::string& place, Tensor array,
                                                  const std::optional<std::string>& image_layout, SourceFacts facts) {
  const Dims& dims = array.dims();
  if (dims.empty() || array.empty())
    return bad_input(place, fmt::format("an array {} holds no samples", to_text(dims)),
                     "the first dimension counts the samples, and none may be 0");
  if (image_layout && *image_layout != "HWC" && *image_layout != "CHW" && *image_layout != "none")
    return bad_input(place, fmt::format("image_layout is \"{}\"", printable(*image_layout)),
                     "image_layout is \"HWC\", \"CHW\" or \"none\"");
  SampleType type{array.dtype(), Dims(dims.begin() + 1, dims.end()), false};
  bool channels_first = false;
  const bool plain = image_layout == "none";
  if (!plain && dims.size() == 3) {
    type.image = true;
    type.dims.push_back(1);
  } else if (!plain && dims.size() == 4) {
    if (!image_layout)
      return bad_input(place, fmt::format("an array {} does not say which dimension holds the channels", to_text(dims)),
                       "set image_layout to \"HWC\", \"CHW\" or \"none\"");
    type.image = true;
    channels_first = *image_layout == "CHW";
    if (channels_first) type.dims = {dims[2], dims[3], dims[1]};
  } else if (image_layout && !plain) {
    return bad_input(place, fmt::format("image_layout \"{}\" does not fit an array {}", *image_layout, to_text(dims)),
                     "images are an array of 3 or 4 dimensions");
  }
  if (!facts.labels.empty() && facts.labels.size() != static_cast<size_t>(dims[0]))
    return bad_input(
        facts.labels_place,
        fmt::format("has {} labels, expected {}, one per sample of {}", facts.labels.size(), dims[0], place),
        "take samples and labels of one and the same set");
  return std::make_unique<ArraySource>(place, std::move(array), std::move(type), channels_first, std::move(facts));
}

Result<std::vector<int64_t>> labels_from(const std::string& place, const Tensor& array) {
  const Dims& dims = array.dims();
  const bool shaped = dims.size() == 1 || (dims.size() == 2 && dims[1] == 1);
  if (!shaped || !is_integer(array.dtype()) || dtype_bits(array.dtype()) < 8)
    return bad_input(
        place, fmt::format("labels are {} {}, expected integers [samples]", dtype_name(array.dtype()), to_text(dims)),
        "store one class number per sample");
  if (array.empty()) return bad_input(place, "has no labels", "store one class number per sample");
  std::vector<int64_t> labels(static_cast<size_t>(array.size()));
  for (int64_t i = 0; i < array.size(); ++i) labels[static_cast<size_t>(i)] = array.int_at(i);
  return labels;
}

}  // namespace cupel
