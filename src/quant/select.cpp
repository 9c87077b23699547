#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ops/contract.h"
#include "ops/op_table.h"
#include "quant/plan.h"

namespace cupel {
namespace {

class Selector {
 public:
  explicit Selector(const Graph& graph)
      : graph_(graph),
        users_(graph.users()),
        producers_(graph.producers()),
        sources_(graph.values().size()),
        unclamped_(graph.values().size()),
        wanted_behind_(graph.values().size(), false),
        possible_(graph.values().size(), false) {
    note_sources();
  }

  Selection select(const std::set<NodeId>& in_float) {
    for (const NodeId id : in_float) reasons_[id] = "it is asked to stay in float";
    in_float_ = &in_float;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) contraction({static_cast<int32_t>(n)});
    note_possible_codes();
    // Users are decided before producers.
    for (size_t n = graph_.nodes().size(); n-- > 0;) {
      look_behind(graph_.nodes()[n]);
      between({static_cast<int32_t>(n)});
    }
    return selection();
  }

  Selection select_only(NodeId id) {
    if (graph_.node(id).op->quant_rule == QuantRule::contraction)
      contraction(id);
    else
      take(id);
    return selection();
  }

 private:
  Selection selection() const {
    Selection s;
    for (size_t v = 0; v < graph_.values().size(); ++v)
      if (wanted_.contains({static_cast<int32_t>(v)})) s.activations.push_back({static_cast<int32_t>(v)});
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<int32_t>(n)};
      const Node& node = graph_.node(id);
      if (integer_.contains(id)) {
        (node.op->quant_rule == QuantRule::contraction ? s.contractions : s.others).push_back(id);
      } else if (const auto reason = reasons_.find(id); reason != reasons_.end()) {
        s.kept[node.name] = reason->second;
      } else if (node.op->quant_rule == QuantRule::none) {
        s.kept[node.name] = "the op has no integer meaning";
      }
    }
    return s;
  }

  bool stays_in_float(NodeId id) const { return in_float_ != nullptr && in_float_->contains(id); }
  const Node* producer(ValueId v) const {
    const NodeId id = producers_[static_cast<size_t>(v.index)];
    return id.valid() ? &graph_.node(id) : nullptr;
  }
  bool is_activation(ValueId v) const {
    return v.valid() && !graph_.value(v).constant && graph_.type(v).dtype == DType::f32;
  }
  bool moves(const Node& node) const { return moves_codes_exactly(graph_, node) && is_activation(node.inputs[0]); }

  // The value to quantize so that `v` comes as codes: behind ops that only move.
  ValueId source(ValueId v) const { return sources_[static_cast<size_t>(v.index)]; }
  void note_sources() {
    for (size_t i = 0; i < sources_.size(); ++i) sources_[i] = unclamped_[i] = {static_cast<int32_t>(i)};
    for (const Node& node : graph_.nodes())
      for (ValueId v : node.outputs) {
        if (moves(node)) sources_[static_cast<size_t>(v.index)] = source(node.inputs[0]);
        if (is_clamp(node))
          unclamped_[static_cast<size_t>(v.index)] = unclamped_[static_cast<size_t>(node.inputs[0].index)];
      }
  }
  // The value behind the single-use clamps that follow v.
  ValueId behind_clamps(ValueId v) const {
    for (;;) {
      const auto& u = users_[static_cast<size_t>(v.index)];
      if (u.size() != 1 || graph_.is_output(v) || !is_clamp(graph_.node(u[0])) || graph_.node(u[0]).inputs[0] != v)
        return v;
      v = graph_.node(u[0]).outputs[0];
    }
  }
  // Notes for the results of a node whether some integer node reads them, directly or behind clamps and moves; its
  // users are decided already.
  void look_behind(const Node& node) {
    for (ValueId v : node.outputs)
      for (NodeId user : users_[static_cast<size_t>(v.index)]) {
        const Node& reader = graph_.node(user);
        const bool passes_on = (is_clamp(reader) || moves(reader)) &&
                               std::any_of(reader.outputs.begin(), reader.outputs.end(),
                                           [&](ValueId r) { return wanted_behind_[static_cast<size_t>(r.index)]; });
        if (integer_.contains(user) || passes_on) wanted_behind_[static_cast<size_t>(v.index)] = true;
      }
  }
  // Notes which values can be codes at no cost to a float op: an input of the graph, an operand of an integer
  // contraction, or the result of an op that has an integer meaning on operands for which the same holds. Later choices
  // change nothing of it: what they turn into codes can be codes already.
  void note_possible_codes() {
    for (ValueId id : graph_.inputs()) possible_[static_cast<size_t>(id.index)] = is_activation(id);
    for (const Node& node : graph_.nodes())
      for (ValueId v : node.outputs) possible_[static_cast<size_t>(v.index)] = is_possible(v);
  }
  bool can_be_codes(ValueId v) const { return v.valid() && possible_[static_cast<size_t>(v.index)]; }
  // The same for the result of a node whose operands are noted.
  bool is_possible(ValueId v) const {
    if (!is_activation(v)) return false;
    if (wanted_.contains(v)) return true;
    if (moves(*producer(v))) return can_be_codes(producer(v)->inputs[0]);
    const Node* p = producer(unclamped_[static_cast<size_t>(v.index)]);
    if (!p) return true;
    if (stays_in_float(producers_[static_cast<size_t>(p->outputs[0].index)])) return false;
    switch (p->op->quant_rule) {
      case QuantRule::contraction: return integer_.contains(producers_[static_cast<size_t>(p->outputs[0].index)]);
      case QuantRule::add:
      case QuantRule::mul:
      case QuantRule::concat:
        return std::all_of(p->inputs.begin(), p->inputs.end(), [&](ValueId x) { return can_be_codes(x); });
      case QuantRule::average:
      case QuantRule::unary: return can_be_codes(p->inputs[0]);
      case QuantRule::none:
      case QuantRule::same: return false;
    }
    return false;
  }

  void contraction(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op->quant_rule != QuantRule::contraction || stays_in_float(id)) return;
    const ValueId x = node.inputs[0], w = node.inputs[1];
    if (!is_activation(x)) {
      reasons_[id] = "its first operand is constant";
      return;
    }
    const auto& weights = graph_.value(w).constant;
    if (weights && (weights->rank() < 2 || (is(node, ops::kMatMul) && weights->rank() != 2))) {
      reasons_[id] = fmt::format("its constant operand has rank {}", weights->rank());
      return;
    }
    if (!weights && !is(node, ops::kMatMul)) {
      reasons_[id] = "its weights are computed at run time";
      return;
    }
    if (!ops::is_plain_product(node.attributes)) {
      reasons_[id] = "alpha or beta is not 1";
      return;
    }
    const bool has_bias = node.inputs.size() > 2 && node.inputs[2].valid();
    if (has_bias && (!graph_.value(node.inputs[2]).constant || graph_.type(node.inputs[2]).shape.size() != 1)) {
      reasons_[id] = "its bias is not a constant of one entry per output channel";
      return;
    }
    integer_.insert(id);
    wanted_.insert(source(x));
    if (!weights) wanted_.insert(source(w));
  }

  void between(NodeId id) {
    const Node& node = graph_.node(id);
    const QuantRule rule = node.op->quant_rule;
    const size_t operands = operands_between(node);
    if (operands == 0 || stays_in_float(id)) return;
    if (is_clamp(node) && !(producer(node.inputs[0]) == nullptr)) return;  // belongs to what computes its operand
    if (graph_.type(node.outputs[0]).dtype != DType::f32) return;
    if (!wanted_behind_[static_cast<size_t>(node.outputs[0].index)]) {
      reasons_[id] = "no integer op reads its result";
      return;
    }
    for (size_t i = 0; i < operands; ++i) {
      if (!is_activation(node.inputs[i])) {
        reasons_[id] = "an operand is constant: it belongs to the float epilogue of the op before it";
        return;
      }
      const Node* p = producer(source(node.inputs[i]));
      if (rule == QuantRule::unary && p && p->op->quant_rule == QuantRule::contraction && !is(*p, ops::kConv)) {
        reasons_[id] = "it follows a matrix product, whose float epilogue computes it";
        return;
      }
      if (!can_be_codes(node.inputs[i])) {
        reasons_[id] = "an operand comes from a float op";
        return;
      }
    }
    take(id);
  }

  // Operands that have to be codes for an op between contractions; 0 for other nodes.
  static size_t operands_between(const Node& node) {
    switch (node.op->quant_rule) {
      case QuantRule::none:
      case QuantRule::same:
      case QuantRule::contraction: return 0;
      case QuantRule::add:
      case QuantRule::mul: return 2;
      case QuantRule::concat: return node.inputs.size();
      case QuantRule::average:
      case QuantRule::unary: return 1;
    }
    return 0;
  }

  void take(NodeId id) {
    const Node& node = graph_.node(id);
    integer_.insert(id);
    for (size_t i = 0; i < operands_between(node); ++i) wanted_.insert(source(node.inputs[i]));
    wanted_.insert(behind_clamps(node.outputs[0]));
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<NodeId> producers_;
  std::vector<ValueId> sources_, unclamped_;  // unclamped: the value before the clamps that end in v
  const std::set<NodeId>* in_float_ = nullptr;
  std::set<NodeId> integer_;
  std::set<ValueId> wanted_;
  std::vector<bool> wanted_behind_, possible_;
  std::map<NodeId, std::string> reasons_;
};

}  // namespace

bool moves_codes_exactly(const Graph& graph, const Node& node) {
  if (node.op->quant_rule != QuantRule::same) return false;
  if (!is(node, ops::kPad) || attr_text(node.attributes, "mode", "constant") != "constant") return true;
  if (node.inputs.size() < 3 || !node.inputs[2].valid()) return true;
  const auto& value = graph.value(node.inputs[2]).constant;
  return value && value->size() == 1 && value->at(0) == 0;
}

std::vector<ValueId> add_on_codes(Patch& patch, const Node& node, ValueId codes, const TensorType& type,
                                  std::vector<std::string> names) {
  std::vector<ValueId> inputs = node.inputs;
  inputs[0] = codes;
  if (is(node, ops::kPad) && inputs.size() > 2) inputs[2] = {};  // 0, which a code stands for without being named
  std::vector<TensorType> types;
  for (ValueId v : node.outputs)
    types.push_back({.dtype = type.dtype, .shape = patch.graph().type(v).shape, .quant = type.quant});
  return patch.add_multi(*node.op, node.name, std::move(names), std::move(inputs), node.attributes, std::move(types));
}

bool moves_codes_in_file(const Graph& graph, const Node& node) {
  constexpr int kLeastWritten = 13;  // files are written in this opset or a newer one
  const int since = node.op->codes_since_opset;
  return since > 0 && since <= std::max(graph.opset, kLeastWritten) && moves_codes_exactly(graph, node);
}

bool is_clamp(const Node& node) { return is(node, ops::kRelu) || is(node, ops::kClip); }

Selection select_values(const Graph& graph, const std::set<NodeId>& in_float) {
  return Selector(graph).select(in_float);
}

Selection select_only(const Graph& graph, NodeId node) { return Selector(graph).select_only(node); }

}  // namespace cupel
