// What ONNX Runtime's optimizer and exporters for it fuse (domain com.microsoft), in the ops of the table.
#include <fmt/format.h>

#include "base/file.h"
#include "onnx/spelling.h"

namespace cupel {
namespace {

Attributes chosen(const Attributes& attributes, std::initializer_list<const char*> keys) {
  Attributes out;
  for (const char* key : keys)
    if (const auto found = attributes.find(key); found != attributes.end()) out.insert(*found);
  return out;
}

// The last node: the activation of that name with its parameters, or x itself.
Status finish_activation(Spelling& s, const std::string& x, const std::string& activation,
                         const std::vector<float>& parameters) {
  const auto parameter = [&](size_t i, float standard) { return i < parameters.size() ? parameters[i] : standard; };
  if (activation.empty()) return s.finish("Identity", {x});
  if (activation == "Relu" || activation == "Tanh" || activation == "Sigmoid") return s.finish(activation, {x});
  if (activation == "LeakyRelu") return s.finish("LeakyRelu", {x}, {{"alpha", parameter(0, 0.01f)}});
  if (activation == "HardSigmoid")
    return s.finish("HardSigmoid", {x}, {{"alpha", parameter(0, 0.2f)}, {"beta", parameter(1, 0.5f)}});
  if (activation == "Clip" && parameters.size() == 2)
    return s.finish("Clip", {x, s.real_like(x, "low", parameters[0]), s.real_like(x, "high", parameters[1])});
  return unsupported("", fmt::format("activation is \"{}\"", printable(activation)), "export the model without fusion");
}

// x with its last two dimensions exchanged; with its batch dimensions behind the first of the two before.
Result<std::string> turned(Spelling& s, size_t operand, bool transpose, bool transpose_batch) {
  const std::string& x = s.in(operand);
  const size_t rank = CUPEL_TRY(s.shape(x)).size();
  if (rank < 2 || !(transpose || transpose_batch)) return x;
  std::vector<int64_t> perm;
  if (transpose_batch) {
    // [batch…, m, k] lies as [m, batch…, k].
    for (size_t d = 1; d + 1 < rank; ++d) perm.push_back(static_cast<int64_t>(d));
    perm.push_back(0);
  } else {
    for (size_t d = 0; d + 1 < rank; ++d) perm.push_back(static_cast<int64_t>(d));
  }
  perm.push_back(static_cast<int64_t>(rank) - 1);
  if (transpose) std::swap(perm[rank - 1], perm[rank - 2]);
  return s.add("Transpose", operand == 0 ? "left" : "right", {x}, {{"perm", perm}});
}

}  // namespace

// activation(Conv(x, w, b) + z)
Status spell_fused_conv(Spelling& s) {
  std::vector<std::string> inputs = {s.in(0), s.in(1)};
  if (s.has(2)) inputs.push_back(s.in(2));
  std::string y =
      CUPEL_TRY(s.add("Conv", "conv", std::move(inputs),
                      chosen(s.attributes(), {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"})));
  if (s.has(3)) y = CUPEL_TRY(s.add("Add", "sum", {y, s.in(3)}));
  return finish_activation(s, y, attr_text(s.attributes(), "activation", ""),
                           attr_reals(s.attributes(), "activation_params"));
}

Status spell_fused_gemm(Spelling& s) {
  const std::string y =
      CUPEL_TRY(s.add("Gemm", "gemm", s.inputs(), chosen(s.attributes(), {"alpha", "beta", "transA", "transB"})));
  std::vector<float> parameters;
  for (const char* key : {"activation_alpha", "activation_beta"})
    if (has_attr(s.attributes(), key)) parameters.push_back(attr_real(s.attributes(), key, 0));
  return finish_activation(s, y, attr_text(s.attributes(), "activation", ""), parameters);
}

// alpha · a × b, each perhaps transposed
Status spell_fused_matmul(Spelling& s) {
  const auto is_set = [&](const char* key) { return attr_int(s.attributes(), key, 0) != 0; };
  const std::string a = CUPEL_TRY(turned(s, 0, is_set("transA"), is_set("transBatchA")));
  const std::string b = CUPEL_TRY(turned(s, 1, is_set("transB"), is_set("transBatchB")));
  const float alpha = attr_real(s.attributes(), "alpha", 1);
  if (alpha == 1) return s.finish("MatMul", {a, b});
  const std::string product = CUPEL_TRY(s.add("MatMul", "product", {a, b}));
  return s.finish("Mul", {product, s.real_like(product, "alpha", alpha)});
}

Status spell_bias_gelu(Spelling& s) {
  const std::string sum = s.has(1) ? CUPEL_TRY(s.add("Add", "bias", {s.in(0), s.in(1)})) : s.in(0);
  if (s.op() == "com.microsoft.FastGelu") return s.finish("Gelu", {sum}, {{"approximate", std::string("tanh")}});
  return s.finish("Gelu", {sum});
}

// x · sigmoid(alpha · x); Swish of opset 24 and QuickGelu.
Status spell_swish(Spelling& s) {
  const std::string& x = s.in(0);
  const float alpha = attr_real(s.attributes(), "alpha", s.op() == "Swish" ? 1.0f : 1.702f);
  if (alpha == 1.0f) return s.finish("Silu", {x});
  const std::string scaled = CUPEL_TRY(s.add("Mul", "scaled", {x, s.real_like(x, "alpha", alpha)}));
  return s.finish("Mul", {x, CUPEL_TRY(s.add("Sigmoid", "sigmoid", {scaled}))});
}

// Layer or root-mean-square normalization of input + skip + bias; result 3 is that sum.
Status spell_skip_normalization(Spelling& s) {
  const bool simplified = s.op() == "com.microsoft.SkipSimplifiedLayerNormalization";
  const size_t bias = simplified ? 3 : 4;
  if (s.gives(1) || s.gives(2)) return unsupported("", "mean and deviation are asked for", "leave these results away");
  std::string sum = CUPEL_TRY(s.add("Add", "skip", {s.in(0), s.in(1)}));
  if (s.has(bias)) sum = CUPEL_TRY(s.add("Add", "biased", {sum, s.in(bias)}));
  if (s.gives(3)) CUPEL_TRY(s.give(3, "Identity", {sum}));
  std::vector<std::string> inputs = {sum, s.in(2)};
  if (!simplified && s.has(3)) inputs.push_back(s.in(3));
  return s.finish(simplified ? "RMSNormalization" : "LayerNormalization", std::move(inputs),
                  {{"axis", int64_t{-1}}, {"epsilon", attr_real(s.attributes(), "epsilon", 1e-12f)}});
}

// ONNX Runtime's name of RMSNormalization.
Status spell_simplified_layer_normalization(Spelling& s) {
  return s.finish("RMSNormalization", s.inputs(), chosen(s.attributes(), {"axis", "epsilon", "stash_type"}));
}

}  // namespace cupel
