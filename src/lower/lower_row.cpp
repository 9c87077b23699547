// Softmax and LayerNormalization over the last dimension as row kernels (docs/quantization.md 4).
#include <fmt/format.h>

#include "lower/lowering.h"

namespace cupel {

Walk Lowering::walk_of(ValueId value, const Dims& dims) const {
  if (images_[static_cast<size_t>(value.index)] && dims.size() == 3) return image_walk(dims);
  Walk w{dims, {}, dims};
  for (size_t d = 0; d < dims.size(); ++d) w.item_dim.push_back(static_cast<int>(d));
  if (dims.empty()) {
    w.space = {1};
    w.item_dim = {-1};
  }
  return w;
}

Status Lowering::lower_row(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType& type = graph_.type(node.inputs[0]);
  const auto rank = static_cast<int64_t>(type.shape.size());
  int64_t axis = attr_int(node.attributes, "axis", -1);
  if (axis < 0) axis += rank;
  if (type.dtype != DType::f32 || axis != rank - 1 || rank < 2)
    return not_compiled("",
                        fmt::format("{} along axis {} of rank {} has no compiled form yet", node.op->name, axis, rank));
  const Dims dims = CUPEL_TRY(item_dims(graph_, batch_, node.inputs[0]));
  Walk walk{dims, {}, dims};
  for (size_t d = 0; d < dims.size(); ++d) walk.item_dim.push_back(static_cast<int>(d));
  Draft draft;
  RowSpec spec;
  spec.space = walk.space;
  const auto x_in = [&](ExprBuilder& b) { return b.operand(0, DType::f32); };
  const Placed x = *CUPEL_TRY(place_of(node.inputs[0]));
  draft.operands.push_back(access(x, walk));
  draft.operand_buffers.push_back(x.layout.buffer);
  Scalar value = 0.0f;
  const bool logarithm = node.op->name == "LogSoftmax";
  if (logarithm || node.op->name == "Softmax") {
    ExprBuilder greatest_value, sum_value;
    spec.steps.push_back({RowReduction::greatest, greatest_value.finish(x_in(greatest_value)), {}});
    ExprBuilder sum_finish;
    spec.steps.push_back(
        {RowReduction::sum64, sum_value.finish(exp(x_in(sum_value) - sum_value.accumulator(0, ScalarType::f32))),
         logarithm ? sum_finish.finish(log(sum_finish.accumulator(1, ScalarType::f32))) : ScalarExpr{}});
    const Scalar apart = x_in(draft.expr) - draft.expr.accumulator(0, ScalarType::f32);
    const Scalar total = draft.expr.accumulator(1, ScalarType::f32);
    value = logarithm ? apart - total : exp(apart) / total;
  } else {
    const float n = static_cast<float>(dims.back()), epsilon = attr_real(node.attributes, "epsilon", 1e-5f);
    ExprBuilder mean_value, mean_finish, square_value, square_finish;
    spec.steps.push_back({RowReduction::sum64, mean_value.finish(x_in(mean_value)),
                          mean_finish.finish(mean_finish.accumulator(0, ScalarType::f32) / Scalar(n))});
    const Scalar variance = square_finish.accumulator(1, ScalarType::f32) / Scalar(n);
    spec.steps.push_back({RowReduction::squares64,
                          square_value.finish(x_in(square_value) - square_value.accumulator(0, ScalarType::f32)),
                          square_finish.finish(Scalar(1.0f) / sqrt(variance + Scalar(epsilon)))});
    const Scalar d = x_in(draft.expr) - draft.expr.accumulator(0, ScalarType::f32);
    const Scalar scaled = d * draft.expr.accumulator(1, ScalarType::f32);
    const Scalar scale = CUPEL_TRY(operand_scalar(draft, node.inputs[1], walk));
    const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
    value = has_bias ? fma(scaled, scale, CUPEL_TRY(operand_scalar(draft, node.inputs[2], walk))) : scaled * scale;
  }
  const Absorbed nodes = absorbable(id, node.outputs[0]);
  spec.value = draft.expr.finish(CUPEL_TRY(absorb(draft, node.outputs[0], value, nodes, walk)));
  const ValueId result = take(id, nodes, node.outputs[0], draft);
  const Placed place = CUPEL_TRY(new_place(result, false));
  spec.out = access(place, walk);
  for (Access& a : draft.operands) a.strides.resize(walk.space.size(), 0);
  spec.operands = std::move(draft.operands);
  std::vector<int64_t> buffers = {place.layout.buffer};
  buffers.insert(buffers.end(), draft.operand_buffers.begin(), draft.operand_buffers.end());
  add_step({std::move(spec), RowSchedule{}}, std::move(buffers), draft.origins, result, &place);
  places_[result] = place;
  return {};
}

}  // namespace cupel
