// Reductions over dimensions of an item, and global pooling, as window kernels: the dimensions that vanish are walked
// as taps in row-major order; the last one that stays, but for those of extent 1, makes the channels.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "ops/op_table.h"
#include "ops/requantize.h"

namespace cupel {
namespace {

bool is_global_pool(const Node& node) { return is(node, ops::kGlobalAveragePool) || is(node, ops::kGlobalMaxPool); }

// What a reduction does to the dimensions of an item.
struct ReducedItem {
  Dims in, out;
  std::vector<bool> reduced = {};  // of `in`
  int64_t count = 1;               // elements that become one
  // The last dimension that stays and is longer than 1, if there is one; else the last that stays.
  std::optional<size_t> channels = {};
};

Result<std::vector<bool>> reduced_dimensions(const GraphFacts& facts, const Node& node, size_t rank) {
  std::vector<bool> reduced(rank, false);
  if (is_global_pool(node)) {
    for (size_t d = 2; d < rank; ++d) reduced[d] = true;
    return reduced;
  }
  const bool has_axes = node.inputs.size() > 1 && node.inputs[1].valid();
  if (has_axes && !facts.graph.value(node.inputs[1]).contents)
    return no_compiled_form("a reduction over axes computed at run time");
  if (!has_axes || facts.graph.value(node.inputs[1]).contents->empty()) {
    if (attr_int(node.attributes, "noop_with_empty_axes", 0) == 0) reduced.assign(rank, true);
  } else {
    for (const Dim& d : *facts.graph.value(node.inputs[1]).contents)
      reduced[static_cast<size_t>(d.factor < 0 ? d.factor + static_cast<int64_t>(rank) : d.factor)] = true;
  }
  if (rank > 0 && reduced[0] && facts.is_batched(node.inputs[0])) return no_compiled_form("a reduction over the batch");
  return reduced;
}

Result<ReducedItem> reduced_item(const GraphFacts& facts, const Node& node) {
  ReducedItem r{.in = CUPEL_TRY(facts.item_dims(node.inputs[0])), .out = CUPEL_TRY(facts.item_dims(node.outputs[0]))};
  r.reduced = CUPEL_TRY(reduced_dimensions(facts, node, r.in.size()));
  for (size_t d = 0; d < r.in.size(); ++d) {
    if (r.reduced[d]) {
      r.count *= r.in[d];
    } else if (d == 0 && r.in[d] == 1) {
      continue;  // not walked
    } else if (!r.channels || r.in[d] != 1 || r.in[*r.channels] == 1) {
      r.channels = d;
    }
  }
  return r;
}

// Greatest becomes least of negated elements, there and back.
Scalar negated(Scalar x, DType type) {
  return type == DType::f32 ? -x : type == DType::u8 ? Scalar(255) - x : Scalar(-1) - x;
}

// The operand with channels side by side and room for blocks of 16, negated for a minimum.
ValueLayout copy_channels(Lowering& l, const Node& node, const ReducedItem& r, const ValueLayout& from, bool least) {
  const int64_t elem = element_bytes(from.dtype);
  std::vector<size_t> order(r.in.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (r.channels) {
    const auto channels = order.begin() + static_cast<int64_t>(*r.channels);
    std::rotate(channels, channels + 1, order.end());
  }
  ValueLayout to = from;
  int64_t stride = elem;
  for (size_t i = order.size(); i-- > 0;) {
    to.strides[order[i]] = stride;
    stride *= r.channels && i + 1 == order.size() ? round_up(r.in[order[i]], 16) : r.in[order[i]];
  }
  to.buffer = l.steps.add_buffer(l.graph.value(node.inputs[0]).name + "_channels", BufferPlace::arena,
                                 round_up(stride + 15 * elem, 64));
  to.offset = 0;
  MapSpec copy;
  Access read = l.steps.first_element(from);
  copy.out = l.steps.first_element(to);
  for (size_t d : order) {
    copy.space.push_back(r.in[d]);
    read.strides.push_back(from.strides[d]);
    copy.out.strides.push_back(to.strides[d]);
  }
  if (copy.space.empty()) {
    copy.space = {1};
    read.strides = copy.out.strides = {0};
  }
  copy.operands = {std::move(read)};
  ExprBuilder b;
  const Scalar v = b.operand(0, from.dtype);
  copy.value = b.finish(least ? negated(v, from.dtype) : v);
  l.steps.add_unnamed({std::move(copy), MapSchedule{}}, {to.buffer, from.buffer}, origins_of(node));
  return to;
}

// The window that walks what stays, at least three dimensions with the channels last, and what vanishes as taps.
WindowSpec reduction_window(const Steps& steps, const ReducedItem& r, const ValueLayout& x, Walk& walk) {
  WindowSpec spec;
  spec.a = steps.first_element(x);
  walk.dims = r.out;
  const bool keeps_dims = r.out.size() == r.in.size();
  size_t out_dim = 0;
  for (size_t d = 0; d < r.in.size(); ++d) {
    if (r.reduced[d]) {
      spec.loops.push_back({.count = r.in[d], .stride = x.strides[d]});
    } else if (r.channels && d <= *r.channels && (d > 0 || r.in[d] != 1)) {  // those behind the channels have extent 1
      walk.space.push_back(r.in[d]);
      walk.item_dim.push_back(static_cast<int>(out_dim));
      spec.a.strides.push_back(x.strides[d]);
    }
    if (!r.reduced[d] || keeps_dims) ++out_dim;
  }
  if (!r.channels) {
    walk.space = {1};
    walk.item_dim = {-1};
    spec.a.strides = {0};
  }
  while (walk.space.size() < 3) {
    walk.space.insert(walk.space.begin(), 1);
    walk.item_dim.insert(walk.item_dim.begin(), -1);
    spec.a.strides.insert(spec.a.strides.begin(), 0);
  }
  spec.a.strides.back() = element_bytes(x.dtype);
  return spec;
}

// The sum of `count` elements as their mean.
Scalar mean_of(Scalar sum, int64_t count, const TensorType& from, const TensorType& to) {
  if (!from.quant) return sum / Scalar(static_cast<float>(count));
  const auto m = static_cast<float>(static_cast<double>(from.quant->scale[0]) /
                                    (static_cast<double>(to.quant->scale[0]) * static_cast<double>(count)));
  const Scalar centered = sum - Scalar(static_cast<int32_t>(from.quant->zero_point[0] * count));
  return to_code(to_f32(centered) * Scalar(m), to.dtype, to.quant->zero_point[0]);
}

}  // namespace

Status lower_reduce(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const TensorType& type = l.graph.type(node.inputs[0]);
  const bool mean = node.op->quant_rule == QuantRule::average, sum = mean || is(node, ops::kReduceSum),
             least = is(node, ops::kReduceMin);
  if (type.dtype != DType::f32 && type.dtype != DType::u8 && (type.dtype != DType::s8 || sum))
    return no_compiled_form(fmt::format("{} of {} has no compiled form yet", node.op->name, dtype_name(type.dtype)));
  const ReducedItem r = CUPEL_TRY(reduced_item(l.facts, node));
  ValueLayout x = CUPEL_TRY(l.places.at(node.inputs[0])).layout;
  const bool own = l.steps.buffer(x.buffer).place == BufferPlace::arena;
  if (least || !own || !r.channels || x.strides[*r.channels] != element_bytes(x.dtype))
    x = copy_channels(l, node, r, x, least);
  Walk walk;
  WindowSpec spec = reduction_window(l.steps, r, x, walk);
  spec.kind = sum ? WindowKind::sum : WindowKind::max;
  Draft draft;
  Scalar value = draft.expr.accumulator(0, scalar_type_of(type.dtype));
  if (least) value = negated(value, type.dtype);
  if (mean) value = mean_of(value, r.count, type, l.graph.type(node.outputs[0]));
  return finish_window(l, id, std::move(spec), draft, value, walk, {x.buffer});
}

}  // namespace cupel
