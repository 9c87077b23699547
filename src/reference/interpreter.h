// Runs a Graph node by node by OpDef::reference: the oracle of every test (docs/quantization.md).
#pragma once

#include <vector>

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

// A run that stands still between nodes, so that several networks can be looked at side by side. The graph and the pool
// must outlive it.
class Interpretation {
 public:
  // Errors as of interpret.
  static Result<Interpretation> start(const Graph& graph, std::span<const Tensor> inputs, ThreadPool& threads);

  bool done() const { return next_ == graph_->nodes().size(); }
  // The node that step() computes.
  NodeId next() const { return {static_cast<int32_t>(next_)}; }
  Status step(const Tap& tap = {});
  // Steps until `node` is computed.
  Status run_past(NodeId node);
  // Whether the value is computed, and a node, an output of the graph or a reader announced by keep() has yet to read
  // it; only then may it be asked for.
  bool holds(ValueId id) const { return known_[static_cast<size_t>(id.index)]; }
  const Tensor& value(ValueId id) const { return values_[static_cast<size_t>(id.index)]; }
  // One more reader; and that it has read.
  void keep(ValueId id) { ++pending_[static_cast<size_t>(id.index)]; }
  void release(ValueId id);
  // What the nodes to come read instead. Of the value's type and dimensions.
  void replace(ValueId id, Tensor value) { values_[static_cast<size_t>(id.index)] = std::move(value); }
  // The value of the graph's symbol.
  int64_t symbol() const { return symbol_; }

 private:
  const Graph* graph_ = nullptr;
  ThreadPool* threads_ = nullptr;
  int64_t symbol_ = 1;
  size_t next_ = 0;
  std::vector<Tensor> values_;
  std::vector<int> pending_;
  std::vector<bool> known_;
};

// Checks inputs against the graph's input types and gives the value of its symbol (1 when it has none).
Result<int64_t> bind_inputs(const Graph& graph, std::span<const Tensor> inputs);

}  // namespace cupel
