// fold_batch_norm: y = BatchNormalization(Conv(x, w, b)) becomes one convolution: per output channel w' = w·a and
// b' = (b − mean)·a + beta with a = scale / sqrt(var + epsilon), in double, rounded once to binary32. The same behind
// Gemm and MatMul with constant weights. Saves a pass over the activations and gives the quantizer the ranges that
// matter.
//   %c = Conv(%x, %w); %y = BatchNormalization(%c, …)     ->     %y = Conv(%x, %w', %b')
#include <cmath>

#include "ir/patch.h"
#include "ops/contract.h"
#include "ops/op_table.h"
#include "passes/pass.h"

namespace cupel {
namespace {

struct Affine {
  std::vector<double> scale, shift;
};

std::optional<Affine> affine_of(const Graph& graph, const Node& norm) {
  std::vector<const Tensor*> p;
  for (size_t i = 1; i < 5; ++i) {
    const auto& constant = graph.value(norm.inputs[i]).constant;
    if (!constant || constant->dtype() != DType::f32) return std::nullopt;
    p.push_back(&*constant);
  }
  const double epsilon = attr_real(norm.attributes, "epsilon", 1e-5f);
  Affine a;
  for (int64_t c = 0; c < p[0]->size(); ++c) {
    const double s = p[0]->at(c) / std::sqrt(p[3]->at(c) + epsilon);
    a.scale.push_back(s);
    a.shift.push_back(p[1]->at(c) - p[2]->at(c) * s);
  }
  return a;
}

// Axis of the output channels in the weights of a contraction; −1 when the fold does not apply.
int64_t channel_axis(const Graph& graph, const Node& node) {
  const auto weight_rank = static_cast<int64_t>(graph.type(node.inputs[1]).shape.size());
  // BatchNormalization's channel is axis 1.
  const bool fits = is(node, ops::kConv) || (weight_rank == 2 && graph.type(node.outputs[0]).shape.size() == 2);
  if (!fits || !ops::is_plain_product(node.attributes)) return -1;
  return node.op->channel_axis(node.attributes, weight_rank);
}

}  // namespace

Result<Graph> run_fold_batch_norm(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const auto users = graph.users();
  const auto producers = graph.producers();
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& norm = graph.nodes()[n];
    if (!is(norm, ops::kBatchNormalization)) continue;
    const ValueId x = norm.inputs[0];
    const NodeId before = producers[static_cast<size_t>(x.index)];
    if (!before.valid() || users[static_cast<size_t>(x.index)].size() != 1 || graph.is_output(x)) continue;
    const Node& node = graph.node(before);
    if (node.op->quant_rule != QuantRule::contraction) continue;
    const auto& w = graph.value(node.inputs[1]).constant;
    const int64_t axis = channel_axis(graph, node);
    const auto affine = affine_of(graph, norm);
    if (!w || w->dtype() != DType::f32 || axis < 0 || !affine) continue;
    const auto channels = static_cast<int64_t>(affine->scale.size());
    if (w->dims()[static_cast<size_t>(axis)] != channels) continue;
    const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
    const Tensor* b =
        has_bias && graph.value(node.inputs[2]).constant ? &*graph.value(node.inputs[2]).constant : nullptr;
    if (has_bias && (!b || b->dtype() != DType::f32 || b->dims() != Dims{channels})) continue;

    Tensor weights(DType::f32, w->dims()), bias(DType::f32, {channels});
    int64_t inner = 1;
    for (size_t d = static_cast<size_t>(axis) + 1; d < w->dims().size(); ++d) inner *= w->dims()[d];
    for (int64_t i = 0; i < w->size(); ++i)
      weights.mutable_data<float>()[static_cast<size_t>(i)] =
          static_cast<float>(w->at(i) * affine->scale[static_cast<size_t>(i / inner % channels)]);
    for (int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<size_t>(c);
      bias.mutable_data<float>()[at] = static_cast<float>((b ? b->at(c) : 0.0) * affine->scale[at] + affine->shift[at]);
    }
    patch.begin_edit();
    patch.remove(before);
    patch.remove({static_cast<int32_t>(n)});
    const std::string& result = graph.value(norm.outputs[0]).name;
    const ValueId new_w = patch.add_constant(graph.value(node.inputs[1]).name + "_folded", std::move(weights));
    const ValueId new_b = patch.add_constant(node.name + "_bias", std::move(bias));
    if (is(node, ops::kMatMul)) {
      patch.replace(norm.outputs[0], patch.add_named(ops::kGemm, node.name, result, {node.inputs[0], new_w, new_b}));
    } else {
      patch.replace(norm.outputs[0],
                    patch.add_named(*node.op, node.name, result, {node.inputs[0], new_w, new_b}, node.attributes));
    }
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
