#include "assess/layer_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>

#include "base/file.h"

namespace cupel {
namespace {

constexpr size_t kLanes = 8;
using Lanes = std::array<double, kLanes>;

double total(const Lanes& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

struct Block {
  Lanes signal{}, actual{}, dot{}, noise{}, largest{};

  void add(size_t lane, double x, double y) {
    const double d = x - y;
    signal[lane] += x * x;
    actual[lane] += y * y;
    dot[lane] += x * y;
    noise[lane] += d * d;
    largest[lane] = std::max(largest[lane], std::abs(d));
  }
};

}  // namespace

double sqnr_of(double signal, double noise) {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  if (signal == 0) return -std::numeric_limits<double>::infinity();
  // A difference of logarithms: the quotient of two doubles could overflow.
  return 10 * (std::log10(signal) - std::log10(noise));
}

int64_t ErrorSums::add(std::span<const float> reference, std::span<const float> actual) {
  assert(reference.size() == actual.size());
  const size_t size = reference.size();
  Block block;
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) block.add(lane, reference[i + lane], actual[i + lane]);
  for (; i < size; ++i) block.add(i % kLanes, reference[i], actual[i]);
  const double signal = total(block.signal);
  const double other = total(block.actual);
  // Sums of squares of finite floats cannot overflow a double below 2^768 elements, so only a non-finite element can.
  if (!std::isfinite(signal) || !std::isfinite(other))
    for (size_t k = 0; k < size; ++k)
      if (!std::isfinite(reference[k]) || !std::isfinite(actual[k])) return static_cast<int64_t>(k);
  elements_ += static_cast<int64_t>(size);
  signal_ += signal;
  actual_ += other;
  dot_ += total(block.dot);
  noise_ += total(block.noise);
  max_abs_error_ = std::max(max_abs_error_, *std::max_element(block.largest.begin(), block.largest.end()));
  return -1;
}

void ErrorSums::merge(const ErrorSums& other) {
  elements_ += other.elements_;
  signal_ += other.signal_;
  actual_ += other.actual_;
  dot_ += other.dot_;
  noise_ += other.noise_;
  max_abs_error_ = std::max(max_abs_error_, other.max_abs_error_);
}

double ErrorSums::sqnr_db() const { return sqnr_of(signal_, noise_); }

double ErrorSums::cosine() const {
  if (signal_ == 0 && actual_ == 0) return 1;
  if (signal_ == 0 || actual_ == 0) return 0;
  return std::clamp(dot_ / std::sqrt(signal_) / std::sqrt(actual_), -1.0, 1.0);
}

Status LayerErrors::add(std::string_view node, const Tensor& reference, const Tensor& actual) {
  const std::string place = "node " + printable(node);
  if (reference.dtype() != DType::f32 || actual.dtype() != DType::f32)
    return bad_input(place,
                     fmt::format("found outputs of type {} and {} to compare, expected f32 for both",
                                 dtype_name(reference.dtype()), dtype_name(actual.dtype())),
                     "dequantize integer outputs before comparing them");
  if (reference.dims() != actual.dims())
    return bad_input(place,
                     fmt::format("found an output of shape {}, expected {} as in the reference", to_text(actual.dims()),
                                 to_text(reference.dims())),
                     "compare a model with its own quantized form");
  ErrorSums sums;
  const int64_t broken = sums.add(reference.data<float>(), actual.data<float>());
  if (broken >= 0) {
    const float x = reference.data<float>()[static_cast<size_t>(broken)];
    const float y = actual.data<float>()[static_cast<size_t>(broken)];
    const bool in_reference = !std::isfinite(x);
    return bad_input(place,
                     fmt::format("found {} in the output of the {} at element {}, expected finite numbers",
                                 in_reference ? x : y, in_reference ? "reference" : "model under test", broken),
                     "look for the first node with such an output, or for a broken sample");
  }
  const auto found = nodes_.find(node);
  (found == nodes_.end() ? nodes_[std::string(node)] : found->second).merge(sums);
  return {};
}

void LayerErrors::merge(const LayerErrors& other) {
  for (const auto& [name, sums] : other.nodes_) nodes_[name].merge(sums);
}

const ErrorSums* LayerErrors::find(std::string_view node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : &found->second;
}

}  // namespace cupel
