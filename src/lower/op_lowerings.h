// What has a compiled form: one row for each op, and the functions that rows name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lower/lowering.h"

namespace cupel {

// unsupported at a place that the caller knows, with the interpreter as the way out.
std::unexpected<Error> no_compiled_form(std::string cause);

// An elementwise node whose expression is asked for.
struct OperandsOfNode {
  Expressions& expressions;
  Draft& draft;
  const Node& node;
  const std::vector<Scalar>& operands;
  const Walk& walk;

  const Graph& graph() const { return expressions.graph(); }
  const TensorType& in(size_t i = 0) const { return graph().type(node.inputs[i]); }
  const TensorType& out() const { return graph().type(node.outputs[0]); }
};
using NodeExpression = Result<Scalar> (*)(const OperandsOfNode&);

// An element of 64 bits, as its low and its high half. Comparisons give 0 or 1 in the low one.
struct WideScalar {
  Scalar low = 0, high = 0;
};
using WideExpression = WideScalar (*)(std::span<const WideScalar>);

// How the rank-4 values of an op lie.
enum class ImageRule {
  alike,  // all in one order, whichever that is
  image,  // as images
  none,   // its operands tell nothing of its results
};

// A function that computes a node by steps, where `applies` (null: always).
struct Way {
  Status (*lower)(Lowering&, NodeId) = nullptr;
  bool (*applies)(const Graph&, const Node&) = nullptr;
};

struct OpLowering {
  const OpDef* op = nullptr;
  std::vector<Way> ways = {};           // the first that applies is taken
  NodeExpression expression = nullptr;  // of an elementwise op, inside any kernel
  WideExpression wide = nullptr;        // the same of elements of 64 bits (lower_wide)
  ImageRule images = ImageRule::alike;
  // Why there is no way. Ops that no graph has when it is lowered have neither a way nor a gap.
  std::string_view gap = {};
};

// The op's row; every row of op_table.def has one.
const OpLowering& lowering_of(const OpDef& op);
std::span<const OpLowering> all_lowerings();
// Computes the node by the first way that applies; unsupported when there is none.
Status lower_node(Lowering& l, NodeId id);

// Ways, one file for each form or family.
Status lower_conv(Lowering& l, NodeId id);
Status lower_depthwise(Lowering& l, NodeId id);
Status lower_grouped_conv(Lowering& l, NodeId id);
Status lower_gemm(Lowering& l, NodeId id);
Status lower_matmul(Lowering& l, NodeId id);
Status lower_product(Lowering& l, NodeId id);  // of any operands
Status lower_pool(Lowering& l, NodeId id);
Status lower_reduce(Lowering& l, NodeId id);
Status lower_arg_max(Lowering& l, NodeId id);
bool is_searched_by_kernels(const Graph& graph, const Node& node);  // by lower_arg_max
Status lower_softmax(Lowering& l, NodeId id);
Status lower_layer_normalization(Lowering& l, NodeId id);
Status lower_rms_normalization(Lowering& l, NodeId id);
Status lower_map(Lowering& l, NodeId id);
Status lower_wide(Lowering& l, NodeId id);
Status lower_identity(Lowering& l, NodeId id);  // the result lies where the operand does
Status lower_repeat(Lowering& l, NodeId id);
Status lower_transpose(Lowering& l, NodeId id);
Status lower_slice(Lowering& l, NodeId id);
Status lower_split(Lowering& l, NodeId id);
Status lower_reshape(Lowering& l, NodeId id);
Status lower_concat(Lowering& l, NodeId id);
Status lower_pad(Lowering& l, NodeId id);
Status lower_element(Lowering& l, NodeId id);  // Gather by one constant index
Status lower_gather(Lowering& l, NodeId id);   // Gather by constant indices
Status lower_gather_call(Lowering& l, NodeId id);
Status lower_routine(Lowering& l, NodeId id);  // a call of the op's routine on dense operands
Status lower_enlarge(Lowering& l, NodeId id);  // ResizeNearest by whole factors
bool repeats_elements(const Graph& graph, const Node& node);

Result<Scalar> express_quantize(const OperandsOfNode& n);
Result<Scalar> express_dequantize(const OperandsOfNode& n);
Result<Scalar> express_requantize(const OperandsOfNode& n);
Result<Scalar> express_add(const OperandsOfNode& n);
Result<Scalar> express_mul(const OperandsOfNode& n);
Result<Scalar> express_sub(const OperandsOfNode& n);
Result<Scalar> express_div(const OperandsOfNode& n);
Result<Scalar> express_pow(const OperandsOfNode& n);
Result<Scalar> express_prelu(const OperandsOfNode& n);
Result<Scalar> express_max(const OperandsOfNode& n);
Result<Scalar> express_min(const OperandsOfNode& n);
Result<Scalar> express_equal(const OperandsOfNode& n);
Result<Scalar> express_greater(const OperandsOfNode& n);
Result<Scalar> express_less(const OperandsOfNode& n);
Result<Scalar> express_greater_or_equal(const OperandsOfNode& n);
Result<Scalar> express_less_or_equal(const OperandsOfNode& n);
Result<Scalar> express_is_nan(const OperandsOfNode& n);
Result<Scalar> express_is_inf(const OperandsOfNode& n);
Result<Scalar> express_not(const OperandsOfNode& n);
Result<Scalar> express_and(const OperandsOfNode& n);
Result<Scalar> express_or(const OperandsOfNode& n);
Result<Scalar> express_xor(const OperandsOfNode& n);
Result<Scalar> express_where(const OperandsOfNode& n);
Result<Scalar> express_clip(const OperandsOfNode& n);
Result<Scalar> express_batch_normalization(const OperandsOfNode& n);
Result<Scalar> express_identity(const OperandsOfNode& n);
Result<Scalar> express_cast(const OperandsOfNode& n);  // where it is exact or rounds, and cannot fail
Result<Scalar> express_as_codes(const OperandsOfNode& n);
Result<Scalar> express_saturate(const OperandsOfNode& n);  // s8 or u8 given as numbers, taken for codes
Result<Scalar> express_unary(const OperandsOfNode& n);

WideScalar wide_add(std::span<const WideScalar> x);
WideScalar wide_sub(std::span<const WideScalar> x);
WideScalar wide_mul(std::span<const WideScalar> x);
WideScalar wide_max(std::span<const WideScalar> x);
WideScalar wide_min(std::span<const WideScalar> x);
WideScalar wide_equal(std::span<const WideScalar> x);
WideScalar wide_greater(std::span<const WideScalar> x);
WideScalar wide_less(std::span<const WideScalar> x);
WideScalar wide_greater_or_equal(std::span<const WideScalar> x);
WideScalar wide_less_or_equal(std::span<const WideScalar> x);
WideScalar wide_where(std::span<const WideScalar> x);

}  // namespace cupel
