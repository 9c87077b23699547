#include "reference/interpreter.h"

#include <fmt/format.h>

#include <new>

#include "base/file.h"
#include "runtime/floating_point.h"

namespace cupel {

Result<int64_t> bind_inputs(const Graph& graph, std::span<const Tensor> inputs) {
  if (inputs.size() != graph.inputs().size())
    return bad_input("inputs",
                     fmt::format("{} tensors are given, the model has {} inputs", inputs.size(), graph.inputs().size()),
                     "give one tensor for each input");
  int64_t symbol = -1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = graph.value(graph.inputs()[i]);
    const std::string place = "input " + printable(v.name);
    const std::string found = fmt::format("{}{}", dtype_name(inputs[i].dtype()), to_text(inputs[i].dims()));
    const std::string expected = fmt::format("{}{}", dtype_name(v.type.dtype), to_text(v.type.shape));
    const std::string remedy = "give data of the model's type and shape";
    if (inputs[i].dtype() != v.type.dtype || inputs[i].dims().size() != v.type.shape.size())
      return bad_input(place, fmt::format("found {}, expected {}", found, expected), remedy);
    for (size_t d = 0; d < v.type.shape.size(); ++d) {
      const Dim& want = v.type.shape[d];
      const int64_t have = inputs[i].dims()[d];
      if (want.is_constant()) {
        if (have != want.factor) return bad_input(place, fmt::format("found {}, expected {}", found, expected), remedy);
        continue;
      }
      if (have % want.factor != 0)
        return bad_input(place, fmt::format("found {}, expected {}", found, expected), remedy);
      const int64_t value = have / want.factor;
      if (symbol >= 0 && symbol != value)
        return bad_input(place, fmt::format("{} is {} here and {} in an earlier input", want.symbol, value, symbol),
                         remedy);
      symbol = value;
    }
  }
  return symbol < 0 ? 1 : symbol;
}

namespace {

Result<std::vector<Tensor>> evaluate_node(const Graph& graph, const Node& node, std::span<const Tensor* const> operands,
                                          ThreadPool& threads, int64_t symbol_value) {
  if (!node.op->reference)
    return internal_error(node_place(node), "the op has no reference meaning; simplify removes it");
  std::vector<const TensorType*> input_types;
  for (ValueId id : node.inputs) input_types.push_back(id.valid() ? &graph.type(id) : nullptr);
  std::vector<TensorType> output_types;
  std::vector<Tensor> outputs;
  for (ValueId id : node.outputs) {
    output_types.push_back(graph.type(id));
    outputs.emplace_back(graph.type(id).dtype, CUPEL_TRY(bind_shape(graph.type(id).shape, symbol_value)));
  }
  const EvalContext context{node, node.attributes, operands, input_types, output_types, outputs, threads};
  Status status;
  {
    const NetworkArithmetic arithmetic;
    status = node.op->reference(context);
  }
  if (!status) return std::unexpected(std::move(status).error().within(node_place(node)));
  return outputs;
}

std::unexpected<Error> out_of_memory() {
  return resource_error("memory", "the model's values do not fit into memory",
                        "use a smaller batch (--batch) or raise --max-memory");
}

}  // namespace

Result<std::vector<Tensor>> interpret_node(const Graph& graph, const Node& node,
                                           std::span<const Tensor* const> operands, ThreadPool& threads,
                                           int64_t symbol_value) {
  try {
    return evaluate_node(graph, node, operands, threads, symbol_value);
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  }
}

Result<std::vector<Tensor>> interpret(const Graph& graph, std::span<const Tensor> inputs, ThreadPool& threads,
                                      const Tap& tap) {
  const int64_t symbol = CUPEL_TRY(bind_inputs(graph, inputs));
  std::vector<Tensor> values(graph.values().size());
  std::vector<int> pending(graph.values().size(), 0);
  for (const Node& node : graph.nodes())
    for (ValueId id : node.inputs)
      if (id.valid()) ++pending[static_cast<size_t>(id.index)];
  for (ValueId id : graph.outputs()) ++pending[static_cast<size_t>(id.index)];
  for (size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].constant) values[i] = *graph.values()[i].constant;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph.inputs()[i];
    values[static_cast<size_t>(id.index)] = inputs[i];
    if (tap) CUPEL_TRY(tap(id, inputs[i]));
  }
  for (const Node& node : graph.nodes()) {
    std::vector<const Tensor*> operands;
    for (ValueId id : node.inputs) operands.push_back(id.valid() ? &values[static_cast<size_t>(id.index)] : nullptr);
    std::vector<Tensor> results = CUPEL_TRY(interpret_node(graph, node, operands, threads, symbol));
    for (size_t i = 0; i < results.size(); ++i) {
      const ValueId id = node.outputs[i];
      if (tap) CUPEL_TRY(tap(id, results[i]));
      if (pending[static_cast<size_t>(id.index)] > 0) values[static_cast<size_t>(id.index)] = std::move(results[i]);
    }
    for (ValueId id : node.inputs)
      if (id.valid() && --pending[static_cast<size_t>(id.index)] == 0 && !graph.value(id).constant)
        values[static_cast<size_t>(id.index)] = Tensor();
  }
  std::vector<Tensor> outputs;
  for (ValueId id : graph.outputs()) outputs.push_back(values[static_cast<size_t>(id.index)]);
  return outputs;
}

RunGraph interpreter(ThreadPool& threads) {
  return [&threads](const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
    return interpret(graph, inputs, threads, tap);
  };
}

}  // namespace cupel
