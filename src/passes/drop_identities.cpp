// drop_identities: nodes that give their operand unchanged go away: Identity, Dropout, a Cast to the same type, a
// Reshape, Squeeze, Unsqueeze, Flatten, Expand or Transpose that changes nothing, adding 0 or multiplying by 1 of the
// same shape.
//   %a = Identity(%x); %y = Relu(%a)     ->     %y = Relu(%x)
// A graph output that is a graph input, or the same value as another output, keeps its Identity.
#include <algorithm>
#include <set>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"

namespace cupel {
namespace {

bool all_equal(const Graph& graph, ValueId id, float value) {
  const auto& constant = graph.value(id).constant;
  if (!constant || constant->dtype() != DType::f32) return false;
  const auto elements = constant->data<float>();
  // −0 + x and 0 + x differ for x = −0: only −0 is neutral to addition; +0 is taken too since it changes no other
  // number.
  return std::all_of(elements.begin(), elements.end(), [&](float e) { return e == value; });
}

bool commutes(const Node& node) { return is(node, ops::kAdd) || is(node, ops::kMul); }
// The second operand that leaves the first as it is.
std::optional<float> neutral_number(const Node& node) {
  if (is(node, ops::kAdd) || is(node, ops::kSub)) return 0.0f;
  if (is(node, ops::kMul) || is(node, ops::kDiv)) return 1.0f;
  return std::nullopt;
}

// The operand the node repeats; an invalid id when it does something.
ValueId repeated(const Graph& graph, const Node& node) {
  if (node.inputs.empty() || !node.inputs[0].valid() || node.outputs.size() != 1) return {};
  const ValueId x = node.inputs[0];
  const TensorType &in = graph.type(x), &out = graph.type(node.outputs[0]);
  const bool same_type = in == out;
  if (is(node, ops::kIdentity) || is(node, ops::kDropout)) return x;
  if (is(node, ops::kConcat) && node.inputs.size() == 1 && same_type) return x;
  if (!same_type) {
    const std::optional<float> neutral = neutral_number(node);
    const bool beside = neutral && commutes(node) && graph.type(node.inputs[1]) == out && all_equal(graph, x, *neutral);
    return beside ? node.inputs[1] : ValueId{};
  }
  if (changes_shape(*node.op) || is(node, ops::kCast) || is(node, ops::kExpand)) return x;
  if (is(node, ops::kTranspose)) {
    const auto perm = attr_ints(node.attributes, "perm");
    bool straight = !perm.empty() || in.shape.size() < 2;
    for (size_t i = 0; i < perm.size(); ++i) straight = straight && perm[i] == static_cast<int64_t>(i);
    return straight ? x : ValueId{};
  }
  const std::optional<float> neutral = neutral_number(node);
  return neutral && all_equal(graph, node.inputs[1], *neutral) ? x : ValueId{};
}

}  // namespace

Result<Graph> run_drop_identities(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  // Where each value's content really comes from; outputs must stay distinct values that some node computes.
  std::vector<ValueId> source(graph.values().size());
  for (size_t i = 0; i < source.size(); ++i) source[i] = {static_cast<int32_t>(i)};
  std::set<ValueId> taken(graph.inputs().begin(), graph.inputs().end());
  for (ValueId id : graph.outputs()) taken.insert(id);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const ValueId operand = repeated(graph, node);
    if (!operand.valid()) continue;
    const ValueId from = source[static_cast<size_t>(operand.index)], result = node.outputs[0];
    if (graph.is_output(result) && (taken.contains(from) || graph.value(from).constant)) continue;
    if (graph.is_output(result)) taken.insert(from);
    source[static_cast<size_t>(result.index)] = from;
    patch.begin_edit();
    patch.remove({static_cast<int32_t>(n)});
    patch.replace(result, operand);
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
