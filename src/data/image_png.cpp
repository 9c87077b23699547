#include <fmt/format.h>
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include "base/file.h"
#include "data/image.h"

namespace cupel {
namespace {

struct Decoder {
  std::span<const std::byte> rest;
  png_structp png = nullptr;
  png_infop header = nullptr;
  char text[200] = {};
  int64_t width = 0, height = 0;
};

[[noreturn]] void leave(png_structp png, png_const_charp text) {
  auto* d = static_cast<Decoder*>(png_get_error_ptr(png));
  std::strncpy(d->text, text, sizeof d->text - 1);
  png_longjmp(png, 1);
}
void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, size_t count) {
  auto* d = static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > d->rest.size()) png_error(png, "the file ends too early");
  std::memcpy(to, d->rest.data(), count);
  d->rest = d->rest.subspan(count);
}

// The functions between setjmp and longjmp own nothing that needs a destructor.
bool read_header(Decoder& d) {
  if (setjmp(png_jmpbuf(d.png)) != 0) return false;
  png_set_read_fn(d.png, &d, read_bytes);
  png_read_info(d.png, d.header);
  d.width = png_get_image_width(d.png, d.header);
  d.height = png_get_image_height(d.png, d.header);
  return true;
}

// Converts every colour type to 8-bit gray or RGB.
bool read_pixels(Decoder& d, bool gray, png_bytepp rows, size_t row_bytes) {
  if (setjmp(png_jmpbuf(d.png)) != 0) return false;
  png_set_expand(d.png);
  png_set_scale_16(d.png);
  png_set_strip_alpha(d.png);
  if (!gray) png_set_gray_to_rgb(d.png);
  png_set_interlace_handling(d.png);
  png_read_update_info(d.png, d.header);
  if (png_get_rowbytes(d.png, d.header) != row_bytes) png_error(d.png, "rows have an unexpected size");
  png_read_image(d.png, rows);
  png_read_end(d.png, nullptr);
  return true;
}

}  // namespace

Result<Tensor> decode_png(std::span<const std::byte> file, const std::string& place, int64_t channels) {
  Decoder d;
  d.rest = file;
  d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, leave, ignore_warning);
  const struct Cleanup {
    Decoder* d;
    ~Cleanup() { png_destroy_read_struct(&d->png, &d->header, nullptr); }
  } cleanup{&d};
  if (d.png != nullptr) d.header = png_create_info_struct(d.png);
  if (d.header == nullptr) return resource_error(place, "libpng cannot start", "free some memory");
  const auto damaged = [&] {
    return bad_input(place, fmt::format("is a damaged or incomplete PNG file ({})", printable(d.text)),
                     "replace the image, or remove it");
  };
  if (!read_header(d)) return damaged();
  const int64_t pixels = d.width * d.height;
  if (pixels > kMaxImagePixels)
    return resource_error(
        place, fmt::format("is {} x {} pixels, more than the limit of {}", d.width, d.height, kMaxImagePixels),
        "make the image smaller");
  // Deflate makes at most 1032 bytes of one; eight pixels may share a byte.
  if (pixels / 8 > static_cast<int64_t>(file.size()) * 1032)
    return bad_input(place,
                     fmt::format("is a damaged or incomplete PNG file ({} bytes cannot hold {} x {} pixels)",
                                 file.size(), d.width, d.height),
                     "replace the image, or remove it");
  const bool gray = (png_get_color_type(d.png, d.header) & PNG_COLOR_MASK_COLOR) == 0;
  const int64_t stored_channels = gray && channels == 1 ? 1 : 3;
  Tensor decoded(DType::u8, {d.height, d.width, stored_channels});
  const int64_t row_bytes = d.width * stored_channels;
  std::vector<png_bytep> rows(static_cast<size_t>(d.height));
  for (int64_t y = 0; y < d.height; ++y)
    rows[static_cast<size_t>(y)] = decoded.mutable_data<uint8_t>().data() + y * row_bytes;
  if (!read_pixels(d, stored_channels == 1, rows.data(), static_cast<size_t>(row_bytes))) return damaged();
  if (stored_channels == channels) return decoded;
  Tensor out(DType::u8, {d.height, d.width, 1});
  rgb_to_gray(decoded.data<uint8_t>().data(), out.mutable_data<uint8_t>().data(), pixels);
  return out;
}

}  // namespace cupel
