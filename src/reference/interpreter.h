// Runs a Graph node by node by OpDef::reference: the oracle of every test (docs/quantization.md).
#pragma once

#include "ir/engine.h"
#include "runtime/thread_pool.h"

namespace cupel {

// bad_input when inputs do not fit the graph's types (count, dtype, dimensions), or when a node meets data it refuses.
Result<std::vector<Tensor>> interpret(const Graph& graph, std::span<const Tensor> inputs, ThreadPool& threads,
                                      const Tap& tap = {});
// The same with `tap` and the pool bound, as the functions of quant and assess want it. The pool must outlive the
// result.
RunGraph interpreter(ThreadPool& threads);

// One node on given operands; used to fold constants. Output dimensions must be constant.
Result<std::vector<Tensor>> interpret_node(const Graph& graph, const Node& node,
                                           std::span<const Tensor* const> operands, ThreadPool& threads,
                                           int64_t symbol_value = 1);

// Checks inputs against the graph's input types and gives the value of its symbol (1 when it has none).
Result<int64_t> bind_inputs(const Graph& graph, std::span<const Tensor> inputs);

}  // namespace cupel
