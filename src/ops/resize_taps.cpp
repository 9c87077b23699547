#include "ops/resize_taps.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

namespace cupel::ops {
namespace {

// The coordinate in the operand of element `i` of the result.
float source_coordinate(const std::string& mode, const ResizedAxis& a, int64_t i) {
  const auto x = static_cast<float>(i), from = static_cast<float>(a.from), to = static_cast<float>(a.to);
  if (mode == "asymmetric") return x / a.scale;
  if (mode == "align_corners") return a.to == 1 ? 0.0f : x * (from - 1.0f) / (to - 1.0f);
  if (mode == "pytorch_half_pixel") return a.to == 1 ? -0.5f : (x + 0.5f) / a.scale - 0.5f;
  if (mode == "tf_crop_and_resize")
    return a.to == 1 ? 0.5f * (a.begin + a.end) * (from - 1.0f)
                     : a.begin * (from - 1.0f) + x * (a.end - a.begin) * (from - 1.0f) / (to - 1.0f);
  if (mode == "half_pixel_symmetric") {
    const float adjustment = to / (a.scale * from);
    return from / 2.0f * (1.0f - adjustment) + (x + 0.5f) / a.scale - 0.5f;
  }
  return (x + 0.5f) / a.scale - 0.5f;
}

float cubic_weight(float distance, float a) {
  const float d = std::abs(distance);
  if (d <= 1.0f) return ((a + 2.0f) * d - (a + 3.0f)) * d * d + 1.0f;
  if (d < 2.0f) return ((a * d - 5.0f * a) * d + 8.0f * a) * d - 4.0f * a;
  return 0.0f;
}

// Weights of the taps around a coordinate that lies `ratio` in (0, 1] behind the middle one.
class Weights {
 public:
  Weights(const Attributes& attributes, float scale)
      : mode_(attr_text(attributes, "mode", "nearest")),
        nearest_(attr_text(attributes, "nearest_mode", "round_prefer_floor")),
        a_(attr_real(attributes, "cubic_coeff_a", -0.75f)),
        antialias_(attr_int(attributes, "antialias", 0) != 0 && scale < 1.0f && mode_ != "nearest"),
        scale_(antialias_ ? scale : 1.0f) {
    const float reach = mode_ == "cubic" ? 2.0f : 1.0f;
    first_ = mode_ == "nearest" ? 0 : static_cast<int64_t>(std::max(-0x1p40f, std::floor(-reach / scale_))) + 1;
    count_ = 2 - 2 * first_;
  }
  int64_t first() const { return first_; }  // of the taps, from the middle one
  int64_t count() const { return count_; }

  std::vector<float> at(float ratio) const {
    std::vector<float> weights(static_cast<size_t>(count_));
    if (mode_ == "nearest") {
      const bool low = nearest_ == "floor"               ? ratio != 1.0f
                       : nearest_ == "ceil"              ? false
                       : nearest_ == "round_prefer_ceil" ? ratio < 0.5f
                                                         : ratio <= 0.5f;
      weights[low ? 0 : 1] = 1.0f;
      return weights;
    }
    for (int64_t i = 0; i < count_; ++i) {
      const float distance = (static_cast<float>(first_ + i) - ratio) * scale_;
      weights[static_cast<size_t>(i)] =
          mode_ == "cubic" ? cubic_weight(distance, a_) : std::clamp(1.0f - std::abs(distance), 0.0f, 1.0f);
    }
    if (antialias_) normalize(weights);
    return weights;
  }
  static void normalize(std::vector<float>& weights) {
    const float sum = std::accumulate(weights.begin(), weights.end(), 0.0f);
    for (float& w : weights) w /= sum;
  }

 private:
  std::string mode_, nearest_;
  float a_;
  bool antialias_;
  float scale_;
  int64_t first_, count_;
};

}  // namespace

int64_t taps_count(const Attributes& attributes, const ResizedAxis& axis) {
  return attr_text(attributes, "mode", "nearest") == "nearest" ? 1 : Weights(attributes, axis.scale).count();
}

Taps taps_of(const Attributes& attributes, const ResizedAxis& axis) {
  const std::string mode = attr_text(attributes, "coordinate_transformation_mode", "half_pixel");
  const bool nearest = attr_text(attributes, "mode", "nearest") == "nearest";
  // The one tap of mode nearest is held inside in any case.
  const bool inside_only = !nearest && attr_int(attributes, "exclude_outside", 0) != 0;
  const bool crops = mode == "tf_crop_and_resize";
  const Weights weights(attributes, axis.scale);
  Taps taps{.count = nearest ? 1 : weights.count(), .indices = {}, .weights = {}};
  const auto last = static_cast<float>(axis.from - 1);
  for (int64_t i = 0; i < axis.to; ++i) {
    // What lies so far outside is held at the ends, whatever the region's numbers are.
    const float coordinate = source_coordinate(mode, axis, i),
                x = coordinate == coordinate ? std::clamp(coordinate, -0x1p40f, 0x1p40f) : 0.0f;
    const bool outside = crops && (x < 0.0f || x > last);
    const float below = std::floor(x);
    // An element that is hit lies at the end of its interval.
    const float ratio = x == below ? 1.0f : x - below;
    const int64_t middle = static_cast<int64_t>(below) - (x == below ? 1 : 0);
    std::vector<float> w = weights.at(ratio);
    const auto index_of = [&](int64_t tap) { return middle + weights.first() + tap; };
    if (inside_only) {
      for (int64_t t = 0; t < weights.count(); ++t)
        if (index_of(t) < 0 || index_of(t) >= axis.from) w[static_cast<size_t>(t)] = 0.0f;
      Weights::normalize(w);
    }
    for (int64_t t = 0; t < weights.count(); ++t) {
      if (nearest && w[static_cast<size_t>(t)] != 1.0f) continue;
      taps.indices.push_back(outside ? -1 : static_cast<int32_t>(std::clamp<int64_t>(index_of(t), 0, axis.from - 1)));
      taps.weights.push_back(w[static_cast<size_t>(t)]);
    }
  }
  return taps;
}

}  // namespace cupel::ops
