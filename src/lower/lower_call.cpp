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

Source constant_source(Lowering& l, ValueId v) {
  const Tensor& t = *l.graph.value(v).constant;
  return {
      .access = {.dtype = t.dtype(), .constant = true, .strides = dense_strides(t.dims(), element_bytes(t.dtype()))},
      .dims = t.dims(),
      .buffer = l.steps.add_constant(t)};
}

Result<Source> item_source(Lowering& l, ValueId v) {
  const ValueLayout layout = CUPEL_TRY(l.places.at(v)).layout;
  Source source{.access = l.steps.first_element(layout), .dims = layout.dims, .buffer = layout.buffer};
  source.access.strides = layout.strides;
  return source;
}

// Data and indices of a Gather, and the dimension of the data's that the indices' dimensions replace.
struct Gathered {
  Source data, indices;
  size_t dim = 0;
};

// An item has its own indices into one table.
Result<Gathered> from_table(Lowering& l, const Node& node) {
  if (!l.graph.value(node.inputs[0]).constant)
    return no_compiled_form("a Gather from the batch has no compiled form yet");
  Gathered g;
  g.indices = CUPEL_TRY(item_source(l, node.inputs[1]));
  g.data = constant_source(l, node.inputs[0]);
  return g;
}

// An item has its own data, in which all indices look up.
Result<Gathered> from_item(Lowering& l, const Node& node, int64_t axis) {
  const ValueId data = node.inputs[0], index = node.inputs[1];
  const TensorType &td = l.graph.type(data), &ti = l.graph.type(index);
  const bool is_constant = l.graph.value(data).constant.has_value();
  if (l.facts.has_rows(data)) return no_compiled_form("on several rows of each batch item it has no compiled form yet");
  if (!is_static(ti.shape))
    return no_compiled_form("a Gather from each item by the indices of all items has no compiled form yet");
  if (is_constant && td.shape[0] != Dim(1))
    return no_compiled_form("a Gather from a constant batch has no compiled form yet");
  Gathered g{.dim = static_cast<size_t>(axis) - 1};
  g.data = is_constant ? constant_source(l, data) : CUPEL_TRY(item_source(l, data));
  if (is_constant) {
    g.data.dims.erase(g.data.dims.begin());
    g.data.access.strides.erase(g.data.access.strides.begin());
  }
  if (l.graph.value(index).constant) {
    g.indices = constant_source(l, index);
    return g;
  }
  // The batch is a dimension of the indices like the others.
  g.indices = CUPEL_TRY(item_source(l, index));
  Access& access = g.indices.access;
  g.indices.dims.insert(g.indices.dims.begin(), ti.shape[0].factor);
  access.strides.insert(access.strides.begin(), access.item_stride);
  access.item_stride = 0;
  return g;
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
  const TensorType& data = l.graph.type(node.inputs[0]);
  const auto& types = routine_row(Routine::gather).operands[0].types;
  if (std::find(types.begin(), types.end(), data.dtype) == types.end())
    return no_compiled_form(fmt::format("a Gather from {} has no compiled form", dtype_name(data.dtype)));
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(data.shape.size());
  Gathered g = axis == 0 ? CUPEL_TRY(from_table(l, node)) : CUPEL_TRY(from_item(l, node, axis));
  const Placed place = CUPEL_TRY(l.places.fresh(result, false));
  Access out = l.steps.first_element(place.layout);
  out.strides = place.layout.strides;
  const std::vector<int64_t> buffers = {place.layout.buffer, g.data.buffer, g.indices.buffer, l.steps.fault_buffer()};
  l.finish({in_written_order(gather_call(std::move(g), std::move(out))), CallSchedule{}}, buffers, origins_of(node),
           result, place);
  l.absorption.refuse_all(id, result, "a call of the runtime computes no further function");
  return {};
}

}  // namespace cupel
