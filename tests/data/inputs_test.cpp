// Data sets whose samples are several arrays.
#include <algorithm>
#include <thread>

#include "data/dataset.h"
#include "data/npy.h"
#include "fixture.h"

namespace cupel {
namespace {

using Members = std::vector<std::pair<std::string, Tensor>>;

class Inputs : public ::testing::Test {
 protected:
  void write_npz(const std::string& name, const Members& members) {
    std::vector<std::pair<std::string, std::string>> files;
    for (const auto& [key, t] : members) files.emplace_back(key + ".npy", text_of(*format_npy(t, key)));
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::filesystem::remove(folder_ / name);
    write_zip(folder_ / name, files, false);
  }
  // `source`: settings of the one source beside the format; `rest`: further tables.
  Result<Dataset> open(const std::string& source, const std::string& rest = "") {
    return Dataset::open(folder_.write(
        "d.toml", "[sources.s]\nformat = \"npz\"\n" + source + rest + "[splits]\nreport = { source = \"s\" }\n"));
  }
  std::string open_error(const std::string& source, const std::string& rest = "") {
    return error_text(open(source, rest), folder_);
  }
  Dataset must(const std::string& source, const std::string& rest = "") {
    auto r = open(source, rest);
    EXPECT_TRUE(r) << r.error().message();
    return *r;
  }
  TemporaryFolder folder_;
};

const std::string kPlace = "exit 3: DIR/d.toml:1: sources.s: ";
const Tensor kIds = Tensor::of<int64_t>({3, 2}, {1, 2, 30522, 4, 5, int64_t{1} << 40});
const Tensor kMask = Tensor::of<int64_t>({3, 2}, {1, 1, 1, 0, 1, 1});
const Tensor kPixels = Tensor::of<uint8_t>({3, 1, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
const Tensor kLabels = Tensor::of<int32_t>({3}, {0, 2, 1});

TEST_F(Inputs, AreTheArraysOfOneFileByTheirNames) {
  write_npz("a.npz", {{"mask", kMask}, {"ids", kIds}, {"label", kLabels}});
  const Dataset d = must("arrays = \"a.npz\"\nlabel_key = \"label\"\n");
  ASSERT_EQ(d.inputs().size(), 2u);
  EXPECT_EQ(d.inputs()[0].name, "ids");
  EXPECT_EQ(d.inputs()[1].name, "mask");
  EXPECT_EQ(d.inputs()[0].dtype, DType::s64);
  EXPECT_EQ(d.inputs()[0].dims, (Dims{2}));
  EXPECT_TRUE(d.inputs()[0].steps.empty());
  EXPECT_EQ(d.inputs()[0].layout, "");
  const auto s = d.load("report", 1, 2);
  ASSERT_TRUE(s) << s.error().message();
  EXPECT_EQ(s->inputs[0], kIds.rows(1, 2));
  EXPECT_EQ(s->inputs[1], kMask.rows(1, 2));
  EXPECT_EQ(s->labels, (std::vector<int64_t>{2, 1}));
  EXPECT_FALSE(d.labelled_output());
}

TEST_F(Inputs, HaveKeysAndStepsOfTheirOwn) {
  const Tensor photo(DType::u8, {3, 2, 1, 3});
  write_npz("a.npz", {{"input_ids", kIds}, {"photo", photo}, {"pixels", kPixels}, {"odd", Tensor(DType::f32, {7})}});
  const Dataset d = must("arrays = \"a.npz\"\n", R"([inputs.ids]
key = "input_ids"
[inputs.image]
key = "photo"
image_layout = "HWC"
steps = ["to-float"]
[inputs.pixels]
steps = ["to-float", "scale 0.5"]
[labels]
output = "logits"
)");
  ASSERT_EQ(d.inputs().size(), 3u);
  EXPECT_EQ(d.inputs()[0].name, "ids");
  EXPECT_EQ(d.inputs()[1].name, "image");
  EXPECT_EQ(d.inputs()[1].dims, (Dims{3, 2, 1}));
  EXPECT_EQ(d.inputs()[1].layout, "NCHW");
  EXPECT_EQ(d.inputs()[2].dims, (Dims{1, 2, 2}));  // four dimensions, and no image: nobody said so
  EXPECT_EQ(d.inputs()[2].layout, "");
  EXPECT_EQ(d.inputs()[2].steps, (std::vector<std::string>{"to-float", "scale 0.5"}));
  const Samples s = *d.load("report", 0, 3);
  EXPECT_EQ(s.inputs[0], kIds);
  EXPECT_EQ(s.inputs[2], Tensor::of<float>({3, 1, 2, 2}, {0.5f, 1, 1.5f, 2, 2.5f, 3, 3.5f, 4, 4.5f, 5, 5.5f, 6}));
  EXPECT_EQ(d.labelled_output(), "logits");
}

TEST_F(Inputs, LieInAFolderOfBatches) {
  write_npz("f/b.npz", {{"ids", kIds.rows(0, 2)}, {"label", kLabels.rows(0, 2)}});
  write_npz("f/c.npz", {{"ids", kIds.rows(2, 1)}, {"label", kLabels.rows(2, 1)}});
  folder_.write("f/readme.txt", "");
  folder_.write("f/.hidden.npz", "");
  const Dataset d = must("arrays = \"f\"\nlabel_key = \"label\"\n");
  const Samples s = *d.load("report", 0, 3);
  EXPECT_EQ(s.inputs[0], kIds);
  EXPECT_EQ(s.labels, (std::vector<int64_t>{0, 2, 1}));
  ASSERT_EQ(d.warnings().size(), 1u);
  EXPECT_EQ(folder_.neutral(d.warnings()[0]), "DIR/f: 1 entries skipped that are no .npz file");
  // The same samples in one file: the content is equal.
  write_npz("all.npz", {{"ids", kIds}, {"label", kLabels}});
  EXPECT_EQ(*must("arrays = \"all.npz\"\nlabel_key = \"label\"\n").content_hash(), *d.content_hash());
  ASSERT_TRUE(write_npy(folder_ / "y.npy", kLabels));
  EXPECT_EQ(must("arrays = \"f\"\nlabels = \"y.npy\"\n", "[inputs.ids]\n").load("report", 0, 3)->labels, s.labels);
}

TEST_F(Inputs, LieInAFolderOfSamples) {
  for (int64_t i = 0; i < 3; ++i)
    write_npz(fmt::format("f/{}.npz", i), {{"ids", kIds.rows(i, 1).reshaped({2})},
                                           {"y", i == 1 ? kLabels.rows(i, 1) : kLabels.rows(i, 1).reshaped({})}});
  const Dataset d = must("arrays = \"f\"\neach_file = \"sample\"\nlabel_key = \"y\"\n");
  const Samples s = *d.load("report", 0, 3);
  EXPECT_EQ(s.inputs[0], kIds);
  EXPECT_EQ(s.labels, (std::vector<int64_t>{0, 2, 1}));
}

TEST_F(Inputs, OfEqualContentInAllArraysAreOneSample) {
  const Tensor twice = Tensor::of<int64_t>({3, 1}, {7, 7, 7}), differs = Tensor::of<int64_t>({3, 1}, {1, 1, 2});
  write_npz("a.npz", {{"ids", twice}, {"mask", differs}});
  folder_.write("all.txt", "0\n1\n2\n");
  const auto d = Dataset::open(folder_.write("d.toml",
                                             "[sources.s]\nformat = \"npz\"\narrays = \"a.npz\"\n[splits]\ncalibrate "
                                             "= { source = \"s\", indices = \"all.txt\" }\n"));
  ASSERT_TRUE(d) << d.error().message();
  EXPECT_EQ(*d->dropped("calibrate"), 1);
  EXPECT_EQ(*d->source_indices("calibrate"), (std::vector<int64_t>{0, 2}));
}

TEST_F(Inputs, RefusalsNameFileKeyAndRemedy) {
  const std::string file = "arrays = \"a.npz\"\n";
  write_npz("a.npz", {{"ids", kIds}, {"mask", kMask.rows(0, 2)}, {"label", kLabels}});
  EXPECT_EQ(open_error(file, "[inputs.ids]\n[inputs.types]\n"),
            kPlace +
                "DIR/a.npz: has no array \"types\"\n  name one of its arrays in key of [inputs.types]: ids, label, "
                "mask");
  EXPECT_EQ(
      open_error(file, "[inputs.ids]\nkey = \"id\"\n"),
      kPlace + "DIR/a.npz: has no array \"id\"\n  name one of its arrays in key of [inputs.ids]: ids, label, mask");
  EXPECT_EQ(open_error(file + "label_key = \"y\"\n", "[inputs.ids]\n"),
            kPlace + "DIR/a.npz: has no array \"y\"\n  name one of its arrays in label_key: ids, label, mask");
  EXPECT_EQ(open_error(file, "[inputs.ids]\n[inputs.mask]\n"),
            kPlace +
                "DIR/a.npz: array \"mask\": has 2 samples, array \"ids\" has 3\n  the first dimension counts the "
                "samples: all arrays of a file need the same");
  EXPECT_EQ(open_error(file + "label_key = \"mask\"\n", "[inputs.ids]\n"),
            kPlace +
                "DIR/a.npz: array \"mask\": labels are s64 [2,2], expected integers [samples]\n  store one class "
                "number per sample");
  EXPECT_EQ(open_error(file + "each_file = \"image\"\n"),
            kPlace +
                "each_file is \"image\"\n  each_file is \"batch\" (arrays [samples, …]) or \"sample\" (arrays "
                "without that dimension)");
  write_npz("a.npz", {{"ids", kIds}, {"one", Tensor::scalar<int64_t>(3)}, {"y", kLabels.rows(0, 2)}});
  EXPECT_EQ(open_error(file, "[inputs.one]\n"),
            kPlace +
                "DIR/a.npz: array \"one\": an array [] holds no samples\n  the first dimension counts the samples, "
                "and none may be 0 (each_file = \"sample\" is for files of one sample without that dimension)");
  EXPECT_EQ(open_error(file + "label_key = \"y\"\n", "[inputs.ids]\n"),
            kPlace +
                "DIR/a.npz: array \"y\": has 2 labels, expected 3, one per sample\n  take samples and labels of one "
                "and the same set");
  EXPECT_EQ(open_error(file, "[inputs.ids]\nimage_layout = \"CHW\"\n"),
            kPlace +
                "DIR/a.npz: array \"ids\": image_layout \"CHW\" does not fit an array [3,2]\n  images are an array "
                "of 3 or 4 dimensions");
  EXPECT_EQ(
      open_error(file, "[inputs.ids]\nsteps = [\"scale 2\"]\n"),
      "exit 3: DIR/d.toml:5: inputs.ids.steps: step \"scale 2\": gets s64 [2], but needs f32 (put to-float before "
      "it)\n  reorder the steps or correct the source");
  EXPECT_EQ(open_error(file, "[inputs.ids]\nlayout = \"NHWC\"\n"),
            "exit 3: DIR/d.toml:4: inputs.ids: layout is set, but the samples are s64 [2]\n  remove layout, or set "
            "image_layout: what the file holds are images");
  write_npz("only.npz", {{"y", kLabels}});
  EXPECT_EQ(open_error("arrays = \"only.npz\"\nlabel_key = \"y\"\n"),
            kPlace + "DIR/only.npz: has no array beside the labels\n  store one array for each input");
}

TEST_F(Inputs, RefusesFilesOfOtherTypes) {
  write_npz("f/a.npz", {{"ids", kIds}});
  write_npz("f/b.npz", {{"ids", Tensor(DType::s64, {1, 3})}});
  EXPECT_EQ(open_error("arrays = \"f\"\n"),
            kPlace +
                "DIR/f/b.npz: array \"ids\": its samples are s64 [3], those of DIR/f/a.npz are s64 [2]\n  all "
                "samples need one type and size: store them so, sequences padded to one length");
  write_npz("f/b.npz", {{"ids", Tensor(DType::s32, {1, 2})}});
  EXPECT_EQ(open_error("arrays = \"f\"\n"),
            kPlace +
                "DIR/f/b.npz: array \"ids\": its samples are s32 [2], those of DIR/f/a.npz are s64 [2]\n  all "
                "samples need one type and size: store them so, sequences padded to one length");
  write_npz("f/b.npz", {{"mask", kMask}});
  EXPECT_EQ(open_error("arrays = \"f\"\n"),
            kPlace + "DIR/f/b.npz: has no array \"ids\"\n  name one of its arrays in key of [inputs.ids]: mask");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_EQ(open_error("arrays = \"empty\"\n"), kPlace + "DIR/empty: holds no .npz file\n  check the path");
  EXPECT_EQ(open_error("arrays = \"gone.npz\"\n"), kPlace + "DIR/gone.npz: no such file\n  check the path");
}

TEST_F(Inputs, RefusesSettingsThatDoNotGoTogether) {
  write_npz("a.npz", {{"ids", kIds}, {"mask", kMask}});
  const std::string file = "arrays = \"a.npz\"\n";
  EXPECT_EQ(open_error(""), kPlace +
                                "neither \"arrays\" nor \"images\" is set\n  arrays names .npz files with one array "
                                "for each input, images a file with one array in all");
  EXPECT_EQ(open_error(file + "image_key = \"ids\"\n"),
            kPlace +
                "\"image_key\" does not go with \"arrays\"\n  remove it: key and image_layout of an array stand in "
                "[inputs.NAME]");
  EXPECT_EQ(open_error("images = \"a.npz\"\nimage_key = \"ids\"\neach_file = \"batch\"\n"),
            kPlace + "\"each_file\" does not go with \"images\"\n  remove it");
  EXPECT_EQ(open_error("images = \"a.npz\"\nimage_key = \"ids\"\n", "[inputs.ids]\n"),
            kPlace +
                "[inputs] is for several arrays, and \"images\" names one\n  set arrays instead of images, or "
                "describe the one input in [preprocess]");
  EXPECT_EQ(open_error(file, "[preprocess]\nsteps = [\"to-float\"]\n"),
            "exit 3: DIR/d.toml:5: preprocess.steps: is for samples of one array\n  give the steps to the inputs that "
            "need them: steps = […] in [inputs.NAME]");
  EXPECT_EQ(open_error(file, "[inputs.ids]\n[preprocess]\nsteps = []\n"),
            "exit 3: DIR/d.toml:5: preprocess: stands beside [inputs]\n  give the steps to the inputs that need them: "
            "steps = […] in [inputs.NAME]");
  EXPECT_EQ(open_error(file, "[inputs]\n"),
            "exit 3: DIR/d.toml:4: inputs: is empty\n  write an [inputs.NAME] table for each input of the network");
  EXPECT_EQ(open_error(file, "[inputs.ids]\nscale = 2\n"),
            "exit 3: DIR/d.toml:5: inputs.ids.scale: is unknown\n  known here: key, image_layout, steps, layout");
  folder_.write("x", idx_bytes(8, {3, 2, 2}, "abcdefghijkl"));
  EXPECT_EQ(
      error_text(Dataset::open(folder_.write("d.toml",
                                             "[sources.a]\nformat = \"npz\"\narrays = \"a.npz\"\n[sources.b]\nformat "
                                             "= \"idx\"\nimages = \"x\"\n[splits]\nreport = { source = \"a\" }\n"
                                             "search = { source = \"b\", count = 1, seed = 1 }\n")),
                 folder_),
      "exit 3: DIR/d.toml:4: sources.b: its arrays are not those of the other sources\n  all sources need the same "
      "inputs; [inputs] says which arrays are meant");
  EXPECT_EQ(
      error_text(Dataset::open(folder_.write("d.toml",
                                             "[sources.b]\nformat = \"idx\"\nimages = \"x\"\n[inputs.ids]\n[splits]"
                                             "\nreport = { source = \"b\" }\n")),
                 folder_),
      "exit 3: DIR/d.toml:1: sources.b: format idx gives one array, and [inputs] is for several\n  use format npz "
      "with arrays, or describe the one input in [preprocess]");
}

TEST_F(Inputs, AFileThatChangesWhileItIsReadIsNotTaken) {
  write_npz("f/a.npz", {{"ids", kIds}});
  write_npz("f/b.npz", {{"ids", kIds}});
  const Dataset d = must("arrays = \"f\"\n");
  write_npz("f/b.npz", {{"ids", kMask.rows(0, 1)}});
  EXPECT_TRUE(d.load("report", 0, 3));
  EXPECT_EQ(error_text(d.load("report", 3, 3), folder_),
            "exit 3: DIR/f/b.npz: array \"ids\": has changed since the data set was opened\n  run the command again");
}

TEST_F(Inputs, LoadFromSeveralThreads) {
  for (int64_t i = 0; i < 8; ++i)
    write_npz(fmt::format("f/{}.npz", i), {{"x", Tensor::of<float>({2, 1}, {float(i), float(i) + 0.5f})}});
  const Dataset d = must("arrays = \"f\"\n");
  const Samples expected = *d.load("report", 0, 16);
  std::vector<std::thread> threads;
  std::array<bool, 4> equal{};
  for (size_t t = 0; t < equal.size(); ++t)
    threads.emplace_back([&, t] {
      equal[t] = true;
      for (int k = 0; k < 20; ++k) equal[t] = equal[t] && d.load("report", 0, 16)->inputs[0] == expected.inputs[0];
    });
  for (std::thread& t : threads) t.join();
  for (const bool e : equal) EXPECT_TRUE(e);
}

}  // namespace
}  // namespace cupel
