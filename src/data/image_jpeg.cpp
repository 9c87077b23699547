#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>

#include "base/file.h"
#include "data/image.h"

namespace cupel {
namespace {

constexpr int kMaxScans = 500;  // a progressive file of more scans is made to waste time

// libjpeg reports through these; every error leaves by longjmp to the function that called setjmp.
struct Failure {
  jpeg_error_mgr errors;  // first member: libjpeg hands back a pointer to it
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr jpeg) {
  auto* failure = reinterpret_cast<Failure*>(jpeg->err);
  failure->errors.format_message(jpeg, failure->text);
  std::longjmp(failure->jump, 1);
}

// A warning means that pixels were made up, except for these two.
void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM) leave(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  if (!jpeg->is_decompressor) return;
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMaxScans) {
    jpeg->err->msg_code = JERR_BAD_PROGRESSION;
    leave(jpeg);
  }
}

struct Decoder {
  jpeg_decompress_struct jpeg;
  jpeg_progress_mgr progress;
  Failure failure;
};

// The functions between setjmp and longjmp own nothing that needs a destructor.
bool read_header(Decoder& d, std::span<const std::byte> file) {
  if (setjmp(d.failure.jump) != 0) return false;
  jpeg_create_decompress(&d.jpeg);
  d.jpeg.progress = &d.progress;
  jpeg_mem_src(&d.jpeg, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_read_header(&d.jpeg, TRUE);
  return true;
}

bool read_pixels(Decoder& d, uint8_t* pixels, size_t row_bytes) {
  if (setjmp(d.failure.jump) != 0) return false;
  jpeg_start_decompress(&d.jpeg);
  while (d.jpeg.output_scanline < d.jpeg.output_height) {
    JSAMPROW row = pixels + d.jpeg.output_scanline * row_bytes;
    jpeg_read_scanlines(&d.jpeg, &row, 1);
  }
  jpeg_finish_decompress(&d.jpeg);
  return true;
}

// In place: four bytes a pixel become three. Adobe stores inverted inks.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int64_t count, bool inverted) {
  for (int64_t i = 0; i < count; ++i, cmyk += 4, rgb += 3) {
    const int black = inverted ? cmyk[3] : 255 - cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const int ink = inverted ? 255 - cmyk[c] : cmyk[c];
      const int product = ink * black + 128;
      rgb[c] = static_cast<uint8_t>(std::max(0, black - ((product + (product >> 8)) >> 8)));
    }
  }
}

}  // namespace

Result<Tensor> decode_jpeg(std::span<const std::byte> file, const std::string& place, int64_t channels) {
  Decoder d{};
  d.jpeg.err = jpeg_std_error(&d.failure.errors);
  d.failure.errors.error_exit = leave;
  d.failure.errors.emit_message = on_message;
  d.progress.progress_monitor = on_progress;
  const struct Cleanup {
    Decoder* d;
    ~Cleanup() { jpeg_destroy_decompress(&d->jpeg); }
  } cleanup{&d};
  const auto damaged = [&] {
    return bad_input(place, fmt::format("is a damaged or incomplete JPEG file ({})", printable(d.failure.text)),
                     "replace the image, or remove it");
  };
  if (!read_header(d, file)) return damaged();
  const int64_t height = d.jpeg.image_height, width = d.jpeg.image_width, pixels = height * width;
  if (pixels > kMaxImagePixels)
    return resource_error(place,
                          fmt::format("is {} x {} pixels, more than the limit of {}", width, height, kMaxImagePixels),
                          "make the image smaller");
  const J_COLOR_SPACE stored = d.jpeg.jpeg_color_space;
  const bool cmyk = stored == JCS_CMYK || stored == JCS_YCCK;
  const bool gray = stored == JCS_GRAYSCALE;
  d.jpeg.out_color_space = cmyk ? JCS_CMYK : gray ? JCS_GRAYSCALE : JCS_RGB;
  const int64_t stored_channels = cmyk ? 4 : gray ? 1 : 3;
  Tensor decoded(DType::u8, {height, width, stored_channels});
  uint8_t* from = decoded.mutable_data<uint8_t>().data();
  if (!read_pixels(d, from, static_cast<size_t>(width * stored_channels))) return damaged();
  if (stored_channels == channels) return decoded;
  Tensor out(DType::u8, {height, width, channels});
  uint8_t* to = out.mutable_data<uint8_t>().data();
  if (gray) {
    for (int64_t i = 0; i < pixels; ++i) to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = from[i];
    return out;
  }
  if (cmyk) cmyk_to_rgb(from, channels == 3 ? to : from, pixels, d.jpeg.saw_Adobe_marker);
  if (channels == 1) rgb_to_gray(from, to, pixels);
  return out;
}

}  // namespace cupel
