// The Graph: a value that can be copied, compared, hashed, printed and parsed back (docs/architecture.md 2).
#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/tensor.h"
#include "ir/attribute.h"
#include "ir/op_def.h"
#include "ir/type.h"

namespace cupel {

struct ValueId {
  int32_t index = -1;  // −1: absent optional operand
  bool valid() const { return index >= 0; }
  auto operator<=>(const ValueId&) const = default;
};
struct NodeId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  auto operator<=>(const NodeId&) const = default;
};

struct Value {
  std::string name;  // unique in the graph
  TensorType type;
  std::optional<Tensor> constant;            // immutable and shared; its dims equal type.shape
  std::optional<std::vector<Dim>> contents;  // derived: known elements of integer tensors (see InferContext)
};

struct Node {
  const OpDef* op = nullptr;
  std::string name;  // not empty; need not be unique (ONNX does not ask for it)
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  std::vector<std::string> origin;  // sorted names of the ONNX nodes it stands for; never empty
};

// Whether the node is of that row: is(node, ops::kConv).
inline bool is(const Node& node, const OpDef& op) { return node.op == &op; }

// Contracts grow from left to right; verify_graph (ir/verifier.h) states them.
enum class Stage { imported, simplified, quantized, integer, fused };
std::string_view stage_name(Stage stage);
std::optional<Stage> stage_from_name(std::string_view name);

class Graph {
 public:
  std::string name = "main";
  Stage stage = Stage::imported;
  int opset = 17;  // ONNX opset of the file it came from

  const std::vector<Node>& nodes() const { return nodes_; }  // in an order where operands come first
  const std::vector<Value>& values() const { return values_; }
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& outputs() const { return outputs_; }
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id.index)]; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id.index)]; }
  const TensorType& type(ValueId id) const { return value(id).type; }
  std::optional<ValueId> find_value(std::string_view value_name) const;

  // Building; operands must exist before the nodes that use them. Names are made unique by a suffix when taken.
  ValueId add_input(std::string value_name, TensorType type);
  ValueId add_constant(std::string value_name, Tensor value, std::optional<QuantParams> quant = {});
  // Infers the outputs' types; errors name the node. `output_names` gives the number of outputs. An empty name is an
  // output nobody reads (it still gets a value). `declared`: see InferContext; `origin` empty: {node name}.
  Result<NodeId> add_node(const OpDef& op, std::string node_name, std::vector<ValueId> inputs, Attributes attributes,
                          std::vector<std::string> output_names, std::vector<std::string> origin = {},
                          std::vector<TensorType> declared = {});
  void add_output(ValueId id) { outputs_.push_back(id); }
  // Renames a value; the name must be free.
  void rename_value(ValueId id, std::string value_name);

  // Derived views, computed on call. users: nodes that read each value (a node twice when it reads it twice).
  std::vector<std::vector<NodeId>> users() const;
  // Producer of each value; invalid for inputs and constants.
  std::vector<NodeId> producers() const;
  bool is_output(ValueId id) const;

  // Structural equality: names, types, constants' contents, attributes, origins, stage and opset.
  friend bool operator==(const Graph& a, const Graph& b);

 private:
  ValueId add_value(Value value);
  std::string free_name(std::string wanted);

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<ValueId> inputs_, outputs_;
  std::unordered_map<std::string, int32_t> names_;
  std::unordered_map<std::string, int> suffixes_;  // last suffix tried for a name that was taken
};

// SHA-256 of the graph text with the constants' content hashes, as 64 hexadecimal digits.
std::string graph_hash(const Graph& graph);

// "node conv1 (Conv)": the place of errors.
std::string node_place(const Node& node);

}  // namespace cupel
