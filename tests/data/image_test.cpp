#include "data/image.h"

#include "fixture.h"

namespace cupel {
namespace {

using Values = std::vector<int>;

Values decoded(const std::string& file, int64_t channels) {
  const auto r = decode_image(bytes_of(file), "x", channels);
  EXPECT_TRUE(r) << r.error().message();
  if (!r) return {};
  return {r->data<uint8_t>().begin(), r->data<uint8_t>().end()};
}
std::string decode_error(const std::string& file) {
  const auto r = decode_image(bytes_of(file), "x", 3);
  return r ? "no error" : fmt::format("exit {}: {}", r.error().exit_code(), r.error().message());
}

TEST(Png, EveryColourTypeBecomesGrayOrRgb) {
  const std::string gray = png_bytes(2, 1, PNG_COLOR_TYPE_GRAY, 8, text_of(Values{3, 250}));
  EXPECT_EQ(decoded(gray, 1), (Values{3, 250}));
  EXPECT_EQ(decoded(gray, 3), (Values{3, 3, 3, 250, 250, 250}));
  const std::string rgb = png_bytes(2, 1, PNG_COLOR_TYPE_RGB, 8, text_of(Values{255, 0, 0, 10, 200, 30}));
  EXPECT_EQ(decoded(rgb, 3), (Values{255, 0, 0, 10, 200, 30}));
  EXPECT_EQ(decoded(rgb, 1),
            (Values{76, 124}));  // (19595·255 + 32768) >> 16, (19595·10 + 38470·200 + 7471·30 + 32768) >> 16
  EXPECT_EQ(decoded(png_bytes(1, 1, PNG_COLOR_TYPE_RGB_ALPHA, 8, text_of(Values{9, 8, 7, 0})), 3), (Values{9, 8, 7}));
  EXPECT_EQ(decoded(png_bytes(1, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8, text_of(Values{9, 0})), 3), (Values{9, 9, 9}));
  const std::vector<png_color> palette = {{1, 2, 3}, {40, 50, 60}};
  EXPECT_EQ(decoded(png_bytes(3, 1, PNG_COLOR_TYPE_PALETTE, 8, text_of(Values{1, 0, 1}), false, palette), 3),
            (Values{40, 50, 60, 1, 2, 3, 40, 50, 60}));
  EXPECT_EQ(decoded(png_bytes(3, 1, PNG_COLOR_TYPE_GRAY, 1, text_of(Values{0xa0}), false), 1), (Values{255, 0, 255}));
  // 16 bits: round(v / 257): 0x0080 -> 0, 0x0081 -> 1, 0xffff -> 255.
  EXPECT_EQ(decoded(png_bytes(3, 1, PNG_COLOR_TYPE_GRAY, 16, text_of(Values{0, 0x80, 0, 0x81, 0xff, 0xff})), 1),
            (Values{0, 1, 255}));
}

TEST(Png, Interlaced) {
  std::string samples;
  for (int i = 0; i < 81; ++i) samples += static_cast<char>(i * 3);
  const Values values = decoded(png_bytes(9, 9, PNG_COLOR_TYPE_GRAY, 8, samples, true), 1);
  for (int i = 0; i < 81; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], i * 3);
}

TEST(Png, EveryPrefixIsRefusedAndChangedBytesEndWell) {
  const std::string file = png_bytes(5, 4, PNG_COLOR_TYPE_RGB, 8, std::string(60, 'x'), true);
  for (size_t n = 0; n < file.size(); ++n) EXPECT_FALSE(decode_image(bytes_of(file.substr(0, n)), "x", 3)) << n;
  for (size_t i = 0; i < file.size(); ++i) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ 0x41);
    (void)decode_image(bytes_of(changed), "x", 3);
  }
  EXPECT_EQ(
      decode_error(file.substr(0, 40)),
      "exit 3: x: is a damaged or incomplete PNG file (the file ends too early)\n  replace the image, or remove it");
}

// The header of a PNG file of width x height RGB pixels, with a right checksum.
std::string png_header(uint32_t width, uint32_t height) {
  std::string chunk = "IHDR" + big_endian(width) + big_endian(height) + text_of(Values{8, 2, 0, 0, 0});
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size()));
  return "\x89PNG\r\n\x1a\n" + big_endian(13) + chunk + big_endian(static_cast<uint32_t>(sum)) + big_endian(0) +
         "IDAT" + big_endian(0x35af061e);
}

TEST(Png, RefusesDeclaredBombs) {
  EXPECT_EQ(decode_error(png_header(20000, 20000)),
            "exit 6: x: is 20000 x 20000 pixels, more than the limit of 67108864\n  make the image smaller");
  EXPECT_EQ(decode_error(png_header(8000, 8000)),
            "exit 3: x: is a damaged or incomplete PNG file (45 bytes cannot hold 8000 x 8000 pixels)\n  replace the "
            "image, or remove it");
}

TEST(Jpeg, GrayColourAndInks) {
  const auto near = [](const Values& found, const Values& expected) {
    ASSERT_EQ(found.size() % expected.size(), 0u);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i % expected.size()], 1) << i;
  };
  const auto fill = [](const Values& pixel) {
    std::string s;
    for (int i = 0; i < 64; ++i) s += text_of(pixel);
    return s;
  };
  for (const bool progressive : {false, true}) {
    const std::string gray = jpeg_bytes(8, 8, JCS_GRAYSCALE, 1, fill({77}), progressive);
    near(decoded(gray, 1), {77});
    near(decoded(gray, 3), {77, 77, 77});
    const std::string rgb = jpeg_bytes(8, 8, JCS_RGB, 3, fill({200, 100, 50}), progressive);
    near(decoded(rgb, 3), {200, 100, 50});
    near(decoded(rgb, 1), {124});
  }
  // Inks 10 60 120 30, stored inverted: what Pillow converts to 216 172 119.
  near(decoded(jpeg_bytes(8, 8, JCS_CMYK, 4, fill({245, 195, 135, 225})), 3), {216, 172, 119});
  near(decoded(jpeg_bytes(8, 8, JCS_CMYK, 4, fill({245, 195, 135, 225})), 1), {179});
}

TEST(Jpeg, EveryPrefixIsRefusedAndChangedBytesEndWell) {
  std::string samples;
  for (int i = 0; i < 16 * 16 * 3; ++i) samples += static_cast<char>(i * 7);
  for (const bool progressive : {false, true}) {
    const std::string file = jpeg_bytes(16, 16, JCS_RGB, 3, samples, progressive);
    for (size_t n = 0; n < file.size(); ++n) EXPECT_FALSE(decode_image(bytes_of(file.substr(0, n)), "x", 3)) << n;
    for (size_t i = 0; i < file.size(); ++i) {
      std::string changed = file;
      changed[i] = static_cast<char>(changed[i] ^ 0x41);
      (void)decode_image(bytes_of(changed), "x", 1);
    }
    EXPECT_EQ(decode_error(file.substr(0, file.size() - 2)),
              "exit 3: x: is a damaged or incomplete JPEG file (Premature end of JPEG file)\n  replace the image, or "
              "remove it");
  }
}

TEST(Jpeg, RefusesDeclaredBombs) {
  std::string file = jpeg_bytes(16, 16, JCS_GRAYSCALE, 1, std::string(256, 'x'));
  const size_t frame = file.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  for (size_t i = 5; i < 9; ++i) file[frame + i] = '\x60';
  EXPECT_EQ(decode_error(file),
            "exit 6: x: is 24672 x 24672 pixels, more than the limit of 67108864\n  make the image smaller");
}

TEST(Image, OtherContentIsRefused) {
  EXPECT_EQ(decode_error("GIF89a"), "exit 3: x: is neither a JPEG nor a PNG file\n  convert the image, or remove it");
  EXPECT_EQ(decode_error(""), "exit 3: x: is neither a JPEG nor a PNG file\n  convert the image, or remove it");
}

}  // namespace
}  // namespace cupel
