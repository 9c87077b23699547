// Softmax, LayerNormalization and RMSNormalization over the last dimension as row kernels (docs/quantization.md 4).
#include <fmt/format.h>

#include "lower/op_lowerings.h"
#include "ops/op_table.h"

namespace cupel {
namespace {

// unsupported unless the node works along the last dimension, which is not the batch, on numbers.
Status expect_last_axis(const Lowering& l, const Node& node) {
  const TensorType& type = l.graph.type(node.inputs[0]);
  const auto rank = static_cast<int64_t>(type.shape.size());
  int64_t axis = attr_int(node.attributes, "axis", -1);
  if (axis < 0) axis += rank;
  if (axis == 0 && l.facts.is_batched(node.inputs[0]))
    return no_compiled_form(
        fmt::format("{} over the batch has no compiled form; give the batch a size", node.op->name));
  if (type.dtype == DType::f32 && axis == rank - 1) return {};
  return no_compiled_form(
      fmt::format("{} along axis {} of rank {} has no compiled form yet", node.op->name, axis, rank));
}

// A row kernel in the making: operand 0 is that of the node.
struct RowDraft {
  Walk walk;
  RowSpec spec = {};
  Draft draft = {};

  static Scalar x(ExprBuilder& b) { return b.operand(0, DType::f32); }
  Scalar x() { return x(draft.expr); }
};

Status begin_row(Lowering& l, const Node& node, RowDraft& r) {
  CUPEL_TRY(expect_last_axis(l, node));
  r.walk = plain_walk(CUPEL_TRY(l.facts.item_dims(node.inputs[0])));
  r.spec.space = r.walk.space;
  const Placed x = CUPEL_TRY(l.places.at(node.inputs[0]));
  r.draft.operands.push_back(l.places.access(x, r.walk));
  r.draft.operand_buffers.push_back(x.layout.buffer);
  return {};
}

Status finish_row(Lowering& l, NodeId id, RowDraft& r, Scalar value) {
  const ValueId own = l.graph.node(id).outputs[0];
  const Absorbed nodes = l.absorption.behind(id, own);
  r.spec.value = r.draft.expr.finish(CUPEL_TRY(l.expressions.of_nodes(r.draft, own, value, nodes, r.walk)));
  const ValueId result = l.absorption.take(id, nodes, own, r.draft);
  const Placed place = CUPEL_TRY(l.places.fresh(result, false));
  r.spec.out = l.places.access(place, r.walk);
  r.spec.operands = r.draft.take_operands(r.walk.space.size());
  l.finish({std::move(r.spec), RowSchedule{}}, r.draft.buffers({place.layout.buffer}), r.draft.origins, result, place);
  return {};
}

}  // namespace

Status lower_softmax(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  RowDraft r;
  CUPEL_TRY(begin_row(l, node, r));
  const bool logarithm = is(node, ops::kLogSoftmax);
  ExprBuilder greatest_value, sum_value, sum_finish;
  r.spec.steps.push_back({.kind = RowReduction::greatest, .value = greatest_value.finish(RowDraft::x(greatest_value))});
  r.spec.steps.push_back(
      {.kind = RowReduction::sum64,
       .value = sum_value.finish(exp(RowDraft::x(sum_value) - sum_value.accumulator(0, ScalarType::f32))),
       .finish = logarithm ? sum_finish.finish(log(sum_finish.accumulator(1, ScalarType::f32))) : ScalarExpr{}});
  const Scalar apart = r.x() - r.draft.expr.accumulator(0, ScalarType::f32);
  const Scalar total = r.draft.expr.accumulator(1, ScalarType::f32);
  return finish_row(l, id, r, logarithm ? apart - total : exp(apart) / total);
}

Status lower_layer_normalization(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  RowDraft r;
  CUPEL_TRY(begin_row(l, node, r));
  const auto n = static_cast<float>(r.walk.dims.back());
  const float epsilon = attr_real(node.attributes, "epsilon", 1e-5f);
  ExprBuilder mean_value, mean_finish, square_value, square_finish;
  r.spec.steps.push_back({.kind = RowReduction::sum64,
                          .value = mean_value.finish(RowDraft::x(mean_value)),
                          .finish = mean_finish.finish(mean_finish.accumulator(0, ScalarType::f32) / Scalar(n))});
  const Scalar variance = square_finish.accumulator(1, ScalarType::f32) / Scalar(n);
  r.spec.steps.push_back(
      {.kind = RowReduction::squares64,
       .value = square_value.finish(RowDraft::x(square_value) - square_value.accumulator(0, ScalarType::f32)),
       .finish = square_finish.finish(Scalar(1.0f) / sqrt(variance + Scalar(epsilon)))});
  const Scalar d = r.x() - r.draft.expr.accumulator(0, ScalarType::f32);
  const Scalar scaled = d * r.draft.expr.accumulator(1, ScalarType::f32);
  const Scalar scale = CUPEL_TRY(l.expressions.operand(r.draft, node.inputs[1], r.walk));
  if (node.inputs.size() < 3 || !node.inputs[2].valid()) return finish_row(l, id, r, scaled * scale);
  const Scalar bias = CUPEL_TRY(l.expressions.operand(r.draft, node.inputs[2], r.walk));
  return finish_row(l, id, r, fma(scaled, scale, bias));
}

Status lower_rms_normalization(Lowering& l, NodeId id) {
  const Node& node = l.graph.node(id);
  RowDraft r;
  CUPEL_TRY(begin_row(l, node, r));
  const auto n = static_cast<float>(r.walk.dims.back());
  ExprBuilder value, finish;
  const Scalar mean = finish.accumulator(0, ScalarType::f32) / Scalar(n);
  r.spec.steps.push_back(
      {.kind = RowReduction::squares64,
       .value = value.finish(RowDraft::x(value)),
       .finish = finish.finish(Scalar(1.0f) / sqrt(mean + Scalar(attr_real(node.attributes, "epsilon", 1e-5f))))});
  const Scalar scaled = r.x() * r.draft.expr.accumulator(0, ScalarType::f32);
  return finish_row(l, id, r, scaled * CUPEL_TRY(l.expressions.operand(r.draft, node.inputs[1], r.walk)));
}

}  // namespace cupel
