#include "ops/elementwise.h"

#include <fmt/format.h>

#include "ops/rules.h"

namespace cupel::ops {

int64_t elements_per_item(const TensorType& type) {
  const auto dims = bind_shape(type.shape, 1);
  return dims ? element_count(*dims) : 0;
}

Status expect_byte_codes(const InferContext& c, size_t i) {
  const TensorType& t = c.type(i);
  if (!t.quant)
    return bad_input("",
                     fmt::format("operand {} is {} without a scale, expected u8 or s8 codes like the other operand", i,
                                 dtype_name(t.dtype)),
                     "quantize all operands or none");
  if ((t.dtype != DType::u8 && t.dtype != DType::s8) || !t.quant->per_tensor())
    return unsupported("", fmt::format("operand {} holds {}, expected u8 or s8 codes with one scale", i, to_text(t)),
                       "keep this op in float");
  return {};
}

Result<TensorType> declared_byte_codes(const InferContext& c, Shape shape) {
  TensorType type = CUPEL_TRY(declared_codes(c, std::move(shape)));
  if ((type.dtype != DType::u8 && type.dtype != DType::s8) || !type.quant->per_tensor())
    return bad_input("",
                     fmt::format("the result is declared as {}, expected u8 or s8 codes with one scale", to_text(type)),
                     "give the result u8 or s8 codes with one scale");
  return type;
}

Result<Types> infer_function(const InferContext& c) {
  if (c.type(0).quant) {
    CUPEL_TRY(expect_byte_codes(c, 0));
    return Types{CUPEL_TRY(declared_byte_codes(c, c.shape(0)))};
  }
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  return Types{plain(DType::f32, c.shape(0))};
}

BroadcastWalk::BroadcastWalk(const Dims& out, std::initializer_list<const Dims*> operands) : size_(element_count(out)) {
  std::array<Dims, kMaxOperands> full;
  size_t count = 0;
  for (const Dims* dims : operands) full[count++] = broadcast_strides(*dims, out);
  for (size_t d = 0; d < out.size(); ++d) {
    if (out[d] == 1) continue;
    bool merges = !extents_.empty();
    for (size_t i = 0; i < count && merges; ++i) merges = strides_[i].back() == full[i][d] * out[d];
    if (merges) {
      extents_.back() *= out[d];
      for (size_t i = 0; i < count; ++i) strides_[i].back() = full[i][d];
    } else {
      extents_.push_back(out[d]);
      for (size_t i = 0; i < count; ++i) strides_[i].push_back(full[i][d]);
    }
  }
  if (extents_.empty()) {
    extents_ = {1};
    for (Dims& strides : strides_) strides = {0};
  }
}

BroadcastWalk::Offsets BroadcastWalk::offsets_of(int64_t run, int64_t in_run) const {
  Offsets offsets{};
  for (size_t i = 0; i < kMaxOperands; ++i)
    if (!strides_[i].empty()) offsets[i] = in_run * strides_[i].back();
  for (size_t d = extents_.size() - 1; d-- > 0; run /= extents_[d])
    for (size_t i = 0; i < kMaxOperands; ++i)
      if (!strides_[i].empty()) offsets[i] += run % extents_[d] * strides_[i][d];
  return offsets;
}

void look_up(const EvalContext& c, const CodeTable& table) {
  const uint8_t* codes = byte_elements(c.in(0));
  uint8_t* out = byte_elements(c.out());
  c.threads.parallel_for(c.in(0).size(), kPartOperations, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = table[codes[i]];
  });
}

}  // namespace cupel::ops
