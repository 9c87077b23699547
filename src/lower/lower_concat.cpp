// Concat: kernels write their results at once into slices of its result, where they can; other operands are copied.
#include "lower/finish.h"
#include "lower/op_lowerings.h"

namespace cupel {
namespace {

// The place of the whole, where all operands lie one behind the other already, as the first operands of a longer
// Concat; nullopt otherwise. An operand that is a constant has no place.
std::optional<Placed> joined_operands(const Graph& graph, const Node& node, size_t dim,
                                      std::span<const std::optional<Placed>> operands) {
  if (!operands[0]) return std::nullopt;
  const TensorType& type = graph.type(node.outputs[0]);
  const ValueLayout& first = operands[0]->layout;
  int64_t end = first.offset;
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i] || operands[i]->requantized || !same_codes(graph.type(node.inputs[i]), type)) return std::nullopt;
    const ValueLayout& l = operands[i]->layout;
    if (l.buffer != first.buffer || l.strides != first.strides || l.offset != end) return std::nullopt;
    end += l.dims[dim] * l.strides[dim];
  }
  return operands[0];
}

// The step that writes an operand into its slice. Its result is that of the Concat, at `place`, where that is not null.
Status copy_operand(Lowering& l, const Node& node, ValueId operand, const Placed& slice, const Placed* place) {
  const ValueId result = node.outputs[0];
  const Walk walk = l.places.walk_of(result, slice.layout.dims);
  if (!is_read_as_number(l.graph.type(result).dtype)) {
    const Placed from = CUPEL_TRY(l.places.at(operand));
    add_copy(l, node, walk.space, l.places.access(from, walk), l.places.access(slice, walk),
             {slice.layout.buffer, from.layout.buffer}, place);
    return {};
  }
  Draft draft;
  draft.origins = origins_of(node);
  Scalar value = CUPEL_TRY(l.expressions.operand(draft, operand, walk));
  const TensorType &in = l.graph.type(operand), &out = l.graph.type(result);
  if (!same_codes(in, out)) value = requantized(value, in, out);
  MapSpec spec;
  spec.space = walk.space;
  spec.value = draft.expr.finish(value);
  spec.operands = draft.take_operands(walk.space.size());
  spec.out = l.places.access(slice, walk);
  l.steps.add({std::move(spec), MapSchedule{}}, draft.buffers({slice.layout.buffer}), draft.origins,
              place ? std::optional(result) : std::nullopt, place);
  return {};
}

}  // namespace

Status lower_concat(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId result = node.outputs[0];
  const size_t axis = joined_dim(l.graph, node);
  if (l.facts.is_batch(result, static_cast<int64_t>(axis))) return no_compiled_form("a concatenation along the batch");
  std::vector<std::optional<Placed>> operands;
  for (ValueId operand : node.inputs) {
    operands.emplace_back();
    const auto& constant = l.graph.value(operand).constant;
    if (!constant) operands.back() = CUPEL_TRY(l.places.at(operand));
    // Its leading dimension is that of the result: a batch of constant size.
    if (constant && l.facts.is_batched(result) && constant->dims()[0] != 1)
      return no_compiled_form("a concatenation with a constant for each item");
  }
  if (!l.places.concat(result)) {
    if (auto view = joined_operands(l.graph, node, axis, operands)) {
      view->layout.dims = CUPEL_TRY(l.facts.item_dims(result));
      view->halo = {};
      l.places.set(result, *view);
      return {};
    }
  }
  std::vector<std::pair<ValueId, Placed>> copies;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (l.facts.is_empty(node.inputs[i])) continue;
    const Placed slice = CUPEL_TRY(l.places.concat_slice(id, i));
    const bool in_place = operands[i] && operands[i]->layout.buffer == slice.layout.buffer &&
                          operands[i]->layout.offset == slice.layout.offset &&
                          operands[i]->layout.strides == slice.layout.strides;
    if (!in_place) copies.emplace_back(node.inputs[i], slice);
  }
  const Placed place = *l.places.concat(result);
  for (size_t i = 0; i < copies.size(); ++i)
    CUPEL_TRY(copy_operand(l, node, copies[i].first, copies[i].second, i + 1 == copies.size() ? &place : nullptr));
  l.places.set(result, place);
  return {};
}

}  // namespace cupel
