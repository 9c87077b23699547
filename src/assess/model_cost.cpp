#include "assess/model_cost.h"

#include <algorithm>

namespace cupel {
namespace {

bool on_codes(const Graph& graph, const Node& node) {
  const auto has_codes = [&](ValueId id) {
    return id.valid() && graph.type(id).quant && dtype_bits(graph.type(id).dtype) <= 8;
  };
  return std::any_of(node.inputs.begin(), node.inputs.end(), has_codes);
}

int64_t stored_bytes(const Value& value) {
  int64_t bytes = value.constant->bytes_size();
  if (value.type.quant)
    bytes += static_cast<int64_t>(value.type.quant->scale.size()) * static_cast<int64_t>(sizeof(float));
  return bytes;
}

}  // namespace

ModelCost cost_of(const Graph& graph) {
  ModelCost total;
  std::vector<bool> counted(graph.values().size(), false);
  for (const Node& node : graph.nodes()) {
    NodeCost cost;
    cost.precision = on_codes(graph, node) ? "INT8" : "FP32";
    if (node.op->cost) {
      std::vector<const TensorType*> inputs;
      std::vector<TensorType> outputs;
      for (ValueId id : node.inputs) inputs.push_back(id.valid() ? &graph.type(id) : nullptr);
      for (ValueId id : node.outputs) outputs.push_back(graph.type(id));
      cost.macs = node.op->cost(node.attributes, inputs, outputs).macs;
      if (cost.macs > 0) cost.bit_operations = cost.macs * dtype_bits(inputs[0]->dtype) * dtype_bits(inputs[1]->dtype);
    }
    for (ValueId id : node.inputs) {
      if (!id.valid() || !graph.value(id).constant || counted[static_cast<size_t>(id.index)]) continue;
      counted[static_cast<size_t>(id.index)] = true;
      const Value& value = graph.value(id);
      cost.weight_bytes += stored_bytes(value);
      if (value.type.dtype != DType::s64 && value.type.dtype != DType::boolean)
        total.parameters += value.constant->size();
    }
    total.macs += cost.macs;
    total.bit_operations += cost.bit_operations;
    total.weight_bytes += cost.weight_bytes;
    total.nodes.push_back(std::move(cost));
  }
  return total;
}

}  // namespace cupel
