// Concat: kernels write their results at once into slices of its result, where they can; other operands are copied.
#include <fmt/format.h>

#include <algorithm>

#include "lower/lowering.h"

namespace cupel {
namespace {

// Dimension of the item along which a Concat joins; −1 for the batch.
int64_t joined_dim(const Graph& graph, const Node& concat) {
  int64_t axis = attr_int(concat.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(graph.type(concat.outputs[0]).shape.size());
  return axis - 1;
}

bool same_codes(const TensorType& a, const TensorType& b) { return a.dtype == b.dtype && a.quant == b.quant; }

}  // namespace

std::optional<Lowering::Home> Lowering::concat_home(ValueId value, bool whole_blocks) const {
  // Among the Concats that read the value the longest, whose operands begin with those of all others.
  const auto& users = users_[static_cast<size_t>(value.index)];
  std::optional<NodeId> home;
  for (NodeId user : users) {
    const Node& node = graph_.node(user);
    if (node.op->name != "Concat" || taken(user)) continue;
    if (!home || node.inputs.size() > graph_.node(*home).inputs.size()) home = user;
  }
  if (!home || graph_.is_output(value)) return std::nullopt;
  const Node& concat = graph_.node(*home);
  if (std::count(concat.inputs.begin(), concat.inputs.end(), value) != 1) return std::nullopt;
  const TensorType &type = graph_.type(value), &joined = graph_.type(concat.outputs[0]);
  const bool equal = same_codes(type, joined), alone = users.size() == 1;
  if (!equal && (!alone || !type.quant || !type.quant->per_tensor() || !joined.quant->per_tensor()))
    return std::nullopt;
  for (NodeId user : users) {
    const Node& node = graph_.node(user);
    if (node.op->name != "Concat") continue;
    if (joined_dim(graph_, node) != joined_dim(graph_, concat) || !same_codes(graph_.type(node.outputs[0]), joined) ||
        !std::equal(node.inputs.begin(), node.inputs.end(), concat.inputs.begin()))
      return std::nullopt;
  }
  // Other readers than Concats find no halo of its own there.
  if (!alone && (!halo_for(value, HaloFill::zero).empty() || !halo_for(value, HaloFill::least).empty()))
    return std::nullopt;
  const bool image = images_[static_cast<size_t>(value.index)];
  const int64_t dim = joined_dim(graph_, concat);
  if (dim < 0 || image != images_[static_cast<size_t>(concat.outputs[0].index)]) return std::nullopt;
  const auto operand =
      static_cast<size_t>(std::find(concat.inputs.begin(), concat.inputs.end(), value) - concat.inputs.begin());
  // Blocks of 16 may end behind the slice only where nothing else lies.
  const Shape& shape = type.shape;
  const bool contiguous = image ? dim == 0 : dim + 2 == static_cast<int64_t>(shape.size());
  const int64_t extent = shape[static_cast<size_t>(dim) + 1].factor;
  if (whole_blocks && contiguous && extent % 16 != 0) {
    int64_t before = 0;
    for (size_t i = 0; i < operand; ++i)
      before += graph_.type(concat.inputs[i]).shape[static_cast<size_t>(dim) + 1].factor;
    const int64_t room = round_up(joined.shape[static_cast<size_t>(dim) + 1].factor, 16);
    if (operand + 1 != concat.inputs.size() || before + round_up(extent, 16) > room) return std::nullopt;
  }
  return Home{*home, operand};
}

Result<Placed> Lowering::concat_slice(NodeId id, size_t operand) {
  const Node& concat = graph_.node(id);
  const ValueId result = concat.outputs[0];
  auto found = concat_places_.find(result);
  if (found == concat_places_.end()) {
    Placed whole;
    if (const auto outer = concat_home(result, false);
        outer && same_codes(graph_.type(result), graph_.type(graph_.node(outer->concat).outputs[0]))) {
      whole = CUPEL_TRY(concat_slice(outer->concat, outer->operand));
    } else {
      whole = CUPEL_TRY(new_place(result, true));
    }
    found = concat_places_.emplace(result, std::move(whole)).first;
  }
  Placed slice = found->second;
  const auto dim = static_cast<size_t>(joined_dim(graph_, concat));
  for (size_t i = 0; i < operand; ++i)
    slice.layout.offset += graph_.type(concat.inputs[i]).shape[dim + 1].factor * slice.layout.strides[dim];
  slice.layout.dims = CUPEL_TRY(item_dims(graph_, batch_, concat.inputs[operand]));
  slice.halo = {};
  return slice;
}

Result<Placed> Lowering::result_place(ValueId value, bool whole_blocks, Scalar& x) {
  const auto home = concat_home(value, whole_blocks);
  if (!home) return new_place(value, whole_blocks);
  const Node& concat = graph_.node(home->concat);
  const TensorType &own = graph_.type(value), &joined = graph_.type(concat.outputs[0]);
  Placed place = CUPEL_TRY(concat_slice(home->concat, home->operand));
  if (!same_codes(own, joined)) {
    x = requantized(x, own, joined);
    place.requantized = true;
  }
  return place;
}

Status Lowering::lower_concat(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId result = node.outputs[0];
  const int64_t axis = joined_dim(graph_, node);
  if (axis < 0) return not_compiled("", "a concatenation along the batch");
  const auto dim = static_cast<size_t>(axis);
  // All operands one behind the other already, as the first operands of a longer Concat.
  std::vector<const Placed*> operands;
  for (ValueId operand : node.inputs)
    operands.push_back(graph_.value(operand).constant ? nullptr : CUPEL_TRY(place_of(operand)));
  if (!concat_places_.contains(result) && operands[0] != nullptr) {
    Placed view = *operands[0];
    bool joined = same_codes(graph_.type(node.inputs[0]), graph_.type(result));
    int64_t end = view.layout.offset;
    for (size_t i = 0; joined && i < operands.size(); ++i) {
      const Placed* p = operands[i];
      joined = p != nullptr && !p->requantized && same_codes(graph_.type(node.inputs[i]), graph_.type(result)) &&
               p->layout.buffer == view.layout.buffer && p->layout.strides == view.layout.strides &&
               p->layout.offset == end;
      if (joined) end += p->layout.dims[dim] * p->layout.strides[dim];
    }
    if (joined) {
      view.layout.dims = CUPEL_TRY(item_dims(graph_, batch_, result));
      view.halo = {};
      places_[result] = view;
      return {};
    }
  }
  size_t copies = 0, done = 0;
  std::vector<Placed> slices;
  std::vector<bool> in_place;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    slices.push_back(CUPEL_TRY(concat_slice(id, i)));
    const Placed* p = operands[i];
    in_place.push_back(p != nullptr && p->layout.buffer == slices[i].layout.buffer &&
                       p->layout.offset == slices[i].layout.offset && p->layout.strides == slices[i].layout.strides);
    copies += in_place.back() ? 0 : 1;
  }
  const Placed place = concat_places_.at(result);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (in_place[i]) continue;
    const ValueId operand = node.inputs[i];
    const Walk walk = walk_of(result, slices[i].layout.dims);
    Draft draft;
    draft.origins.insert(node.origin.begin(), node.origin.end());
    Scalar value = CUPEL_TRY(operand_scalar(draft, operand, walk));
    const TensorType &in = graph_.type(operand), &out = graph_.type(result);
    if (!same_codes(in, out)) value = requantized(value, in, out);
    MapSpec spec;
    spec.space = walk.space;
    spec.value = draft.expr.finish(value);
    for (Access& a : draft.operands) a.strides.resize(walk.space.size(), 0);
    spec.operands = draft.operands;
    spec.out = access(slices[i], walk);
    std::vector<int64_t> buffers = {place.layout.buffer};
    buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
    const bool last = ++done == copies;
    add_step({std::move(spec), MapSchedule{}}, std::move(buffers), draft.origins,
             last ? std::optional(result) : std::nullopt, last ? &place : nullptr);
  }
  places_[result] = place;
  return {};
}

}  // namespace cupel
