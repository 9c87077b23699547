// How far each node's output moves away from the reference, gathered over chunks of any size.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/tensor.h"

namespace cupel {

// 10·log10(signal / noise) of two powers; +infinity without noise, −infinity where there is noise alone.
double sqnr_of(double signal, double noise);

// Sums over pairs (x, y): x from the reference, y from the model under test. All sums are double; products of two
// floats are exact in it. add() sums in 8 fixed lanes, so equal chunks in equal order give equal bits on every machine.
class ErrorSums {
 public:
  // Equally long. Returns the index of the first pair that is not finite and adds nothing then; −1: all were added.
  int64_t add(std::span<const float> reference, std::span<const float> actual);
  void merge(const ErrorSums& other);

  int64_t elements() const { return elements_; }
  // Signal-to-quantization-noise ratio, 10·log10(Σx² / Σ(x−y)²). +infinity when no element differs, also when there is
  // no element; −infinity when the reference is zero everywhere and the other is not.
  double sqnr_db() const;
  // Σxy / sqrt(Σx²·Σy²), within [−1, 1]. 1 when both are zero everywhere, 0 when just one is.
  double cosine() const;
  double max_abs_error() const { return max_abs_error_; }
  double signal() const { return signal_; }  // Σx²
  double noise() const { return noise_; }    // Σ(x−y)²
  bool identical() const { return noise_ == 0; }

 private:
  int64_t elements_ = 0;
  double signal_ = 0;  // Σx²
  double actual_ = 0;  // Σy²
  double dot_ = 0;     // Σxy
  double noise_ = 0;   // Σ(x−y)²
  double max_abs_error_ = 0;
};

// One ErrorSums per node name. Memory depends on the number of nodes, not of samples.
class LayerErrors {
 public:
  // Two f32 tensors of equal dimensions. bad_input, with the node as place, when types or dimensions are not so or a
  // value is not finite; nothing is added then.
  Status add(std::string_view node, const Tensor& reference, const Tensor& actual);
  // Adds the sums of other chunks, node by node.
  void merge(const LayerErrors& other);
  // nullptr when the node was never added.
  const ErrorSums* find(std::string_view node) const;
  const std::map<std::string, ErrorSums, std::less<>>& nodes() const { return nodes_; }

 private:
  std::map<std::string, ErrorSums, std::less<>> nodes_;
};

}  // namespace cupel
