// Reductions over dimensions of an item, and global pooling, as window kernels: the dimensions that vanish are walked
// as taps in row-major order; the last one that stays, but for those of extent 1, makes the channels.
#include <algorithm>
#include <numeric>

#include "lower/lowering.h"
#include "ops/requantize.h"

namespace cupel {

Status Lowering::lower_reduce(NodeId id) {
  const Node& node = graph_.node(id);
  const std::string_view op = node.op->name;
  const ValueId operand = node.inputs[0];
  const TensorType &tx = graph_.type(operand), &ty = graph_.type(node.outputs[0]);
  const bool codes = tx.quant.has_value(), mean = op == "ReduceMean" || op == "GlobalAveragePool",
             least = op == "ReduceMin", sum = mean || op == "ReduceSum";
  if (tx.dtype != DType::f32 && tx.dtype != DType::u8)
    return not_compiled("", std::string(op) + " of " + std::string(dtype_name(tx.dtype)) + " has no compiled form yet");
  const Dims in_dims = CUPEL_TRY(item_dims(graph_, batch_, operand)),
             out_dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  std::vector<bool> reduced(in_dims.size(), false);
  if (op.starts_with("Reduce")) {
    const bool has_axes = node.inputs.size() > 1 && node.inputs[1].valid();
    if (!has_axes || !graph_.value(node.inputs[1]).contents || graph_.value(node.inputs[1]).contents->empty())
      return not_compiled("", "a reduction over all dimensions has no compiled form");
    for (const Dim& d : *graph_.value(node.inputs[1]).contents) {
      const int64_t axis = d.factor < 0 ? d.factor + static_cast<int64_t>(tx.shape.size()) : d.factor;
      if (axis == 0) return not_compiled("", "a reduction over the batch");
      reduced[static_cast<size_t>(axis) - 1] = true;
    }
  } else {
    for (size_t d = 1; d < in_dims.size(); ++d) reduced[d] = true;
  }
  int64_t count = 1;
  std::optional<size_t> channels;  // the last dimension that stays and is longer than 1, if there is one
  for (size_t d = 0; d < in_dims.size(); ++d) {
    if (reduced[d]) {
      count *= in_dims[d];
    } else if (!channels || in_dims[d] != 1 || in_dims[*channels] == 1) {
      channels = d;
    }
  }

  // Channels lie side by side, with room for blocks of 16; a minimum is a maximum of negated numbers.
  Placed x = *CUPEL_TRY(place_of(operand));
  const int64_t elem = element_bytes(x.layout.dtype);
  const auto& buffers = lowered_.program.buffers;
  const auto item_bytes = [&](int64_t b) { return buffers[static_cast<size_t>(b)].item_bytes; };
  const bool own = buffers[static_cast<size_t>(x.layout.buffer)].place == BufferPlace::arena;
  if (least || !own || !channels || x.layout.strides[*channels] != elem) {
    std::vector<size_t> order(in_dims.size());
    std::iota(order.begin(), order.end(), size_t{0});
    if (channels)
      std::rotate(order.begin() + static_cast<int64_t>(*channels), order.begin() + static_cast<int64_t>(*channels) + 1,
                  order.end());
    MapSpec copy;
    std::vector<int64_t> strides(in_dims.size());
    int64_t stride = elem;
    for (size_t i = order.size(); i-- > 0;) {
      strides[order[i]] = stride;
      stride *= channels && i + 1 == order.size() ? round_up(in_dims[order[i]], 16) : in_dims[order[i]];
    }
    const int64_t buffer =
        add_buffer(graph_.value(operand).name + "_channels", BufferPlace::arena, round_up(stride + 15 * elem, 64));
    Access read{x.layout.dtype, false, x.layout.offset, item_bytes(x.layout.buffer), {}};
    copy.out = {x.layout.dtype, false, 0, item_bytes(buffer), {}};
    for (size_t d : order) {
      copy.space.push_back(in_dims[d]);
      read.strides.push_back(x.layout.strides[d]);
      copy.out.strides.push_back(strides[d]);
    }
    if (copy.space.empty()) {
      copy.space = {1};
      read.strides = copy.out.strides = {0};
    }
    copy.operands = {std::move(read)};
    ExprBuilder b;
    const Scalar v = b.operand(0, x.layout.dtype);
    copy.value = b.finish(!least ? v : codes ? Scalar(255) - v : -v);
    add_step({std::move(copy), MapSchedule{}}, {buffer, x.layout.buffer}, {node.origin.begin(), node.origin.end()},
             std::nullopt, nullptr);
    x.layout.buffer = buffer;
    x.layout.offset = 0;
    x.layout.strides = std::move(strides);
  }

  WindowSpec spec;
  spec.kind = sum ? WindowKind::sum : WindowKind::max;
  spec.a = {x.layout.dtype, false, x.layout.offset, item_bytes(x.layout.buffer), {}};
  Walk walk;
  walk.dims = out_dims;
  const bool keepdims = out_dims.size() == in_dims.size();
  size_t out_dim = 0;
  for (size_t d = 0; d < in_dims.size(); ++d) {
    if (reduced[d]) {
      spec.loops.push_back({in_dims[d], x.layout.strides[d]});
    } else if (d <= *channels) {  // dimensions behind the channels have extent 1
      walk.space.push_back(in_dims[d]);
      walk.item_dim.push_back(static_cast<int>(out_dim));
      spec.a.strides.push_back(x.layout.strides[d]);
    }
    if (!reduced[d] || keepdims) ++out_dim;
  }
  if (!channels) {
    walk.space = {1};
    walk.item_dim = {-1};
    spec.a.strides = {elem};
  }
  while (walk.space.size() < 3) {
    walk.space.insert(walk.space.begin(), 1);
    walk.item_dim.insert(walk.item_dim.begin(), -1);
    spec.a.strides.insert(spec.a.strides.begin(), 0);
  }
  spec.a.strides.back() = elem;

  Draft draft;
  Scalar value = draft.expr.accumulator(0, codes ? ScalarType::s32 : ScalarType::f32);
  if (least) value = codes ? Scalar(255) - value : -value;
  if (mean && codes) {
    const auto m = static_cast<float>(static_cast<double>(tx.quant->scale[0]) /
                                      (static_cast<double>(ty.quant->scale[0]) * static_cast<double>(count)));
    value = to_code(to_f32(value - Scalar(static_cast<int32_t>(tx.quant->zero_point[0] * count))) * Scalar(m), ty.dtype,
                    ty.quant->zero_point[0]);
  } else if (mean) {
    value = value / Scalar(static_cast<float>(count));
  }
  return finish_window(id, std::move(spec), draft, value, walk, {x.layout.buffer});
}

// m = greatest of the row; then the index of an element that equals it. As in the meaning, a NaN that comes first
// stays.
Status Lowering::lower_arg_max(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId operand = node.inputs[0], result = node.outputs[0];
  const TensorType& tx = graph_.type(operand);
  int64_t axis = attr_int(node.attributes, "axis", 0);
  if (axis < 0) axis += static_cast<int64_t>(tx.shape.size());
  const int64_t most = int64_t{1} << 24;  // indices are exact in f32
  const Placed x = *CUPEL_TRY(place_of(operand));
  if (axis == 0 || (tx.dtype != DType::f32 && tx.dtype != DType::u8))
    return not_compiled("", "ArgMax over the batch or of integers has no compiled form");
  const auto dim = static_cast<size_t>(axis) - 1;
  const int64_t n = x.layout.dims[dim];
  if (n > most) return not_compiled("", "ArgMax over a dimension this long");
  const bool last = attr_int(node.attributes, "select_last_index", 0) != 0;
  const auto item_bytes = [&](int64_t b) { return lowered_.program.buffers[static_cast<size_t>(b)].item_bytes; };

  // The axis last. Each element of a row of `found` gets the row's index.
  RowSpec spec;
  Access read{x.layout.dtype, false, x.layout.offset, item_bytes(x.layout.buffer), {}};
  for (size_t d = 0; d < x.layout.dims.size(); ++d) {
    if (d == dim) continue;
    spec.space.push_back(x.layout.dims[d]);
    read.strides.push_back(x.layout.strides[d]);
  }
  spec.space.push_back(n);
  read.strides.push_back(x.layout.strides[dim]);
  const size_t rank = spec.space.size();
  const int64_t found =
      add_buffer(node.name + "_found", BufferPlace::arena, round_up(element_count(spec.space) * 4, 64));
  spec.out = {DType::s32, false, 0, item_bytes(found), std::vector<int64_t>(rank)};
  int64_t stride = 4;
  for (size_t d = rank; d-- > 0; stride *= spec.space[d]) spec.out.strides[d] = stride;

  constexpr float kNanFirst = 0x1p30f;
  std::vector<float> order(static_cast<size_t>(round_up(n, 16)), 0.0f), of_nan(order.size(), -kNanFirst);
  for (int64_t i = 0; i < n; ++i) order[static_cast<size_t>(i)] = static_cast<float>(last ? i : -i);
  of_nan[0] = kNanFirst;
  int64_t order_buffer = 0, nan_buffer = 0;
  spec.operands = {read, column_access(std::as_bytes(std::span(order)), DType::f32, rank, order_buffer),
                   column_access(std::as_bytes(std::span(of_nan)), DType::f32, rank, nan_buffer)};
  const auto number = [&](ExprBuilder& b) {
    const Scalar v = b.operand(0, x.layout.dtype);
    return x.layout.dtype == DType::f32 ? v : to_f32(v);
  };
  ExprBuilder greatest_value, index_value, result_value;
  spec.steps.push_back({RowReduction::greatest, greatest_value.finish(number(greatest_value)), {}});
  const Scalar v = number(index_value);
  const Scalar equal =
      select(v == index_value.accumulator(0, ScalarType::f32), index_value.operand(1, DType::f32), Scalar(-kNanFirst));
  spec.steps.push_back(
      {RowReduction::greatest, index_value.finish(select(v == v, equal, index_value.operand(2, DType::f32))), {}});
  const Scalar index = result_value.accumulator(1, ScalarType::f32);
  spec.value = result_value.finish(
      truncate_s32(select(index == Scalar(kNanFirst), Scalar(0.0f), last ? index : Scalar(0.0f) - index)));
  const std::set<std::string> origins(node.origin.begin(), node.origin.end());
  add_step({std::move(spec), RowSchedule{}}, {found, x.layout.buffer, order_buffer, nan_buffer}, origins, std::nullopt,
           nullptr);

  // One of them, as the low half of s64; the high half is 0.
  const Placed place = CUPEL_TRY(new_place(result, false));
  for (const bool low : {true, false}) {
    MapSpec half;
    Access from{DType::s32, false, 0, item_bytes(found), {}};
    half.out = {DType::s32, false, place.layout.offset + (low ? 0 : 4), item_bytes(place.layout.buffer), {}};
    const bool keeps = place.layout.dims.size() == x.layout.dims.size();
    int64_t rows = 4 * n;
    std::vector<int64_t> found_strides(x.layout.dims.size(), 0);
    for (size_t d = x.layout.dims.size(); d-- > 0;) {
      if (d == dim) continue;
      found_strides[d] = rows;
      rows *= x.layout.dims[d];
    }
    for (size_t d = 0; d < x.layout.dims.size(); ++d) {
      if (d == dim) continue;
      half.space.push_back(x.layout.dims[d]);
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
    add_step({std::move(half), MapSchedule{}}, std::move(buffers), origins, low ? std::nullopt : std::optional(result),
             low ? nullptr : &place);
  }
  places_[result] = place;
  return {};
}

}  // namespace cupel
