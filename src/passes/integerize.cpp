// integerize: ops between dequantize and quantize nodes become ops on codes (docs/quantization.md 3). What is left
// becomes Quantize, Dequantize and Requantize.
//   %a = DequantizeLinear(%x); %w = DequantizeLinear(%k); %c = Conv(%a, %w); %y = QuantizeLinear(%c)     ->     %y =
//   Conv(%x, %k)
// First codes get the parameters of their dequantize nodes; then, in repeated rounds, dequantize nodes move behind and
// quantize nodes before ops that only move or select codes, which is exact; then each group is matched once.
#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>

#include "ir/patch.h"
#include "ops/contract.h"
#include "ops/op_table.h"
#include "passes/match.h"
#include "passes/pass.h"
#include "quant/plan.h"

namespace cupel {
namespace {

bool is_eight_bit(const TensorType& t) { return t.quant && dtype_bits(t.dtype) == 8; }

QuantParams linear_params(const Node& node) {
  QuantParams q{attr_reals(node.attributes, "scale"), {}, attr_int(node.attributes, "axis", -1)};
  for (int64_t z : attr_ints(node.attributes, "zero_point")) q.zero_point.push_back(static_cast<int32_t>(z));
  return q;
}

// The codes that a float value dequantizes; invalid when it is not the result of a dequantize node with the codes' own
// parameters.
ValueId codes_of(const Match& m, ValueId v) {
  const Node* dq = m.producer(v, ops::kDequantizeLinear);
  if (!dq) return {};
  const auto& quant = m.graph().type(dq->inputs[0]).quant;
  return quant && *quant == linear_params(*dq) ? dq->inputs[0] : ValueId{};
}

// Codes have the parameters that their dequantize node names: a graph input, say, or codes of another quantize node.
Result<Graph> with_parameters(const Graph& graph) {
  Patch patch(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is(node, ops::kDequantizeLinear)) continue;
    const ValueId x = node.inputs[0];
    const QuantParams params = linear_params(node);
    if (graph.type(x).quant == params) continue;
    patch.begin_edit();
    patch.remove({static_cast<int32_t>(n)});
    const auto& constant = graph.value(x).constant;
    const ValueId codes = constant ? patch.add_constant(graph.value(x).name + "_codes", *constant, params)
                                   : patch.add(ops::kAsCodes, node.name + "_codes", {x}, {},
                                               TensorType{graph.type(x).dtype, graph.type(x).shape, params});
    patch.replace(node.outputs[0],
                  patch.add_named(*node.op, node.name, graph.value(node.outputs[0]).name, {codes}, node.attributes));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

// One round of moving; nullopt when nothing moved.
Result<std::optional<Graph>> move_boundaries(const Graph& graph) {
  Patch patch(graph);
  const Match m(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!moves_codes_exactly(graph, node) || graph.type(node.inputs[0]).dtype != DType::f32) continue;
    const NodeId id{static_cast<int32_t>(n)};
    if (const ValueId codes = codes_of(m, node.inputs[0]);
        codes.valid() && graph.type(codes).quant->per_tensor() && is_eight_bit(graph.type(codes))) {
      const Node& dq = *m.producer(node.inputs[0], ops::kDequantizeLinear);
      patch.begin_edit();
      patch.remove(id);
      std::vector<std::string> names;
      for (ValueId v : node.outputs) names.push_back(graph.value(v).name + "_codes");
      const auto moved = add_on_codes(patch, node, codes, graph.type(codes), std::move(names));
      for (size_t i = 0; i < moved.size(); ++i)
        patch.replace(node.outputs[i],
                      patch.add_named(*dq.op, dq.name, graph.value(node.outputs[i]).name, {moved[i]}, dq.attributes));
      continue;
    }
    const NodeId user = node.outputs.size() == 1 ? m.only_user(node.outputs[0]) : NodeId{};
    if (!user.valid() || !is(graph.node(user), ops::kQuantizeLinear)) continue;
    const Node& q = graph.node(user);
    const TensorType& codes = graph.type(q.outputs[0]);
    if (!codes.quant->per_tensor() || codes_of(m, node.inputs[0]).valid()) continue;
    patch.begin_edit();
    patch.remove(id);
    patch.remove(user);
    const ValueId x = node.inputs[0];
    const ValueId early = patch.add(*q.op, q.name + "_before_" + node.name, {x}, q.attributes,
                                    TensorType{codes.dtype, graph.type(x).shape, codes.quant});
    patch.replace(q.outputs[0], add_on_codes(patch, node, early, codes, {graph.value(q.outputs[0]).name})[0]);
  }
  if (patch.empty()) return std::optional<Graph>();
  return std::optional<Graph>(CUPEL_TRY(apply_patch(patch)));
}

// Where the result of a node goes: through single-use clamps into one quantize node, or nowhere in particular.
struct Sink {
  std::vector<NodeId> clamps;
  NodeId quantize;
};

class Integerizer {
 public:
  Integerizer(const Graph& graph, const PassContext& context)
      : graph_(graph), context_(context), m_(graph), patch_(graph), taken_(graph.nodes().size(), false) {}

  Result<Graph> run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<int32_t>(n)};
      if (taken(id)) continue;
      const Node& node = graph_.nodes()[n];
      switch (node.op->quant_rule) {
        case QuantRule::contraction: contraction(id); break;
        case QuantRule::add:
        case QuantRule::mul:
        case QuantRule::average:
        case QuantRule::unary:
        case QuantRule::concat: on_codes(id); break;
        case QuantRule::none:
          if (node.op->conversion == Conversion::none) refuse(node, "the op has no integer meaning");
          break;
        case QuantRule::same: break;
      }
    }
    for (size_t n = 0; n < graph_.nodes().size(); ++n)
      if (const NodeId id{static_cast<int32_t>(n)}; !taken(id)) CUPEL_TRY(boundary(id));
    Graph out = patch_.empty() ? graph_ : CUPEL_TRY(apply_patch(patch_));
    out.stage = Stage::integer;
    return out;
  }

 private:
  bool taken(NodeId id) const { return taken_[static_cast<size_t>(id.index)]; }
  void take(NodeId id) {
    taken_[static_cast<size_t>(id.index)] = true;
    patch_.remove(id);
  }
  void refuse(const Node& node, std::string reason) {
    if (context_.remarks) context_.remarks->push_back({.node = node.name, .reason = std::move(reason)});
  }

  Sink sink_of(ValueId v) const {
    Sink s;
    for (NodeId user = m_.only_user(v); user.valid(); user = m_.only_user(v)) {
      const Node& node = graph_.node(user);
      if (is(node, ops::kQuantizeLinear)) {
        if (graph_.type(node.outputs[0]).quant->per_tensor()) s.quantize = user;
        return s;
      }
      if (!is_clamp(node) || node.inputs[0] != v) return s;
      s.clamps.push_back(user);
      v = node.outputs[0];
    }
    return s;
  }

  // Why the op cannot take these operands as codes and give `result`; empty when it can.
  std::string refusal(const Node& node, const std::vector<ValueId>& inputs,
                      const std::optional<TensorType>& result) const {
    std::vector<const TensorType*> types;
    std::vector<const std::vector<Dim>*> contents;
    std::vector<const Tensor*> constants;
    for (ValueId id : inputs) {
      const Value* v = id.valid() ? &graph_.value(id) : nullptr;
      types.push_back(v ? &v->type : nullptr);
      contents.push_back(v && v->contents ? &*v->contents : nullptr);
      constants.push_back(v && v->constant ? &*v->constant : nullptr);
    }
    std::vector<TensorType> declared;
    if (result) declared.push_back(*result);
    const auto inferred = node.op->infer({node.attributes, types, contents, constants, declared});
    return inferred ? std::string() : "on codes: " + inferred.error().cause;
  }

  // Replaces node and its sink by an op on codes, the clamps becoming clamps of codes.
  void replace_into(NodeId id, const Sink& sink, std::vector<ValueId> inputs) {
    const Node& node = graph_.node(id);
    const Node& q = graph_.node(sink.quantize);
    TensorType type = graph_.type(q.outputs[0]);
    const std::string& result = graph_.value(q.outputs[0]).name;
    patch_.begin_edit();
    take(id);
    if (sink.clamps.empty()) {
      take(sink.quantize);
      patch_.replace(q.outputs[0],
                     patch_.add_named(*node.op, node.name, result, std::move(inputs), node.attributes, type));
      return;
    }
    ValueId v = patch_.add(*node.op, node.name, std::move(inputs), node.attributes, type);
    for (size_t i = 0; i < sink.clamps.size(); ++i) {
      const Node& clamp = graph_.node(sink.clamps[i]);
      patch_.begin_edit();
      take(sink.clamps[i]);
      const bool last = i + 1 == sink.clamps.size();
      if (last) take(sink.quantize);
      std::vector<ValueId> operands = clamp.inputs;
      operands[0] = v;
      v = patch_.add_named(*clamp.op, clamp.name, last ? result : clamp.name + "_codes", std::move(operands),
                           clamp.attributes, type);
    }
    patch_.replace(q.outputs[0], v);
  }

  // The integer bias of a contraction: s32 codes, one for each output channel, when their scale is the product of the
  // operands' scales.
  ValueId integer_bias(ValueId bias, const TensorType& x, const TensorType& w, const Dim& out_channels) const {
    const ValueId codes = codes_of(m_, bias);
    if (!codes.valid() || graph_.type(codes).dtype != DType::s32 || !graph_.value(codes).constant) return {};
    if (graph_.type(codes).shape != Shape{out_channels}) return {};
    const QuantParams& q = *graph_.type(codes).quant;
    const int64_t channels = out_channels.factor;
    for (int64_t c = 0; c < channels; ++c) {
      // The file's scale is at least the least normal number.
      const double product =
          std::max(static_cast<double>(x.quant->scale[0]) * static_cast<double>(w.quant->scale_at(c)),
                   static_cast<double>(FLT_MIN));
      if (std::abs(static_cast<double>(q.scale_at(c)) - product) > product * 0x1p-20) return {};
    }
    return codes;
  }

  // Elements of one output channel of convolution weights.
  static int64_t channel_volume(const Shape& weights) {
    int64_t volume = 1;
    for (size_t d = 1; d < weights.size(); ++d) volume *= weights[d].factor;
    return volume;
  }

  // Whether no sum of the contraction can leave int32: max|x − zx| · Σ|w − zw| + |bias| for every output channel.
  bool sums_fit(const Node& node, ValueId x, ValueId w, ValueId bias) const {
    const TensorType &tx = graph_.type(x), &tw = graph_.type(w);
    const auto reach = [](const TensorType& t, int32_t zero) {
      return std::max(dtype_max(t.dtype) - zero, zero - dtype_min(t.dtype));
    };
    const int64_t max_x = reach(tx, tx.quant->zero_point[0]);
    const auto& weights = graph_.value(w).constant;
    if (!weights) {
      const Shape& shape = tx.shape;
      const bool columns = is(node, ops::kGemm) && attr_int(node.attributes, "transA", 0) != 0;
      const int64_t depth =
          is(node, ops::kConv) ? channel_volume(tw.shape) : (columns ? shape.front() : shape.back()).factor;
      int64_t max_w = 0;
      for (int32_t zero : tw.quant->zero_point) max_w = std::max(max_w, reach(tw, zero));
      return depth * max_x * max_w < (int64_t{1} << 31);
    }
    const bool rows = channel_axis(node) == 0;
    const Dims& dims = weights->dims();
    // A vector is one output channel.
    const int64_t channels = dims.size() < 2 ? 1 : rows ? dims[0] : dims.back();
    const int64_t inner = rows              ? weights->size() / std::max<int64_t>(1, channels)
                          : dims.size() < 2 ? weights->size()
                                            : 1;
    std::vector<int64_t> sums(static_cast<size_t>(channels), 0);
    for (int64_t i = 0; i < weights->size(); ++i) {
      const int64_t c = i / inner % channels;
      sums[static_cast<size_t>(c)] += std::abs(weights->int_at(i) - tw.quant->zero_point_at(c));
    }
    const Tensor* b = bias.valid() ? &*graph_.value(bias).constant : nullptr;
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t start = b ? std::abs(b->int_at(b->size() == 1 ? 0 : c)) : 0;
      if (sums[static_cast<size_t>(c)] * max_x + start >= (int64_t{1} << 31)) return false;
    }
    return true;
  }

  void contraction(NodeId id) {
    const Node& node = graph_.node(id);
    const ValueId x = codes_of(m_, node.inputs[0]), w = codes_of(m_, node.inputs[1]);
    if (!x.valid() || !is_eight_bit(graph_.type(x))) return refuse(node, "its input is not quantized to 8 bits");
    if (!w.valid() || !is_eight_bit(graph_.type(w))) return refuse(node, "its weights are not quantized to 8 bits");
    const TensorType &tx = graph_.type(x), &tw = graph_.type(w);
    if (!tx.quant->per_tensor()) return refuse(node, "its input has quantization parameters per axis");
    if (!tw.quant->per_tensor() && tw.quant->axis != channel_axis(node))
      return refuse(
          node, fmt::format("its weights have quantization parameters along axis {}, which is not the output channel",
                            tw.quant->axis));
    if (!ops::is_plain_product(node.attributes)) return refuse(node, "alpha or beta is not 1");
    const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
    const ValueId bias =
        has_bias ? integer_bias(node.inputs[2], tx, tw, tw.shape[static_cast<size_t>(channel_axis(node))]) : ValueId{};
    if (!sums_fit(node, x, w, bias)) return refuse(node, "its integer sum could pass 32 bits");
    std::vector<ValueId> inputs = {x, w};
    if (bias.valid()) inputs.push_back(bias);
    const bool float_bias = has_bias && !bias.valid();
    const Sink sink = float_bias ? Sink{} : sink_of(node.outputs[0]);
    std::optional<TensorType> codes;
    if (sink.quantize.valid()) codes = graph_.type(graph_.node(sink.quantize).outputs[0]);
    if (std::string why = refusal(node, inputs, codes); !why.empty()) return refuse(node, std::move(why));
    if (float_bias) return with_float_bias(id, std::move(inputs));
    if (sink.quantize.valid()) return replace_into(id, sink, std::move(inputs));
    patch_.begin_edit();
    take(id);
    patch_.replace(node.outputs[0], patch_.add_named(*node.op, node.name, graph_.value(node.outputs[0]).name,
                                                     std::move(inputs), node.attributes));
  }

  // Of the weights.
  int64_t channel_axis(const Node& node) const {
    return node.op->channel_axis(node.attributes, static_cast<int64_t>(graph_.type(node.inputs[1]).shape.size()));
  }

  // A bias whose scale is not the product of scales is added in float (docs/quantization.md 3).
  void with_float_bias(NodeId id, std::vector<ValueId> inputs) {
    const Node& node = graph_.node(id);
    const Shape& bias_shape = graph_.type(node.inputs[2]).shape;
    patch_.begin_edit();
    take(id);
    const ValueId product = patch_.add(*node.op, node.name, std::move(inputs), node.attributes);
    ValueId bias = node.inputs[2];
    if (is(node, ops::kConv)) {
      std::vector<int64_t> target(graph_.type(node.outputs[0]).shape.size() - 1, 1);
      target[0] = bias_shape[0].factor;
      const ValueId shape = patch_.add_constant(
          node.name + "_bias_shape",
          Tensor::of<int64_t>({static_cast<int64_t>(target.size())}, std::span<const int64_t>(target)));
      bias = patch_.add(ops::kReshape, node.name + "_bias", {bias, shape});
    }
    patch_.replace(node.outputs[0], patch_.add_named(ops::kAdd, node.name + "_add_bias",
                                                     graph_.value(node.outputs[0]).name, {product, bias}));
  }

  void on_codes(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.outputs.size() != 1) return;
    const QuantRule rule = node.op->quant_rule;
    const size_t operands = rule == QuantRule::concat                          ? node.inputs.size()
                            : rule == QuantRule::add || rule == QuantRule::mul ? 2
                                                                               : 1;
    std::vector<ValueId> inputs = node.inputs;
    if (inputs.size() < operands) return;
    for (size_t i = 0; i < operands; ++i) {
      if (graph_.type(inputs[i]).dtype != DType::f32) return;
      inputs[i] = codes_of(m_, inputs[i]);
      if (!inputs[i].valid() || !is_eight_bit(graph_.type(inputs[i])) || !graph_.type(inputs[i]).quant->per_tensor())
        return refuse(node, fmt::format("operand {} is not quantized to 8 bits", i));
      if (rule == QuantRule::add || rule == QuantRule::mul)
        if (graph_.value(inputs[i]).constant && graph_.type(inputs[i]).quant->zero_point.size() != 1)
          return refuse(node, "a constant operand has parameters per axis");
    }
    const Sink sink = sink_of(node.outputs[0]);
    if (!sink.quantize.valid()) return refuse(node, "its result is not quantized");
    if (dtype_bits(graph_.type(graph_.node(sink.quantize).outputs[0]).dtype) != 8)
      return refuse(node, "its result is not quantized to 8 bits");
    if (std::string why = refusal(node, inputs, graph_.type(graph_.node(sink.quantize).outputs[0])); !why.empty())
      return refuse(node, std::move(why));
    replace_into(id, sink, std::move(inputs));
  }

  // Q/DQ nodes that no op absorbed.
  Status boundary(NodeId id) {
    const Node& node = graph_.node(id);
    const bool quantize = is(node, ops::kQuantizeLinear), dequantize = is(node, ops::kDequantizeLinear);
    if (!quantize && !dequantize) return {};
    const ValueId result = node.outputs[0];
    patch_.begin_edit();
    take(id);
    if (quantize) {
      const ValueId codes = codes_of(m_, node.inputs[0]);
      const bool both = codes.valid() && is_eight_bit(graph_.type(codes)) && graph_.type(codes).quant->per_tensor() &&
                        graph_.type(result).quant->per_tensor();
      // A graph output keeps a node of its own: the codes may be an input or another output.
      if (both && graph_.type(codes) == graph_.type(result) && !graph_.is_output(result)) {
        patch_.replace(result, codes);
      } else {
        patch_.replace(result,
                       patch_.add_named(both ? ops::kRequantize : ops::kQuantize, node.name, graph_.value(result).name,
                                        {both ? codes : node.inputs[0]}, {}, graph_.type(result)));
      }
      return {};
    }
    patch_.replace(result, patch_.add_named(ops::kDequantize, node.name, graph_.value(result).name, {node.inputs[0]}));
    return {};
  }

  const Graph& graph_;
  const PassContext& context_;
  Match m_;
  Patch patch_;
  std::vector<bool> taken_;
};

}  // namespace

Result<Graph> run_integerize(const Graph& graph, const PassContext& context) {
  Graph current = CUPEL_TRY(with_parameters(graph));
  for (;;) {
    auto moved = CUPEL_TRY(move_boundaries(current));
    if (!moved) break;
    current = std::move(*moved);
  }
  return Integerizer(current, context).run();
}

}  // namespace cupel
