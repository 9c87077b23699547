// Operators on codes (QLinear… of ai.onnx and com.microsoft, QGemm) as dequantize nodes, the operator on numbers and a
// quantize node, in which `integerize` finds the integer form (docs/quantization.md 3).
#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <numeric>

#include "onnx/spelling.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

// Where a tensor of codes stands among the operands: codes, scale, zero point.
struct Place {
  size_t codes, scale, zero;
};

Result<std::string> required(const Spelling& s, size_t i) {
  if (!s.has(i)) return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
  return s.in(i);
}

// A constant of one element, so often.
Tensor repeated(const Tensor& one, int64_t count) {
  Tensor many(one.dtype(), {count});
  const size_t width = one.bytes().size();
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    std::ranges::copy(one.bytes(), many.mutable_bytes().begin() + static_cast<std::ptrdiff_t>(i * width));
  return many;
}

struct Parameters {
  std::string scale, zero;
  int64_t axis = 0;
};

// Scale and zero point for a node that dequantizes along `axis`; one of them may have a single element for all. A list
// along one axis of several, [1, 1, n] say, belongs to that axis of codes of rank `rank`.
Result<Parameters> parameters(Spelling& s, const std::string& part, const Place& at, int64_t axis, int64_t rank) {
  Parameters p{CUPEL_TRY(required(s, at.scale)), s.has(at.zero) ? s.in(at.zero) : "", axis};
  const Tensor* scale = s.constant_named(p.scale);
  const Tensor* zero = p.zero.empty() ? nullptr : s.constant_named(p.zero);
  if (scale && scale->rank() > 1) {
    const auto wide = std::ranges::find_if(scale->dims(), [](int64_t d) { return d != 1; });
    if (wide != scale->dims().end()) p.axis = rank - (scale->dims().end() - wide);
    if (scale->size() == (wide == scale->dims().end() ? 1 : *wide)) {
      p.scale = s.constant(part + "_scale", scale->reshaped({scale->size()}));
      if (zero && zero->size() == scale->size()) p.zero = s.constant(part + "_zero", zero->reshaped({zero->size()}));
    }
    scale = s.constant_named(p.scale);
    zero = p.zero.empty() ? nullptr : s.constant_named(p.zero);
  }
  if (!scale || !zero) return p;
  if (scale->size() > 1 && zero->size() == 1) p.zero = s.constant(part + "_zero", repeated(*zero, scale->size()));
  if (zero->size() > 1 && scale->size() == 1) p.scale = s.constant(part + "_scale", repeated(*scale, zero->size()));
  return p;
}

// The numbers that codes stand for; lists of scales along `axis`, counted from the end where it is negative.
Result<std::string> numbers(Spelling& s, const std::string& part, const Place& at, int64_t axis = 0) {
  const std::string codes = CUPEL_TRY(required(s, at.codes));
  const auto rank = static_cast<int64_t>(CUPEL_TRY(s.shape(codes)).size());
  const Parameters p = CUPEL_TRY(parameters(s, part, at, axis < 0 ? std::max<int64_t>(0, axis + rank) : axis, rank));
  return s.add_as_read("DequantizeLinear", part, {codes, p.scale, p.zero}, {{"axis", p.axis}});
}

// The last node: codes of the type of operand `like` where no zero point says it.
Status finish_codes(Spelling& s, const std::string& y, size_t scale, size_t zero, size_t like) {
  std::vector<std::string> inputs = {y, CUPEL_TRY(required(s, scale))};
  if (s.has(zero)) {
    inputs.push_back(s.in(zero));
    return s.finish_as_read("QuantizeLinear", std::move(inputs));
  }
  return s.finish_as_read("QuantizeLinear", std::move(inputs),
                          {{"output_dtype", onnx_dtype(CUPEL_TRY(s.file_type(s.in(like))))}});
}

// f32(double(a) · double(b) · factor) for scales a and b, one of which may be a list; at least the least normal number.
Result<std::string> scale_product(Spelling& s, const std::string& part, const std::string& a, const std::string& b,
                                  double factor = 1) {
  const Tensor *x = s.constant_named(a), *y = s.constant_named(b);
  if (!x || !y) {
    std::string product = CUPEL_TRY(s.add("Mul", part, {a, b}));
    if (factor == 1) return product;
    return s.add("Mul", part + "_alpha", {product, s.real_like(product, "alpha", static_cast<float>(factor))});
  }
  if (x->dtype() != DType::f32 || y->dtype() != DType::f32)
    return unsupported("", "a scale is not f32", "quantize from f32");
  const int64_t count = std::max(x->size(), y->size());
  if (x->empty() || y->empty() || (x->size() != 1 && x->size() != count) || (y->size() != 1 && y->size() != count))
    return bad_input("", fmt::format("{} and {} scales", x->size(), y->size()), "quantize the model again");
  Tensor product(DType::f32, count == 1 ? Dims{} : Dims{count});
  for (int64_t i = 0; i < count; ++i) {
    const double value = x->at(x->size() == 1 ? 0 : i) * y->at(y->size() == 1 ? 0 : i) * factor;
    product.mutable_data<float>()[static_cast<size_t>(i)] =
        static_cast<float>(value > 0 ? std::max(value, static_cast<double>(FLT_MIN)) : value);
  }
  return s.constant(part, std::move(product));
}

Attributes attributes_but(const Attributes& attributes, std::initializer_list<std::string_view> left_out) {
  Attributes out;
  for (const auto& [key, value] : attributes)
    if (std::ranges::find(left_out, key) == left_out.end()) out.emplace(key, value);
  return out;
}

// With channels_last the file's images are [batch, spatial…, channels].
bool has_channels_last(const Spelling& s) { return attr_int(s.attributes(), "channels_last", 0) != 0; }

Result<std::string> channels_second(Spelling& s, const std::string& x) {
  const auto rank = static_cast<int64_t>(CUPEL_TRY(s.shape(x)).size());
  if (!has_channels_last(s) || rank < 3) return x;
  std::vector<int64_t> perm = {0, rank - 1};
  for (int64_t d = 1; d + 1 < rank; ++d) perm.push_back(d);
  return s.add("Transpose", "channels_second", {x}, {{"perm", perm}});
}

Result<std::string> channels_last(Spelling& s, const std::string& y) {
  const auto rank = static_cast<int64_t>(CUPEL_TRY(s.shape(y)).size());
  if (!has_channels_last(s) || rank < 3) return y;
  std::vector<int64_t> perm = {0};
  for (int64_t d = 2; d < rank; ++d) perm.push_back(d);
  perm.push_back(1);
  return s.add("Transpose", "channels_last", {y}, {{"perm", perm}});
}

}  // namespace

// x, w and y with scale and zero point each; the bias has the product of scales.
Status spell_qlinear_conv(Spelling& s) {
  const std::string x = CUPEL_TRY(channels_second(s, CUPEL_TRY(numbers(s, "x", {0, 1, 2}))));
  std::vector<std::string> inputs = {x, CUPEL_TRY(numbers(s, "w", {3, 4, 5}))};
  if (s.has(8)) {
    const std::string scale = CUPEL_TRY(scale_product(s, "bias_scale", s.in(1), s.in(4)));
    inputs.push_back(CUPEL_TRY(s.add_as_read("DequantizeLinear", "bias", {s.in(8), scale}, {{"axis", int64_t{0}}})));
  }
  const std::string y =
      CUPEL_TRY(s.add("Conv", "conv", std::move(inputs), attributes_but(s.attributes(), {"channels_last"})));
  return finish_codes(s, CUPEL_TRY(channels_last(s, y)), 6, 7, 0);
}

// Scales may be lists, for the rows of a and the columns of b.
Status spell_qlinear_matmul(Spelling& s) {
  const std::string a = CUPEL_TRY(numbers(s, "a", {0, 1, 2}, -2)), b = CUPEL_TRY(numbers(s, "b", {3, 4, 5}, -1));
  return finish_codes(s, CUPEL_TRY(s.add("MatMul", "product", {a, b})), 6, 7, 0);
}

// alpha · a × b + c, where c has the product of scales and alpha; numbers where no scale of the result is given.
Status spell_qgemm(Spelling& s) {
  const bool columns = attr_int(s.attributes(), "transB", 0) != 0;
  const float alpha = attr_real(s.attributes(), "alpha", 1.0f);
  const std::string a = CUPEL_TRY(numbers(s, "a", {0, 1, 2})),
                    b = CUPEL_TRY(numbers(s, "b", {3, 4, 5}, columns ? 0 : 1));
  std::vector<std::string> inputs = {a, b};
  if (s.has(6)) {
    const std::string scale = CUPEL_TRY(scale_product(s, "c_scale", s.in(1), s.in(4), static_cast<double>(alpha)));
    std::string c = s.in(6);
    const Tensor* codes = s.constant_named(c);
    if (codes && codes->rank() == 2 && codes->dims()[0] == 1)
      c = s.constant("c_codes", codes->reshaped({codes->size()}));
    const auto rank = static_cast<int64_t>(CUPEL_TRY(s.shape(c)).size());
    inputs.push_back(
        CUPEL_TRY(s.add_as_read("DequantizeLinear", "c", {c, scale}, {{"axis", std::max<int64_t>(0, rank - 1)}})));
  }
  Attributes attributes = attributes_but(s.attributes(), {});
  const bool codes = s.has(7);
  if (!codes) return s.finish("Gemm", std::move(inputs), std::move(attributes));
  return finish_codes(s, CUPEL_TRY(s.add("Gemm", "gemm", std::move(inputs), std::move(attributes))), 7, 8, 0);
}

// Add and Mul, the operands of which broadcast.
Status spell_qlinear_binary(Spelling& s) {
  const std::string a = CUPEL_TRY(numbers(s, "a", {0, 1, 2})), b = CUPEL_TRY(numbers(s, "b", {3, 4, 5}));
  const char* const op = s.op() == "com.microsoft.QLinearAdd" ? "Add" : "Mul";
  return finish_codes(s, CUPEL_TRY(s.add(op, "numbers", {a, b})), 6, 7, 0);
}

// Sigmoid, LeakyRelu.
Status spell_qlinear_unary(Spelling& s) {
  const std::string x = CUPEL_TRY(numbers(s, "x", {0, 1, 2}));
  const std::string op = s.op().substr(s.op().rfind("QLinear") + 7);
  return finish_codes(s, CUPEL_TRY(s.add(op, "numbers", {x}, s.attributes())), 3, 4, 0);
}

// AveragePool, GlobalAveragePool.
Status spell_qlinear_pool(Spelling& s) {
  const std::string x = CUPEL_TRY(channels_second(s, CUPEL_TRY(numbers(s, "x", {0, 1, 2}))));
  const std::string op = s.op().substr(s.op().rfind("QLinear") + 7);
  const std::string y = CUPEL_TRY(s.add(op, "pool", {x}, attributes_but(s.attributes(), {"channels_last"})));
  return finish_codes(s, CUPEL_TRY(channels_last(s, y)), 3, 4, 0);
}

// Scale and zero point of the result, then three operands for each part.
Status spell_qlinear_concat(Spelling& s) {
  std::vector<std::string> parts;
  for (size_t i = 2; i < s.inputs().size(); i += 3)
    parts.push_back(CUPEL_TRY(numbers(s, fmt::format("part_{}", parts.size()), {i, i + 1, i + 2})));
  return finish_codes(s, CUPEL_TRY(s.add("Concat", "numbers", std::move(parts), s.attributes())), 0, 1, 2);
}

// The meaning of axis is that of Softmax in the opset that an attribute names: below 13 one row of all that is behind
// it.
Status spell_qlinear_softmax(Spelling& s) {
  const std::string x = CUPEL_TRY(numbers(s, "x", {0, 1, 2}));
  const Shape shape = CUPEL_TRY(s.shape(x));
  const auto rank = static_cast<int64_t>(shape.size());
  const bool rows = attr_int(s.attributes(), "opset", 13) < 13;
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(s.attributes(), "axis", -1), rank));
  if (!rows || axis + 1 == rank)
    return finish_codes(s, CUPEL_TRY(s.add("Softmax", "numbers", {x}, {{"axis", axis}})), 3, 4, 0);
  const std::string flat = CUPEL_TRY(s.add("Flatten", "rows", {x}, {{"axis", axis}}));
  const std::string y = CUPEL_TRY(s.add("Softmax", "numbers", {flat}, {{"axis", int64_t{-1}}}));
  return finish_codes(s, CUPEL_TRY(s.reshape("shape", y, shape)), 3, 4, 0);
}

Status spell_qlinear_where(Spelling& s) {
  const std::string x = CUPEL_TRY(numbers(s, "x", {1, 2, 3})), y = CUPEL_TRY(numbers(s, "y", {4, 5, 6}));
  return finish_codes(s, CUPEL_TRY(s.add("Where", "numbers", {s.in(0), x, y})), 7, 8, 1);
}

}  // namespace cupel
