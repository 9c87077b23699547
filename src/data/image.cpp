#include "data/image.h"

#include <algorithm>
#include <array>

namespace cupel {

void rgb_to_gray(const uint8_t* rgb, uint8_t* gray, int64_t count) {
  for (int64_t i = 0; i < count; ++i, rgb += 3)
    gray[i] = static_cast<uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
}

Result<Tensor> decode_image(std::span<const std::byte> file, const std::string& place, int64_t channels) {
  constexpr std::array<uint8_t, 3> kJpeg = {0xff, 0xd8, 0xff};
  constexpr std::array<uint8_t, 8> kPng = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const auto starts_with = [&](const auto& magic) {
    return file.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), reinterpret_cast<const uint8_t*>(file.data()));
  };
  if (starts_with(kJpeg)) return decode_jpeg(file, place, channels);
  if (starts_with(kPng)) return decode_png(file, place, channels);
  return bad_input(place, "is neither a JPEG nor a PNG file", "convert the image, or remove it");
}

}  // namespace cupel
