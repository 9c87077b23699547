// Operators that are written in others while they are imported. Private to src/onnx.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/op_def.h"
#include "onnx/importer.h"

namespace cupel {

class Spelling;

// What such an operator looks like in a file; `spell` turns it into others. Names of operators outside ai.onnx are
// "domain.name".
struct SpelledOp {
  std::string_view op;
  int since_opset = 1;
  int min_inputs = 1;
  int max_inputs = 1;  // −1: any number
  int max_outputs = 1;
  DTypeSet types = kAnyType;     // that ONNX allows for operand 0
  DTypeSet computed = kAnyType;  // of these, those that the spelling computes
  std::vector<AttributeSpec> attributes = {};
  Status (*spell)(Spelling&) = nullptr;
  // Nodes that are spelled out; null: all. The others are left to the operator's row in the table of ops.
  bool (*when)(Importer&, const NodeDraft&) = nullptr;
};

std::span<const SpelledOp> spelled_ops();
// The row of that name in spelled_ops.cpp; null when there is none.
const SpelledOp* find_spelled_op(std::string_view op);
// Checks the node against the row and spells it out: the draft becomes the last node of the spelling, with the first
// result. Errors have an empty place.
Status spell_in_others(const SpelledOp& op, Importer& importer, NodeDraft& draft);

// A node that is being spelled out. Operands and results are names of values; nodes have the newest opset's forms.
class Spelling {
 public:
  Spelling(Importer& importer, NodeDraft& draft)
      : importer_(importer), draft_(draft), op_(draft.op), attributes_(std::move(draft.attributes)) {}

  int opset() const { return importer_.opset(); }
  const std::string& op() const { return op_; }
  const std::string& name() const { return draft_.name; }
  const Attributes& attributes() const { return attributes_; }
  const std::vector<std::string>& inputs() const { return draft_.inputs; }
  bool has(size_t i) const { return draft_.has_input(i); }
  const std::string& in(size_t i) const { return draft_.inputs[i]; }
  // Whether somebody reads result i.
  bool gives(size_t i) const {
    return i < draft_.outputs.size() && !draft_.outputs[i].empty() && importer_.is_read(draft_.outputs[i]);
  }

  Result<Shape> shape(const std::string& value) const;
  // The type that the file gives a value; a network of narrow numbers is computed in f32.
  Result<DType> file_type(const std::string& value) const;
  // Dimensions of a value; unsupported unless all are known.
  Result<Dims> dims(const std::string& value) const;
  // Operand i where it is a constant; null otherwise.
  const Tensor* constant_operand(size_t i) const { return importer_.constant(in(i)); }
  const Tensor* constant_named(const std::string& value) const { return importer_.constant(value); }
  // The elements of operand i, a constant of integers; unsupported where they are computed at run time.
  Result<std::vector<int64_t>> integers(size_t i, std::string_view what) const;

  // Constants. Reals have the width of the value `like`.
  std::string constant(const std::string& part, Tensor tensor);
  std::string reals_like(const std::string& like, const std::string& part, Tensor reals);
  std::string real_like(const std::string& like, const std::string& part, float value);
  std::string list(const std::string& part, const std::vector<int64_t>& values);

  // A node with one result, whose name is returned.
  Result<std::string> add(const std::string& op, const std::string& part, std::vector<std::string> inputs,
                          Attributes attributes = {});
  // A node with so many results.
  Result<std::vector<std::string>> add_several(const std::string& op, const std::string& part, size_t results,
                                               std::vector<std::string> inputs, Attributes attributes = {});
  // Result 0 has codes of that type, which the graph holds in another.
  void hold_result(DType type) { importer_.hold(draft_.outputs.at(0), type); }
  // A node that gives result i of the operator, i > 0.
  Status give(size_t i, const std::string& op, std::vector<std::string> inputs, Attributes attributes = {});
  // The last node, which gives result 0.
  Status finish(const std::string& op, std::vector<std::string> inputs, Attributes attributes = {});

  // `add` and `finish` of a node in the form that files have, which reading changes: QuantizeLinear and
  // DequantizeLinear with their scale and zero point as operands.
  Result<std::string> add_as_read(const std::string& op, const std::string& part, std::vector<std::string> inputs,
                                  Attributes attributes = {});
  Status finish_as_read(const std::string& op, std::vector<std::string> inputs, Attributes attributes = {});

  // Reshape. A symbolic dimension stays where it is, or is the only one.
  Result<std::string> reshape(const std::string& part, const std::string& x, const Shape& to);
  Status finish_reshape(const std::string& x, const Shape& to);

 private:
  Result<std::string> target(const std::string& part, const std::string& x, const Shape& to);

  Importer& importer_;
  NodeDraft& draft_;
  std::string op_;
  Attributes attributes_;
};

// spell_volumes.cpp
bool is_volume_convolution(Importer& importer, const NodeDraft& draft);
bool is_volume_pooling(Importer& importer, const NodeDraft& draft);
Status spell_volume_convolution(Spelling& s);
Status spell_volume_pooling(Spelling& s);
// spell_functions.cpp
bool has_computed_bounds(Importer& importer, const NodeDraft& draft);  // Clip
bool is_of_doubles(Importer& importer, const NodeDraft& draft);
Status spell_clip(Spelling& s);
Status spell_softmax(Spelling& s);  // Softmax, LogSoftmax
Status spell_sigmoid(Spelling& s);
// spell_signal.cpp
Status spell_window(Spelling& s);  // HannWindow, HammingWindow, BlackmanWindow
Status spell_mel_weight_matrix(Spelling& s);
Status spell_dft(Spelling& s);
Status spell_stft(Spelling& s);
// spell_reductions.cpp
Status spell_reduction(Spelling& s);  // ReduceL1, ReduceL2, ReduceLogSum, ReduceLogSumExp, ReduceSumSquare
Status spell_sum(Spelling& s);
Status spell_mean(Spelling& s);
Status spell_hardmax(Spelling& s);
Status spell_lp_normalization(Spelling& s);
Status spell_lp_pool(Spelling& s);
Status spell_global_lp_pool(Spelling& s);
Status spell_mean_variance_normalization(Spelling& s);
Status spell_group_normalization(Spelling& s);
// spell_moves.cpp
Status spell_cast_like(Spelling& s);
Status spell_compress(Spelling& s);
Status spell_trilu(Spelling& s);
Status spell_center_crop_pad(Spelling& s);
Status spell_depth_to_space(Spelling& s);
Status spell_space_to_depth(Spelling& s);
Status spell_eye_like(Spelling& s);
Status spell_one_hot(Spelling& s);
Status spell_reverse_sequence(Spelling& s);
Status spell_affine_grid(Spelling& s);
// spell_data_sizes.cpp
Status spell_non_zero(Spelling& s);
Status spell_non_max_suppression(Spelling& s);
Status spell_unique(Spelling& s);
// spell_attention.cpp
Status spell_scaled_attention(Spelling& s);
Status spell_rotary_embedding(Spelling& s);
// spell_losses.cpp
Status spell_negative_log_likelihood(Spelling& s);
Status spell_softmax_cross_entropy(Spelling& s);
// spell_conv_transpose.cpp
Status spell_conv_transpose(Spelling& s);
Status spell_col2im(Spelling& s);
// spell_einsum.cpp
Status spell_einsum(Spelling& s);
// spell_qlinear.cpp: on codes
Status spell_qlinear_conv(Spelling& s);
Status spell_qlinear_matmul(Spelling& s);
Status spell_qgemm(Spelling& s);
Status spell_qlinear_binary(Spelling& s);
Status spell_qlinear_unary(Spelling& s);
Status spell_qlinear_pool(Spelling& s);
Status spell_qlinear_concat(Spelling& s);
Status spell_qlinear_softmax(Spelling& s);
Status spell_qlinear_where(Spelling& s);
// spell_quantization.cpp: QuantizeLinear and DequantizeLinear in operators on numbers
struct LinearSpelling {
  DType type;  // of the codes
  int64_t axis, block;
  bool saturate;  // to floats of 8 bits
};
Status spell_quantize_linear(Spelling& s, const LinearSpelling& how);
Status spell_dequantize_linear(Spelling& s, const LinearSpelling& how);
// spell_dynamic.cpp: what is quantized at run time
Status spell_dynamic_quantize_linear(Spelling& s);
Status spell_matmul_integer_to_float(Spelling& s);
Status spell_dynamic_quantize_matmul(Spelling& s);
// spell_blocks.cpp
Status spell_matmul_n_bits(Spelling& s);
// spell_transformer.cpp, spell_fused.cpp: com.microsoft
Status spell_fused_conv(Spelling& s);
Status spell_fused_gemm(Spelling& s);
Status spell_fused_matmul(Spelling& s);
Status spell_bias_gelu(Spelling& s);
Status spell_swish(Spelling& s);
Status spell_simplified_layer_normalization(Spelling& s);
Status spell_skip_normalization(Spelling& s);
Status spell_embed_layer_normalization(Spelling& s);
Status spell_attention(Spelling& s);
Status spell_multi_head_attention(Spelling& s);

}  // namespace cupel
