// QuantPlan: which values become codes, with which parameters, and why the other nodes stay in float.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "ir/patch.h"
#include "quant/calibrate.h"

namespace cupel {

// What selection decides before any range is known.
struct Selection {
  std::vector<ValueId> activations;         // f32 values to quantize per tensor, in order of computation
  std::vector<NodeId> contractions;         // whose weights (and bias) become codes
  std::vector<NodeId> others;               // nodes between them that become ops on codes
  std::map<std::string, std::string> kept;  // node name → why it stays in float
};

// Constant weights, s8, symmetric, one scale for each index of `axis`: one set of codes for every contraction that
// reads them with that axis as its output channels.
struct WeightPlan {
  ValueId weights;
  int64_t axis;
  std::vector<float> scale;
  std::vector<NodeId> nodes;
};

struct QuantPlan {
  std::map<ValueId, QuantParams> activations;  // u8
  std::vector<WeightPlan> weights;
  std::map<std::string, std::string> kept;
};

// Contractions run on integers; so do Add, Mul, pooling, Concat and unary functions that lie between integer ops:
// something integer needs their result and what feeds them can be codes. Ops that move codes follow their operand.
// Nodes of `in_float` stay in float, and what would be codes for their sake alone.
Selection select_values(const Graph& graph, const std::set<NodeId>& in_float = {});
// One of the nodes that select_values names, alone: its operands become codes, which all their readers then read, and
// its result where that is part of its integer form.
Selection select_only(const Graph& graph, NodeId node);

// Parameters from ranges (docs/quantization.md 5). bad_input when weights are not finite.
Result<QuantPlan> choose_parameters(const Graph& graph, const Selection& selection, const Ranges& ranges);

// The Graph with Q/DQ nodes that the plan describes, in stage quantized.
Result<Graph> apply_plan(const Graph& graph, const QuantPlan& plan);

// Whether the node gives the same whether numbers or their codes are moved: ops of rule `same`, but for a Pad that
// inserts a number other than 0.
bool moves_codes_exactly(const Graph& graph, const Node& node);

// The same, where ONNX allows codes as operand of the op in the opset of the file that will be written.
bool moves_codes_in_file(const Graph& graph, const Node& node);

// Adds to the patch's edit the node, which moves codes exactly, on `codes` instead of its operand 0: its results, under
// these names, are codes of `type` (whose shape is not read).
std::vector<ValueId> add_on_codes(Patch& patch, const Node& node, ValueId codes, const TensorType& type,
                                  std::vector<std::string> names);

// Relu, Clip: behind a quantized op the saturation of its codes can do the same.
bool is_clamp(const Node& node);

// u8 parameters for the range [min, max].
QuantParams activation_params(Range range);

}  // namespace cupel
