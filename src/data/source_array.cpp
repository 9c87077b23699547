#include <fmt/format.h>

#include <cstring>

#include "base/file.h"
#include "data/source.h"

namespace cupel {
namespace {

class ArraySource final : public Source {
 public:
  ArraySource(std::string place, Tensor array, ArrayLayout layout, SourceFacts facts)
      : Source(std::move(facts)), place_(std::move(place)), array_(std::move(array)), layout_(std::move(layout)) {}

  int64_t size() const override { return array_.dims()[0]; }
  std::vector<SampleType> types() const override { return {layout_.type}; }
  Result<std::vector<Tensor>> sample(int64_t index) const override {
    return std::vector<Tensor>{sample_of(array_, index, layout_)};
  }
  std::string sample_place(int64_t index) const override { return fmt::format("{}: sample {}", place_, index); }
  Result<int64_t> content_bytes(int64_t) const override {
    return static_cast<int64_t>(stored_sample(array_, 0).size());
  }
  Result<Digest> content_digest(int64_t index) const override { return sha256(stored_sample(array_, index)); }

 private:
  std::string place_;
  Tensor array_;
  ArrayLayout layout_;
};

}  // namespace

std::span<const std::byte> stored_sample(const Tensor& array, int64_t index) {
  const size_t bytes = array.bytes().size() / static_cast<size_t>(array.dims()[0]);
  return array.bytes().subspan(static_cast<size_t>(index) * bytes, bytes);
}

Tensor sample_of(const Tensor& array, int64_t index, const ArrayLayout& layout) {
  const SampleType& type = layout.type;
  Tensor out(type.type, type.dims);
  const std::span<const std::byte> in = stored_sample(array, index);
  if (!layout.channels_first) {
    std::ranges::copy(in, out.mutable_bytes().begin());
    return out;
  }
  const int64_t width = dtype_bits(type.type) / 8, channels = type.dims[2], pixels = type.dims[0] * type.dims[1];
  std::byte* to = out.mutable_bytes().data();
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t c = 0; c < channels; ++c)
      std::memcpy(to + (p * channels + c) * width, in.data() + (c * pixels + p) * width, static_cast<size_t>(width));
  return out;
}

Result<ArrayLayout> array_layout(const std::string& place, const Tensor& array,
                                 const std::optional<std::string>& image_layout) {
  const Dims& dims = array.dims();
  if (dims.empty() || array.empty())
    return bad_input(place, fmt::format("an array {} holds no samples", to_text(dims)),
                     "the first dimension counts the samples, and none may be 0");
  if (image_layout && *image_layout != "HWC" && *image_layout != "CHW" && *image_layout != "none")
    return bad_input(place, fmt::format("image_layout is \"{}\"", printable(*image_layout)),
                     "image_layout is \"HWC\", \"CHW\" or \"none\"");
  ArrayLayout layout{{array.dtype(), Dims(dims.begin() + 1, dims.end()), false}};
  SampleType& type = layout.type;
  const bool plain = image_layout == "none";
  if (!plain && dims.size() == 3) {
    type.image = true;
    type.dims.push_back(1);
  } else if (!plain && dims.size() == 4) {
    if (!image_layout)
      return bad_input(place, fmt::format("an array {} does not say which dimension holds the channels", to_text(dims)),
                       "set image_layout to \"HWC\", \"CHW\" or \"none\"");
    type.image = true;
    layout.channels_first = *image_layout == "CHW";
    if (layout.channels_first) type.dims = {dims[2], dims[3], dims[1]};
  } else if (image_layout && !plain) {
    return bad_input(place, fmt::format("image_layout \"{}\" does not fit an array {}", *image_layout, to_text(dims)),
                     "images are an array of 3 or 4 dimensions");
  }
  return layout;
}

Status check_label_count(const std::string& place, int64_t samples, const SourceFacts& facts) {
  if (facts.labels.empty() || facts.labels.size() == static_cast<size_t>(samples)) return {};
  return bad_input(facts.labels_place,
                   fmt::format("has {} labels, expected {}, one per sample of {}", facts.labels.size(), samples, place),
                   "take samples and labels of one and the same set");
}

Result<std::unique_ptr<Source>> make_array_source(const std::string& place, Tensor array,
                                                  const std::optional<std::string>& image_layout, SourceFacts facts) {
  ArrayLayout layout = CUPEL_TRY(array_layout(place, array, image_layout));
  CUPEL_TRY(check_label_count(place, array.dims()[0], facts));
  return std::make_unique<ArraySource>(place, std::move(array), std::move(layout), std::move(facts));
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
