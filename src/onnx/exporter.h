// Turns a Graph into the nodes and constants of a file. Private to src/onnx.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"
#include "onnx/importer.h"

namespace cupel {

struct FileDraft {
  int opset = 13;
  std::vector<NodeDraft> nodes;
  std::vector<std::pair<std::string, Tensor>> initializers;  // in the order of their first use
};

// A tensor of integers of up to 32 bits.
Tensor tensor_of_codes(DType type, Dims dims, const std::vector<int32_t>& codes);

class Exporter {
 public:
  explicit Exporter(const Graph& graph);

  // unsupported for the stages integer and fused, and for an op on codes that ONNX does not allow on them. Names of
  // nodes are made unique: the first of a name keeps it.
  Result<FileDraft> run();

  // What downgrades and spellings (downgrade.h) see.
  int opset() const { return file_.opset; }
  const Graph& graph() const { return graph_; }
  // Known elements of a constant operand of integers; null when it is absent or computed.
  const std::vector<Dim>* known(const Node& node, size_t operand) const;
  // A new constant, written when a node reads it; its name is returned.
  std::string add_constant(const std::string& wanted, Tensor tensor);
  void add(NodeDraft node);
  // A value name that nothing in the file has.
  std::string fresh(const std::string& wanted) { return free_name(wanted, taken_, next_suffix_); }
  // Adds a node with one result; its name is returned.
  std::string add_part(std::string op, const NodeDraft& whole, const std::string& part, std::vector<std::string> inputs,
                       Attributes attributes = {});

 private:
  static std::string free_name(const std::string& wanted, std::unordered_set<std::string>& taken,
                               std::unordered_map<std::string, int>& next_suffix);
  // A node name that nothing in the file has.
  std::string fresh_node(const std::string& wanted) { return free_name(wanted, node_names_, next_node_suffix_); }
  Status export_node(const Node& node);
  void spell_quantization(const Node& node, NodeDraft& draft);

  const Graph& graph_;
  FileDraft file_;
  std::vector<NodeId> producers_;
  std::unordered_map<std::string, Tensor> waiting_;  // constants that no node reads so far
  std::unordered_set<std::string> taken_;
  std::unordered_set<std::string> node_names_;  // of the graph's nodes and of parts that were added
  std::unordered_set<std::string> written_nodes_;
  std::unordered_map<std::string, int> next_suffix_, next_node_suffix_;
  // Scale and zero point already written for a value, by that value's name.
  struct Written {
    QuantParams params;
    DType type;
    std::string scale, zero_point;
  };
  std::unordered_map<std::string, std::vector<Written>> written_;
};

}  // namespace cupel
