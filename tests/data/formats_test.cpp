#include "data/dataset.h"
#include "data/npy.h"
#include "fixture.h"

namespace cupel {
namespace {

using Labels = std::vector<int64_t>;

class Formats : public ::testing::Test {
 protected:
  // The report split over all of a source with `settings`.
  Result<Dataset> open(const std::string& settings, const std::string& more = "") {
    return Dataset::open(
        folder_.write("d.toml", "[sources.s]\n" + settings + "[splits]\nreport = { source = \"s\" }\n" + more));
  }
  std::string open_error(const std::string& settings, const std::string& more = "") {
    return error_text(open(settings, more), folder_);
  }
  Samples all(const std::string& settings, const std::string& more = "") {
    auto d = open(settings, more);
    EXPECT_TRUE(d) << d.error().message();
    if (!d) return {};
    auto s = d->load("report", 0, *d->size("report"));
    EXPECT_TRUE(s) << s.error().message();
    return s ? *s : Samples{};
  }
  TemporaryFolder folder_;
};

const std::string kIdx = "format = \"idx\"\nimages = \"x\"\n";
const std::string kPlace = "exit 3: DIR/d.toml:1: sources.s: ";

TEST_F(Formats, IdxPlainGzipAndEveryType) {
  const std::string file = idx_bytes(8, {2, 1, 3}, "\1\2\3\4\5\6");
  const Tensor expected = Tensor::of<uint8_t>({2, 1, 1, 3}, {1, 2, 3, 4, 5, 6});
  folder_.write("x", file);
  EXPECT_EQ(all(kIdx).inputs[0], expected);
  folder_.write("x", gzip(file));
  EXPECT_EQ(all(kIdx).inputs[0], expected);
  folder_.write("x", idx_bytes(0x0d, {1, 2}, std::string("\x3f\x80\0\0\xc0\0\0\0", 8)));
  EXPECT_EQ(all(kIdx).inputs[0], Tensor::of<float>({1, 2}, {1, -2}));
  folder_.write("x", idx_bytes(0x0e, {1}, std::string("\x3f\xf0\0\0\0\0\0\0", 8)));
  EXPECT_EQ(all(kIdx).inputs[0], Tensor::of<double>({1}, {1}));
  folder_.write("x", idx_bytes(0x0b, {1, 1}, "\xff\xfe"));
  EXPECT_EQ(all(kIdx).inputs[0], Tensor::of<int16_t>({1, 1}, {-2}));
  folder_.write("x", idx_bytes(0x0c, {1, 1}, std::string("\0\1\0\2", 4)));
  EXPECT_EQ(all(kIdx).inputs[0], Tensor::of<int32_t>({1, 1}, {65538}));
}

TEST_F(Formats, IdxLayouts) {
  folder_.write("x", idx_bytes(8, {1, 2, 1, 2}, "\1\2\3\4"));  // channels 0: 1 2, 1: 3 4 when CHW
  EXPECT_EQ(all(kIdx + "image_layout = \"CHW\"\n").inputs[0], Tensor::of<uint8_t>({1, 2, 1, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(all(kIdx + "image_layout = \"CHW\"\n", "[preprocess]\nlayout = \"NHWC\"\n").inputs[0],
            Tensor::of<uint8_t>({1, 1, 2, 2}, {1, 3, 2, 4}));
  EXPECT_EQ(all(kIdx + "image_layout = \"HWC\"\n").inputs[0], Tensor::of<uint8_t>({1, 2, 2, 1}, {1, 3, 2, 4}));
  EXPECT_EQ(all(kIdx + "image_layout = \"none\"\n").inputs[0], Tensor::of<uint8_t>({1, 2, 1, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(open_error(kIdx), kPlace +
                                  "DIR/x: an array [1,2,1,2] does not say which dimension holds the channels\n  set "
                                  "image_layout to \"HWC\", \"CHW\" or \"none\"");
  EXPECT_EQ(open_error(kIdx + "image_layout = \"WHC\"\n"),
            kPlace + "DIR/x: image_layout is \"WHC\"\n  image_layout is \"HWC\", \"CHW\" or \"none\"");
  EXPECT_EQ(open_error(kIdx + "image_layout = \"none\"\n", "[preprocess]\nlayout = \"NCHW\"\n"),
            "exit 3: DIR/d.toml:7: preprocess: layout is set, but the samples are u8 [2,1,2]\n  remove layout: it is "
            "for images only");
}

TEST_F(Formats, IdxRefusesWithWholeMessages) {
  folder_.write("x", "ab");
  EXPECT_EQ(open_error(kIdx),
            kPlace + "DIR/x: has 2 bytes, expected an idx header of at least 4\n  fetch or copy the file again");
  folder_.write("x", "PK\3\4 and more");
  EXPECT_EQ(open_error(kIdx), kPlace +
                                  "DIR/x: starts with the bytes 50 4b 03 04, expected 00 00, an idx type code (08 09 "
                                  "0b 0c 0d 0e) and a rank of 1 to 8\n  name an idx file, plain or gzip");
  folder_.write("x", idx_bytes(8, {2, 3}, "").substr(0, 9));
  EXPECT_EQ(open_error(kIdx),
            kPlace + "DIR/x: ends at byte 9 within its header of 12 bytes\n  fetch or copy the file again");
  folder_.write("x", idx_bytes(8, {1 << 20, 32, 32}, "abc"));
  EXPECT_EQ(open_error(kIdx), kPlace +
                                  "DIR/x: its header declares u8 [1048576,32,32], 1073741824 bytes, but 3 follow\n  "
                                  "fetch or copy the file again");
  folder_.write("x", idx_bytes(8, {~0u, ~0u, ~0u}, "abc"));
  EXPECT_EQ(open_error(kIdx), kPlace +
                                  "DIR/x: its header declares u8 [4294967295,4294967295,4294967295], more than 2^63 "
                                  "bytes, but 3 follow\n  fetch or copy the file again");
  folder_.write("x", idx_bytes(8, {0, 2, 2}, ""));
  EXPECT_EQ(
      open_error(kIdx),
      kPlace + "DIR/x: an array [0,2,2] holds no samples\n  the first dimension counts the samples, and none may be 0");
  folder_.write("x", idx_bytes(8, {0, ~0u, ~0u, ~0u}, ""));
  EXPECT_FALSE(open(kIdx));
}

TEST_F(Formats, EveryPrefixOfAnIdxFileIsRefused) {
  const std::string file = idx_bytes(8, {2, 2, 2}, "abcdefgh");
  for (const std::string& whole : {file, gzip(file)})
    for (size_t n = 0; n < whole.size(); ++n) {
      folder_.write("x", whole.substr(0, n));
      EXPECT_FALSE(open(kIdx)) << n;
    }
}

TEST_F(Formats, Cifar) {
  std::string record(1, '\7');
  for (int i = 0; i < 3072; ++i) record += static_cast<char>(i / 1024);
  folder_.write("a.bin", record);
  folder_.write("b.bin", gzip(record + record));
  const Samples s = all("format = \"cifar\"\nfiles = [\"a.bin\", \"b.bin\"]\nclass_count = 10\n");
  EXPECT_EQ(s.labels, (Labels{7, 7, 7}));
  EXPECT_EQ(s.inputs[0].dims(), (Dims{3, 3, 32, 32}));
  for (int64_t i = 0; i < s.inputs[0].size(); ++i) EXPECT_EQ(s.inputs[0].at(i), static_cast<double>(i % 3072 / 1024));
  folder_.write("c.bin", "\2" + record);
  EXPECT_EQ(all("format = \"cifar\"\nfiles = [\"c.bin\"]\nclass_count = 100\n").labels, (Labels{7}));
  EXPECT_EQ(open_error("format = \"cifar\"\nfiles = [\"a.bin\"]\nclass_count = 100\n"),
            kPlace +
                "DIR/a.bin: has 3073 bytes, expected a multiple of 3074, the bytes of a CIFAR-100 record\n  name a "
                "binary CIFAR file, plain or gzip, and the right class_count");
  EXPECT_EQ(open_error("format = \"cifar\"\nfiles = [\"a.bin\"]\nclass_count = 7\n"),
            kPlace + "class_count is 7\n  class_count is 10 (CIFAR-10) or 100 (CIFAR-100)");
}

TEST_F(Formats, Npz) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}), y = Tensor::of<int64_t>({2, 1}, {4, 0});
  write_zip(folder_ / "t.npz", {{"x.npy", text_of(*format_npy(x, ""))}, {"y.npy", text_of(*format_npy(y, ""))}}, true);
  const Samples s = all("format = \"npz\"\nimages = \"t.npz\"\nimage_key = \"x\"\nlabel_key = \"y\"\n");
  EXPECT_EQ(s.inputs[0], x);
  EXPECT_EQ(s.labels, (Labels{4, 0}));
  ASSERT_TRUE(write_npy(folder_ / "y.npy", Tensor::of<uint8_t>({2}, {1, 2})));
  EXPECT_EQ(all("format = \"npz\"\nimages = \"t.npz\"\nimage_key = \"x\"\nlabels = \"y.npy\"\n").labels,
            (Labels{1, 2}));
  EXPECT_TRUE(all("format = \"npz\"\nimages = \"t.npz\"\nimage_key = \"x\"\n").labels.empty());
  EXPECT_EQ(open_error("format = \"npz\"\nimages = \"t.npz\"\n"),
            kPlace + "DIR/t.npz: image_key is missing\n  image_key names the array of an .npz file");
  EXPECT_EQ(
      open_error("format = \"npz\"\nimages = \"y.npy\"\nimage_key = \"x\"\n"),
      kPlace +
          "DIR/y.npy: is an .npy file of one array, but image_key is set\n  remove image_key, or name an .npz file");
}

TEST_F(Formats, ImageFolder) {
  folder_.write("f/b/1.png", png_bytes(2, 1, PNG_COLOR_TYPE_RGB, 8, text_of(std::vector<int>{1, 2, 3, 4, 5, 6})));
  folder_.write("f/a/2.PNG", png_bytes(2, 1, PNG_COLOR_TYPE_GRAY, 8, text_of(std::vector<int>{7, 8})));
  folder_.write("f/a/10.jpeg", jpeg_bytes(2, 1, JCS_GRAYSCALE, 1, text_of(std::vector<int>{50, 50})));
  folder_.write("f/a/.hidden", "");
  folder_.write("f/a/notes.txt", "");
  folder_.write("f/readme", "");
  const std::string settings = "format = \"image-folder\"\nfolder = \"f\"\n";
  const Samples s = all(settings);
  EXPECT_EQ(s.labels, (Labels{0, 0, 1}));
  EXPECT_EQ(s.inputs[0],
            Tensor::of<uint8_t>({3, 3, 1, 2}, {50, 50, 50, 50, 50, 50, 7, 8, 7, 8, 7, 8, 1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(all(settings + "channels = 1\n").inputs[0], Tensor::of<uint8_t>({3, 1, 1, 2}, {50, 50, 7, 8, 2, 5}));
  const auto d = open(settings);
  EXPECT_EQ(d->class_names(), (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(d->warnings().size(), 1u);
  EXPECT_EQ(folder_.neutral(d->warnings()[0]),
            "DIR/f: 2 entries skipped that are no .jpg, .jpeg or .png file of a class folder");

  EXPECT_EQ(open_error(settings + "channels = 2\n"),
            kPlace + "DIR/f: channels is 2\n  channels is 1 (gray) or 3 (red, green, blue)");
  EXPECT_EQ(open_error(settings, "[labels]\nclasses = [\"a\", \"b\", \"c\"]\n"),
            "exit 3: DIR/d.toml:1: sources.s: has 2 class folders, but [labels] names 3 classes\n  a label is the "
            "position of a class folder: both numbers must agree");
  EXPECT_EQ(
      open_error("format = \"image-folder\"\nfolder = \"none\"\n"),
      kPlace + "DIR/none: folder cannot be read: No such file or directory\n  check the path and its permissions");
  std::filesystem::create_directories(folder_ / "empty/a");
  EXPECT_EQ(open_error("format = \"image-folder\"\nfolder = \"empty\"\n"),
            kPlace + "DIR/empty: holds no .jpg, .jpeg or .png file\n  check the path");

  folder_.write("f/b/1.png", png_bytes(3, 1, PNG_COLOR_TYPE_GRAY, 8, "abc"));
  const auto uneven = open(settings);
  ASSERT_TRUE(uneven);
  EXPECT_EQ(error_text(uneven->load("report", 0, 3), folder_),
            "exit 3: DIR/f/b/1.png: becomes u8 image 1x3x3, expected u8 image 1x2x3\n  add a resize or center-crop "
            "step that makes all images the same size");
  EXPECT_EQ(all(settings, "[preprocess]\nsteps = [\"resize 4 4 nearest\"]\n").inputs[0].dims(), (Dims{3, 3, 4, 4}));
  const auto crop = open(settings, "[preprocess]\nsteps = [\"center-crop 3 1\"]\n");
  EXPECT_EQ(error_text(crop->load("report", 0, 3), folder_),
            "exit 3: DIR/f/a/10.jpeg: step \"center-crop 3 1\": cannot cut 3 x 1 out of 2 x 1 (width x height)\n  "
            "resize to a larger size before it");
  folder_.write("f/b/1.png", "no image");
  EXPECT_EQ(error_text(uneven->load("report", 2, 1), folder_),
            "exit 3: DIR/f/b/1.png: is neither a JPEG nor a PNG file\n  convert the image, or remove it");
}

TEST_F(Formats, ImageList) {
  folder_.write("pics/a b.png", png_bytes(1, 1, PNG_COLOR_TYPE_GRAY, 8, "a"));
  folder_.write("pics/c.png", png_bytes(1, 1, PNG_COLOR_TYPE_GRAY, 8, "c"));
  folder_.write("list.txt", "a b.png 4\n\nc.png\t0\r\n");
  const std::string settings = "format = \"image-list\"\nlist = \"list.txt\"\nfolder = \"pics\"\nchannels = 1\n";
  const Samples s = all(settings);
  EXPECT_EQ(s.labels, (Labels{4, 0}));
  EXPECT_EQ(s.inputs[0], Tensor::of<uint8_t>({2, 1, 1, 1}, {'a', 'c'}));
  for (const std::string line : {"c.png", "c.png x", " 3", "c.png 3.5"}) {
    folder_.write("list.txt", "a b.png 4\n" + line + "\n");
    EXPECT_EQ(open_error(settings), kPlace + "DIR/list.txt: line 2: found \"" + line +
                                        "\", expected a path and a class number\n  write one \"path number\" a line");
  }
}

}  // namespace
}  // namespace cupel
