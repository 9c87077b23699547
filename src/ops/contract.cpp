#include "ops/contract.h"

#include <fmt/format.h>

#include <algorithm>

#include "ops/clones.h"
#include "ops/requantize.h"
#include "ops/rules.h"

namespace cupel::ops {
namespace {

constexpr int64_t kColumnBlock = 256;  // keeps one row of results and the rows of x beside it in the first caches

CUPEL_CLONES void chain_f32(int64_t columns, int64_t depth, const float* __restrict w, const float* __restrict x,
                            int64_t x_pitch, float* __restrict out) {
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    const float w0 = w[k], w1 = w[k + 1], w2 = w[k + 2], w3 = w[k + 3];
    const float *x0 = x + k * x_pitch, *x1 = x0 + x_pitch, *x2 = x1 + x_pitch, *x3 = x2 + x_pitch;
    for (int64_t j = 0; j < columns; ++j) {
      float t = __builtin_fmaf(w0, x0[j], out[j]);
      t = __builtin_fmaf(w1, x1[j], t);
      t = __builtin_fmaf(w2, x2[j], t);
      out[j] = __builtin_fmaf(w3, x3[j], t);
    }
  }
  for (; k < depth; ++k) {
    const float w0 = w[k];
    const float* x0 = x + k * x_pitch;
    for (int64_t j = 0; j < columns; ++j) out[j] = __builtin_fmaf(w0, x0[j], out[j]);
  }
}

CUPEL_CLONES void sum_s32(int64_t columns, int64_t depth, const int16_t* __restrict w, const int16_t* __restrict x,
                          int64_t x_pitch, int32_t* __restrict out) {
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    const int32_t w0 = w[k], w1 = w[k + 1], w2 = w[k + 2], w3 = w[k + 3];
    const int16_t *x0 = x + k * x_pitch, *x1 = x0 + x_pitch, *x2 = x1 + x_pitch, *x3 = x2 + x_pitch;
    for (int64_t j = 0; j < columns; ++j) out[j] += w0 * x0[j] + w1 * x1[j] + w2 * x2[j] + w3 * x3[j];
  }
  for (; k < depth; ++k) {
    const int32_t w0 = w[k];
    const int16_t* x0 = x + k * x_pitch;
    for (int64_t j = 0; j < columns; ++j) out[j] += w0 * x0[j];
  }
}

CUPEL_CLONES void store_codes_u8(const int32_t* __restrict sums, int64_t count, const float* __restrict m,
                                 int64_t m_step, CodeRange range, uint8_t* __restrict out) {
  if (m_step == 0) {
    const float m0 = m[0];
    for (int64_t j = 0; j < count; ++j) out[j] = static_cast<uint8_t>(to_code(static_cast<float>(sums[j]) * m0, range));
  } else {
    for (int64_t j = 0; j < count; ++j)
      out[j] = static_cast<uint8_t>(to_code(static_cast<float>(sums[j]) * m[j], range));
  }
}

CUPEL_CLONES void store_f32(const int32_t* __restrict sums, int64_t count, const float* __restrict m, int64_t m_step,
                            float* __restrict out) {
  for (int64_t j = 0; j < count; ++j) out[j] = static_cast<float>(sums[j]) * m[j * m_step];
}

template <class Chain, class T, class A>
void blocked(Chain chain, int64_t rows, int64_t columns, int64_t depth, const T* w, const T* x, int64_t x_pitch, A* out,
             int64_t out_pitch) {
  for (int64_t j = 0; j < columns; j += kColumnBlock) {
    const int64_t width = std::min(kColumnBlock, columns - j);
    for (int64_t r = 0; r < rows; ++r) chain(width, depth, w + r * depth, x + j, x_pitch, out + r * out_pitch + j);
  }
}

template <class T>
void subtract_zero_points(const T* codes, const Tensor& tensor, const QuantParams& q, int16_t* out) {
  const auto& dims = tensor.dims();
  int64_t inner = 1, channels = 1;
  if (!q.per_tensor()) {
    channels = dims[static_cast<size_t>(q.axis)];
    for (size_t i = static_cast<size_t>(q.axis) + 1; i < dims.size(); ++i) inner *= dims[i];
  } else {
    inner = tensor.size();
  }
  for (int64_t begin = 0, c = 0; begin < tensor.size(); begin += inner, c = c + 1 == channels ? 0 : c + 1) {
    const int32_t zero = q.zero_point_at(c);
    for (int64_t i = begin; i < begin + inner; ++i) out[i] = static_cast<int16_t>(codes[i] - zero);
  }
}

}  // namespace

void contract_f32(int64_t rows, int64_t columns, int64_t depth, const float* w, const float* x, int64_t x_pitch,
                  float* out, int64_t out_pitch) {
  blocked(chain_f32, rows, columns, depth, w, x, x_pitch, out, out_pitch);
}

void contract_s32(int64_t rows, int64_t columns, int64_t depth, const int16_t* w, const int16_t* x, int64_t x_pitch,
                  int32_t* out, int64_t out_pitch) {
  blocked(sum_s32, rows, columns, depth, w, x, x_pitch, out, out_pitch);
}

bool is_plain_product(const Attributes& attributes) {
  return attr_real(attributes, "alpha", 1) == 1 && attr_real(attributes, "beta", 1) == 1;
}

std::vector<int16_t> centered_codes(const Tensor& codes, const TensorType& type) {
  std::vector<int16_t> out(static_cast<size_t>(codes.size()));
  if (codes.empty()) return out;
  if (codes.dtype() == DType::u8) {
    subtract_zero_points(codes.data<uint8_t>().data(), codes, *type.quant, out.data());
  } else {
    subtract_zero_points(codes.data<int8_t>().data(), codes, *type.quant, out.data());
  }
  return out;
}

ContractionResult::ContractionResult(const TensorType& x, const TensorType& w, const TensorType& out, int64_t channels)
    : to_codes_(out.quant.has_value()), dtype_(out.dtype), multiplier_(static_cast<size_t>(channels)) {
  const float sx = x.quant->scale[0];
  if (to_codes_) zero_point_ = out.quant->zero_point[0];
  for (int64_t c = 0; c < channels; ++c) {
    const float sw = w.quant->scale_at(c);
    multiplier_[static_cast<size_t>(c)] =
        to_codes_ ? product_ratio(sx, sw, out.quant->scale[0]) : scale_product(sx, sw);
  }
}

namespace {
void store_results(const int32_t* sums, int64_t count, const float* m, int64_t m_step, bool to_codes, DType dtype,
                   int32_t zero_point, Tensor& out, int64_t offset) {
  if (!to_codes) {
    store_f32(sums, count, m, m_step, out.mutable_data<float>().data() + offset);
  } else if (dtype == DType::u8) {
    store_codes_u8(sums, count, m, m_step, CodeRange(dtype, zero_point), out.mutable_data<uint8_t>().data() + offset);
  } else {
    int8_t* codes = out.mutable_data<int8_t>().data() + offset;
    const CodeRange range(dtype, zero_point);
    for (int64_t j = 0; j < count; ++j)
      codes[j] = static_cast<int8_t>(to_code(static_cast<float>(sums[j]) * m[j * m_step], range));
  }
}
}  // namespace

void ContractionResult::store(const int32_t* sums, int64_t count, int64_t channel, Tensor& out, int64_t offset) const {
  store_results(sums, count, &multiplier_[static_cast<size_t>(channel)], 0, to_codes_, dtype_, zero_point_, out,
                offset);
}

void ContractionResult::store_channels(const int32_t* sums, int64_t count, Tensor& out, int64_t offset) const {
  store_results(sums, count, multiplier_.data(), 1, to_codes_, dtype_, zero_point_, out, offset);
}

Result<TensorType> contraction_type(const InferContext& c, Shape shape) {
  const TensorType &x = c.type(0), &w = c.type(1);
  if (!x.quant && !w.quant) {
    CUPEL_TRY(expect_dtype(c, 0, DType::f32));
    CUPEL_TRY(expect_dtype(c, 1, DType::f32));
    return plain(DType::f32, std::move(shape));
  }
  if (!x.quant || !w.quant)
    return bad_input("", "one operand holds codes and the other does not", "quantize both operands or none");
  if (dtype_bits(x.dtype) != 8 || dtype_bits(w.dtype) != 8)
    return unsupported("", fmt::format("a contraction of {} and {} codes", dtype_name(x.dtype), dtype_name(w.dtype)),
                       "use 8-bit codes");
  if (!x.quant->per_tensor())
    return unsupported("", "the first operand has parameters per axis", "quantize activations per tensor");
  if (!c.declared.empty() && c.declared[0].quant) {
    if (dtype_bits(c.declared[0].dtype) != 8 || !c.declared[0].quant->per_tensor())
      return unsupported("", fmt::format("a contraction into {}", to_text(c.declared[0])),
                         "use 8-bit codes per tensor");
    return declared_codes(c, std::move(shape));
  }
  return plain(DType::f32, std::move(shape));
}

}  // namespace cupel::ops
