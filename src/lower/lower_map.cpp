// Elementwise ops that no kernel before them absorbed, and views.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lower/lowering.h"

namespace cupel {

Status Lowering::finish_map(Draft& draft, Scalar value, ValueId result, const Walk& walk) {
  MapSpec spec;
  spec.space = walk.space;
  const Placed place = CUPEL_TRY(result_place(result, false, value));
  spec.value = draft.expr.finish(value);
  spec.out = access(place, walk);
  for (Access& a : draft.operands) a.strides.resize(walk.space.size(), 0);
  spec.operands = std::move(draft.operands);
  std::vector<int64_t> buffers = {place.layout.buffer};
  buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
  add_step({std::move(spec), MapSchedule{}}, std::move(buffers), draft.origins, result, &place);
  places_[result] = place;
  return {};
}

Status Lowering::lower_map(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId own = node.outputs[0];
  const Dims dims = CUPEL_TRY(item_dims(graph_, batch_, own));
  const Walk walk = walk_of(own, dims);
  // Operands behind the first that say nothing but a shape.
  const bool repeats = node.op->name == "Expand" || node.op->name == "ExpandBatch";
  const Absorbed behind = absorbable(id, own);
  Draft draft;
  // One operand of the result's shape beside constants: the whole kernel is a function of it, and perhaps a table.
  std::set<ValueId> placed;
  for (ValueId operand : node.inputs)
    if (operand.valid() && places_.contains(operand)) placed.insert(operand);
  Scalar value = 0.0f;
  if (!repeats && placed.size() == 1 && graph_.type(*placed.begin()).shape == graph_.type(own).shape) {
    Absorbed nodes = {id};
    nodes.insert(nodes.end(), behind.begin(), behind.end());
    const Scalar x = CUPEL_TRY(operand_scalar(draft, *placed.begin(), walk));
    value = CUPEL_TRY(absorb(draft, *placed.begin(), x, nodes, walk));
  } else {
    std::vector<Scalar> operands;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].valid() || (i > 0 && (repeats || reads_constants(node)))) {
        operands.push_back(0.0f);
      } else {
        operands.push_back(CUPEL_TRY(operand_scalar(draft, node.inputs[i], walk)));
      }
    }
    const Scalar first = repeats ? operands[0] : CUPEL_TRY(node_expression(draft, node, operands, walk));
    value = CUPEL_TRY(absorb(draft, own, first, behind, walk));
  }
  const ValueId result = take(id, behind, own, draft);
  return finish_map(draft, value, result, walk);
}

Status Lowering::copy_reshaped(NodeId id, const Placed& from, const std::vector<int64_t>& write) {
  const Node& node = graph_.node(id);
  const Placed place = CUPEL_TRY(new_place(node.outputs[0], false));
  // In the order of the written bytes.
  std::vector<size_t> order(write.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return write[a] > write[b]; });
  const auto& buffers = lowered_.program.buffers;
  const auto item_bytes = [&](int64_t buffer) { return buffers[static_cast<size_t>(buffer)].item_bytes; };
  MapSpec spec;
  Access read{from.layout.dtype, false, from.layout.offset, item_bytes(from.layout.buffer), {}};
  spec.out = {from.layout.dtype, false, place.layout.offset, item_bytes(place.layout.buffer), {}};
  for (size_t d : order) {
    spec.space.push_back(from.layout.dims[d]);
    read.strides.push_back(from.layout.strides[d]);
    spec.out.strides.push_back(write[d]);
  }
  spec.operands = {std::move(read)};
  ExprBuilder b;
  spec.value = b.finish(b.operand(0, from.layout.dtype));
  const std::set<std::string> origins(node.origin.begin(), node.origin.end());
  add_step({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer}, origins, node.outputs[0],
           &place);
  places_[node.outputs[0]] = place;
  return {};
}

Status Lowering::lower_view(NodeId id) {
  const Node& node = graph_.node(id);
  const std::string_view op = node.op->name;
  Placed from = *CUPEL_TRY(place_of(node.inputs[0]));
  Placed view;
  view.layout = from.layout;
  const auto known = [&](size_t i) -> const std::vector<Dim>* {
    return i < node.inputs.size() && node.inputs[i].valid() && graph_.value(node.inputs[i]).contents
               ? &*graph_.value(node.inputs[i]).contents
               : nullptr;
  };
  const auto rank = static_cast<int64_t>(graph_.type(node.inputs[0]).shape.size());
  if (op == "Transpose") {
    std::vector<int64_t> perm = attr_ints(node.attributes, "perm");
    if (perm.empty())
      for (int64_t d = rank; d-- > 0;) perm.push_back(d);
    if (perm[0] != 0) return not_compiled("", "a transpose that moves the batch");
    for (size_t d = 1; d < perm.size(); ++d) {
      view.layout.dims[d - 1] = from.layout.dims[static_cast<size_t>(perm[d]) - 1];
      view.layout.strides[d - 1] = from.layout.strides[static_cast<size_t>(perm[d]) - 1];
    }
    places_[node.outputs[0]] = view;
    return {};
  }
  if (op == "Gather") {
    const auto* index = known(1);
    int64_t axis = attr_int(node.attributes, "axis", 0);
    if (axis < 0) axis += rank;
    if (axis == 0) return not_compiled("", "a Gather from the batch has no compiled form yet");
    if (!index || !graph_.type(node.inputs[1]).shape.empty()) return lower_gather(id, static_cast<size_t>(axis) - 1);
    const auto d = static_cast<size_t>(axis) - 1;
    const int64_t at = (*index)[0].factor < 0 ? (*index)[0].factor + from.layout.dims[d] : (*index)[0].factor;
    if (at < 0 || at >= from.layout.dims[d])
      return bad_input("",
                       fmt::format("index {} is outside dimension {} of {}", (*index)[0].factor, axis,
                                   to_text(graph_.type(node.inputs[0]).shape)),
                       "correct the model");
    view.layout.offset += at * from.layout.strides[d];
    view.layout.dims.erase(view.layout.dims.begin() + static_cast<int64_t>(d));
    view.layout.strides.erase(view.layout.strides.begin() + static_cast<int64_t>(d));
    places_[node.outputs[0]] = view;
    return {};
  }
  if (op == "Slice" || op == "Split") {
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      view.layout = from.layout;
      view.layout.dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[i]));
      if (op == "Split") {
        int64_t axis = attr_int(node.attributes, "axis", 0);
        if (axis < 0) axis += rank;
        if (axis == 0) return not_compiled("", "a split of the batch");
        int64_t before = 0;
        for (size_t j = 0; j < i; ++j) before += graph_.type(node.outputs[j]).shape[static_cast<size_t>(axis)].factor;
        view.layout.offset += before * from.layout.strides[static_cast<size_t>(axis) - 1];
      } else {
        const auto *starts = known(1), *axes = known(3), *steps = known(4);
        if (!starts) return not_compiled("", "a slice with bounds computed at run time");
        for (size_t a = 0; a < starts->size(); ++a) {
          int64_t axis = axes ? (*axes)[a].factor : static_cast<int64_t>(a);
          if (axis < 0) axis += rank;
          int64_t step = steps ? (*steps)[a].factor : 1;
          if (axis == 0 && view.layout.dims.size() == from.layout.dims.size() && step == 1 && (*starts)[a] == Dim(0))
            continue;
          if (axis == 0 || step < 1) return not_compiled("", "a slice of the batch or with a negative step");
          const int64_t extent = from.layout.dims[static_cast<size_t>(axis) - 1];
          int64_t start = (*starts)[a].factor;
          start = std::clamp<int64_t>(start < 0 ? start + extent : start, 0, extent);
          view.layout.offset += start * from.layout.strides[static_cast<size_t>(axis) - 1];
          step = std::min(step, extent + 1);  // a longer one takes the same single index
          view.layout.strides[static_cast<size_t>(axis) - 1] *= step;
        }
      }
      places_[node.outputs[i]] = view;
    }
    return {};
  }
  // Reshape, Flatten, Squeeze, Unsqueeze keep the row-major order of elements.
  view.layout.dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  auto strides = reshaped_strides(from.layout.dims, from.layout.strides, view.layout.dims);
  // Copied at once to where the result's readers want it, if its elements lie there at constant distances in the
  // operand's dimensions.
  int64_t item_bytes = 0;
  const Placed planned = CUPEL_TRY(planned_place(node.outputs[0], false, item_bytes));
  if (const auto write = reshaped_strides(planned.layout.dims, planned.layout.strides, from.layout.dims);
      !strides && write && !from.layout.dims.empty())
    return copy_reshaped(id, from, *write);
  if (!strides) {
    BufferShape dense;
    dense.strides.resize(from.layout.dims.size());
    int64_t stride = element_bytes(from.layout.dtype);
    for (size_t d = from.layout.dims.size(); d-- > 0; stride *= from.layout.dims[d]) dense.strides[d] = stride;
    dense.item_bytes = round_up(stride, 64);
    from = CUPEL_TRY(copied(node.inputs[0], from, dense, {}, HaloFill::zero));
    view.layout.buffer = from.layout.buffer;
    view.layout.offset = from.layout.offset;
    strides = reshaped_strides(from.layout.dims, from.layout.strides, view.layout.dims);
  }
  view.layout.strides = *strides;
  places_[node.outputs[0]] = view;
  return {};
}

}  // namespace cupel
