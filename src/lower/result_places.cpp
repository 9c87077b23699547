// Where results lie: at once in the slice of a Concat's result that they become, where they can.
#include <algorithm>

#include "lower/places.h"
#include "ops/op_table.h"

namespace cupel {

size_t joined_dim(const Graph& graph, const Node& concat) {
  int64_t axis = attr_int(concat.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(graph.type(concat.outputs[0]).shape.size());
  return static_cast<size_t>(axis);
}

std::optional<Places::Home> Places::home_of(ValueId value, bool whole_blocks) const {
  // Among the Concats that read the value the longest, whose operands begin with those of all others.
  const auto& users = facts_.users_of(value);
  std::optional<NodeId> home;
  for (NodeId user : users) {
    const Node& node = graph_.node(user);
    if (!is(node, ops::kConcat) || facts_.is_taken(user)) continue;
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
    if (!is(node, ops::kConcat)) continue;
    if (joined_dim(graph_, node) != joined_dim(graph_, concat) || !same_codes(graph_.type(node.outputs[0]), joined) ||
        !std::equal(node.inputs.begin(), node.inputs.end(), concat.inputs.begin()))
      return std::nullopt;
  }
  // Other readers than Concats find no halo of its own there.
  if (!alone && (!halo_for(value, HaloFill::zero).empty() || !halo_for(value, HaloFill::least).empty()))
    return std::nullopt;
  const bool image = facts_.is_image(value);
  const size_t dim = joined_dim(graph_, concat);
  if (facts_.is_batch(concat.outputs[0], static_cast<int64_t>(dim)) || image != facts_.is_image(concat.outputs[0]))
    return std::nullopt;
  const auto operand =
      static_cast<size_t>(std::find(concat.inputs.begin(), concat.inputs.end(), value) - concat.inputs.begin());
  // Blocks of 16 may end behind the slice only where nothing else lies.
  const Shape& shape = type.shape;
  const bool contiguous = image ? dim == 1 : dim + 1 == shape.size();
  const int64_t extent = shape[dim].factor;
  if (whole_blocks && contiguous && extent % 16 != 0) {
    int64_t before = 0;
    for (size_t i = 0; i < operand; ++i) before += graph_.type(concat.inputs[i]).shape[dim].factor;
    const int64_t room = round_up(joined.shape[dim].factor, 16);
    if (operand + 1 != concat.inputs.size() || before + round_up(extent, 16) > room) return std::nullopt;
  }
  return Home{*home, operand};
}

const Placed* Places::concat(ValueId result) const {
  const auto found = concat_places_.find(result);
  return found == concat_places_.end() ? nullptr : &found->second;
}

Result<Placed> Places::concat_slice(NodeId id, size_t operand) {
  const Node& concat = graph_.node(id);
  const ValueId result = concat.outputs[0];
  auto found = concat_places_.find(result);
  if (found == concat_places_.end()) {
    Placed whole;
    if (const auto outer = home_of(result, false);
        outer && same_codes(graph_.type(result), graph_.type(graph_.node(outer->concat).outputs[0]))) {
      whole = CUPEL_TRY(concat_slice(outer->concat, outer->operand));
    } else {
      whole = CUPEL_TRY(fresh(result, true));
    }
    found = concat_places_.emplace(result, std::move(whole)).first;
  }
  Placed slice = found->second;
  const size_t dim = joined_dim(graph_, concat);
  for (size_t i = 0; i < operand; ++i)
    slice.layout.offset += graph_.type(concat.inputs[i]).shape[dim].factor * slice.layout.strides[dim];
  slice.layout.dims = CUPEL_TRY(facts_.item_dims(concat.inputs[operand]));
  slice.halo = {};
  return slice;
}

Result<Placed> Places::for_result(ValueId value, bool whole_blocks) {
  const auto home = home_of(value, whole_blocks);
  if (!home) return fresh(value, whole_blocks);
  const Node& concat = graph_.node(home->concat);
  const TensorType& joined = graph_.type(concat.outputs[0]);
  Placed place = CUPEL_TRY(concat_slice(home->concat, home->operand));
  if (!same_codes(graph_.type(value), joined)) place.requantized = joined;
  return place;
}

Result<Placed> Places::for_channels(ValueId value, int dim) {
  Placed place = CUPEL_TRY(planned(value, true)).place;
  const Dims dims = place.layout.dims;
  const int64_t elem = element_bytes(place.layout.dtype);
  const auto channels = static_cast<size_t>(dim);
  if (dim < 0 || dims[channels] == 1 || place.layout.strides[channels] == elem) return for_result(value, true);
  // Dimensions behind the channels have extent 1.
  BufferShape shape = shape_along(place.layout.dtype, dims, channels);
  place = {.layout = {.dtype = place.layout.dtype, .dims = dims, .strides = std::move(shape.strides)}};
  place.layout.buffer = steps_.add_buffer(graph_.value(value).name, BufferPlace::arena, shape.item_bytes);
  return place;
}

}  // namespace cupel
