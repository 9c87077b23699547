// recognise_layer_norm: (x − mean) / sqrt(mean((x − mean)²) + epsilon), then scale and bias, over the last axis,
// becomes one LayerNormalization node: one pass over the row instead of seven.
//   %m = ReduceMean(%x); %d = Sub(%x, %m); … %n = Div(%d, %s); %y = Add(Mul(%n, %w), %b)     ->     %y =
//   LayerNormalization(%x, %w, %b)
#include <set>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace cupel {
namespace {

// The operand of a mean over the last axis that keeps it; invalid otherwise.
ValueId mean_of(const Match& m, ValueId v) {
  const Node* mean = m.producer(v, ops::kReduceMean);
  if (!mean || attr_int(mean->attributes, "keepdims", 1) != 1 || mean->inputs.size() < 2) return {};
  const auto& axes = m.graph().value(mean->inputs[1]).contents;
  const auto rank = static_cast<int64_t>(m.graph().type(mean->inputs[0]).shape.size());
  if (!axes || axes->size() != 1 || !((*axes)[0] == Dim(-1) || (*axes)[0] == Dim(rank - 1))) return {};
  return mean->inputs[0];
}

struct Found {
  ValueId x, scale, bias, result;
  float epsilon = 0;
  std::set<NodeId> nodes;
};

std::optional<Found> match_at(const Match& m, const Node& div, NodeId div_id) {
  const Graph& g = m.graph();
  Found f;
  const ValueId d = div.inputs[0];
  const Node* sqrt = m.producer(div.inputs[1], ops::kSqrt);
  const Node* sub = m.producer(d, ops::kSub);
  const Node* add = sqrt ? m.producer(sqrt->inputs[0], ops::kAdd) : nullptr;
  if (!sub || !add) return std::nullopt;
  ValueId variance;
  for (size_t side = 0; side < 2; ++side)
    if (const auto e = m.scalar(add->inputs[side])) {
      f.epsilon = static_cast<float>(*e);
      variance = add->inputs[1 - side];
    }
  f.x = sub->inputs[0];
  if (!variance.valid() || f.epsilon <= 0 || mean_of(m, sub->inputs[1]) != f.x) return std::nullopt;
  const ValueId square = mean_of(m, variance);
  ValueId base;
  if (const Node* pow = m.producer(square, ops::kPow); pow && m.is_scalar(pow->inputs[1], 2.0)) base = pow->inputs[0];
  if (const Node* mul = m.producer(square, ops::kMul); mul && mul->inputs[0] == mul->inputs[1]) base = mul->inputs[0];
  // Some exporters subtract the mean twice.
  const Node* again = m.producer(base, ops::kSub);
  if (base != d && !(again && again->inputs[0] == f.x && mean_of(m, again->inputs[1]) == f.x)) return std::nullopt;
  for (ValueId v : {d, div.inputs[1], sqrt->inputs[0], variance, square, base, sub->inputs[1]})
    f.nodes.insert(m.producer_id(v));
  f.nodes.insert(div_id);
  // Everything inside is read inside only.
  for (NodeId id : f.nodes)
    for (ValueId v : g.node(id).outputs) {
      if (id == div_id) continue;
      if (g.is_output(v)) return std::nullopt;
      for (NodeId user : m.users(v))
        if (!f.nodes.contains(user)) return std::nullopt;
    }
  f.result = div.outputs[0];
  if (g.type(f.result) != g.type(f.x)) return std::nullopt;  // a constant of higher rank adds dimensions
  const Dim width = g.type(f.x).shape.back();
  const auto is_row = [&](ValueId v) {
    return v.valid() && g.value(v).constant && g.type(v).dtype == DType::f32 && g.type(v).shape == Shape{width};
  };
  if (const Node* mul = m.only_user(f.result, ops::kMul); mul && is_row(Match::other(*mul, f.result))) {
    f.scale = Match::other(*mul, f.result);
    f.nodes.insert(m.only_user(f.result));
    f.result = mul->outputs[0];
    if (const Node* plus = m.only_user(f.result, ops::kAdd); plus && is_row(Match::other(*plus, f.result))) {
      f.bias = Match::other(*plus, f.result);
      f.nodes.insert(m.only_user(f.result));
      f.result = plus->outputs[0];
    }
  }
  return f;
}

}  // namespace

Result<Graph> run_recognise_layer_norm(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const Match m(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& div = graph.nodes()[n];
    if (!is(div, ops::kDiv) || graph.type(div.outputs[0]).shape.empty() ||
        !graph.type(div.outputs[0]).shape.back().is_constant())
      continue;
    const auto f = match_at(m, div, {static_cast<int32_t>(n)});
    if (!f) continue;
    patch.begin_edit();
    for (NodeId id : f->nodes) patch.remove(id);
    const int64_t width = graph.type(f->x).shape.back().factor;
    const std::string& result = graph.value(f->result).name;
    const std::vector<float> ones(static_cast<size_t>(width), 1.0f);
    const ValueId scale =
        f->scale.valid() ? f->scale : patch.add_constant(div.name + "_scale", Tensor::of<float>({width}, ones));
    patch.replace(f->result, patch.add_named(ops::kLayerNormalization, div.name, result, {f->x, scale, f->bias},
                                             {{"axis", int64_t{-1}}, {"epsilon", f->epsilon}}));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
