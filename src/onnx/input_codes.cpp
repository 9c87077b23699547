#include "onnx/input_codes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "onnx/upgrade.h"

namespace cupel {
namespace {

// What all readers of `input` say about its codes; nullopt where they differ or read something else in it.
std::optional<QuantParams> said_of(const Graph& graph, const std::vector<std::vector<NodeId>>& users, ValueId input) {
  std::optional<QuantParams> said;
  std::vector<ValueId> holding = {input};  // its elements
  for (size_t i = 0; i < holding.size(); ++i) {
    const ValueId v = holding[i];
    for (const NodeId user : users[static_cast<size_t>(v.index)]) {
      const Node& node = graph.node(user);
      if (node.op->name == "DequantizeLinear") {
        QuantParams params = params_of(node.attributes);
        if ((v != input && !params.per_tensor()) || (said && *said != params)) return std::nullopt;
        said = std::move(params);
      } else if (node.op->quant_rule == QuantRule::same && node.inputs[0] == v &&
                 std::count(node.inputs.begin(), node.inputs.end(), v) == 1) {
        holding.insert(holding.end(), node.outputs.begin(), node.outputs.end());
      } else {
        return std::nullopt;
      }
    }
  }
  return said;
}

// The same graph with these types of inputs; an error where an op does not take them.
Result<Graph> with_input_types(const Graph& graph, const std::map<ValueId, TensorType>& types) {
  Graph out;
  out.name = graph.name;
  out.stage = graph.stage;
  out.opset = graph.opset;
  std::vector<ValueId> values(graph.values().size());
  const auto at = [&](ValueId v) -> ValueId& { return values[static_cast<size_t>(v.index)]; };
  for (const ValueId v : graph.inputs()) {
    const auto type = types.find(v);
    at(v) = out.add_input(graph.value(v).name, type == types.end() ? graph.type(v) : type->second);
  }
  const auto constant = [&](ValueId v) {
    const Value& c = graph.value(v);
    if (!at(v).valid()) at(v) = out.add_constant(c.name, *c.constant, c.type.quant);
    return at(v);
  };
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs)
      inputs.push_back(!v.valid() ? v : graph.value(v).constant ? constant(v) : at(v));
    std::vector<std::string> names;
    for (const ValueId v : node.outputs) names.push_back(graph.value(v).name);
    const NodeId added =
        CUPEL_TRY(out.add_node(*node.op, node.name, std::move(inputs), node.attributes, std::move(names), node.origin));
    for (size_t i = 0; i < node.outputs.size(); ++i) at(node.outputs[i]) = out.node(added).outputs[i];
  }
  for (const ValueId v : graph.outputs()) out.add_output(graph.value(v).constant ? constant(v) : at(v));
  return out;
}

}  // namespace

Graph with_input_codes(Graph graph) {
  const auto users = graph.users();
  std::map<ValueId, TensorType> types;
  for (const ValueId v : graph.inputs()) {
    TensorType type = graph.type(v);
    if (type.quant || (type.dtype != DType::u8 && type.dtype != DType::s8)) continue;
    type.quant = said_of(graph, users, v);
    if (!type.quant) continue;
    types.emplace(v, std::move(type));
  }
  if (types.empty()) return graph;
  auto typed = with_input_types(graph, types);
  return typed ? std::move(*typed) : std::move(graph);
}

}  // namespace cupel
