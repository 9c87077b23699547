// Decoding of JPEG and PNG files.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// Larger images are refused before memory is taken.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 26;

// u8 [height, width, channels], channels 1 or 3, of the first image of a JPEG or PNG file, told apart by content.
// Gray from colour: (19595 r + 38470 g + 7471 b + 32768) >> 16, as Pillow's "L"; CMYK to RGB as Pillow does. Alpha is
// dropped, 16-bit samples become round(v / 257), gamma and colour profiles are ignored.
// bad_input when the file is incomplete, damaged or of another kind; resource beyond kMaxImagePixels.
Result<Tensor> decode_image(std::span<const std::byte> file, const std::string& place, int64_t channels);

// Gray values of count pixels of red, green, blue.
void rgb_to_gray(const uint8_t* rgb, uint8_t* gray, int64_t count);

// The two decoders behind decode_image, without a check of the file's first bytes.
Result<Tensor> decode_jpeg(std::span<const std::byte> file, const std::string& place, int64_t channels);
Result<Tensor> decode_png(std::span<const std::byte> file, const std::string& place, int64_t channels);

}  // namespace cupel
