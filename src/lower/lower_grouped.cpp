// Convolutions in several groups that are not depthwise: one contract kernel with the groups as the dimension before
// the image's.
#include <algorithm>
#include <array>

#include "lower/contraction.h"
#include "lower/finish.h"
#include "lower/op_lowerings.h"
#include "lower/schedule.h"
#include "lower/windows.h"

namespace cupel {
namespace {

// One number for each column of each group, whose columns are padded to whole blocks.
struct GroupColumns {
  int64_t groups, columns;  // of a group
  size_t rank;              // of the space {N, groups, h, w, columns}, without N where that is 1

  int64_t padded() const { return round_up(columns, 16); }
  // `number(c)`: of column c of all.
  template <class T, class Number>
  Tensor tensor(DType type, Number&& number) const {
    Tensor t(type, {groups, padded()});
    for (int64_t c = 0; c < groups * columns; ++c)
      t.mutable_data<T>()[static_cast<size_t>(c / columns * padded() + c % columns)] = number(c);
    return t;
  }
  Access access(DType type) const {
    Access a{.dtype = type, .constant = true, .strides = std::vector<int64_t>(rank, 0)};
    a.strides[rank - 4] = padded() * 4;
    a.strides.back() = 4;
    return a;
  }
};

// What becomes of the sums: their starts, and the value in the result's type.
struct GroupedSums {
  int64_t start_buffer = -1;
  Scalar value;
};
GroupedSums float_sums(Lowering& l, Draft& draft, ContractSpec& spec, const GroupColumns& g, const Tensor* bias,
                       bool padded) {
  const Scalar sum = draft.expr.accumulator(0, ScalarType::f32);
  spec.start = g.access(DType::f32);
  const Tensor starts = g.tensor<float>(DType::f32, [&](int64_t c) {
    return bias ? bias->data<float>()[static_cast<size_t>(bias->size() == 1 ? 0 : c)] : 0.0f;
  });
  return {.start_buffer = l.steps.add_constant(starts), .value = padded ? sum + 0.0f : sum};
}
GroupedSums code_sums(Lowering& l, Draft& draft, ContractSpec& spec, const GroupColumns& g, const SumScaling& scaling,
                      const TensorType& result) {
  spec.start = g.access(DType::s32);
  const int64_t start_buffer = l.steps.add_constant(
      g.tensor<int32_t>(DType::s32, [&](int64_t c) { return scaling.starts[static_cast<size_t>(c)]; }));
  const int64_t multipliers = l.steps.add_constant(
      g.tensor<float>(DType::f32, [&](int64_t c) { return scaling.multipliers[static_cast<size_t>(c)]; }));
  const Scalar sum = draft.expr.accumulator(0, ScalarType::s32),
               multiplier = draft.add_operand(g.access(DType::f32), multipliers);
  Scalar value = to_f32(sum) * multiplier;
  if (result.quant) value = to_code_within(scaling.reach, value, result.dtype, result.quant->zero_point[0]);
  return {.start_buffer = start_buffer, .value = value};
}

// The step, whose result [N, columns, h, w] has these dimensions. `buffers`: of a, b and start.
Status finish_grouped(Lowering& l, const Node& node, const GroupColumns& g, ContractSpec spec, const Draft& draft,
                      const Dims& dims, std::array<int64_t, 3> buffers) {
  // Blocks of 16 columns of one group would reach into the next: then each has whole blocks of its own, and a copy
  // closes the gaps.
  const ValueId result = node.outputs[0];
  const DType type = l.graph.type(result).dtype;
  const bool whole = g.padded() == g.columns;
  const Placed place = CUPEL_TRY(l.places.fresh(result, whole));
  const std::vector<int64_t>& to = place.layout.strides;
  int64_t out_buffer = place.layout.buffer, between = to[0];  // images
  spec.out = l.steps.first_element(place.layout);
  spec.out.strides = {g.columns * to[1], to[2], to[3], to[1]};
  if (!whole) {
    const int64_t elem = element_bytes(type), apart = g.groups * g.padded() * elem,
                  image = round_up(dims[2] * dims[3] * apart, 64), bytes = dims[0] * image;
    out_buffer = l.steps.add_buffer(node.name + "_groups", BufferPlace::arena, bytes);
    spec.out = {.dtype = type, .item_stride = bytes, .strides = {g.padded() * elem, dims[3] * apart, apart, elem}};
    between = image;
  }
  Access written = spec.out;
  written.strides.insert(written.strides.begin(), between);
  if (dims[0] > 1) spec.out.strides = written.strides;
  const ContractSchedule schedule = start_schedule(spec, l.target);
  l.steps.add({std::move(spec), schedule}, draft.buffers({out_buffer, buffers[0], buffers[1], buffers[2]}),
              draft.origins, whole ? std::optional(result) : std::nullopt, whole ? &place : nullptr);
  if (!whole) {
    const std::vector<int64_t> s = written.strides;
    written.strides = {s[0], s[2], s[3], s[1], s[4]};
    Access closed = l.steps.first_element(place.layout);
    closed.strides = {to[0], to[2], to[3], g.columns * to[1], to[1]};
    add_copy(l, node, {dims[0], dims[2], dims[3], g.groups, g.columns}, std::move(written), std::move(closed),
             {place.layout.buffer, out_buffer}, &place);
  }
  l.places.set(result, place);
  return {};
}

}  // namespace

Status lower_grouped_conv(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  CUPEL_TRY(expect_convolution(l.graph, node));
  const TensorType &tx = l.graph.type(node.inputs[0]), &tw = l.graph.type(node.inputs[1]),
                   &ty = l.graph.type(node.outputs[0]);
  const Tensor* bias = constant_operand(l.graph, node, 2);
  if (tx.quant && has_operand(node, 2) && !bias)
    return no_compiled_form("a bias of codes that is computed at run time");
  const Window window = window_of(l.graph, node);
  const Placed x = CUPEL_TRY(l.places.image(node.inputs[0], window.halo, HaloFill::zero));
  const Dims dims = CUPEL_TRY(l.facts.item_dims(node.outputs[0]));
  const int64_t groups = attr_int(node.attributes, "group", 1), channels = x.layout.dims[1] / groups;
  const GroupColumns g{groups, dims[1] / groups, dims[0] > 1 ? size_t{5} : size_t{4}};

  ContractSpec spec;
  spec.space = {groups, dims[2], dims[3], g.columns};
  if (dims[0] > 1) spec.space.insert(spec.space.begin(), dims[0]);
  spec.a = window_access(l.steps, x, window, 0);
  spec.a.strides.insert(spec.a.strides.end() - 3, channels * element_bytes(x.layout.dtype));
  spec.loops = window_taps(x, window);
  spec.run = channels;
  std::vector<WeightSum> weight_sums;
  const Tensor* weights = constant_operand(l.graph, node, 1);
  const int64_t weights_buffer =
      weights ? pack_weights(l, rows_of_weights(*weights), tw, channels, spec, weight_sums, groups)
              : CUPEL_TRY(pack_computed_weights(l, node, spec, groups));

  Draft draft;
  draft.origins = origins_of(node);
  GroupedSums sums = tx.quant ? code_sums(l, draft, spec, g, sum_scaling(tx, tw, ty, bias, weight_sums), ty)
                              : float_sums(l, draft, spec, g, bias, !window.halo.empty());
  if (has_operand(node, 2) && !bias)
    sums.start_buffer = CUPEL_TRY(computed_starts(l, node, spec.start, spec.space.size(), groups));
  spec.epilogue = draft.expr.finish(sums.value);
  spec.operands = draft.take_operands(spec.space.size());

  return finish_grouped(l, node, g, std::move(spec), draft, dims, {x.layout.buffer, weights_buffer, sums.start_buffer});
}

}  // namespace cupel
