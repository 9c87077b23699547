// Windows, MelWeightMatrix, DFT and STFT: constants, and products with constant matrices of cosines and sines.
#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "onnx/spelling.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 26;  // of a constant that is made here
const char* const kCorrect = "correct the model";

// Operand i, one number that is known.
Result<double> number(Spelling& s, size_t i, std::string_view what) {
  const Tensor* t = s.constant_operand(i);
  if (!t)
    return computed_at_run_time(fmt::format("{} (operand {}) is computed at run time", what, i), "make it a constant");
  if (t->size() != 1)
    return bad_input("", fmt::format("{} (operand {}) has {} elements, expected one", what, i, t->size()), kCorrect);
  return t->at(0);
}
Result<int64_t> whole(Spelling& s, size_t i, std::string_view what, int64_t least, int64_t most) {
  const double value = CUPEL_TRY(number(s, i, what));
  if (!(value >= static_cast<double>(least)) || value != std::floor(value))
    return bad_input("", fmt::format("{} is {}, expected a whole number from {} on", what, value, least), kCorrect);
  if (value > static_cast<double>(most))
    return resource_error("", fmt::format("{} is {}; the limit is {}", what, value, most), "use a smaller one");
  return static_cast<int64_t>(value);
}

// A constant of these numbers, each rounded once, as the result.
Status finish_constant(Spelling& s, const Dims& dims, const std::vector<double>& numbers) {
  const int64_t to = attr_int(s.attributes(), "output_datatype", 1);
  if (to == onnx_dtype(DType::f64))
    return s.finish("Identity", {s.constant("numbers", Tensor::of<double>(dims, std::span(numbers)))});
  const std::vector<float> rounded(numbers.begin(), numbers.end());
  const std::string all = s.constant("numbers", Tensor::of<float>(dims, std::span(rounded)));
  if (to == onnx_dtype(DType::f32)) return s.finish("Identity", {all});
  return s.finish("Cast", {all}, {{"to", to}});
}

// Rows and columns of a discrete Fourier transform of `parts` parts (1: real) as a matrix [taken · parts, bins · 2]:
// bin k is Σ x[n] · e^(∓2πi · n · k / length), n < taken.
struct Transform {
  int64_t length, taken, parts, bins;
  bool inverse;
};
Result<std::string> matrix(Spelling& s, const std::string& like, const Transform& t) {
  if (t.length > kMostElements || t.taken * t.parts > kMostElements / (t.bins * 2))
    return resource_error("",
                          fmt::format("a transform of {} elements; its matrix has at most {}", t.length, kMostElements),
                          "transform fewer elements at once");
  const double sign = t.inverse ? 1 : -1, scale = t.inverse ? 1.0 / static_cast<double>(t.length) : 1;
  Tensor numbers(DType::f32, {t.taken * t.parts, t.bins * 2});
  const auto out = numbers.mutable_data<float>();
  for (int64_t n = 0; n < t.taken; ++n)
    for (int64_t k = 0; k < t.bins; ++k) {
      const double angle =
          sign * 2 * std::numbers::pi * static_cast<double>(n * k % t.length) / static_cast<double>(t.length);
      const double cosine = scale * std::cos(angle), sine = scale * std::sin(angle);
      const auto at = [&](int64_t part, int64_t into) -> float& {
        return out[static_cast<size_t>(((n * t.parts + part) * t.bins + k) * 2 + into)];
      };
      at(0, 0) = static_cast<float>(cosine);
      at(0, 1) = static_cast<float>(sine);
      if (t.parts == 1) continue;
      at(1, 0) = static_cast<float>(-sine);
      at(1, 1) = static_cast<float>(cosine);
    }
  return s.reals_like(like, "matrix", std::move(numbers));
}

// The last dimension of a signal: 1 of real numbers, 2 of complex ones.
Result<int64_t> parts_of(const Shape& shape) {
  const bool has_parts = shape.size() >= 2 && (shape.back() == Dim(1) || shape.back() == Dim(2));
  if (has_parts) return shape.back().factor;
  return bad_input("", fmt::format("a signal of shape {}, expected a last dimension of 1 or 2", to_text(shape)),
                   kCorrect);
}

Result<bool> flag(const Spelling& s, std::string_view name, bool standard) {
  const int64_t value = attr_int(s.attributes(), name, standard ? 1 : 0);
  if (value != 0 && value != 1)
    return bad_input("", fmt::format("{} is {}, expected 0 or 1", name, value), "correct the attribute");
  return value != 0;
}

}  // namespace

// a0 − a1 · cos(2πn / N) + a2 · cos(4πn / N), N the size, or one less where the window is symmetric.
Status spell_window(Spelling& s) {
  const int64_t size = CUPEL_TRY(whole(s, 0, "the size", 0, kMostElements));
  const bool periodic = CUPEL_TRY(flag(s, "periodic", true));
  const bool hann = s.op() == "HannWindow", hamming = s.op() == "HammingWindow";
  const double a0 = hann ? 0.5 : hamming ? 25.0 / 46 : 0.42, a1 = hann ? 0.5 : hamming ? 21.0 / 46 : 0.5;
  const double a2 = hann || hamming ? 0 : 0.08;
  const auto period = static_cast<double>(std::max<int64_t>(1, periodic ? size : size - 1));
  std::vector<double> numbers;
  for (int64_t n = 0; n < size; ++n) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(n) / period;
    numbers.push_back(a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle));
  }
  return finish_constant(s, {size}, numbers);
}

// Triangles over the bins of a spectrum whose corners lie equally far apart on the mel scale, 2595 · log10(1 + f /
// 700).
Status spell_mel_weight_matrix(Spelling& s) {
  const int64_t bands = CUPEL_TRY(whole(s, 0, "the number of bands", 1, 1 << 16)),
                length = CUPEL_TRY(whole(s, 1, "the length of the transform", 1, 1 << 20)),
                rate = CUPEL_TRY(whole(s, 2, "the sample rate", 1, INT32_MAX));
  const double low = CUPEL_TRY(number(s, 3, "the lower edge")), high = CUPEL_TRY(number(s, 4, "the upper edge"));
  if (!(low >= 0) || !(high > low) || !std::isfinite(high))
    return bad_input("", fmt::format("edges of {} and {} Hz", low, high), kCorrect);
  const int64_t bins = length / 2 + 1;
  if (bins > kMostElements / bands)
    return resource_error("", fmt::format("{} bins for {} bands; at most {} weights", bins, bands, kMostElements),
                          "use fewer of them");
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double step = (mel(high) - mel(low)) / static_cast<double>(bands + 2);
  std::vector<int64_t> corners;
  for (int64_t i = 0; i < bands + 2; ++i) {
    const double hertz = 700 * (std::pow(10, (mel(low) + step * static_cast<double>(i)) / 2595) - 1);
    corners.push_back(
        static_cast<int64_t>(std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate))));
  }
  if (corners.back() > bins)
    return bad_input("", fmt::format("the upper edge of {} Hz lies beyond the spectrum", high), kCorrect);
  std::vector<double> weights(static_cast<size_t>(bins * bands), 0.0);
  for (int64_t band = 0; band < bands; ++band) {
    const int64_t from = corners[static_cast<size_t>(band)], centre = corners[static_cast<size_t>(band) + 1],
                  to = corners[static_cast<size_t>(band) + 2];
    const auto at = [&](int64_t bin) -> double& { return weights[static_cast<size_t>(bin * bands + band)]; };
    for (int64_t bin = from; bin < std::min(centre, bins); ++bin)
      at(bin) = static_cast<double>(bin - from) / static_cast<double>(centre - from);
    if (centre < bins) at(centre) = 1;
    for (int64_t bin = centre; bin < std::min(to, bins); ++bin)
      at(bin) = static_cast<double>(to - bin) / static_cast<double>(to - centre);
  }
  return finish_constant(s, {bins, bands}, weights);
}

// The axis before the parts, a product with the matrix of the transform, and back.
Status spell_dft(Spelling& s) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const int64_t parts = CUPEL_TRY(parts_of(shape)), rank = static_cast<int64_t>(shape.size());
  int64_t axis = attr_int(s.attributes(), "axis", 1);
  if (s.opset() >= 20) axis = s.has(2) ? static_cast<int64_t>(CUPEL_TRY(number(s, 2, "the axis"))) : -2;
  axis = CUPEL_TRY(normalize_axis(axis, rank));
  if (axis == rank - 1) return bad_input("", "the axis is that of the parts of a number", kCorrect);
  const Dim& extent = shape[static_cast<size_t>(axis)];
  if (!extent.is_constant())
    return unsupported("", fmt::format("a transform along the symbolic dimension {}", to_text(extent)),
                       "fix the model's dimensions");
  const int64_t length =
      s.has(1) ? CUPEL_TRY(whole(s, 1, "the length of the transform", 1, kMostElements)) : extent.factor;
  if (length < 1 || extent.factor < 1) return bad_input("", "a transform of no elements", kCorrect);
  const bool onesided = CUPEL_TRY(flag(s, "onesided", false)), inverse = CUPEL_TRY(flag(s, "inverse", false));
  if (onesided && (inverse || parts == 2))
    return unsupported("", "a one-sided transform of complex numbers, or back", "use the whole spectrum");
  const Transform transform{length, extent.factor, parts, onesided ? length / 2 + 1 : length, inverse};
  // What lies behind the length takes no part: its rows are left out by a Slice.
  Transform used = transform;
  used.taken = std::min(length, extent.factor);
  std::string x = s.in(0);
  if (used.taken < extent.factor)
    x = CUPEL_TRY(s.add("Slice", "cut",
                        {x, s.list("cut_from", {0}), s.list("cut_to", {used.taken}), s.list("cut_axis", {axis})}));
  std::vector<int64_t> perm;
  for (int64_t d = 0; d < rank - 1; ++d)
    if (d != axis) perm.push_back(d);
  perm.push_back(axis);
  perm.push_back(rank - 1);
  const bool turns = axis != rank - 2;
  if (turns) x = CUPEL_TRY(s.add("Transpose", "turned", {x}, {{"perm", perm}}));
  Shape rows;
  for (int64_t d = 0; d < rank - 2; ++d) rows.push_back(shape[static_cast<size_t>(perm[static_cast<size_t>(d)])]);
  Shape flat = rows, spectrum = rows;
  flat.emplace_back(used.taken * parts);
  spectrum.emplace_back(used.bins);
  spectrum.emplace_back(2);
  x = CUPEL_TRY(s.reshape("flat", x, flat));
  const std::string weights = CUPEL_TRY(matrix(s, s.in(0), used));
  const std::string y = CUPEL_TRY(s.add("MatMul", "product", {x, weights}));
  if (!turns) return s.finish_reshape(y, spectrum);
  std::vector<int64_t> back(perm.size());
  for (size_t d = 0; d < perm.size(); ++d) back[static_cast<size_t>(perm[d])] = static_cast<int64_t>(d);
  return s.finish("Transpose", {CUPEL_TRY(s.reshape("apart", y, spectrum))}, {{"perm", back}});
}

// Frames that a Gather takes, times the window, times the matrix of the transform.
Status spell_stft(Spelling& s) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const int64_t parts = CUPEL_TRY(parts_of(shape));
  if (shape.size() != 3 || !shape[1].is_constant())
    return unsupported("", fmt::format("a signal of shape {}, expected [batch, length, 1 or 2]", to_text(shape)),
                       "fix the model's dimensions");
  const int64_t step = CUPEL_TRY(whole(s, 1, "the step", 1, kMostElements));
  if (!s.has(2) && !s.has(3)) return bad_input("", "neither a window nor a length of frames is given", kCorrect);
  const int64_t length =
      s.has(3) ? CUPEL_TRY(whole(s, 3, "the length of frames", 1, kMostElements)) : CUPEL_TRY(s.dims(s.in(2))).at(0);
  if (length < 1 || length > shape[1].factor)
    return bad_input("", fmt::format("frames of {} elements in {}", length, shape[1].factor), kCorrect);
  const int64_t frames = (shape[1].factor - length) / step + 1;
  if (frames > kMostElements / length)
    return resource_error("",
                          fmt::format("{} frames of {} elements; at most {} elements", frames, length, kMostElements),
                          "transform fewer of them");
  Tensor places(DType::s64, {frames, length});
  for (int64_t i = 0; i < places.size(); ++i)
    places.mutable_data<int64_t>()[static_cast<size_t>(i)] = i / length * step + i % length;
  const std::string indices = s.constant("places", std::move(places));
  std::string x = CUPEL_TRY(s.add("Gather", "frames", {s.in(0), indices}, {{"axis", int64_t{1}}}));
  if (s.has(2)) {
    const std::string window = CUPEL_TRY(s.reshape("window", s.in(2), {Dim(length), Dim(1)}));
    x = CUPEL_TRY(s.add("Mul", "windowed", {x, window}));
  }
  const bool onesided = CUPEL_TRY(flag(s, "onesided", true)) && parts == 1;
  const Transform transform{length, length, parts, onesided ? length / 2 + 1 : length, false};
  x = CUPEL_TRY(s.reshape("flat", x, {shape[0], Dim(frames), Dim(length * parts)}));
  const std::string weights = CUPEL_TRY(matrix(s, s.in(0), transform));
  const std::string y = CUPEL_TRY(s.add("MatMul", "product", {x, weights}));
  return s.finish_reshape(y, {shape[0], Dim(frames), Dim(transform.bins), Dim(2)});
}

}  // namespace cupel
