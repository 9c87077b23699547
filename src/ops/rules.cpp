#include "ops/rules.h"

#include <fmt/format.h>

#include "ops/known.h"

namespace cupel::ops {

Result<TensorType> declared_codes(const InferContext& c, Shape shape) {
  if (c.declared.empty() || !c.declared[0].quant)
    return bad_input("", "an op on codes has no declared result type", "give the result a quantized type");
  return TensorType{c.declared[0].dtype, std::move(shape), c.declared[0].quant};
}

Status expect_dtype(const InferContext& c, size_t i, DType dtype) {
  if (!c.has(i)) return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
  if (c.type(i).dtype != dtype)
    return unsupported("",
                       fmt::format("operand {} is {}, expected {}", i, dtype_name(c.type(i).dtype), dtype_name(dtype)),
                       "convert the operand");
  return {};
}

Status expect_rank(const InferContext& c, size_t i, int64_t rank) {
  if (static_cast<int64_t>(c.shape(i).size()) != rank)
    return bad_input("", fmt::format("operand {} has shape {}, expected rank {}", i, to_text(c.shape(i)), rank),
                     "correct the model's shapes");
  return {};
}

Result<TensorType> moved_type(const InferContext& c, size_t i, Shape shape) {
  const TensorType& x = c.type(i);
  if (x.quant && !x.quant->per_tensor())
    return unsupported("", "codes with per-axis parameters cannot be moved", "keep this op in float");
  return TensorType{x.dtype, std::move(shape), x.quant};
}

Result<std::vector<int64_t>> known_integers(const InferContext& c, size_t i, std::string_view what) {
  std::vector<int64_t> values;
  const std::vector<Dim> elements = CUPEL_TRY(known_elements(c, i, what));
  for (const Dim& d : elements) {
    if (!d.is_constant())
      return unsupported("", fmt::format("{} (operand {}) depends on the symbolic dimension {}", what, i, d.symbol),
                         kGiveParameters);
    values.push_back(d.factor);
  }
  return values;
}

Dims strides_of(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

Dims broadcast_strides(const Dims& dims, const Dims& out) {
  const Dims own = strides_of(dims);
  Dims strides(out.size(), 0);
  for (size_t i = 0; i < dims.size(); ++i)
    if (dims[i] != 1) strides[i + out.size() - dims.size()] = own[i];
  return strides;
}

}  // namespace cupel::ops
