// The only way a pass changes a graph: record edits, then apply them all at once.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace cupel {

// One or more edits against a graph that outlives the patch. New values get ids beyond the graph's own and may be used
// as operands at once. Every new node's origin is the union of the origins of the nodes that its edit removes and those
// given with `stands_for`; an edit that removes and names nothing is refused by apply.
class Patch {
 public:
  explicit Patch(const Graph& graph) : graph_(graph) {}
  const Graph& graph() const { return graph_; }

  // Starts the next edit (the first begins by itself).
  void begin_edit();
  // The node goes away once apply runs; its outputs must be replaced or unused.
  void remove(NodeId id);
  // Adds this node's origin to the new nodes of the edit without removing it.
  void stands_for(NodeId id);
  ValueId add_constant(std::string name, Tensor value, std::optional<QuantParams> quant = {});
  // One output; the type is inferred when the patch is applied. `declared`: see InferContext.
  ValueId add(const OpDef& op, std::string name, std::vector<ValueId> inputs, Attributes attributes = {},
              std::optional<TensorType> declared = {});
  // The same under an exact output name, taking over the name of a value that is replaced.
  ValueId add_named(const OpDef& op, std::string name, std::string output_name, std::vector<ValueId> inputs,
                    Attributes attributes = {}, std::optional<TensorType> declared = {});
  // Several outputs at once.
  std::vector<ValueId> add_multi(const OpDef& op, std::string name, std::vector<std::string> output_names,
                                 std::vector<ValueId> inputs, Attributes attributes = {},
                                 std::vector<TensorType> declared = {});
  // Every use of `old` (graph outputs too, keeping the output's name) reads `with` instead.
  void replace(ValueId old, ValueId with);
  // Operand `index` of node `user` alone reads `with` instead.
  void replace_operand(NodeId user, size_t index, ValueId with);
  bool empty() const { return edits_ == 0; }

 private:
  friend class PatchedGraph;
  struct NewNode {
    const OpDef* op;
    std::string name;
    std::vector<std::string> output_names;
    std::vector<ValueId> inputs;
    Attributes attributes;
    std::vector<TensorType> declared;
    std::vector<ValueId> outputs;
    size_t edit;
  };
  struct NewConstant {
    std::string name;
    Tensor value;
    std::optional<QuantParams> quant;
    ValueId id;
  };
  struct OperandEdit {
    NodeId user;
    size_t index;
    ValueId with;
  };
  ValueId next_id();

  const Graph& graph_;
  size_t edits_ = 0;       // recorded changes
  size_t edit_index_ = 0;  // current edit
  int32_t new_values_ = 0;
  std::vector<std::pair<NodeId, size_t>> removed_;
  std::vector<std::pair<NodeId, size_t>> stands_for_;
  std::vector<NewNode> nodes_;
  std::vector<NewConstant> constants_;
  std::vector<std::pair<ValueId, ValueId>> replacements_;
  std::vector<OperandEdit> operands_;
};

// The patched graph: operands ordered before users, dead nodes and constants dropped, types inferred anew. Graph
// inputs, outputs and their names stay. internal error when the edits contradict each other or make a cycle.
Result<Graph> apply_patch(const Patch& patch);

}  // namespace cupel
