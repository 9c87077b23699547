// Convolution and pooling over three spatial dimensions beside their definitions.
#include <limits>
#include <random>

#include "spelled_operator.h"

namespace cupel {
namespace {

using Three = std::array<int64_t, 3>;

struct Windows {
  Three in, kernel, strides, dilations, begin, end;
  int64_t out(size_t i, bool ceil = false) const {
    const int64_t room = in[i] + begin[i] + end[i] - (kernel[i] - 1) * dilations[i] - 1;
    if (room < 0) return 0;
    int64_t n = (room + (ceil ? strides[i] - 1 : 0)) / strides[i] + 1;
    if (ceil && (n - 1) * strides[i] >= in[i] + begin[i]) --n;
    return n;
  }
  Attributes attributes(bool pools) const {
    const auto list = [](const Three& t) { return Ints(t.begin(), t.end()); };
    Ints pads = list(begin);
    pads.insert(pads.end(), end.begin(), end.end());
    Attributes a = {{"strides", list(strides)}, {"dilations", list(dilations)}, {"pads", pads}};
    if (pools) a.emplace("kernel_shape", list(kernel));
    return a;
  }
};

template <class F>
void each(const Three& n, F&& f) {
  for (int64_t z = 0; z < n[0]; ++z)
    for (int64_t y = 0; y < n[1]; ++y)
      for (int64_t x = 0; x < n[2]; ++x) f(Three{z, y, x});
}

// f(offset in the volume, offset in the kernel) for taps of window o inside the input; others(place) for those outside.
template <class F, class G>
void taps(const Windows& w, const Three& o, F&& f, G&& others) {
  each(w.kernel, [&](const Three& k) {
    Three at;
    bool inside = true;
    for (size_t i = 0; i < 3; ++i) {
      at[i] = o[i] * w.strides[i] - w.begin[i] + k[i] * w.dilations[i];
      inside = inside && at[i] >= 0 && at[i] < w.in[i];
    }
    if (inside)
      f((at[0] * w.in[1] + at[1]) * w.in[2] + at[2], (k[0] * w.kernel[1] + k[1]) * w.kernel[2] + k[2]);
    else
      others(at);
  });
}

Windows random_windows(std::mt19937& random, bool pools) {
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  Windows w;
  for (size_t i = 0; i < 3; ++i) {
    w.in[i] = pick(1, 6);
    w.kernel[i] = pick(1, 3);
    w.strides[i] = pick(1, 3);
    w.dilations[i] = pick(1, 2);
    const int64_t most = pools ? (w.kernel[i] - 1) * w.dilations[i] : 2;
    w.begin[i] = pick(0, most);
    w.end[i] = pick(0, most);
  }
  return w;
}

TEST(Volumes, Convolution) {
  std::mt19937 random(3);
  for (int tried = 0; tried < 80;) {
    const Windows w = random_windows(random, false);
    const Three out = {w.out(0), w.out(1), w.out(2)};
    if (out[0] * out[1] * out[2] == 0) continue;
    ++tried;
    const int64_t groups = 1 + tried % 3, channels = 1 + tried % 2, outputs = 2, pixels = w.in[0] * w.in[1] * w.in[2],
                  kernel = w.kernel[0] * w.kernel[1] * w.kernel[2];
    const Tensor x = numbers({2, groups * channels, w.in[0], w.in[1], w.in[2]}, static_cast<uint32_t>(tried)),
                 f = numbers({groups * outputs, channels, w.kernel[0], w.kernel[1], w.kernel[2]}, 900u),
                 b = numbers({groups * outputs}, 901u);
    std::vector<double> expected;
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t o = 0; o < groups * outputs; ++o)
        each(out, [&](const Three& place) {
          double sum = at(b, o);
          for (int64_t c = 0; c < channels; ++c)
            taps(
                w, place,
                [&](int64_t at_x, int64_t at_k) {
                  sum += at(x, ((n * groups + o / outputs) * channels + c) * pixels + at_x) *
                         at(f, (o * channels + c) * kernel + at_k);
                },
                [](const Three&) {});
          expected.push_back(sum);
        });
    Attributes attributes = w.attributes(false);
    attributes.emplace("group", groups);
    SCOPED_TRACE(testing::Message() << "form " << tried);
    expect_near(result({"Conv", {x, f, b}, attributes}), {2, groups * outputs, out[0], out[1], out[2]}, expected, 1e-4);
    if (HasFailure()) return;
  }
}

TEST(Volumes, Pooling) {
  std::mt19937 random(5);
  for (int tried = 0; tried < 120;) {
    const Windows w = random_windows(random, true);
    const bool ceil = tried % 2 == 1, average = tried % 3 != 0, include = tried % 3 == 2;
    const Three out = {w.out(0, ceil), w.out(1, ceil), w.out(2, ceil)};
    if (out[0] * out[1] * out[2] == 0) continue;
    ++tried;
    const int64_t pixels = w.in[0] * w.in[1] * w.in[2];
    const Tensor x = numbers({1, 2, w.in[0], w.in[1], w.in[2]}, static_cast<uint32_t>(tried));
    std::vector<double> expected;
    for (int64_t c = 0; c < 2; ++c)
      each(out, [&](const Three& place) {
        double sum = 0, greatest = -std::numeric_limits<double>::infinity();
        int64_t held = 0;
        taps(
            w, place,
            [&](int64_t at_x, int64_t) {
              sum += at(x, c * pixels + at_x);
              greatest = std::max(greatest, at(x, c * pixels + at_x));
              ++held;
            },
            [&](const Three& p) {  // ceil_mode's overhang is no padding
              bool padding = include;
              for (size_t i = 0; i < 3; ++i) padding = padding && p[i] < w.in[i] + w.end[i];
              held += padding;
            });
        expected.push_back(average ? (held == 0 ? 0 : sum / static_cast<double>(held)) : greatest);
      });
    Attributes attributes = w.attributes(true);
    attributes.emplace("ceil_mode", int64_t{ceil});
    if (average) attributes.emplace("count_include_pad", int64_t{include});
    SCOPED_TRACE(testing::Message() << "form " << tried);
    if (std::ranges::any_of(expected, [](double e) { return std::isinf(e); })) continue;  // a window without an element
    expect_near(result({average ? "AveragePool" : "MaxPool", {x}, attributes, 22}), {1, 2, out[0], out[1], out[2]},
                expected, 1e-4);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cupel
