// What contractions with constant weights share: packed weights, bias and requantization, the finished step.
#pragma once

#include <span>
#include <vector>

#include "kernel/packing.h"
#include "lower/lowering.h"

namespace cupel {

// Over the weights of one column, as distances from their zero point: their sum, and that of their magnitudes.
struct WeightSum {
  int64_t sum = 0, magnitude = 0;
  void add(int64_t weight) {
    sum += weight;
    magnitude += weight < 0 ? -weight : weight;
  }
};

// Weights as they are multiplied, [columns][K]: codes minus their zero point, the sums of them by column. Where some
// distance passes 8 bits each row is several rows of K behind each other, whose sum it is: [columns][parts·K].
struct CenteredWeights {
  Tensor codes;  // s8
  std::vector<WeightSum> sums = {};
};
CenteredWeights centered_weights(const Tensor& rows, const TensorType& type);

// What becomes of the integer sums of a contraction of codes, column by column: `starts` of the accumulators (bias,
// less what the operand's zero point adds), `multipliers` of the sums, and a bound of |sum · multiplier| over all
// columns.
struct SumScaling {
  std::vector<int32_t> starts;
  std::vector<float> multipliers;
  double reach = 0;
};
// Types of operand, weights and result (numbers or codes); the bias, or null, has one element for each column or one.
SumScaling sum_scaling(const TensorType& x, const TensorType& w, const TensorType& y, const Tensor* bias,
                       std::span<const WeightSum> weights);

// The operand of that index where it is there; null otherwise, and for a constant operand its tensor.
inline bool has_operand(const Node& node, size_t i) { return node.inputs.size() > i && node.inputs[i].valid(); }
inline const Tensor* constant_operand(const Graph& graph, const Node& node, size_t i) {
  return has_operand(node, i) && graph.value(node.inputs[i]).constant ? &*graph.value(node.inputs[i]).constant
                                                                      : nullptr;
}

// unsupported unless the node is a convolution over images.
Status expect_convolution(const Graph& graph, const Node& node);
// [output channels][taps · channels of a group] of a convolution's weights.
Tensor rows_of_weights(const Tensor& weights);

// A contraction whose operands are laid out: what is left is bias, requantization, absorbed nodes and the step itself.
struct Contraction {
  Walk walk;
  ContractSpec spec = {};
  int64_t a_buffer = -1, b_buffer = -1;
  int64_t columns = 0;
  std::vector<WeightSum> weight_sums = {};  // per column; codes only
  bool padded = false;                      // a convolution of which some window reads padding
  bool scales = false;                      // a Gemm with alpha or beta other than 1
};
Status finish_contraction(Lowering& l, NodeId id, Contraction c);

// The buffer of the packed weights of a constant operand [columns][steps·run], which `spec` reads from now on. Weights
// that are several parts add the outermost loop over them, which reads the same elements of the other operand again.
int64_t pack_weights(Lowering& l, const Tensor& rows, const TensorType& type, int64_t run, ContractSpec& spec,
                     std::vector<WeightSum>& sums, int64_t groups);

// The same for weights [columns, channels of a group, height, width] and a bias [columns] that are computed at run time
// (numbers): buffers in the arena which maps fill, and what `spec` or `start` (over a space of that rank) reads of
// them.
Result<int64_t> pack_computed_weights(Lowering& l, const Node& node, ContractSpec& spec, int64_t groups);
Result<int64_t> pack_computed_taps(Lowering& l, const Node& node, WindowSpec& spec);  // one channel for each column
Result<int64_t> computed_starts(Lowering& l, const Node& node, Access& start, size_t rank, int64_t groups);

}  // namespace cupel
