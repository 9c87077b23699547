// Temporary folders, and writers of the files that the readers under test read.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <jpeglib.h>
#include <png.h>
#include <zip.h>
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "data/dataset.h"

namespace cupel {

// A folder that lives as long as the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "cupel_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
    return path_ / name;
  }
  // `text` with this folder's path replaced by DIR.
  std::string neutral(std::string text) const {
    for (size_t at; (at = text.find(path_.string())) != std::string::npos;)
      text.replace(at, path_.string().size(), "DIR");
    return text;
  }

 private:
  std::filesystem::path path_;
};

// "exit N: message" of a failed result, with the folder's path as DIR; "no error" otherwise.
template <class T>
std::string error_text(const Result<T>& result, const TemporaryFolder& folder) {
  if (result) return "no error";
  return folder.neutral(fmt::format("exit {}: {}", result.error().exit_code(), result.error().message()));
}

inline std::string big_endian(uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8), static_cast<char>(v)};
}
inline std::string idx_bytes(uint8_t code, const std::vector<uint32_t>& dims, std::string_view payload) {
  std::string s = {'\0', '\0', static_cast<char>(code), static_cast<char>(dims.size())};
  for (uint32_t d : dims) s += big_endian(d);
  return s + std::string(payload);
}
inline std::string text_of(const std::vector<int>& bytes) { return {bytes.begin(), bytes.end()}; }
inline std::string text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string gzip(std::string_view content) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(content.size() + 100, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

inline void write_zip(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, std::string>>& members, bool deflated) {
  int code = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ASSERT_NE(zip, nullptr);
  for (const auto& [name, content] : members) {
    const auto index = zip_file_add(zip, name.c_str(), zip_source_buffer(zip, content.data(), content.size(), 0), 0);
    ASSERT_GE(index, 0);
    zip_set_file_compression(zip, static_cast<zip_uint64_t>(index), deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  ASSERT_EQ(zip_close(zip), 0);
}

// 8 or 16 bits a sample; 16-bit samples are given high byte first.
inline std::string png_bytes(int width, int height, int color, int bits, const std::string& samples,
                             bool interlaced = false, const std::vector<png_color>& palette = {}) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop header = png_create_info_struct(png);
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep from, size_t n) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(from), n);
      },
      [](png_structp) {});
  png_set_IHDR(png, header, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), bits, color,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) png_set_PLTE(png, header, palette.data(), static_cast<int>(palette.size()));
  png_write_info(png, header);
  std::vector<png_bytep> rows;
  for (int y = 0; y < height; ++y)
    rows.push_back(reinterpret_cast<png_bytep>(const_cast<char*>(samples.data())) +
                   static_cast<size_t>(y) * (samples.size() / static_cast<size_t>(height)));
  png_write_image(png, rows.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &header);
  return out;
}

inline std::string jpeg_bytes(int width, int height, J_COLOR_SPACE space, int channels, const std::string& samples,
                              bool progressive = false) {
  jpeg_compress_struct header;
  jpeg_error_mgr errors;
  header.err = jpeg_std_error(&errors);
  jpeg_create_compress(&header);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&header, &buffer, &size);
  header.image_width = static_cast<JDIMENSION>(width);
  header.image_height = static_cast<JDIMENSION>(height);
  header.input_components = channels;
  header.in_color_space = space;
  jpeg_set_defaults(&header);
  jpeg_set_quality(&header, 100, TRUE);
  if (progressive) jpeg_simple_progression(&header);
  jpeg_start_compress(&header, TRUE);
  for (int y = 0; y < height; ++y) {
    JSAMPROW row = reinterpret_cast<JSAMPROW>(const_cast<char*>(samples.data())) + y * width * channels;
    jpeg_write_scanlines(&header, &row, 1);
  }
  jpeg_finish_compress(&header);
  std::string out(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&header);
  std::free(buffer);
  return out;
}

}  // namespace cupel
