// Builds a Graph from a parsed file. Private to src/onnx.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"
#include "onnx/bindings.h"
#include "onnx/model.h"
#include "onnx/reader.h"

namespace cupel {

// A node on its way into the graph. Operands and results are value names; an absent one is empty.
struct NodeDraft {
  std::string op, name;
  std::vector<std::string> inputs, outputs;
  Attributes attributes;
  std::string part_of = {};  // the name of the file's node that this one is a part of; empty: of itself

  const std::string& origin() const { return part_of.empty() ? name : part_of; }
  bool has_input(size_t i) const { return i < inputs.size() && !inputs[i].empty(); }
};

inline bool is_constant_node(const NodeFields& node) {
  return node.op_type == "Constant" && (node.domain.empty() || node.domain == "ai.onnx");
}

class Importer {
 public:
  Importer(const ModelFields& model, const std::filesystem::path& folder, int opset, const Bindings& bindings)
      : model_(model), file_(*model.graph), folder_(folder), opset_(opset), bindings_(bindings) {}

  // Errors name node, initializer or value; the caller adds the file.
  Result<Graph> run();
  // part.cpp: read_onnx_part.
  Result<OnnxPart> run_part(const KnownValues& known);

  // What upgrades (upgrade.h) see.
  int opset() const { return opset_; }
  const Graph& graph() const { return graph_; }
  // The value of that name, defined before; a constant enters the graph at its first use.
  Result<ValueId> value(const std::string& name);
  // The constant of that name; null when the value is computed.
  const Tensor* constant(const std::string& name) const;
  // Shape and element type of a value that is defined before; the type is the file's, which the graph widens where it
  // is narrow.
  Result<Shape> shape_of(const std::string& name);
  Result<DType> file_type(const std::string& name);
  // The value has codes of 4 or 16 bits, which the graph holds in bytes and s32.
  void hold(const std::string& name, DType type) { held_.insert_or_assign(name, type); }
  // The constant as codes with these parameters; one value for each distinct pair.
  ValueId quantized_constant(const std::string& name, const QuantParams& params);
  // Whether a node reads the value or the graph gives it out.
  bool is_read(const std::string& name) const { return read_.contains(name); }
  // A name that neither the file nor an earlier call has.
  std::string fresh(const std::string& wanted);
  // A new constant under a fresh name, which is returned.
  std::string add_constant(const std::string& wanted, Tensor tensor);
  // The same of reals of the width that the value `like` has in the file.
  std::string add_constant_like(const std::string& like, const std::string& wanted, Tensor reals);
  // Adds a node in canonical form. `origin` is the name of the file's node.
  Status add(NodeDraft node, const std::string& origin);
  // Adds a node with one result under a fresh name, which is returned.
  Result<std::string> add_part(std::string op, const NodeDraft& whole, const std::string& part,
                               std::vector<std::string> inputs, Attributes attributes = {});

 private:
  enum class Definer { input, initializer, node };
  struct Definition {
    Definer kind;
    size_t index;
  };
  struct Constant {
    Tensor tensor;
    std::vector<std::pair<std::optional<QuantParams>, ValueId>> uses;
  };

  std::string node_name(size_t index) const;
  std::string place_of(size_t index) const;
  std::string describe(const Definition& d) const;
  Status define(std::string_view name, Definition definition);
  Status collect_definitions();
  Status collect_constants();
  Status bind_inputs();
  Result<Tensor> constant_node(const NodeFields& node) const;
  Result<std::vector<size_t>> sorted_nodes() const;
  // What comes before the nodes.
  Status begin();
  Status add_inputs();
  Status add_outputs();
  Status add_output(const ValueFields& output);
  // part.cpp
  void take_known(const KnownValues& known);
  Result<std::vector<size_t>> wanted_nodes(const KnownValues& known) const;
  std::vector<std::string> read_by_node(size_t index) const;
  Status add_known_inputs(const KnownValues& known, std::span<const size_t> nodes);
  // Imports those of the nodes that wait for nothing; the others.
  Result<std::vector<size_t>> import_until_data_decide(std::span<const size_t> nodes, OnnxPart& part);
  Status add_part_outputs(const KnownValues& known, std::span<const size_t> left, OnnxPart& part);
  Status import_node(size_t index);
  Result<NodeDraft> draft_of(const NodeFields& fields, std::string name) const;
  // branches.cpp
  struct Scope {
    std::unordered_map<std::string, std::string> names;   // of a subgraph → of values here
    std::unordered_map<std::string, std::string> wanted;  // results of a subgraph → what they are to be called here
  };
  bool is_branching(const NodeFields& node) const;
  // If: the branch that a constant condition takes; else both, and a choice of each result. `results`: their names
  // here.
  Status import_if(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                   const Scope& outer);
  // If, Loop or Scan.
  Status import_structured(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                           const Scope& outer);
  Status choose(const std::string& name, const std::string& condition, size_t result, const std::string& yes,
                const std::string& no, const std::string& chosen);
  // The nodes of a subgraph; the names of its results, which are those wanted where nodes of it compute them.
  Result<std::vector<std::string>> import_branch(const GraphFields& branch, const std::string& name,
                                                 const std::vector<std::string>& wanted, const Scope& outer);
  Status import_inner(const NodeFields& node, const std::string& name, Scope& scope);
  // Initializers and Constant nodes of a subgraph; and its other nodes, giving the names of its results.
  Status import_constants(const GraphFields& branch, Scope& scope);
  Result<std::vector<std::string>> import_nodes(const GraphFields& branch, const std::string& name, Scope& scope);
  // What a result of a subgraph's node is called here.
  std::string inner_result(std::string_view name, Scope& scope);
  Status alias(const std::string& name, const std::string& of);
  void read_by(const GraphFields& graph);
  Status import_draft(NodeDraft draft);
  // loops.cpp. Names of values throughout.
  struct Body {
    const GraphFields* graph;
    std::string name;  // of the loop's node
    Scope scope;       // with the constants of the body, which all iterations share
  };
  struct ScanForm {
    std::vector<int64_t> input_axes, input_directions, output_axes, output_directions;
  };
  Status import_loop(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                     const Scope& outer);
  Status import_scan(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                     const Scope& outer);
  Result<Body> body_of(const NodeFields& node, const std::string& name, size_t inputs, size_t least_outputs,
                       const Scope& outer);
  // The results of one iteration. resource when loops are unrolled beyond a limit.
  Result<std::vector<std::string>> import_iteration(const Body& body, const std::vector<std::string>& inputs);
  // Rows of all iterations along a new axis.
  Result<std::string> stacked(const Body& body, const std::string& part, const std::vector<std::string>& values,
                              int64_t axis);
  Result<std::string> stack_of_none(const Body& body, const ValueFields& declared, int64_t axis);
  Status give_results(const std::vector<std::string>& results, const std::vector<std::string>& given);
  Result<std::vector<std::string>> resolved_inputs(const NodeFields& node, size_t first, const Scope& outer);
  Result<std::optional<int64_t>> loop_operand(const NodeFields& node, size_t i, DType type, const char* what,
                                              const Scope& outer);
  Result<int64_t> scan_length(const std::vector<std::string>& inputs, std::vector<int64_t>& axes);
  Result<std::vector<std::string>> run_scan(const Body& body, std::vector<std::string> state,
                                            const std::vector<std::string>& scanned, ScanForm form);
  Result<std::vector<std::string>> run_batched_scan(const Body& body, const std::vector<std::string>& inputs,
                                                    size_t states, const ScanForm& form);
  // narrow_floats.cpp
  std::optional<DType> narrow_type(const std::string& name) const;
  void widen_constant(const std::string& name);
  Status add_input_value(const std::string& name, TensorType type);
  Result<ValueId> output_value(const std::string& name);
  Status round_operand(NodeDraft& node, const std::string& origin);
  // bad_input where operands that ONNX wants of one type have several.
  Status expect_one_width(const OpDef& op, const NodeDraft& node) const;
  void note_width(const NodeDraft& node);
  // Codes that a node only moves stay of 4 or 16 bits.
  void note_held(const NodeDraft& node);
  // `add` without regard to the widths of numbers.
  Status add_as_it_is(NodeDraft node, const std::string& origin);
  // The results of a node whose operands are constants; nullopt when it is left to the graph.
  Result<std::optional<std::vector<Tensor>>> folded(const OpDef& op, const NodeDraft& node) const;
  Status expect_no_arithmetic_on_codes(const OpDef& op, const Attributes& attributes,
                                       std::span<const ValueId> inputs) const;
  // Shape arithmetic whose elements are all numbers is a constant to the nodes behind.
  void note_known(const std::string& name, NodeId id);
  ValueId use(Constant& constant, const std::string& name, const std::optional<QuantParams>& params);

  const ModelFields& model_;
  const GraphFields& file_;
  const std::filesystem::path& folder_;
  int opset_;
  const Bindings& bindings_;
  Graph graph_;
  std::vector<DeclaredInput> inputs_;  // with the sizes that are bound
  std::unordered_map<std::string_view, Definition> definitions_;
  std::unordered_map<std::string, Constant> constants_;
  std::unordered_map<std::string, ValueId> values_;
  std::unordered_map<std::string, DType> narrow_;  // the file's types of values that the graph holds as f32
  std::unordered_map<std::string, DType> held_;
  std::unordered_set<std::string> read_;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_suffix_;
  int64_t unrolled_ = 0;                             // nodes and iterations of loops so far
  std::unordered_map<std::string, int> iterations_;  // of each loop, which name what they hold
};

}  // namespace cupel
