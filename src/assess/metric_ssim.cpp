// Structural similarity (Z. Wang et al., IEEE Transactions on Image Processing 13 (2004) 600-612): at every place where
// a window of 11x11, weighted by a Gaussian of 1.5 pixels, lies inside the image,
//   (2·m·n + c1)(2·s_mn + c2) / ((m² + n² + c1)(s_m + s_n + c2)),  c1 = (0.01·range)²,  c2 = (0.03·range)²
// of the means m and n, variances s_m and s_n and the covariance s_mn; the mean over places and planes of a sample,
// then over samples. The last two axes are height and width; every other index is a plane of its own.
#include <array>
#include <cmath>

#include "assess/metric_table.h"

namespace cupel::metrics {
namespace {

constexpr int64_t kWindow = 11;

std::array<double, kWindow> gaussian() {
  std::array<double, kWindow> g{};
  double sum = 0;
  for (int64_t i = 0; i < kWindow; ++i) {
    const double x = static_cast<double>(i - kWindow / 2) / 1.5;
    sum += g[static_cast<size_t>(i)] = std::exp(-x * x / 2);
  }
  for (double& x : g) x /= sum;
  return g;
}

std::string refuses(const OutputForm& output, const OutputForm& label) {
  std::string why = needs_equal_dims(output, label);
  if (!why.empty()) return why;
  const size_t rank = output.dims.size();
  if (rank < 2 || output.dims[rank - 1] < kWindow || output.dims[rank - 2] < kWindow)
    return "its last two axes are no image of at least 11x11";
  return "";
}

// Weighted means over all windows: [height − 10, width − 10] of the product of two planes [height, width].
std::vector<double> window_means(const double* a, const double* b, int64_t height, int64_t width) {
  static const auto g = gaussian();
  const int64_t rows = height - kWindow + 1, columns = width - kWindow + 1;
  std::vector<double> across(static_cast<size_t>(height * columns)), out(static_cast<size_t>(rows * columns));
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < columns; ++x) {
      double sum = 0;
      for (int64_t k = 0; k < kWindow; ++k) {
        const int64_t at = y * width + x + k;
        sum += g[static_cast<size_t>(k)] * a[at] * (b == nullptr ? 1 : b[at]);
      }
      across[static_cast<size_t>(y * columns + x)] = sum;
    }
  for (int64_t y = 0; y < rows; ++y)
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t k = 0; k < kWindow; ++k)
        out[static_cast<size_t>(y * columns + x)] +=
            g[static_cast<size_t>(k)] * across[static_cast<size_t>((y + k) * columns + x)];
  return out;
}

double plane_similarity(const double* p, const double* q, int64_t height, int64_t width, double range) {
  const double c1 = 0.01 * 0.01 * range * range, c2 = 0.03 * 0.03 * range * range;
  const auto m = window_means(p, nullptr, height, width), n = window_means(q, nullptr, height, width);
  const auto mm = window_means(p, p, height, width), nn = window_means(q, q, height, width),
             mn = window_means(p, q, height, width);
  double sum = 0;
  for (size_t i = 0; i < m.size(); ++i) {
    const double s_m = mm[i] - m[i] * m[i], s_n = nn[i] - n[i] * n[i], s_mn = mn[i] - m[i] * n[i];
    sum += (2 * m[i] * n[i] + c1) * (2 * s_mn + c2) / ((m[i] * m[i] + n[i] * n[i] + c1) * (s_m + s_n + c2));
  }
  return sum / static_cast<double>(m.size());
}

void measure(const OutputForm& form, const Item& label, const Item& item, const MetricSettings& settings,
             std::vector<double>& parts) {
  const int64_t height = form.dims[form.dims.size() - 2], width = form.dims.back();
  const int64_t planes = static_cast<int64_t>(item.numbers.size()) / (height * width);
  double sum = 0;
  for (int64_t p = 0; p < planes; ++p)
    sum += plane_similarity(label.numbers.data() + p * height * width, item.numbers.data() + p * height * width, height,
                            width, settings.find("range")->second);
  if (std::isfinite(sum)) parts.push_back(sum / static_cast<double>(planes));
}

}  // namespace

extern const MetricDef kSsim{.name = "ssim",
                             .title = "SSIM",
                             .unit = "",
                             .meaning = "structural similarity to the label in windows of 11x11, the mean over samples",
                             .judge = Judge::labels,
                             .settings = {{"range", 1, 1e-30, 1e30}},
                             .refuses = refuses,
                             .measure = measure,
                             .figure = mean_figure};

}  // namespace cupel::metrics
