// Convolutions in several groups that are not depthwise: one contract kernel with the groups as its outermost
// dimension.
#include <algorithm>

#include "lower/lowering.h"
#include "lower/schedule.h"
#include "ops/requantize.h"

namespace cupel {

Status Lowering::lower_grouped_conv(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType &tx = graph_.type(node.inputs[0]), &tw = graph_.type(node.inputs[1]),
                   &ty = graph_.type(node.outputs[0]);
  const Tensor& weights = *graph_.value(node.inputs[1]).constant;
  const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid(), codes = tx.quant.has_value();
  if (has_bias && !graph_.value(node.inputs[2]).constant)
    return not_compiled("", "a bias computed at run time has no compiled form yet");
  const Tensor* bias = has_bias ? &*graph_.value(node.inputs[2]).constant : nullptr;
  const Window window = window_of(graph_, node);
  const Placed x = CUPEL_TRY(image_place(node.inputs[0], window.halo, HaloFill::zero));
  const Dims dims = CUPEL_TRY(item_dims(graph_, batch_, node.outputs[0]));
  const int64_t groups = attr_int(node.attributes, "group", 1), channels = x.layout.dims[0] / groups,
                columns = dims[0] / groups, padded = round_up(columns, 16), elem = element_bytes(x.layout.dtype);
  const auto item_bytes = [&](int64_t b) { return lowered_.program.buffers[static_cast<size_t>(b)].item_bytes; };

  ContractSpec spec;
  spec.space = {groups, dims[1], dims[2], columns};
  spec.a = window_access(x, window, 0);
  spec.a.strides.insert(spec.a.strides.begin(), channels * elem);
  spec.loops = window_taps(x, window);
  spec.run = channels;
  const Tensor ordered = permuted(weights, {0, 2, 3, 1});
  std::vector<WeightSum> sums;
  const int64_t weights_buffer =
      CUPEL_TRY(pack(ordered.reshaped({dims[0], ordered.size() / dims[0]}), tw, channels, spec, sums, groups));

  // One number for each column of each group.
  const auto by_column = [&](DType type, auto&& number) {
    Tensor t(type, {groups, padded});
    for (int64_t c = 0; c < dims[0]; ++c) number(t, c / columns * padded + c % columns, c);
    return std::pair(Access{type, true, 0, 0, {padded * 4, 0, 0, 4}}, add_constant(t));
  };
  ExprBuilder b;
  Scalar value = b.accumulator(0, codes ? ScalarType::s32 : ScalarType::f32);
  int64_t start_buffer = 0;
  std::vector<int64_t> operand_buffers;
  if (!codes) {
    if (!window.halo.empty()) value = value + 0.0f;
    std::tie(spec.start, start_buffer) = by_column(DType::f32, [&](Tensor& t, int64_t at, int64_t c) {
      if (bias)
        t.mutable_data<float>()[static_cast<size_t>(at)] =
            bias->data<float>()[static_cast<size_t>(bias->size() == 1 ? 0 : c)];
    });
  } else {
    const SumScaling scaling = sum_scaling(tx, tw, ty, bias, sums);
    std::tie(spec.start, start_buffer) = by_column(DType::s32, [&](Tensor& t, int64_t at, int64_t c) {
      t.mutable_data<int32_t>()[static_cast<size_t>(at)] = scaling.starts[static_cast<size_t>(c)];
    });
    auto [access, buffer] = by_column(DType::f32, [&](Tensor& t, int64_t at, int64_t c) {
      t.mutable_data<float>()[static_cast<size_t>(at)] = scaling.multipliers[static_cast<size_t>(c)];
    });
    spec.operands.push_back(std::move(access));
    operand_buffers.push_back(buffer);
    value = to_f32(value) * b.operand(0, DType::f32);
    if (ty.quant) value = to_code_within(scaling.reach, value, ty.dtype, ty.quant->zero_point[0]);
  }
  spec.epilogue = b.finish(value);

  // Blocks of 16 columns of one group would reach into the next: then each has whole blocks of its own, and a copy
  // closes the gaps.
  const ValueId result = node.outputs[0];
  const std::set<std::string> origins(node.origin.begin(), node.origin.end());
  const bool whole = padded == columns;
  const Placed place = CUPEL_TRY(new_place(result, whole));
  const std::vector<int64_t>& to = place.layout.strides;
  const int64_t out_elem = element_bytes(ty.dtype), apart = groups * padded * out_elem;
  int64_t out_buffer = place.layout.buffer;
  if (whole) {
    spec.out = {ty.dtype, false, place.layout.offset, item_bytes(out_buffer), {columns * to[0], to[1], to[2], to[0]}};
  } else {
    out_buffer = add_buffer(node.name + "_groups", BufferPlace::arena, round_up(dims[1] * dims[2] * apart, 64));
    spec.out = {ty.dtype, false, 0, item_bytes(out_buffer), {padded * out_elem, dims[2] * apart, apart, out_elem}};
  }
  const Access written = spec.out;
  std::vector<int64_t> buffers = {out_buffer, x.layout.buffer, weights_buffer, start_buffer};
  buffers.insert(buffers.end(), operand_buffers.begin(), operand_buffers.end());
  const ContractSchedule schedule = start_schedule(spec, target_);
  add_step({std::move(spec), schedule}, std::move(buffers), origins, whole ? std::optional(result) : std::nullopt,
           whole ? &place : nullptr);
  if (!whole) {
    MapSpec copy;
    copy.space = {dims[1], dims[2], groups, columns};
    copy.operands = {{ty.dtype,
                      false,
                      0,
                      written.item_stride,
                      {written.strides[1], written.strides[2], written.strides[0], written.strides[3]}}};
    copy.out = {
        ty.dtype, false, place.layout.offset, item_bytes(place.layout.buffer), {to[1], to[2], columns * to[0], to[0]}};
    ExprBuilder c;
    copy.value = c.finish(c.operand(0, ty.dtype));
    add_step({std::move(copy), MapSchedule{}}, {place.layout.buffer, out_buffer}, origins, result, &place);
  }
  places_[result] = place;
  return {};
}

}  // namespace cupel
