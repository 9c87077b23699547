// Operators whose definition is a routine of the runtime, as calls of it on dense copies of their operands.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "kernel/routines.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "ops/routine.h"

namespace cupel {
namespace {

// Type and dimensions of a value for one batch item, in the graph's rank.
Result<ops::RoutineTensor> item_tensor(const Lowering& l, ValueId v) {
  const DType type = l.graph.type(v).dtype;
  if (std::ranges::find(op_operand_types(), stored_type(type)) == op_operand_types().end())
    return no_compiled_form(fmt::format("elements of type {} have no compiled form here", dtype_name(type)));
  return ops::RoutineTensor{type, CUPEL_TRY(l.facts.item_dims(v))};
}

// The operands of a call, each dense.
struct Operands {
  ops::RoutineTensors tensors;
  std::vector<const Tensor*> constants;
};

Result<Operands> operands_of(const Lowering& l, const Node& node) {
  Operands all;
  for (const ValueId v : node.inputs) {
    all.tensors.emplace_back();
    all.constants.push_back(nullptr);
    if (!v.valid()) continue;
    all.tensors.back() = CUPEL_TRY(item_tensor(l, v));
    if (const auto& constant = l.graph.value(v).constant) all.constants.back() = &*constant;
  }
  return all;
}

// As kernels know them.
ops::RoutineTensors stored(ops::RoutineTensors tensors) {
  for (auto& t : tensors)
    if (t) t->dtype = stored_type(t->dtype);
  return tensors;
}

Access standing(Access access) {
  access.strides = {0, 0};
  return access;
}

// Whether the routine, which is given one item, would have to see others: it works along the batch, or an operand that
// has a batch goes into a result without one, or lies in an elementwise op under other dimensions than the first.
bool mixes_items(const Lowering& l, const Node& node, const RoutineUse& use) {
  const auto is_batched = [&](ValueId v) { return l.facts.is_batched(v); };
  const auto rank = [&](ValueId v) { return l.graph.type(v).shape.size(); };
  const bool all = std::ranges::all_of(node.outputs, is_batched);
  if (std::ranges::any_of(node.outputs, is_batched) && !use.keeps_items) return true;
  for (const size_t i : use.operands) {
    if (i >= node.inputs.size() || !node.inputs[i].valid() || !is_batched(node.inputs[i])) continue;
    if (!all || !use.keeps_items) return true;
    if (is_elementwise(*node.op) && rank(node.inputs[i]) != rank(node.outputs[0])) return true;
  }
  return false;
}

// In a batch of constant size what does not have it may hold something for each item, of which the routine would see
// all; so may a constant that the routine has in another form, and a vector beside larger results is no vector of items
// (zero points of rows, say). Then the batch is no batch (lower_graph).
bool has_operand_of_all_items(const Lowering& l, const Node& node, const std::vector<size_t>& seen) {
  const ValueId result = node.outputs[0];
  const Dim& batch = l.facts.batch.size;
  if (!batch.is_constant() || !l.facts.is_batched(result)) return false;
  const size_t rank = l.graph.type(result).shape.size();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId v = node.inputs[i];
    if (!v.valid()) continue;
    const Shape& shape = l.graph.type(v).shape;
    const bool is_seen = std::ranges::find(seen, i) != seen.end();
    if (is_seen && (!l.facts.is_batched(v) || (shape.size() == 1 && rank > 1))) return true;
    if (l.graph.value(v).constant && shape.size() == rank && shape[0] == batch && batch != Dim(1)) return true;
  }
  return false;
}

void add_constant(Lowering& l, CallSpec& spec, std::vector<int64_t>& buffers, const Tensor& t) {
  spec.operands.push_back({.dtype = stored_type(t.dtype()), .constant = true, .strides = {0, 0}});
  buffers.push_back(l.steps.add_constant(t));
}

}  // namespace

Status lower_routine(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  Operands operands = CUPEL_TRY(operands_of(l, node));
  ops::RoutineTensors results;
  for (const ValueId v : node.outputs) results.emplace_back(CUPEL_TRY(item_tensor(l, v)));
  RoutineUse use = CUPEL_TRY(node.op->routine({node.attributes, operands.tensors, results, operands.constants}));
  if (mixes_items(l, node, use))
    return no_compiled_form(
        fmt::format("{} over the batch has no compiled form; give the batch a size", node.op->name));
  if (has_operand_of_all_items(l, node, use.operands))
    return no_compiled_form(fmt::format("{} of a constant for each item has no compiled form", node.op->name));
  const auto is_empty = [](const std::optional<ops::RoutineTensor>& t) { return t && element_count(t->dims) == 0; };
  if (std::ranges::all_of(results, is_empty)) {
    for (const ValueId v : node.outputs) l.places.set(v, CUPEL_TRY(l.places.fresh(v, false)));
    return {};
  }
  if (std::ranges::any_of(results, is_empty) || std::ranges::any_of(use.operands, [&](size_t i) {
        return i < operands.tensors.size() && is_empty(operands.tensors[i]);
      }))
    return no_compiled_form(fmt::format("{} of a tensor without elements has no compiled form", node.op->name));
  CallSpec spec;
  spec.routine = *op_routine(use.name);
  std::vector<int64_t> buffers = {0};
  ops::RoutineTensors seen;
  for (const size_t i : use.operands) {
    seen.push_back(i < operands.tensors.size() ? operands.tensors[i] : std::nullopt);
    if (!seen.back()) continue;
    if (operands.constants[i]) {
      add_constant(l, spec, buffers, *operands.constants[i]);
      continue;
    }
    const Placed place = CUPEL_TRY(l.places.dense(node.inputs[i]));
    spec.operands.push_back(standing(l.steps.first_element(place.layout)));
    buffers.push_back(place.layout.buffer);
  }
  for (const Tensor& t : use.constants) {
    seen.emplace_back(ops::RoutineTensor{stored_type(t.dtype()), t.dims()});
    add_constant(l, spec, buffers, t);
  }
  spec.integers = ops::describe(use, stored(results), stored(seen));
  const int64_t bytes = ops::routine_bytes(spec.integers);
  buffers[0] = l.steps.add_buffer(l.graph.value(node.outputs[0]).name, BufferPlace::arena, round_up(bytes, 64));
  buffers.push_back(l.steps.fault_buffer());
  spec.space = {use.units, bytes / use.units};
  spec.out = {.dtype = DType::u8, .item_stride = l.steps.item_bytes(buffers[0]), .strides = {spec.space[1], 1}};
  Placed first;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    Placed place;
    place.layout.dtype = stored_type(results[i]->dtype);
    place.layout.buffer = buffers[0];
    place.layout.dims = CUPEL_TRY(l.facts.item_dims(node.outputs[i]));
    place.layout.offset = ops::result_offset(spec.integers, i);
    place.layout.strides = dense_strides(place.layout.dims, element_bytes(results[i]->dtype));
    l.places.set(node.outputs[i], place);
    if (i == 0) first = place;
    l.absorption.refuse_all(id, node.outputs[i], "a call of the runtime computes no further function");
  }
  l.steps.add({std::move(spec), CallSchedule{}}, buffers, origins_of(node), node.outputs[0], &first);
  return {};
}

namespace {

// How often each element of every axis stands in the result, one behind the other; empty where some axis is otherwise.
std::vector<int64_t> repetitions(const Graph& graph, const Node& node) {
  const Shape &x = graph.type(node.inputs[0]).shape, &y = graph.type(node.outputs[0]).shape;
  const ops::RoutineTensors from = {ops::RoutineTensor{DType::f32, *bind_shape(x, 1)}},
                            to = {ops::RoutineTensor{DType::f32, *bind_shape(y, 1)}};
  std::vector<const Tensor*> constants;
  for (const ValueId v : node.inputs)
    constants.push_back(v.valid() && graph.value(v).constant ? &*graph.value(v).constant : nullptr);
  const auto use = node.op->routine({node.attributes, from, to, constants});
  if (!use) return {};
  std::vector<int64_t> times(x.size(), 1);
  for (size_t d = 0, table = 0; d < x.size(); ++d) {
    if (use->attributes[d] == 0) continue;
    const auto indices = use->constants[table++].data<int32_t>();
    const int64_t extent = x[d].factor, factor = y[d].factor / extent;
    if (d == 0 || factor < 1 || factor * extent != y[d].factor) return {};
    for (int64_t i = 0; i < y[d].factor; ++i)
      if (indices[static_cast<size_t>(i)] != i / factor) return {};
    times[d] = factor;
  }
  return times;
}

}  // namespace

bool repeats_elements(const Graph& graph, const Node& node) { return !repetitions(graph, node).empty(); }

// A copy whose space has for each axis its elements and their repetitions, which stand still in the operand.
Status lower_enlarge(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueId result = node.outputs[0];
  const std::vector<int64_t> times = repetitions(l.graph, node);
  const Placed from = CUPEL_TRY(l.places.at(node.inputs[0])), place = CUPEL_TRY(l.places.fresh(result, false));
  MapSpec spec;
  Access read = l.steps.first_element(from.layout);
  spec.out = l.steps.first_element(place.layout);
  const auto walk = [&](int64_t extent, int64_t read_stride, int64_t write_stride) {
    spec.space.push_back(extent);
    read.strides.push_back(read_stride);
    spec.out.strides.push_back(write_stride);
  };
  std::vector<size_t> order(times.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (l.facts.is_image(result)) order = {0, 2, 3, 1};
  for (const size_t d : order) {
    walk(from.layout.dims[d], from.layout.strides[d], times[d] * place.layout.strides[d]);
    if (times[d] > 1) walk(times[d], 0, place.layout.strides[d]);
  }
  if (spec.space.empty()) walk(1, 0, 0);
  ExprBuilder b;
  const Scalar x = b.operand(0, read.dtype);
  spec.value = b.finish(x);
  spec.operands = {std::move(read)};
  l.finish({std::move(spec), MapSchedule{}}, {place.layout.buffer, from.layout.buffer}, origins_of(node), result,
           place);
  return {};
}

}  // namespace cupel
