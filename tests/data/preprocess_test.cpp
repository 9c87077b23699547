#include "data/preprocess.h"

#include "data/resize.h"
#include "fixture.h"

namespace cupel {
namespace {

Tensor applied(const std::string& text, const Tensor& in) {
  auto step = parse_step("d.toml", text);
  EXPECT_TRUE(step) << step.error().message();
  if (!step) return {};
  const auto type = step->infer({in.dtype(), in.dims(), true});
  EXPECT_TRUE(type) << type.error().message();
  Tensor copy(in.dtype(), in.dims());
  std::ranges::copy(in.bytes(), copy.mutable_bytes().begin());
  auto out = step->apply(copy);
  EXPECT_TRUE(out) << out.error().message();
  if (!out) return {};
  EXPECT_EQ(type->dims, out->dims());
  EXPECT_EQ(type->type, out->dtype());
  return *out;
}
std::string step_error(const std::string& text) {
  const auto r = parse_step("d.toml", text);
  return r ? "no error" : fmt::format("exit {}: {}", r.error().exit_code(), r.error().message());
}

TEST(Preprocess, ToFloatScaleNormalize) {
  const Tensor x = applied("to-float", Tensor::of<uint8_t>({1, 3, 1}, {0, 100, 255}));
  EXPECT_EQ(x, Tensor::of<float>({1, 3, 1}, {0, 100, 255}));
  const Tensor scaled = applied("scale 0.00392156862745098", x);
  EXPECT_EQ(scaled, Tensor::of<float>({1, 3, 1}, {0.0f, 100.0f * 0x1.010102p-8f, 255.0f * 0x1.010102p-8f}));
  EXPECT_EQ(
      applied("normalize mean=[0.2860] std=[0.3530]", scaled),
      Tensor::of<float>({1, 3, 1}, {(0.0f - 0.2860f) / 0.3530f, (100.0f * 0.00392156862745098f - 0.2860f) / 0.3530f,
                                    (255.0f * 0.00392156862745098f - 0.2860f) / 0.3530f}));
  EXPECT_EQ(applied("normalize mean=[1, 2, 3] std=[1, 2,4]", Tensor::of<float>({1, 2, 3}, {1, 4, 7, 2, 6, 11})),
            Tensor::of<float>({1, 2, 3}, {0, 1, 1, 1, 2, 2}));
  EXPECT_EQ(applied("to-float", Tensor::of<int64_t>({1, 1, 1}, {16777217})), Tensor::of<float>({1, 1, 1}, {16777216}));
  // One rounding only: by way of binary64 this would become 2^60.
  EXPECT_EQ(applied("to-float", Tensor::of<int64_t>({1, 1, 1}, {(int64_t{1} << 60) + (int64_t{1} << 36) + 1})),
            Tensor::of<float>({1, 1, 1}, {0x1.000002p60f}));
}

TEST(Preprocess, CropAndGrayscale) {
  std::vector<uint8_t> ramp(5 * 6);
  for (size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<uint8_t>(i);
  const Tensor image = Tensor::of<uint8_t>({5, 6, 1}, ramp);
  // Offsets: rows (5 - 2) / 2 = 1.5 to 2; columns (6 - 3) / 2 = 1.5 to 2.
  EXPECT_EQ(applied("center-crop 3 2", image), Tensor::of<uint8_t>({2, 3, 1}, {14, 15, 16, 20, 21, 22}));
  // Rows (5 - 4) / 2 = 0.5 to 0; columns (6 - 4) / 2 = 1.
  EXPECT_EQ(applied("center-crop 4 4", image).data<uint8_t>()[0], 1);
  EXPECT_EQ(applied("grayscale", Tensor::of<uint8_t>({1, 1, 3}, {10, 200, 30})), Tensor::of<uint8_t>({1, 1, 1}, {124}));
  EXPECT_EQ(applied("grayscale", Tensor::of<float>({1, 1, 3}, {1, 2, 3})),
            Tensor::of<float>({1, 1, 1}, {(0.299f + 2 * 0.587f) + 3 * 0.114f}));
  EXPECT_EQ(applied("grayscale", Tensor::of<uint8_t>({1, 1, 1}, {7})), Tensor::of<uint8_t>({1, 1, 1}, {7}));
}

Tensor sample_image() {
  std::vector<uint8_t> v(35);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint8_t>((i * i * 37 + 11 * i) % 256);
  return Tensor::of<uint8_t>({5, 7, 1}, v);
}

struct ResizeCase {
  const char* step;
  std::vector<uint8_t> expected;
};

// Expected values: Pillow 10.4.0, Image.resize(…, BILINEAR); OpenCV 4.10.0, resize(…, INTER_LINEAR).
TEST(Preprocess, ResizeMatchesItsNamesakes) {
  const std::vector<ResizeCase> cases = {
      {"resize 3 2 pillow-bilinear-antialias", {101, 149, 178, 161, 115, 170}},
      {"resize 3 2 opencv-linear", {108, 197, 150, 201, 69, 184}},
      {"resize 9 6 pillow-bilinear-antialias",
       {0,   32,  102, 157, 110, 121, 173, 181, 118, 74,  109, 97,  91,  197, 212, 160, 150, 219,
        180, 118, 99,  125, 169, 187, 187, 191, 205, 207, 149, 134, 140, 105, 127, 190, 209, 156,
        156, 201, 172, 100, 69,  95,  162, 185, 135, 132, 180, 155, 86,  58,  88,  158, 185, 138}},
      {"resize 9 6 opencv-linear",
       {0,   32,  102, 157, 110, 121, 173, 181, 118, 74,  108, 97,  91,  197, 211, 160, 150, 219,
        180, 118, 99,  125, 169, 187, 187, 190, 205, 207, 149, 133, 140, 104, 127, 190, 209, 156,
        156, 201, 173, 100, 69,  94,  162, 184, 135, 132, 180, 155, 86,  58,  87,  158, 184, 138}},
      {"resize 7 3 pillow-bilinear-antialias",
       {42, 93, 107, 160, 176, 157, 175, 190, 108, 128, 137, 163, 206, 181, 146, 215, 103, 64, 99, 209, 136}},
      {"resize 7 3 opencv-linear",
       {33, 82, 121, 149, 165, 169, 163, 238, 42, 176, 128, 154, 254, 172, 142, 212, 101, 63, 98, 209, 136}}};
  for (const ResizeCase& c : cases) {
    const Tensor out = applied(c.step, sample_image());
    EXPECT_EQ(std::vector<uint8_t>(out.data<uint8_t>().begin(), out.data<uint8_t>().end()), c.expected) << c.step;
  }
  const Tensor f = applied("to-float", sample_image());
  const auto first = [](const Tensor& t) {
    return std::vector<float>(t.data<float>().begin(), t.data<float>().begin() + 4);
  };
  EXPECT_EQ(first(applied("resize 3 2 pillow-bilinear-antialias", f)),
            (std::vector<float>{0x1.95c428p+6f, 0x1.2aee34p+7f, 0x1.62ba2ep+7f, 0x1.408ba2p+7f}));
  EXPECT_EQ(first(applied("resize 9 6 opencv-linear", f)),
            (std::vector<float>{0.0f, 32.0f, 0x1.98e38cp+6f, 0x1.395554p+7f}));
}

TEST(Preprocess, ResizeNearestAndShorter) {
  const Tensor in = Tensor::of<uint8_t>({1, 4, 1}, {10, 20, 30, 40});
  EXPECT_EQ(applied("resize 2 1 nearest", in), Tensor::of<uint8_t>({1, 2, 1}, {20, 40}));
  EXPECT_EQ(applied("resize 8 2 nearest", in),
            Tensor::of<uint8_t>({2, 8, 1}, {10, 10, 20, 20, 30, 30, 40, 40, 10, 10, 20, 20, 30, 30, 40, 40}));
  EXPECT_EQ(applied("resize-shorter 3 pillow-bilinear-antialias", sample_image()).dims(),
            (Dims{3, 4, 1}));  // floor(3 · 7 / 5)
  EXPECT_EQ(applied("resize-shorter 2 nearest", Tensor(DType::u8, {9, 4, 3})).dims(), (Dims{4, 2, 3}));
}

TEST(Preprocess, ResizeKeepsConstantsAndIdentity) {
  for (const std::string name : {"nearest", "opencv-linear", "pillow-bilinear-antialias"}) {
    const Tensor in = Tensor::of<uint8_t>({2, 2, 3}, std::vector<uint8_t>(12, 255));
    for (const int size : {1, 2, 3, 7})
      EXPECT_EQ(applied(fmt::format("resize {} {} {}", size, 8 - size, name), in),
                Tensor::of<uint8_t>({8 - size, size, 3},
                                    std::vector<uint8_t>(static_cast<size_t>(3 * size * (8 - size)), 255)));
    EXPECT_EQ(find_resize_algorithm(name)->apply(sample_image(), 5, 7), sample_image()) << name;
  }
}

TEST(Preprocess, RefusesWithWholeMessages) {
  EXPECT_EQ(step_error("sharpen 3"),
            "exit 4: d.toml: step \"sharpen 3\": is no preprocessing step\n  the steps are center-crop W H; grayscale; "
            "normalize mean=[…] std=[…]; "
            "resize W H ALGORITHM; resize-shorter N ALGORITHM; scale X; to-float");
  EXPECT_EQ(step_error("resize 3 2 bicubic"),
            "exit 4: d.toml: step \"resize 3 2 bicubic\": \"bicubic\" is no resizing algorithm\n  supported "
            "algorithms: nearest, opencv-linear, pillow-bilinear-antialias");
  EXPECT_EQ(step_error("resize 3"), "exit 3: d.toml: step \"resize 3\": is malformed\n  write resize W H ALGORITHM");
  EXPECT_EQ(step_error("normalize mean=[1 std=[2]"),
            "exit 3: d.toml: step \"normalize mean=[1 std=[2]\": is malformed\n  write normalize mean=[…] std=[…]");
  EXPECT_EQ(step_error("normalize mean=[1] std=[0]"),
            "exit 3: d.toml: step \"normalize mean=[1] std=[0]\": std holds 0\n  every std is greater than 0");
  EXPECT_EQ(step_error("normalize mean=[1,2] std=[1]"),
            "exit 3: d.toml: step \"normalize mean=[1,2] std=[1]\": mean has 2 values and std 1\n  give both the same "
            "number of values");
  EXPECT_EQ(step_error("normalize mean=[1] dev=[1]"),
            "exit 3: d.toml: step \"normalize mean=[1] dev=[1]\": mean or std is missing\n  write normalize mean=[…] "
            "std=[…]");
  EXPECT_EQ(step_error("scale nan"),
            "exit 3: d.toml: step \"scale nan\": \"nan\" is no finite number\n  write a decimal number");
  EXPECT_EQ(step_error("center-crop 0 3"),
            "exit 3: d.toml: step \"center-crop 0 3\": \"0\" is no size in pixels\n  sizes are whole numbers from 1 to "
            "32768");
  const auto refused = [](const std::string& text, const SampleType& type) {
    const auto r = parse_step("d.toml", text)->infer(type);
    return r ? "no error" : r.error().message();
  };
  EXPECT_EQ(refused("scale 2", {DType::u8, {4, 4, 1}, true}),
            "gets u8 image 4x4x1, but needs f32 (put to-float before it)\n  reorder the steps or correct the source");
  EXPECT_EQ(refused("grayscale", {DType::u8, {4}, false}),
            "gets u8 [4], but needs an image of u8 or f32\n  reorder the steps or correct the source");
  EXPECT_EQ(refused("normalize mean=[1,2] std=[1,2]", {DType::f32, {-1, -1, 3}, true}),
            "gets f32 image ?x?x3, but needs 1 value of mean and std or one per channel, and has 2\n  reorder the "
            "steps or correct the source");
  EXPECT_EQ(refused("center-crop 5 4", {DType::u8, {4, 4, 1}, true}),
            "cannot cut 5 x 4 out of 4 x 4 (width x height)\n  resize to a larger size before it");
}

}  // namespace
}  // namespace cupel
