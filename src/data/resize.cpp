#include "data/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace cupel {
namespace {

// Input positions first … first + weights.size() - 1 that make one output position.
struct Window {
  int64_t first;
  std::vector<double> weights;
};

std::vector<Window> triangle_windows(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out), widen = std::max(scale, 1.0);
  std::vector<Window> windows(static_cast<size_t>(out));
  for (int64_t o = 0; o < out; ++o) {
    const double centre = (static_cast<double>(o) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(static_cast<int64_t>(centre - widen + 0.5), 0);
    const int64_t end = std::min<int64_t>(static_cast<int64_t>(centre + widen + 0.5), in);
    Window& w = windows[static_cast<size_t>(o)];
    w.first = first;
    double sum = 0;
    for (int64_t i = first; i < end; ++i) {
      const double distance = std::abs((static_cast<double>(i) - centre + 0.5) * (1.0 / widen));
      w.weights.push_back(distance < 1.0 ? 1.0 - distance : 0.0);
      sum += w.weights.back();
    }
    if (sum != 0)
      for (double& weight : w.weights) weight /= sum;
  }
  return windows;
}

constexpr int kPillowBits = 22;

uint8_t clamp_u8(int64_t v) { return static_cast<uint8_t>(std::clamp<int64_t>(v, 0, 255)); }

// The arithmetic of one output value: begin, add weighted inputs, finish.
struct PillowBytes {
  using Value = uint8_t;
  using Weight = int32_t;
  static Weight weight(double w) { return static_cast<int32_t>(w * (1 << kPillowBits) + (w < 0 ? -0.5 : 0.5)); }
  using Sum = int64_t;
  static constexpr Sum kStart = 1 << (kPillowBits - 1);
  static Value finish(Sum s) { return clamp_u8(s >> kPillowBits); }
};
struct PillowFloats {
  using Value = float;
  using Weight = double;
  static Weight weight(double w) { return w; }
  using Sum = double;
  static constexpr Sum kStart = 0;
  static Value finish(Sum s) { return static_cast<float>(s); }
};

// Resizes the middle dimension of [outer, in, inner] to `out`.
template <class A>
std::vector<typename A::Value> filter_pass(const typename A::Value* from, int64_t outer, int64_t in, int64_t inner,
                                           int64_t out) {
  std::vector<typename A::Value> result(static_cast<size_t>(outer * out * inner));
  if (in == out) {
    std::copy(from, from + outer * in * inner, result.begin());
    return result;
  }
  typename A::Value* to = result.data();
  const std::vector<Window> windows = triangle_windows(in, out);
  std::vector<std::vector<typename A::Weight>> all_weights;
  for (const Window& w : windows) {
    auto& weights = all_weights.emplace_back(w.weights.size());
    std::ranges::transform(w.weights, weights.begin(), A::weight);
  }
  for (int64_t a = 0; a < outer; ++a)
    for (size_t o = 0; o < windows.size(); ++o) {
      const auto& weights = all_weights[o];
      const typename A::Value* start = from + (a * in + windows[o].first) * inner;
      for (int64_t c = 0; c < inner; ++c) {
        typename A::Sum sum = A::kStart;
        for (size_t k = 0; k < weights.size(); ++k)
          sum += typename A::Sum{weights[k]} * start[static_cast<int64_t>(k) * inner + c];
        *to++ = A::finish(sum);
      }
    }
  return result;
}

template <class A>
Tensor pillow_bilinear(const Tensor& image, int64_t out_height, int64_t out_width) {
  const int64_t height = image.dims()[0], width = image.dims()[1], channels = image.dims()[2];
  const auto rows = filter_pass<A>(image.data<typename A::Value>().data(), height, width, channels, out_width);
  const auto all = filter_pass<A>(rows.data(), 1, height, out_width * channels, out_height);
  return Tensor::of<typename A::Value>({out_height, out_width, channels}, all);
}

Tensor pillow_bilinear_antialias(const Tensor& image, int64_t out_height, int64_t out_width) {
  return image.dtype() == DType::u8 ? pillow_bilinear<PillowBytes>(image, out_height, out_width)
                                    : pillow_bilinear<PillowFloats>(image, out_height, out_width);
}

// The two inputs of an output position and the weight of the second, in [0, 1).
struct Pair {
  int64_t first, second;
  float second_weight;
};

// Beyond the border both inputs are the border; columns then weigh only the first, rows keep both weights.
std::vector<Pair> linear_pairs(int64_t in, int64_t out, bool columns) {
  const double scale = 1.0 / (static_cast<double>(out) / static_cast<double>(in));
  std::vector<Pair> pairs(static_cast<size_t>(out));
  for (int64_t o = 0; o < out; ++o) {
    const auto position = static_cast<float>((static_cast<double>(o) + 0.5) * scale - 0.5);
    const auto first = static_cast<int64_t>(std::floor(position));
    const bool beyond = first < 0 || first >= in - 1;
    const float weight = columns && beyond ? 0.0f : position - static_cast<float>(first);
    pairs[static_cast<size_t>(o)] = {std::clamp<int64_t>(first, 0, in - 1), std::clamp<int64_t>(first + 1, 0, in - 1),
                                     weight};
  }
  return pairs;
}

constexpr int kOpencvBits = 11;
int32_t opencv_weight(float w) { return static_cast<int32_t>(std::nearbyintf(w * (1 << kOpencvBits))); }

Tensor opencv_linear(const Tensor& image, int64_t out_height, int64_t out_width) {
  const int64_t width = image.dims()[1], channels = image.dims()[2];
  const std::vector<Pair> ys = linear_pairs(image.dims()[0], out_height, false),
                          xs = linear_pairs(width, out_width, true);
  Tensor out(image.dtype(), {out_height, out_width, channels});
  int64_t o = 0;
  for (const Pair& y : ys)
    for (const Pair& x : xs)
      for (int64_t c = 0; c < channels; ++c, ++o) {
        const auto at = [&](int64_t row, int64_t column) {
          return static_cast<size_t>((row * width + column) * channels + c);
        };
        const size_t corners[4] = {at(y.first, x.first), at(y.first, x.second), at(y.second, x.first),
                                   at(y.second, x.second)};
        if (image.dtype() == DType::u8) {
          const auto in = image.data<uint8_t>();
          const int32_t a0 = opencv_weight(1.0f - x.second_weight), a1 = opencv_weight(x.second_weight);
          const int32_t b0 = opencv_weight(1.0f - y.second_weight), b1 = opencv_weight(y.second_weight);
          const int32_t top = in[corners[0]] * a0 + in[corners[1]] * a1,
                        bottom = in[corners[2]] * a0 + in[corners[3]] * a1;
          const int32_t sum = ((b0 * (top >> 4)) >> 16) + ((b1 * (bottom >> 4)) >> 16);
          out.mutable_data<uint8_t>()[static_cast<size_t>(o)] = clamp_u8((sum + 2) >> 2);
        } else {
          const auto in = image.data<float>();
          const float a0 = 1.0f - x.second_weight, a1 = x.second_weight, b0 = 1.0f - y.second_weight,
                      b1 = y.second_weight;
          const float top = in[corners[0]] * a0 + in[corners[1]] * a1,
                      bottom = in[corners[2]] * a0 + in[corners[3]] * a1;
          out.mutable_data<float>()[static_cast<size_t>(o)] = top * b0 + bottom * b1;
        }
      }
  return out;
}

Tensor nearest(const Tensor& image, int64_t out_height, int64_t out_width) {
  const int64_t height = image.dims()[0], width = image.dims()[1];
  const int64_t pixel_bytes = image.dims()[2] * dtype_bits(image.dtype()) / 8;
  Tensor out(image.dtype(), {out_height, out_width, image.dims()[2]});
  std::byte* to = out.mutable_bytes().data();
  for (int64_t y = 0; y < out_height; ++y)
    for (int64_t x = 0; x < out_width; ++x, to += pixel_bytes) {
      const int64_t from = (2 * y + 1) * height / (2 * out_height) * width + (2 * x + 1) * width / (2 * out_width);
      std::memcpy(to, image.bytes().data() + from * pixel_bytes, static_cast<size_t>(pixel_bytes));
    }
  return out;
}

constexpr std::array<ResizeAlgorithm, 3> kAlgorithms = {
    {{"nearest", nearest}, {"opencv-linear", opencv_linear}, {"pillow-bilinear-antialias", pillow_bilinear_antialias}}};

}  // namespace

const ResizeAlgorithm* find_resize_algorithm(std::string_view name) {
  const auto* row = std::ranges::find(kAlgorithms, name, &ResizeAlgorithm::name);
  return row == kAlgorithms.end() ? nullptr : row;
}

std::string resize_algorithm_names() {
  std::string names;
  for (const ResizeAlgorithm& row : kAlgorithms) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

}  // namespace cupel
