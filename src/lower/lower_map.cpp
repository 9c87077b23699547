// Elementwise ops that no kernel before them absorbed, and views: Transpose, Slice, Split, and what changes the shape.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lower/finish.h"
#include "lower/op_lowerings.h"

namespace cupel {

Status lower_map(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId own = node.outputs[0];
  const Walk walk = l.places.walk_of(own, CUPEL_TRY(l.facts.item_dims(own)));
  const Absorbed behind = l.absorption.behind(id, own);
  Draft draft;
  // One operand of the result's shape beside constants: the whole kernel is a function of it, and perhaps a table.
  std::set<ValueId> placed;
  for (ValueId operand : node.inputs)
    if (operand.valid() && l.places.has(operand)) placed.insert(operand);
  Scalar value = 0.0f;
  if (placed.size() == 1 && l.graph.type(*placed.begin()).shape == l.graph.type(own).shape) {
    Absorbed nodes = {id};
    nodes.insert(nodes.end(), behind.begin(), behind.end());
    const Scalar x = CUPEL_TRY(l.expressions.operand(draft, *placed.begin(), walk));
    value = CUPEL_TRY(l.expressions.of_nodes(draft, *placed.begin(), x, nodes, walk));
  } else {
    std::vector<Scalar> operands;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const bool reads = node.inputs[i].valid() && static_cast<int>(i) < node.op->parameters_from;
      operands.push_back(reads ? CUPEL_TRY(l.expressions.operand(draft, node.inputs[i], walk)) : Scalar(0.0f));
    }
    const Scalar first = CUPEL_TRY(l.expressions.of_node(draft, node, operands, walk));
    value = CUPEL_TRY(l.expressions.of_nodes(draft, own, first, behind, walk));
  }
  return finish_map(l, draft, value, l.absorption.take(id, behind, own, draft), walk);
}

namespace {

// The result of an Expand whose elements are moved alone.
Status copy_spread(Lowering& l, const Node& node, const Walk& walk) {
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0])), place = CUPEL_TRY(l.places.fresh(node.outputs[0], false));
  add_copy(l, node, walk.space, l.places.access(from, walk), l.places.access(place, walk),
           {place.layout.buffer, from.layout.buffer}, &place);
  l.places.set(node.outputs[0], place);
  return {};
}

}  // namespace

// Expand and its kind: the operand at the result's coordinates; what else they read says nothing but a shape.
Status lower_repeat(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId own = node.outputs[0];
  const Walk walk = l.places.walk_of(own, CUPEL_TRY(l.facts.item_dims(own)));
  if (!is_read_as_number(l.graph.type(own).dtype)) return copy_spread(l, node, walk);
  const Absorbed behind = l.absorption.behind(id, own);
  Draft draft;
  const Scalar x = CUPEL_TRY(l.expressions.operand(draft, node.inputs[0], walk));
  const Scalar value = CUPEL_TRY(l.expressions.of_nodes(draft, own, x, behind, walk));
  return finish_map(l, draft, value, l.absorption.take(id, behind, own, draft), walk);
}

namespace {

int64_t rank_of(const Graph& graph, ValueId v) { return static_cast<int64_t>(graph.type(v).shape.size()); }

// Integers of operand i, where they are known.
const std::vector<Dim>* known_operand(const Graph& graph, const Node& node, size_t i) {
  return i < node.inputs.size() && node.inputs[i].valid() && graph.value(node.inputs[i]).contents
             ? &*graph.value(node.inputs[i]).contents
             : nullptr;
}

// The result of a Reshape written from the operand's elements; `write`: its strides over the operand's dimensions.
Status copy_reshaped(Lowering& l, const Node& node, const Placed& from, const std::vector<int64_t>& write) {
  const Placed place = CUPEL_TRY(l.places.fresh(node.outputs[0], false));
  // In the order of the written bytes.
  std::vector<size_t> order(write.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return write[a] > write[b]; });
  Dims space;
  Access read = l.steps.first_element(from.layout), out = l.steps.first_element(place.layout);
  for (size_t d : order) {
    space.push_back(from.layout.dims[d]);
    read.strides.push_back(from.layout.strides[d]);
    out.strides.push_back(write[d]);
  }
  add_copy(l, node, std::move(space), std::move(read), std::move(out), {place.layout.buffer, from.layout.buffer},
           &place);
  l.places.set(node.outputs[0], place);
  return {};
}

// A view of other bytes has no halo of its own.
Placed view_of(const Placed& from) { return {.layout = from.layout}; }

}  // namespace

Status lower_identity(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  l.places.set(node.outputs[0], CUPEL_TRY(l.places.at(node.inputs[0])));
  return {};
}

Status lower_transpose(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0]));
  std::vector<int64_t> perm = attr_ints(node.attributes, "perm");
  if (perm.empty())
    for (int64_t d = rank_of(l.graph, node.inputs[0]); d-- > 0;) perm.push_back(d);
  if (!perm.empty() && perm[0] != 0 && l.facts.is_batched(node.inputs[0]))
    return no_compiled_form("a transpose that moves the batch");
  Placed view = view_of(from);
  for (size_t d = 0; d < perm.size(); ++d) {
    view.layout.dims[d] = from.layout.dims[static_cast<size_t>(perm[d])];
    view.layout.strides[d] = from.layout.strides[static_cast<size_t>(perm[d])];
  }
  l.places.set(node.outputs[0], view);
  return {};
}

Status lower_slice(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0]));
  Placed view = view_of(from);
  view.layout.dims = CUPEL_TRY(l.facts.item_dims(node.outputs[0]));
  const auto *starts = known_operand(l.graph, node, 1), *axes = known_operand(l.graph, node, 3),
             *steps = known_operand(l.graph, node, 4);
  if (!starts) return no_compiled_form("a slice with bounds computed at run time");
  bool backwards = false;
  for (size_t a = 0; a < starts->size(); ++a) {
    int64_t axis = axes ? (*axes)[a].factor : static_cast<int64_t>(a);
    if (axis < 0) axis += rank_of(l.graph, node.inputs[0]);
    int64_t step = steps ? (*steps)[a].factor : 1;
    if (l.facts.is_batch(node.inputs[0], axis)) {
      if (l.graph.type(node.inputs[0]).shape[0] != l.graph.type(node.outputs[0]).shape[0] || step != 1)
        return no_compiled_form("a slice of the batch");
      continue;
    }
    const auto d = static_cast<size_t>(axis);
    const int64_t extent = from.layout.dims[d];
    int64_t start = (*starts)[a].factor;
    if (start < 0) start += extent;
    start = std::clamp<int64_t>(start, 0, step < 0 ? extent - 1 : extent);
    view.layout.offset += start * from.layout.strides[d];
    step = std::clamp(step, -extent - 1, extent + 1);  // a longer one takes the same single index
    view.layout.strides[d] *= step;
    backwards |= step < 0;
  }
  // Readers of a place count on strides above 0.
  l.places.set(node.outputs[0], backwards ? l.places.dense_copy(node.outputs[0], view) : view);
  return {};
}

Status lower_split(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  Placed view = view_of(CUPEL_TRY(l.places.at(node.inputs[0])));
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += rank_of(l.graph, node.inputs[0]);
  if (l.facts.is_batch(node.inputs[0], axis)) return no_compiled_form("a split of the batch");
  const auto d = static_cast<size_t>(axis);
  for (ValueId part : node.outputs) {
    view.layout.dims = CUPEL_TRY(l.facts.item_dims(part));
    l.places.set(part, view);
    view.layout.offset += view.layout.dims[d] * view.layout.strides[d];
  }
  return {};
}

// The row-major order of elements stays.
Status lower_reshape(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0]));
  Placed view = view_of(from);
  view.layout.dims = CUPEL_TRY(l.facts.item_dims(node.outputs[0]));
  auto strides = reshaped_strides(from.layout.dims, from.layout.strides, view.layout.dims);
  if (!strides) {
    // Copied at once to where the result's readers want it, if its elements lie there at constant distances in the
    // operand's dimensions.
    const ValueLayout planned = CUPEL_TRY(l.places.planned(node.outputs[0], false)).place.layout;
    const auto write = reshaped_strides(planned.dims, planned.strides, from.layout.dims);
    if (write && !from.layout.dims.empty()) return copy_reshaped(l, node, from, *write);
    const Placed dense = CUPEL_TRY(l.places.dense(node.inputs[0]));
    view.layout.buffer = dense.layout.buffer;
    view.layout.offset = dense.layout.offset;
    strides = reshaped_strides(dense.layout.dims, dense.layout.strides, view.layout.dims);
  }
  view.layout.strides = *strides;
  l.places.set(node.outputs[0], view);
  return {};
}

}  // namespace cupel
