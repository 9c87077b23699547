// QuantizeLinear and DequantizeLinear in operators on numbers and integers: where scale or zero point are computed or
// stand for blocks, and where codes have 16 or 4 bits or are floats of 8, which no kernel of the integer stage knows.
// 4-bit codes are held in bytes.
//   q = Cast(Max(x / s, lo − z) … Min(…, hi − z), Round + z)        x = (q − z) · s
//   to floats of 8 bits q = Cast(x / s)
#include <fmt/format.h>

#include "onnx/spelling.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kQuantizeAgain = "quantize the model again";

Result<std::string> cast(Spelling& s, const std::string& part, const std::string& x, DType to) {
  const DType from = CUPEL_TRY(s.file_type(x));
  return from == to ? Result<std::string>(x) : s.add("Cast", part, {x}, {{"to", onnx_dtype(to)}});
}

// Scale or zero point in the shape that broadcasts with x. One holds for all; a list runs along the axis; parameters of
// blocks have as many entries along it as x has blocks there, each of which is repeated.
Result<std::string> spread(Spelling& s, const std::string& part, const std::string& p, const Shape& x,
                           const LinearSpelling& how) {
  const Dims dims = CUPEL_TRY(s.dims(p));
  const auto rank = static_cast<int64_t>(x.size());
  if (element_count(dims) == 1 && how.block == 0) return s.reshape(part, p, {});
  const int64_t axis = CUPEL_TRY(normalize_axis(how.axis, rank));
  const Dim& extent = x[static_cast<size_t>(axis)];
  if (how.block == 0) {
    if (dims.size() != 1 || !(Dim(dims[0]) == extent))
      return bad_input("", fmt::format("parameters of shape {} for axis {} of {}", to_text(dims), axis, to_text(x)),
                       kQuantizeAgain);
    Shape column(static_cast<size_t>(rank - axis), Dim(1));
    column[0] = extent;
    return s.reshape(part, p, column);
  }
  if (!extent.is_constant())
    return unsupported("", fmt::format("blocks along the symbolic dimension {}", to_text(extent)),
                       "fix the model's dimensions");
  Dims expected = dims;
  const size_t at = static_cast<size_t>(axis);
  const int64_t blocks = how.block < 1 ? 0 : extent.factor / how.block + (extent.factor % how.block != 0 ? 1 : 0);
  if (dims.size() == x.size()) expected[at] = blocks;
  bool fits = how.block > 0 && dims.size() == x.size() && dims == expected;
  for (size_t d = 0; fits && d < x.size(); ++d) fits = d == at || x[d] == Dim(dims[d]) || dims[d] == 1;
  if (!fits)
    return bad_input("",
                     fmt::format("parameters of shape {} for blocks of {} along axis {} of {}", to_text(dims),
                                 how.block, axis, to_text(x)),
                     kQuantizeAgain);
  const std::string apart = CUPEL_TRY(s.add("Unsqueeze", part + "_apart", {p, s.list(part + "_axis", {axis + 1})}));
  std::vector<int64_t> repeated(dims.begin(), dims.end());
  repeated.insert(repeated.begin() + axis + 1, how.block);
  const std::string wide = CUPEL_TRY(s.add("Expand", part + "_repeated", {apart, s.list(part + "_to", repeated)}));
  Shape joined = to_shape(dims);
  joined[at] = Dim(blocks * how.block);
  const std::string all = CUPEL_TRY(s.reshape(part, wide, joined));
  if (blocks * how.block == extent.factor) return all;
  return s.add(
      "Slice", part + "_cut",
      {all, s.list(part + "_from", {0}), s.list(part + "_end", {extent.factor}), s.list(part + "_along", {axis})});
}

}  // namespace

Status spell_quantize_linear(Spelling& s, const LinearSpelling& how) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const std::string scale =
      CUPEL_TRY(spread(s, "scale", CUPEL_TRY(cast(s, "scale_f32", s.in(1), DType::f32)), shape, how));
  const std::string x = CUPEL_TRY(cast(s, "f32", s.in(0), DType::f32));
  const std::string quotient = CUPEL_TRY(s.add("Div", "quotient", {x, scale}));
  if (is_byte_float(how.type))
    return s.finish("Cast", {quotient},
                    {{"to", onnx_dtype(how.type)}, {"saturate", static_cast<int64_t>(how.saturate)}});
  std::string y = CUPEL_TRY(s.add("Round", "rounded", {quotient}));
  if (s.has(2)) {
    const std::string zero = CUPEL_TRY(cast(s, "zero_f32", s.in(2), DType::f32));
    y = CUPEL_TRY(s.add("Add", "moved", {y, CUPEL_TRY(spread(s, "zero", zero, shape, how))}));
  }
  if (dtype_bits(how.type) != 8) s.hold_result(how.type);
  return s.finish("Saturate", {y}, {{"dtype", std::string(dtype_name(how.type))}});
}

Status spell_dequantize_linear(Spelling& s, const LinearSpelling& how) {
  const Shape shape = CUPEL_TRY(s.shape(s.in(0)));
  const std::string scale =
      CUPEL_TRY(spread(s, "scale", CUPEL_TRY(cast(s, "scale_f32", s.in(1), DType::f32)), shape, how));
  std::string x = CUPEL_TRY(cast(s, "f32", s.in(0), DType::f32));
  // Zero points of s32 are 0.
  if (s.has(2) && how.type != DType::s32) {
    const std::string zero = CUPEL_TRY(cast(s, "zero_f32", s.in(2), DType::f32));
    x = CUPEL_TRY(s.add("Sub", "centred", {x, CUPEL_TRY(spread(s, "zero", zero, shape, how))}));
  }
  return s.finish("Mul", {x, scale});
}

}  // namespace cupel
