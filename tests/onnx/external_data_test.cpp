// External data: read beneath the model's folder only, and only whole.
#include <filesystem>

#include "model_builder.h"

namespace cupel {
namespace {

namespace fs = std::filesystem;
using protozero::pbf_writer;
using Entries = std::vector<std::pair<std::string, std::string>>;

ModelBuilder with_entries(const Entries& entries, const ModelBuilder::Write& more = {}) {
  ModelBuilder m;
  m.initializer("w", 1, {2}, [&](pbf_writer& t) {
    for (const auto& [key, value] : entries) {
      pbf_writer e(t, onnx_field::tensor::external_data);
      e.add_string(onnx_field::entry::key, key);
      e.add_string(onnx_field::entry::value, value);
    }
    t.add_enum(onnx_field::tensor::data_location, 1);
    if (more) more(t);
  });
  m.output("w");
  return m;
}

std::string floats(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float)};
}

class ExternalData : public testing::Test {
 protected:
  std::string error(const Entries& entries) const { return error_of(with_entries(entries), folder_.path()); }
  TemporaryFolder folder_;
};

const char* const kRule =
    "\n  external data must be a regular file inside the model's folder, reached without symbolic links";

TEST_F(ExternalData, Read) {
  folder_.write("data/w.bin", floats({7, 1, 2}));
  const auto graph = read(
      with_entries({{"location", "data/w.bin"}, {"offset", "4"}, {"length", "8"}, {"checksum", "?"}}), folder_.path());
  ASSERT_TRUE(graph) << graph.error().message();
  EXPECT_EQ(*graph->value(graph->outputs()[0]).constant, (Tensor::of<float>({2}, {1, 2})));
}

TEST_F(ExternalData, BesideAFile) {
  folder_.write("w.bin", floats({1, 2}));
  const fs::path path = folder_.write("model.onnx", with_entries({{"location", "w.bin"}}).bytes());
  const auto graph = read_onnx(path);
  ASSERT_TRUE(graph) << graph.error().message();
  EXPECT_EQ(*graph->value(graph->outputs()[0]).constant, (Tensor::of<float>({2}, {1, 2})));
}

TEST_F(ExternalData, Outside) {
  folder_.write("secret.bin", floats({1, 2}));
  fs::create_directory(folder_.path() / "model");
  const auto inside = [&](const std::string& location) {
    return error_of(with_entries({{"location", location}}), folder_.path() / "model");
  };
  EXPECT_EQ(inside("../secret.bin"),
            std::string("3: model.onnx: initializer w: ../secret.bin: leads outside the model's folder") + kRule);
  const std::string absolute = (folder_.path() / "secret.bin").string();
  EXPECT_EQ(inside(absolute), "3: model.onnx: initializer w: " + absolute + ": is not a relative path" + kRule);
  EXPECT_EQ(
      inside(std::string("a\0b", 3)),
      "3: model.onnx: initializer w: external data has location 'a\\x00b' with a zero byte\n  export the model again");
  fs::create_symlink("../secret.bin", folder_.path() / "model/link.bin");
  EXPECT_EQ(inside("link.bin"), std::string("3: model.onnx: initializer w: link.bin: passes a symbolic link") + kRule);
  fs::create_hard_link(folder_.path() / "secret.bin", folder_.path() / "model/hard.bin");
  EXPECT_EQ(inside("hard.bin"),
            std::string("3: model.onnx: initializer w: hard.bin: has 2 hard links, expected 1") + kRule);
  fs::create_directory(folder_.path() / "model/folder");
  EXPECT_EQ(inside("folder"), std::string("3: model.onnx: initializer w: folder: is not a regular file") + kRule);
  EXPECT_EQ(inside("none.bin"),
            "3: model.onnx: initializer w: none.bin: cannot be opened: No such file or directory\n"
            "  put the file beside the model");
}

TEST_F(ExternalData, WrongSizes) {
  folder_.write("w.bin", floats({1}));
  EXPECT_EQ(error({{"location", "w.bin"}}),
            "3: model.onnx: initializer w: w.bin: bytes 0 to 0+8 were expected, but the file has 4\n"
            "  export the model again; its data file is incomplete");
  EXPECT_EQ(error({{"location", "w.bin"}, {"length", "4"}}),
            "3: model.onnx: initializer w: external data has 4 bytes, expected 8 for f32[2]\n  export the model again");
  EXPECT_EQ(
      error({{"location", "w.bin"}, {"offset", "9223372036854775807"}}),
      "3: model.onnx: initializer w: w.bin: bytes 9223372036854775807 to 9223372036854775807+8 were expected, but "
      "the file has 4\n  export the model again; its data file is incomplete");
  EXPECT_EQ(error({{"location", "w.bin"}, {"offset", "-4"}}),
            "3: model.onnx: initializer w: external data has offset '-4', expected a number of bytes\n  export the "
            "model again");
  EXPECT_EQ(error({{"location", "w.bin"}, {"length", "8 "}}),
            "3: model.onnx: initializer w: external data has length '8 ', expected a number of bytes\n  export the "
            "model again");
}

TEST_F(ExternalData, WrongEntries) {
  EXPECT_EQ(error({{"offset", "0"}}),
            "3: model.onnx: initializer w: external data has no location\n  export the model again");
  EXPECT_EQ(error({{"location", "w.bin"}, {"__class__", "x"}}),
            "3: model.onnx: initializer w: external data has the unknown key '__class__'\n"
            "  use only location, offset, length and checksum");
  EXPECT_EQ(
      error_of(with_entries({{"location", "w.bin"}},
                            [](pbf_writer& t) { t.add_bytes(onnx_field::tensor::raw_data, std::string(8, '\0')); })),
      "3: model.onnx: initializer w: has both raw and external data\n  export the model again");
}

}  // namespace
}  // namespace cupel
