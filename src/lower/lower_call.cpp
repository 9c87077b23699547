// What becomes a call of the runtime: Gather by indices that are known at run time, or by many that form no runs.
#include <fmt/format.h>

#include <algorithm>

#include "kernel/routines.h"
#include "lower/lowering.h"
#include "lower/schedule.h"

namespace cupel {
namespace {

std::vector<int64_t> dense_strides(const Dims& dims, int64_t elem) {
  std::vector<int64_t> strides(dims.size());
  for (size_t d = dims.size(); d-- > 0; elem *= dims[d]) strides[d] = elem;
  return strides;
}

// What a call reads: an access whose strides belong to `dims`.
struct Source {
  Access access;
  Dims dims;
  int64_t buffer = -1;
};

}  // namespace

Status Lowering::lower_gather_call(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId data = node.inputs[0], index = node.inputs[1], result = node.outputs[0];
  const auto refuse = [](std::string cause) { return not_compiled("", std::move(cause)); };
  const TensorType &td = graph_.type(data), &ti = graph_.type(index);
  const RoutineRow& row = routine_row(Routine::gather);
  const auto& types = row.operands[0].types;
  if (std::find(types.begin(), types.end(), td.dtype) == types.end())
    return refuse(fmt::format("a Gather from {} has no compiled form", dtype_name(td.dtype)));
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(td.shape.size());

  const auto constant = [&](ValueId v) {
    const Tensor& t = *graph_.value(v).constant;
    return Source{
        {t.dtype(), true, 0, 0, dense_strides(t.dims(), element_bytes(t.dtype()))}, t.dims(), add_constant(t)};
  };
  const auto of_item = [&](ValueId v) -> Result<Source> {
    const ValueLayout& l = CUPEL_TRY(place_of(v))->layout;
    const int64_t item_bytes = lowered_.program.buffers[static_cast<size_t>(l.buffer)].item_bytes;
    return Source{{l.dtype, false, l.offset, item_bytes, l.strides}, l.dims, l.buffer};
  };
  // The indices' dimensions replace one of the data's. The first of all is the batch: an item has either its own
  // indices into one table, or its own data, in which all indices look up.
  const bool is_constant = graph_.value(data).constant.has_value();
  Source from, at;
  if (axis == 0) {
    if (!is_constant) return refuse("a Gather from the batch has no compiled form yet");
    at = CUPEL_TRY(of_item(index));
    from = constant(data);
  } else {
    if (has_rows(batch_, td)) return refuse("on several rows of each batch item it has no compiled form yet");
    if (!is_static(ti.shape))
      return refuse("a Gather from each item by the indices of all items has no compiled form yet");
    if (is_constant && td.shape[0] != Dim(1)) return refuse("a Gather from a constant batch has no compiled form yet");
    from = is_constant ? constant(data) : CUPEL_TRY(of_item(data));
    if (is_constant) {
      from.dims.erase(from.dims.begin());
      from.access.strides.erase(from.access.strides.begin());
    }
    --axis;
    if (graph_.value(index).constant) {
      at = constant(index);
    } else {
      at = CUPEL_TRY(of_item(index));
      if (at.dims.size() < ti.shape.size()) {
        at.dims.insert(at.dims.begin(), ti.shape[0].factor);
        at.access.strides.insert(at.access.strides.begin(), at.access.item_stride);
      }
      at.access.item_stride = 0;
    }
  }
  const Placed place = CUPEL_TRY(new_place(result, false));
  const auto gathered = static_cast<size_t>(axis);
  CallSpec spec;
  spec.routine = Routine::gather;
  spec.integers = {from.dims[gathered], from.access.strides[gathered]};
  spec.out = {place.layout.dtype, false, place.layout.offset,
              lowered_.program.buffers[static_cast<size_t>(place.layout.buffer)].item_bytes, place.layout.strides};
  std::vector<int64_t> read, look;
  const auto add = [&](int64_t extent, int64_t data_stride, int64_t index_stride) {
    spec.space.push_back(extent);
    read.push_back(data_stride);
    look.push_back(index_stride);
  };
  for (size_t d = 0; d < from.dims.size(); ++d) {
    if (d != gathered) {
      add(from.dims[d], from.access.strides[d], 0);
      continue;
    }
    for (size_t i = 0; i < at.dims.size(); ++i) add(at.dims[i], 0, at.access.strides[i]);
  }
  if (spec.space.empty()) add(1, 0, 0);
  // A leading 1 is no dimension of an item.
  if (spec.out.strides.size() + 1 == spec.space.size() && spec.space[0] == 1)
    spec.out.strides.insert(spec.out.strides.begin(), 0);
  if (spec.out.strides.size() != spec.space.size()) return refuse("a Gather of these shapes has no compiled form");
  from.access.strides = std::move(read);
  at.access.strides = std::move(look);
  spec.operands = {std::move(from.access), std::move(at.access)};
  add_step({in_written_order(std::move(spec)), CallSchedule{}},
           {place.layout.buffer, from.buffer, at.buffer, fault_buffer()}, {node.origin.begin(), node.origin.end()},
           result, &place);
  places_[result] = place;
  for (NodeId user : users_[static_cast<size_t>(result.index)])
    if (is_elementwise(graph_.node(user)))
      lowered_.decisions.push_back({user, id, false, "a call of the runtime computes no further function"});
  return {};
}

}  // namespace cupel
