#include <algorithm>
#include <cmath>
#include <map>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "quant/plan.h"

namespace cupel {
namespace {

Attributes linear_attributes(const QuantParams& q, DType type) {
  Attributes a;
  a.emplace("scale", q.scale);
  a.emplace("zero_point", std::vector<int64_t>(q.zero_point.begin(), q.zero_point.end()));
  a.emplace("dtype", std::string(dtype_name(type)));
  if (!q.per_tensor()) a.emplace("axis", q.axis);
  return a;
}

class Applier {
 public:
  Applier(const Graph& graph, const QuantPlan& plan)
      : graph_(graph), plan_(plan), users_(graph.users()), producers_(graph.producers()), patch_(graph) {}

  Result<Graph> apply() {
    for (ValueId id : graph_.inputs())
      if (plan_.activations.contains(id)) quantize(id, plan_.activations.at(id));
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<int32_t>(n)};
      const Node& node = graph_.node(id);
      const auto operand = node.inputs.empty() ? codes_.end() : codes_.find(node.inputs[0]);
      if (operand != codes_.end() && moves_codes_exactly(graph_, node)) {
        if (moves_codes_in_file(graph_, node)) {
          move(id, operand->second);
        } else {
          // The op reads numbers in the file. Its results have the operand's parameters, so that it is codes again
          // after `integerize`.
          const QuantParams params = operand->second.params;
          for (ValueId v : node.outputs) quantize(v, params);
        }
        continue;
      }
      for (ValueId v : node.outputs)
        if (plan_.activations.contains(v)) quantize(v, plan_.activations.at(v));
    }
    for (const WeightPlan& w : plan_.weights) weights(w);
    Graph out = CUPEL_TRY(apply_patch(patch_));
    out.stage = Stage::quantized;
    return out;
  }

 private:
  struct Codes {
    ValueId id, real;  // the codes, and the numbers they dequantize to
    QuantParams params;
  };

  // Every reader of v but the graph's own outputs reads what the codes stand for.
  void read_instead(ValueId v, ValueId with) {
    for (NodeId user : users_[static_cast<size_t>(v.index)]) {
      const Node& node = graph_.node(user);
      for (size_t i = 0; i < node.inputs.size(); ++i)
        if (node.inputs[i] == v && !(i == 0 && moves_codes_in_file(graph_, node)))
          patch_.replace_operand(user, i, with);
    }
  }

  void quantize(ValueId v, const QuantParams& q) {
    const std::string& name = graph_.value(v).name;
    patch_.begin_edit();
    if (const NodeId p = producers_[static_cast<size_t>(v.index)]; p.valid()) {
      patch_.stands_for(p);
    } else {
      for (NodeId user : users_[static_cast<size_t>(v.index)]) patch_.stands_for(user);
    }
    const ValueId codes =
        patch_.add(ops::kQuantizeLinear, name + "_QuantizeLinear", {v}, linear_attributes(q, DType::u8));
    const ValueId real =
        patch_.add(ops::kDequantizeLinear, name + "_DequantizeLinear", {codes}, linear_attributes(q, DType::u8));
    codes_[v] = {.id = codes, .real = real, .params = q};
    read_instead(v, real);
  }

  // A node that moves elements runs on the codes of its operand.
  void move(NodeId id, const Codes& operand) {
    const Node& node = graph_.node(id);
    patch_.begin_edit();
    patch_.stands_for(id);
    std::vector<std::string> names;
    for (ValueId v : node.outputs) names.push_back(graph_.value(v).name + "_codes");
    const auto moved = add_on_codes(patch_, node, operand.id,
                                    {.dtype = DType::u8, .shape = {}, .quant = operand.params}, std::move(names));
    const QuantParams params = operand.params;
    patch_.remove(id);
    for (size_t i = 0; i < moved.size(); ++i) {
      const ValueId v = node.outputs[i];
      const ValueId real = patch_.add_named(ops::kDequantizeLinear, graph_.value(v).name + "_DequantizeLinear",
                                            graph_.value(v).name, {moved[i]}, linear_attributes(params, DType::u8));
      codes_[v] = {.id = moved[i], .real = real, .params = params};
      patch_.replace(v, real);
    }
  }

  void stand_for(const std::vector<NodeId>& nodes) {
    patch_.begin_edit();
    for (NodeId id : nodes) patch_.stands_for(id);
  }

  // One constant of codes and one dequantize node for all nodes that read the weights along that axis.
  void weights(const WeightPlan& plan) {
    const Value& value = graph_.value(plan.weights);
    const Tensor& w = *value.constant;
    const auto channels = static_cast<int64_t>(plan.scale.size());
    int64_t inner = 1;
    for (size_t d = static_cast<size_t>(plan.axis) + 1; d < w.dims().size(); ++d) inner *= w.dims()[d];
    Tensor codes(DType::s8, w.dims());
    for (int64_t i = 0; i < w.size(); ++i) {
      const double scale = plan.scale[static_cast<size_t>(i / inner % channels)];
      codes.mutable_data<int8_t>()[static_cast<size_t>(i)] =
          static_cast<int8_t>(std::clamp(std::nearbyint(w.at(i) / scale), -127.0, 127.0));
    }
    const QuantParams q{plan.scale, std::vector<int32_t>(plan.scale.size(), 0), plan.axis};
    stand_for(plan.nodes);
    const ValueId constant = patch_.add_constant(value.name + "_quantized", std::move(codes), q);
    const ValueId real = patch_.add(ops::kDequantizeLinear, value.name + "_DequantizeLinear", {constant},
                                    linear_attributes(q, DType::s8));
    for (NodeId id : plan.nodes) patch_.replace_operand(id, 1, real);

    // Nodes that share a bias share its codes where the scales of their inputs are equal.
    std::map<std::pair<ValueId, float>, std::vector<NodeId>> biased;
    for (NodeId id : plan.nodes) {
      const Node& node = graph_.node(id);
      if (node.inputs.size() > 2 && node.inputs[2].valid()) biased[{node.inputs[2], input_scale(node)}].push_back(id);
    }
    for (const auto& [key, nodes] : biased) bias(key.first, key.second, plan.scale, nodes);
  }

  // Of the codes that reach the node's first operand.
  float input_scale(const Node& node) const {
    ValueId source = node.inputs[0];
    while (!plan_.activations.contains(source))
      source = graph_.node(producers_[static_cast<size_t>(source.index)]).inputs[0];
    return plan_.activations.at(source).scale[0];
  }

  void bias(ValueId id, float input_scale, const std::vector<float>& weight_scale, const std::vector<NodeId>& nodes) {
    const Value& value = graph_.value(id);
    Tensor codes(DType::s32, {static_cast<int64_t>(weight_scale.size())});
    QuantParams q{{}, std::vector<int32_t>(weight_scale.size(), 0), 0};
    for (size_t c = 0; c < weight_scale.size(); ++c) {
      const double scale = static_cast<double>(input_scale) * static_cast<double>(weight_scale[c]);
      q.scale.push_back(static_cast<float>(scale));
      const int64_t element = value.constant->size() == 1 ? 0 : static_cast<int64_t>(c);
      codes.mutable_data<int32_t>()[c] = static_cast<int32_t>(std::nearbyint(value.constant->at(element) / scale));
    }
    stand_for(nodes);
    const ValueId constant = patch_.add_constant(value.name + "_quantized", std::move(codes), q);
    const ValueId real = patch_.add(ops::kDequantizeLinear, value.name + "_DequantizeLinear", {constant},
                                    linear_attributes(q, DType::s32));
    for (NodeId node : nodes) patch_.replace_operand(node, 2, real);
  }

  const Graph& graph_;
  const QuantPlan& plan_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<NodeId> producers_;
  Patch patch_;
  std::map<ValueId, Codes> codes_;
};

}  // namespace

Result<Graph> apply_plan(const Graph& graph, const QuantPlan& plan) { return Applier(graph, plan).apply(); }

}  // namespace cupel
