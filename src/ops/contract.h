// The two inner loops of every contraction in the reference: an fma chain in binary32 and an exact sum in int32.
#pragma once

#include <cstdint>
#include <vector>

#include "base/tensor.h"
#include "ir/op_def.h"

namespace cupel::ops {

// out[r][j] continues its chain: out[r][j] = fma(w[r][k], x[k][j], out[r][j]) for k = 0 … depth−1 in that order.
// w: rows × depth, contiguous; x: depth rows of pitch x_pitch; out: rows of pitch out_pitch.
void contract_f32(int64_t rows, int64_t columns, int64_t depth, const float* w, const float* x, int64_t x_pitch,
                  float* out, int64_t out_pitch);
// The same with exact integers; the caller has proved that no sum leaves int32.
void contract_s32(int64_t rows, int64_t columns, int64_t depth, const int16_t* w, const int16_t* x, int64_t x_pitch,
                  int32_t* out, int64_t out_pitch);

// Whether the attributes of a contraction have no factors (alpha, beta) other than 1.
bool is_plain_product(const Attributes& attributes);

// Codes minus their zero point (per tensor, or per index of the quantized axis), as int16.
std::vector<int16_t> centered_codes(const Tensor& codes, const TensorType& type);

// How the exact sum of output channel c becomes a result (docs/quantization.md 3).
class ContractionResult {
 public:
  // `out` is f32 without parameters or codes per tensor. channels: number of output channels.
  ContractionResult(const TensorType& x, const TensorType& w, const TensorType& out, int64_t channels);
  // Writes count results of one channel at out + offset, in the output tensor's dtype.
  void store(const int32_t* sums, int64_t count, int64_t channel, Tensor& out, int64_t offset) const;
  // The same for results whose channel runs 0 … count−1.
  void store_channels(const int32_t* sums, int64_t count, Tensor& out, int64_t offset) const;

 private:
  bool to_codes_;
  DType dtype_;
  int32_t zero_point_ = 0;
  std::vector<float> multiplier_;  // one per channel
};

// The shape of a matrix product of operands 0 and 1, with broadcast leading dimensions, as NumPy's.
Result<Shape> product_shape(const InferContext& c);

// Type of a contraction's result: codes when both operands are codes and the node declares them, f32 otherwise. Checks
// that operands are both f32 or both 8-bit codes.
Result<TensorType> contraction_type(const InferContext& c, Shape shape);

}  // namespace cupel::ops
