#include "fuzz/model_steps.h"

#include "fuzz/findings.h"

namespace cupel::fuzz {

std::optional<Model> read_model(std::span<const uint8_t> bytes) {
  static ThreadPool threads(1);
  CompileContext context{threads, {}};
  auto model = load_model_bytes(std::as_bytes(bytes), "no-such-folder/fuzzed.onnx", context);
  if (model) return std::move(*model);
  expect_users(model.error());
  return std::nullopt;
}

bool is_small(const Graph& graph) {
  constexpr int64_t kMostBytes = int64_t{1} << 20, kMostOperations = int64_t{1} << 20;
  const auto add = [](int64_t& sum, int64_t n) { return !__builtin_add_overflow(sum, n, &sum); };
  int64_t bytes = 0, operations = 0;
  for (const Value& value : graph.values()) {
    const auto dims = bind_shape(value.type.shape, 2);
    const auto count = dims ? count_elements(*dims) : Result<int64_t>(kMostBytes + 1);
    if (!count || !add(bytes, byte_count(value.type.dtype, *count)) || bytes > kMostBytes) return false;
  }
  for (const Node& node : graph.nodes()) {
    if (node.op->cost == nullptr) continue;
    std::vector<const TensorType*> inputs;
    std::vector<TensorType> outputs;
    for (const ValueId v : node.inputs) inputs.push_back(v.valid() ? &graph.type(v) : nullptr);
    for (const ValueId v : node.outputs) outputs.push_back(graph.type(v));
    const Cost cost = node.op->cost(node.attributes, inputs, outputs);
    if (!add(operations, cost.macs) || !add(operations, cost.elementwise) || operations > kMostOperations) return false;
  }
  return true;
}

}  // namespace cupel::fuzz
