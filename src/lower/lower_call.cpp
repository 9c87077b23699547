// What becomes a call of the runtime: Gather by indices that are known at run time, or by many that form no runs.
#include <fmt/format.h>

#include <algorithm>

#include "kernel/routines.h"
#include "lower/op_lowerings.h"
#include "lower/schedule.h"

namespace cupel {
namespace {

// What a call reads: an access whose strides belong to `dims`.
struct Source {
  Access access;
  Dims dims;
  int64_t buffer = -1;
};

// `own_dims`: if it is a constant, none of its dimensions are the batch.
Result<Source> source_of(Lowering& l, ValueId v, bool own_dims) {
  const ValueLayout layout =
      (own_dims && l.graph.value(v).constant ? l.places.constant_at(v) : CUPEL_TRY(l.places.at(v))).layout;
  Source source{.access = l.steps.first_element(layout), .dims = layout.dims, .buffer = layout.buffer};
  source.access.strides = layout.strides;
  return source;
}

// Data and indices of a Gather, and the dimension of the data's that the indices' dimensions replace.
struct Gathered {
  Source data, indices;
  size_t dim = 0;
};

// An item has its own indices into one table, or its own data, in which all indices look up.
Result<Gathered> gathered(Lowering& l, const Node& node) {
  const ValueId data = node.inputs[0], index = node.inputs[1];
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(l.graph.type(data).shape.size());
  if (l.facts.is_batch(data, axis)) return no_compiled_form("a Gather from the batch has no compiled form");
  if (l.facts.is_batched(index) && (l.facts.is_batched(data) || axis != 0))
    return no_compiled_form("a Gather from each item by the indices of all items has no compiled form");
  Gathered g{CUPEL_TRY(source_of(l, data, axis == 0)), CUPEL_TRY(source_of(l, index, true)), static_cast<size_t>(axis)};
  if (g.data.dims[g.dim] == 0) return no_compiled_form("a Gather from no elements has no compiled form");
  return g;
}

// The element type of equal width that a routine moves, where it has one.
DType moved_type(DType type) {
  if (type == DType::u64 || type == DType::f64) return DType::s64;
  return type == DType::u32 ? DType::s32 : stored_type(type);
}

CallSpec gather_call(Gathered g, Access out) {
  CallSpec spec;
  spec.routine = Routine::gather;
  spec.integers = {g.data.dims[g.dim], g.data.access.strides[g.dim]};
  spec.out = std::move(out);
  std::vector<int64_t> read, look;
  const auto add = [&](int64_t extent, int64_t data_stride, int64_t index_stride) {
    spec.space.push_back(extent);
    read.push_back(data_stride);
    look.push_back(index_stride);
  };
  for (size_t d = 0; d < g.data.dims.size(); ++d) {
    if (d != g.dim) {
      add(g.data.dims[d], g.data.access.strides[d], 0);
      continue;
    }
    for (size_t i = 0; i < g.indices.dims.size(); ++i) add(g.indices.dims[i], 0, g.indices.access.strides[i]);
  }
  if (spec.space.empty()) {
    add(1, 0, 0);
    spec.out.strides = {0};
  }
  g.data.access.strides = std::move(read);
  g.indices.access.strides = std::move(look);
  spec.operands = {std::move(g.data.access), std::move(g.indices.access)};
  return spec;
}

}  // namespace

Status lower_gather_call(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId result = node.outputs[0];
  const DType type = moved_type(l.graph.type(result).dtype);
  const auto& types = routine_row(Routine::gather).operands[0].types;
  if (std::find(types.begin(), types.end(), type) == types.end())
    return no_compiled_form(fmt::format("a Gather from {} has no compiled form", dtype_name(type)));
  Gathered g = CUPEL_TRY(gathered(l, node));
  const Placed place = CUPEL_TRY(l.places.fresh(result, false));
  Access out = l.steps.first_element(place.layout);
  out.strides = place.layout.strides;
  out.dtype = g.data.access.dtype = type;
  const std::vector<int64_t> buffers = {place.layout.buffer, g.data.buffer, g.indices.buffer, l.steps.fault_buffer()};
  l.finish({in_written_order(gather_call(std::move(g), std::move(out))), CallSchedule{}}, buffers, origins_of(node),
           result, place);
  l.absorption.refuse_all(id, result, "a call of the runtime computes no further function");
  return {};
}

}  // namespace cupel
