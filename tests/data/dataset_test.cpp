#include "data/dataset.h"

#include <algorithm>
#include <array>
#include <thread>

#include "data/npy.h"
#include "data/splits.h"
#include "fixture.h"

namespace cupel {
namespace {

// `count` images of 2 x 2 whose first pixel is `first` + index and whose others are 0, with label index % classes.
void write_idx(const TemporaryFolder& folder, const std::string& name, int count, int first = 0, int classes = 3) {
  std::string pixels, labels;
  for (int i = 0; i < count; ++i) {
    pixels += text_of(std::vector<int>{first + i, 0, 0, 0});
    labels += static_cast<char>(i % classes);
  }
  folder.write(name + ".images", idx_bytes(8, {static_cast<uint32_t>(count), 2, 2}, pixels));
  folder.write(name + ".labels", idx_bytes(8, {static_cast<uint32_t>(count)}, labels));
}

const std::string kTrain = "[sources.train]\nformat = \"idx\"\nimages = \"train.images\"\nlabels = \"train.labels\"\n";
const std::string kTest = "[sources.test]\nformat = \"idx\"\nimages = \"test.images\"\nlabels = \"test.labels\"\n";

// Two idx sources, "train" of 20 samples and "test" of 5.
class Splits : public ::testing::Test {
 protected:
  Splits() {
    write_idx(folder_, "train", 20);
    write_idx(folder_, "test", 5, 100);
    folder_.write("cal.txt", "3\n0\n 7 \r\n");
  }
  Result<Dataset> open(const std::string& text) { return Dataset::open(folder_.write("d.toml", text)); }
  std::string open_error(const std::string& text) { return error_text(open(text), folder_); }
  std::string splits_error(const std::string& splits) { return open_error(kTrain + kTest + "[splits]\n" + splits); }
  Dataset must(const std::string& text) {
    auto r = open(text);
    EXPECT_TRUE(r) << r.error().message();
    return *r;
  }
  TemporaryFolder folder_;
};

using Indices = std::vector<int64_t>;

TEST_F(Splits, LoadsWhatTheFileSays) {
  folder_.write("cal2.txt", "0\n");
  const Dataset d = must(kTrain + kTest + R"([labels]
classes = ["a", "b", "c"]
[preprocess]
steps = ["to-float", "scale 0.5"]
[splits]
search = { source = "train", count = 4, seed = 1 }
report = { source = "test" }
calibrate = { source = "train", indices = "cal2.txt" }
[[metric]]
kind = "accuracy"
top_k = 2
)");
  EXPECT_EQ(d.split_names(), (std::vector<std::string>{"search", "report", "calibrate"}));
  EXPECT_EQ(*d.size("search"), 4);
  EXPECT_EQ(*d.size("report"), 5);
  EXPECT_EQ(d.inputs()[0].dims, (Dims{1, 2, 2}));
  EXPECT_EQ(d.inputs()[0].dtype, DType::f32);
  EXPECT_EQ(d.class_names(), (std::vector<std::string>{"a", "b", "c"}));
  ASSERT_EQ(d.metrics().size(), 1u);
  EXPECT_EQ(d.metrics()[0].kind, "accuracy");
  EXPECT_EQ(d.metrics()[0].top_k, 2);
  EXPECT_EQ(d.inputs()[0].steps, (std::vector<std::string>{"to-float", "scale 0.5"}));
  EXPECT_EQ(d.inputs()[0].layout, "NCHW");
  EXPECT_EQ(d.inputs()[0].name, "");
  EXPECT_TRUE(d.warnings().empty());
  EXPECT_TRUE(*d.has_labels("report"));
  EXPECT_EQ(*d.source_name("report"), "test");
  const auto s = d.load("report", 1, 3);
  ASSERT_TRUE(s) << s.error().message();
  EXPECT_EQ(s->inputs[0], Tensor::of<float>({3, 1, 2, 2}, {50.5f, 0, 0, 0, 51, 0, 0, 0, 51.5f, 0, 0, 0}));
  EXPECT_EQ(s->labels, (Indices{1, 2, 0}));
  EXPECT_EQ(d.load("report", 5, 0)->inputs[0].dims(), (Dims{0, 1, 2, 2}));
  EXPECT_EQ(error_text(d.load("report", 3, 3), folder_),
            "exit 5: DIR/d.toml: samples 3 to 3 + 3 were asked of split report, which has 5\n  this is a defect of "
            "Cupel; please report it with the model");
  EXPECT_EQ(
      error_text(d.load("train", 0, 1), folder_),
      "exit 3: DIR/d.toml: has no split \"train\"\n  add it to [splits]; its splits are search, report, calibrate");
}

TEST_F(Splits, IndicesKeepTheirOrderAndCountTakesTheSmallestHashes) {
  const Dataset d = must(kTrain +
                         "[splits]\ncalibrate = { source = \"train\", indices = \"cal.txt\" }\nsearch = { source = "
                         "\"train\", count = 17, seed = 9 }\n");
  EXPECT_EQ(*d.source_indices("calibrate"), (Indices{3, 0, 7}));
  Indices both = *d.source_indices("search");
  both.insert(both.end(), {0, 3, 7});
  std::ranges::sort(both);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(both[static_cast<size_t>(i)], i);
}

// The order of hashlib.sha256(f"{seed}:{index}".encode()).digest() in Python.
TEST(ChooseSamples, IsPinned) {
  EXPECT_EQ(choose_samples(100, 8, 1, std::vector<bool>(100)), (Indices{72, 30, 71, 90, 39, 49, 29, 38}));
  EXPECT_EQ(choose_samples(100, 8, 42, std::vector<bool>(100)), (Indices{88, 1, 45, 53, 86, 84, 41, 13}));
  std::vector<bool> taken(100);
  taken[30] = taken[90] = true;
  EXPECT_EQ(choose_samples(100, 4, 1, taken), (Indices{72, 71, 39, 49}));
}

TEST_F(Splits, NeverShareASample) {
  EXPECT_EQ(
      splits_error("calibrate = { source = \"train\", indices = \"cal.txt\" }\nreport = { source = \"train\" }\n"),
      "exit 3: DIR/d.toml:11: splits.report: sample 0 of source \"train\" is in split calibrate already\n"
      "  splits may not share a sample: choose others, or another source");
  // The same file under another name and path.
  std::filesystem::create_symlink(folder_ / "train.images", folder_ / "again.images");
  EXPECT_EQ(open_error(kTrain +
                       "[sources.twin]\nformat = \"idx\"\nimages = \"again.images\"\n[splits]\n"
                       "calibrate = { source = \"train\", indices = \"cal.txt\" }\nreport = { source = \"twin\" }\n"),
            "exit 3: DIR/d.toml:10: splits.report: sample 0 of source \"twin\" is in split calibrate already\n"
            "  splits may not share a sample: choose others, or another source");
}

TEST_F(Splits, EqualContentIsDroppedCountedAndReported) {
  // test holds the contents 5 … 9; train's samples 5 … 9 equal them. Samples 18 and 19 of more equal its sample 0.
  write_idx(folder_, "test", 5, 5);
  std::string pixels;
  for (int i = 0; i < 20; ++i) pixels += text_of(std::vector<int>{i < 18 ? i : 0, 0, 0, 0});
  folder_.write("train.images", idx_bytes(8, {20, 2, 2}, pixels));
  folder_.write("cal.txt", "0\n18\n5\n6\n1\n");
  const Dataset d = must(kTrain + kTest +
                         "[splits]\ncalibrate = { source = \"train\", indices = \"cal.txt\" }\nsearch = { source = "
                         "\"train\", count = 15, seed = 0 }\nreport = { source = \"test\" }\n");
  EXPECT_EQ(*d.source_indices("calibrate"), (Indices{0, 1}));
  EXPECT_EQ(*d.size("search"), 11);
  EXPECT_EQ(*d.size("report"), 5);
  EXPECT_EQ(d.warnings(), (std::vector<std::string>{"split calibrate: 3 of 5 samples dropped, since their content "
                                                    "equals that of other samples of calibrate and report",
                                                    "split search: 4 of 15 samples dropped, since their content equals "
                                                    "that of other samples of calibrate and report"}));
}

TEST_F(Splits, RefusesBadIndices) {
  const auto with = [&](const std::string& content) {
    folder_.write("cal.txt", content);
    return splits_error("calibrate = { source = \"train\", indices = \"cal.txt\" }\n");
  };
  const std::string start = "exit 3: DIR/d.toml:10: splits.calibrate: ";
  EXPECT_EQ(
      with("1\n\n20\n"),
      start +
          "DIR/cal.txt: line 3: found index 20, expected 0 to 19\n  source \"train\" has 20 samples, counted from 0");
  EXPECT_EQ(
      with("-1\n"),
      start +
          "DIR/cal.txt: line 1: found index -1, expected 0 to 19\n  source \"train\" has 20 samples, counted from 0");
  EXPECT_EQ(with("99999999999999999999\n"), start +
                                                "DIR/cal.txt: line 1: found index 99999999999999999999, expected 0 to "
                                                "19\n  source \"train\" has 20 samples, counted from 0");
  EXPECT_EQ(with("1\n2\n1\n"),
            start + "DIR/cal.txt: line 3: index 1 stands on line 1 already\n  list every sample once");
  EXPECT_EQ(with("1\n2 3\n"),
            start + "DIR/cal.txt: line 2: found \"2 3\", expected one index\n  write one whole number a line");
  EXPECT_EQ(with("1\n\x1b[2J\n"),
            start + "DIR/cal.txt: line 2: found \"\\x1b[2J\", expected one index\n  write one whole number a line");
  EXPECT_EQ(with("\n"), start + "has no samples\n  a split needs at least one sample that no other split holds");
  std::filesystem::remove(folder_ / "cal.txt");
  EXPECT_EQ(splits_error("calibrate = { source = \"train\", indices = \"cal.txt\" }\n"),
            start + "DIR/cal.txt: no such file\n  check the path");
}

TEST_F(Splits, RefusesBadSplits) {
  EXPECT_EQ(splits_error("search = { source = \"train\", count = 21, seed = 1 }\n"),
            "exit 3: DIR/d.toml:10: splits.search: count is 21, but 20 of the 20 samples of source \"train\" are "
            "free\n  choose a smaller count");
  EXPECT_EQ(splits_error("search = { source = \"train\", count = 2 }\n"),
            "exit 3: DIR/d.toml:10: splits.search: \"seed\" is missing\n  count and seed belong together");
  EXPECT_EQ(splits_error("search = { source = \"train\", count = 0, seed = 1 }\n"),
            "exit 3: DIR/d.toml:10: splits.search.count: is not an integer of at least 1\n  correct the value");
  EXPECT_EQ(
      splits_error("search = { source = \"train\", indices = \"cal.txt\", count = 2, seed = 1 }\n"),
      "exit 3: DIR/d.toml:10: splits.search: has both \"indices\" and \"count\"\n  choose samples by one of them");
  EXPECT_EQ(splits_error("search = { source = \"tran\" }\n"),
            "exit 3: DIR/d.toml:10: splits.search: there is no source \"tran\"\n  the sources are test, train");
  EXPECT_EQ(splits_error("validate = { source = \"train\" }\n"),
            "exit 3: DIR/d.toml:10: splits.validate: is unknown\n  known here: calibrate, search, report");
  EXPECT_EQ(splits_error(""),
            "exit 3: DIR/d.toml: has no [splits] table\n  name at least one of the splits calibrate, search, report");
}

TEST_F(Splits, RefusesBadFiles) {
  const std::string splits = "[splits]\nreport = { source = \"train\" }\n";
  EXPECT_EQ(error_text(Dataset::open(folder_ / "none.toml"), folder_),
            "exit 3: DIR/none.toml: no such file\n  check the path");
  EXPECT_EQ(open_error("[!]\n"),
            "exit 3: DIR/d.toml:1: is not valid TOML: Error while parsing key: expected bare key starting character "
            "or string delimiter, saw '!'\n  correct the line");
  EXPECT_EQ(
      open_error("\uFEBF = 1\n"),
      "exit 3: DIR/d.toml:1: is not valid TOML: Error while parsing root table: expected keys, tables, whitespace or "
      "comments, saw '\uFEBF'\n  correct the line");
  EXPECT_EQ(open_error("a = \n"),
            "exit 3: DIR/d.toml:1: is not valid TOML: Error while parsing key-value pair: expected value, saw '\\n'\n  "
            "correct the line");
  EXPECT_EQ(open_error(splits), "exit 3: DIR/d.toml: has no [sources.NAME] table\n  describe at least one source");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"hdf5\"\n" + splits),
            "exit 4: DIR/d.toml:1: sources.train: format \"hdf5\" is not supported\n  supported formats: cifar, idx, "
            "image-folder, image-list, npz");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"idx\"\nimage = \"x\"\n" + splits),
            "exit 3: DIR/d.toml:1: sources.train: unknown setting \"image\"\n  format idx has the settings images, "
            "labels, image_layout, targets");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"idx\"\nimages = 3\n" + splits),
            "exit 3: DIR/d.toml:1: sources.train: \"images\" is not a string (a path)\n  correct the value");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"idx\"\n" + splits),
            "exit 3: DIR/d.toml:1: sources.train: \"images\" is missing\n  format idx has the settings images, labels, "
            "image_layout, targets");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"idx\"\nimages = \"gone\"\n" + splits),
            "exit 3: DIR/d.toml:1: sources.train: DIR/gone: no such file\n  check the path");
  EXPECT_EQ(
      open_error("[sources.train]\nformat = \"idx\"\nimages = \"/usr/share/datasets/fashion-mnist/gone\"\n" + splits),
      "exit 3: DIR/d.toml:1: sources.train: /usr/share/datasets/fashion-mnist/gone: no such file\n"
      "  install the Debian package dataset-fashion-mnist: apt-get install dataset-fashion-mnist");
  EXPECT_EQ(
      open_error(kTrain + splits + "[[metric]]\nkind = \"mAP\"\n"),
      "exit 3: DIR/d.toml:8: metric.kind: metric \"mAP\" has no target\n  name the array of labels that judges it: "
      "target = \"…\", of the file that targets names in the source");
  EXPECT_EQ(open_error(kTrain + splits + "[[metric]]\nkind = \"psnr\"\ntarget = \"x\"\nrange = \"1\"\n"),
            "exit 3: DIR/d.toml:10: metric.range: is not a number\n  settings of a metric beside output and target are "
            "numbers");
  EXPECT_EQ(open_error(kTrain + splits +
                       "[labels]\nclasses = [\"a\", \"b\", \"c\"]\n[[metric]]\nkind = \"accuracy\"\ntop_k = 4\n"),
            "exit 3: DIR/d.toml:11: metric.top_k: is 4, but there are 3 classes\n  choose a smaller top_k");
  EXPECT_EQ(open_error(kTrain + splits + "[labels]\nclasses = [\"a\", \"a\"]\n"),
            "exit 3: DIR/d.toml:8: labels.classes: names \"a\" twice\n  give every class its own name");
  EXPECT_EQ(open_error(kTrain + splits + "[preprocess]\nlayout = \"CHWN\"\n"),
            "exit 3: DIR/d.toml:8: preprocess.layout: is \"CHWN\"\n  layout is \"NCHW\" or \"NHWC\"");
  EXPECT_EQ(open_error(kTrain + splits + "[preprocess]\nsteps = [\"scale 2\"]\n"),
            "exit 3: DIR/d.toml:8: preprocess.steps: step \"scale 2\": gets u8 image 2x2x1, but needs f32 (put "
            "to-float before it)\n  reorder the steps or correct the source");
  EXPECT_EQ(open_error(kTrain + splits + "[preproces]\nsteps = []\n"),
            "exit 3: DIR/d.toml:7: preproces: is unknown\n  known here: sources, inputs, labels, preprocess, splits, "
            "metric");
}

TEST_F(Splits, RefusesBadLabels) {
  const std::string splits = "[splits]\nreport = { source = \"train\" }\n";
  EXPECT_EQ(open_error(kTrain + splits + "[labels]\nclasses = [\"a\", \"b\"]\n"),
            "exit 3: DIR/train.labels: sample 2 has label 2, expected 0 to 1\n  correct the label, or name all classes "
            "in [labels]");
  folder_.write("train.labels", idx_bytes(9, {20}, "\xff" + std::string(19, '\0')));
  EXPECT_EQ(open_error(kTrain + splits),
            "exit 3: DIR/train.labels: sample 0 has label -1, expected 0 or more\n  correct the label");
  folder_.write("train.labels", idx_bytes(8, {19}, std::string(19, '\0')));
  EXPECT_EQ(open_error(kTrain + splits),
            "exit 3: DIR/d.toml:1: sources.train: DIR/train.labels: has 19 labels, expected 20, one per sample of "
            "DIR/train.images\n  take samples and labels of one and the same set");
  folder_.write("train.labels", idx_bytes(0x0d, {20}, std::string(80, '\0')));
  EXPECT_EQ(open_error(kTrain + splits),
            "exit 3: DIR/d.toml:1: sources.train: DIR/train.labels: labels are f32 [20], expected integers [samples]\n "
            " store one class number per sample");
  EXPECT_EQ(open_error("[sources.train]\nformat = \"idx\"\nimages = \"train.images\"\n" + splits +
                       "[[metric]]\nkind = \"accuracy\"\n"),
            "exit 3: DIR/d.toml:5: splits.report: source \"train\" has no labels, which metric accuracy needs\n  name "
            "the labels of the source, or remove the metric");
}

TEST_F(Splits, ContentHashSeesContentNotPaths) {
  const auto hash = [&](const std::string& text) { return *must(text).content_hash(); };
  const std::string text = kTrain + "[splits]\nreport = { source = \"train\" }\n";
  const std::string first = hash(text);
  EXPECT_EQ(first.size(), 64u);
  std::filesystem::rename(folder_ / "train.images", folder_ / "moved");
  std::string moved = text;
  moved.replace(moved.find("train.images"), 12, "moved");
  EXPECT_EQ(hash(moved), first);
  EXPECT_NE(hash(moved + "[preprocess]\nlayout = \"NHWC\"\n"), first);
  EXPECT_NE(hash(moved + "[labels]\nclasses = [\"a\", \"b\", \"c\"]\n"), first);
  write_idx(folder_, "train", 20, 0, 2);
  EXPECT_NE(hash(moved), first);
  write_idx(folder_, "train", 20, 1);
  EXPECT_NE(hash(text), first);
}

TEST_F(Splits, LoadsFromSeveralThreads) {
  const Dataset d = must(kTrain +
                         "[preprocess]\nsteps = [\"to-float\", \"resize 5 5 "
                         "pillow-bilinear-antialias\"]\n[splits]\nreport = { source = \"train\" }\n");
  const Samples expected = *d.load("report", 0, 20);
  std::vector<std::thread> threads;
  std::array<bool, 4> equal{};
  for (size_t t = 0; t < equal.size(); ++t)
    threads.emplace_back([&, t] {
      equal[t] = true;
      for (int k = 0; k < 50; ++k) equal[t] = equal[t] && d.load("report", 0, 20)->inputs[0] == expected.inputs[0];
    });
  for (std::thread& t : threads) t.join();
  for (const bool e : equal) EXPECT_TRUE(e);
}

TEST_F(Splits, EveryPrefixOfTheFileEndsWell) {
  const std::string text = kTrain +
                           "[preprocess]\nsteps = [\"to-float\", \"normalize mean=[1, 2] std=[3]\"]\n[splits]\nreport "
                           "= { source = \"train\", count = 3, seed = 4 }\n";
  for (size_t n = 0; n < text.size(); ++n) (void)open(text.substr(0, n));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 0x12);
    (void)open(changed);
  }
}

TEST(FashionMnist, IsDescribedAsItIs) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"))
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const auto d = Dataset::open(CUPEL_SOURCE_DIR "/models/fashion_mnist.toml");
  ASSERT_TRUE(d) << d.error().message();
  EXPECT_EQ(*d->size("calibrate"), 500);
  EXPECT_EQ(*d->size("search"), 2000);
  EXPECT_EQ(*d->size("report"), 10000);
  EXPECT_TRUE(d->warnings().empty());
  EXPECT_EQ(d->inputs()[0].dims, (Dims{1, 28, 28}));
  const Indices search = *d->source_indices("search");
  EXPECT_EQ((Indices{search.begin(), search.begin() + 5}), (Indices{18594, 25914, 49008, 7159, 10932}));
  const Samples s = *d->load("report", 0, 2);
  EXPECT_EQ(s.labels, (Indices{9, 2}));
  EXPECT_EQ(s.inputs[0].data<float>()[0], (0.0f * 0.00392156862745098f - 0.2860f) / 0.3530f);
}

}  // namespace
}  // namespace cupel
