// ArgMax, and ArgMin of the negated numbers, as a row kernel and two copies: m = greatest of the row, then the index of
// an element that equals it. As in the meaning, a NaN that comes first stays.
#include <fmt/format.h>

#include "lower/op_lowerings.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

constexpr int64_t kMostIndices = int64_t{1} << 24;  // they are exact in f32
constexpr float kNanFirst = 0x1p30f;                // beyond every index

// The dimension along which the indices count.
Result<size_t> searched_dim(const GraphFacts& facts, const Node& node) {
  const TensorType& type = facts.graph.type(node.inputs[0]);
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(type.shape.size());
  if (facts.is_batch(node.inputs[0], axis))
    return no_compiled_form(fmt::format("{} over the batch has no compiled form", node.op->name));
  return static_cast<size_t>(axis);
}

// What the kernel reads beside the operand, one number for each index: its order (greatest is taken), and which of
// them may be a NaN.
struct IndexNumbers {
  std::vector<float> order, of_nan;
};
IndexNumbers index_numbers(int64_t count, bool last) {
  IndexNumbers all{.order = std::vector<float>(static_cast<size_t>(round_up(count, 16)), 0.0f)};
  all.of_nan.assign(all.order.size(), -kNanFirst);
  for (int64_t i = 0; i < count; ++i) all.order[static_cast<size_t>(i)] = static_cast<float>(last ? i : -i);
  all.of_nan[0] = kNanFirst;
  return all;
}

// The steps and the value of the kernel over operands x, order, of_nan.
void write_expressions(RowSpec& spec, DType type, bool least, bool last) {
  const auto number = [&](ExprBuilder& b) {
    const Scalar v = b.operand(0, type);
    const Scalar real = type == DType::f32 ? v : to_f32(v);
    return least ? -real : real;
  };
  ExprBuilder greatest_value, index_value, result_value;
  spec.steps.push_back({.kind = RowReduction::greatest, .value = greatest_value.finish(number(greatest_value))});
  const Scalar v = number(index_value);
  const Scalar equal =
      select(v == index_value.accumulator(0, ScalarType::f32), index_value.operand(1, DType::f32), Scalar(-kNanFirst));
  spec.steps.push_back({.kind = RowReduction::greatest,
                        .value = index_value.finish(select(v == v, equal, index_value.operand(2, DType::f32)))});
  const Scalar index = result_value.accumulator(1, ScalarType::f32);
  spec.value = result_value.finish(
      truncate_s32(select(index == Scalar(kNanFirst), Scalar(0.0f), last ? index : Scalar(0.0f) - index)));
}

// The operand with the searched dimension last.
Access dim_last(const Steps& steps, const ValueLayout& x, size_t dim, Dims& space) {
  Access read = steps.first_element(x);
  for (size_t d = first_walked(x.dims); d < x.dims.size(); ++d) {
    if (d == dim) continue;
    space.push_back(x.dims[d]);
    read.strides.push_back(x.strides[d]);
  }
  space.push_back(x.dims[dim]);
  read.strides.push_back(x.strides[dim]);
  return read;
}

// One of the equal indices of each row as half of an s64: the low half is it, the high one 0. The last half is the step
// of the result.
void copy_half(Lowering& l, const Node& node, const ValueLayout& x, size_t dim, int64_t found, const Placed& place,
               bool low) {
  MapSpec half;
  Access from{.dtype = DType::s32, .item_stride = l.steps.item_bytes(found)};
  half.out = l.steps.first_element(place.layout);
  half.out.dtype = DType::s32;
  half.out.offset += low ? 0 : 4;
  const bool keeps = place.layout.dims.size() == x.dims.size();
  int64_t rows = 4 * x.dims[dim];
  std::vector<int64_t> found_strides(x.dims.size(), 0);
  for (size_t d = x.dims.size(); d-- > 0;) {
    if (d == dim) continue;
    found_strides[d] = rows;
    rows *= x.dims[d];
  }
  for (size_t d = 0; d < x.dims.size(); ++d) {
    if (d == dim) continue;
    half.space.push_back(x.dims[d]);
    from.strides.push_back(found_strides[d]);
    half.out.strides.push_back(place.layout.strides[keeps || d < dim ? d : d - 1]);
  }
  if (half.space.empty()) {
    half.space = {1};
    from.strides = half.out.strides = {0};
  }
  ExprBuilder b;
  if (low) half.operands = {std::move(from)};
  half.value = b.finish(low ? b.operand(0, DType::s32) : Scalar(0));
  std::vector<int64_t> buffers = {place.layout.buffer};
  if (low) buffers.push_back(found);
  l.steps.add({std::move(half), MapSchedule{}}, std::move(buffers), origins_of(node),
              low ? std::nullopt : std::optional(node.outputs[0]), low ? nullptr : &place);
}

}  // namespace

bool is_searched_by_kernels(const Graph& graph, const Node& node) {
  const TensorType& x = graph.type(node.inputs[0]);
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(x.shape.size());
  return (x.dtype == DType::f32 || x.dtype == DType::u8 || x.dtype == DType::s8) &&
         x.shape[static_cast<size_t>(axis)].factor <= kMostIndices;
}

Status lower_arg_max(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  const ValueLayout x = CUPEL_TRY(l.places.at(node.inputs[0])).layout;
  const size_t dim = CUPEL_TRY(searched_dim(l.facts, node));
  const bool last = attr_int(node.attributes, "select_last_index", 0) != 0;
  RowSpec spec;
  Access read = dim_last(l.steps, x, dim, spec.space);
  const size_t rank = spec.space.size();
  // Each element of a row of `found` gets the row's index.
  const int64_t found =
      l.steps.add_buffer(node.name + "_found", BufferPlace::arena, round_up(element_count(spec.space) * 4, 64));
  spec.out = {.dtype = DType::s32, .item_stride = l.steps.item_bytes(found), .strides = dense_strides(spec.space, 4)};
  const IndexNumbers numbers = index_numbers(x.dims[dim], last);
  int64_t order_buffer = 0, nan_buffer = 0;
  spec.operands = {std::move(read)};
  for (const auto& [values, buffer] :
       {std::pair(&numbers.order, &order_buffer), std::pair(&numbers.of_nan, &nan_buffer)})
    spec.operands.push_back(l.expressions.column_access(std::as_bytes(std::span(*values)), DType::f32, rank, *buffer));
  write_expressions(spec, x.dtype, is(node, ops::kArgMin), last);
  l.steps.add_unnamed({std::move(spec), RowSchedule{}}, {found, x.buffer, order_buffer, nan_buffer}, origins_of(node));

  const Placed place = CUPEL_TRY(l.places.fresh(node.outputs[0], false));
  for (const bool low : {true, false}) copy_half(l, node, x, dim, found, place, low);
  l.places.set(node.outputs[0], place);
  return {};
}

}  // namespace cupel
