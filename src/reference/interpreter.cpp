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
  if (!status) return std::unexpected(std::move(status).error().at_node(node.name, node_place(node)));
  return outputs;
}

std::unexpected<Error> values_do_not_fit() {
  return out_of_memory("memory", "the model's values do not fit into memory",
                       "use a smaller batch (--batch) or raise --max-memory");
}

}  // namespace

Result<std::vector<Tensor>> interpret_node(const Graph& graph, const Node& node,
                                           std::span<const Tensor* const> operands, ThreadPool& threads,
                                           int64_t symbol_value) {
  try {
    return evaluate_node(graph, node, operands, threads, symbol_value);
  } catch (const std::bad_alloc&) {
    return values_do_not_fit();
  }
}

Result<Interpretation> Interpretation::start(const Graph& graph, std::span<const Tensor> inputs, ThreadPool& threads) {
  Interpretation run;
  run.graph_ = &graph;
  run.threads_ = &threads;
  run.symbol_ = CUPEL_TRY(bind_inputs(graph, inputs));
  run.values_.resize(graph.values().size());
  run.pending_.resize(graph.values().size(), 0);
  run.known_.resize(graph.values().size(), false);
  for (const Node& node : graph.nodes())
    for (ValueId id : node.inputs)
      if (id.valid()) run.keep(id);
  for (ValueId id : graph.outputs()) run.keep(id);
  const auto know = [&](ValueId id, const Tensor& t) {
    run.replace(id, t);
    run.known_[static_cast<size_t>(id.index)] = true;
  };
  for (size_t i = 0; i < graph.values().size(); ++i)
    if (graph.values()[i].constant) know({static_cast<int32_t>(i)}, *graph.values()[i].constant);
  for (size_t i = 0; i < inputs.size(); ++i) know(graph.inputs()[i], inputs[i]);
  return run;
}

void Interpretation::release(ValueId id) {
  const auto at = static_cast<size_t>(id.index);
  if (--pending_[at] > 0 || graph_->value(id).constant) return;
  values_[at] = Tensor();
  known_[at] = false;
}

Status Interpretation::step(const Tap& tap) {
  const Node& node = graph_->node(next());
  std::vector<const Tensor*> operands;
  for (ValueId id : node.inputs) operands.push_back(id.valid() ? &value(id) : nullptr);
  std::vector<Tensor> results = CUPEL_TRY(interpret_node(*graph_, node, operands, *threads_, symbol_));
  ++next_;
  for (size_t i = 0; i < results.size(); ++i) {
    const ValueId id = node.outputs[i];
    if (tap) CUPEL_TRY(tap(id, results[i]));
    if (pending_[static_cast<size_t>(id.index)] == 0) continue;
    replace(id, std::move(results[i]));
    known_[static_cast<size_t>(id.index)] = true;
  }
  for (ValueId id : node.inputs)
    if (id.valid()) release(id);
  return {};
}

Status Interpretation::run_past(NodeId node) {
  while (next() <= node) CUPEL_TRY(step());
  return {};
}

Result<std::vector<Tensor>> interpret(const Graph& graph, std::span<const Tensor> inputs, ThreadPool& threads,
                                      const Tap& tap) {
  Interpretation run = CUPEL_TRY(Interpretation::start(graph, inputs, threads));
  if (tap)
    for (size_t i = 0; i < inputs.size(); ++i) CUPEL_TRY(tap(graph.inputs()[i], inputs[i]));
  while (!run.done()) CUPEL_TRY(run.step(tap));
  std::vector<Tensor> outputs;
  for (ValueId id : graph.outputs()) outputs.push_back(run.value(id));
  return outputs;
}

RunGraph interpreter(ThreadPool& threads) {
  return [&threads](const Graph& graph, std::span<const Tensor> inputs, const Tap& tap) {
    return interpret(graph, inputs, threads, tap);
  };
}

}  // namespace cupel
