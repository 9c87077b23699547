// Networks with their values, and parts of them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace cupel {

// Codes, and what stands for sizes: these are known by what reads them, and never become inputs or outputs.
inline bool is_tied(const Graph& graph, ValueId v) { return graph.type(v).quant || graph.value(v).contents; }

// A graph in stage imported, its inputs, and every value that they give, by index; the batch is that of the inputs.
struct RandomNetwork {
  Graph graph;
  std::vector<Tensor> inputs;
  std::vector<Tensor> values;
  int64_t batch = 1;
  bool has_codes = false;  // quantize and dequantize nodes
};

// Takes a part out of a network.
class NetworkPart {
 public:
  // What gives these outputs. Nodes read values that are cut as inputs. `bound`: inputs have the sizes that they have
  // here, and no symbols.
  NetworkPart(const RandomNetwork& whole, std::vector<ValueId> outputs, std::vector<bool> cut, bool bound = false)
      : whole_(whole), outputs_(std::move(outputs)), cut_(std::move(cut)), bound_(bound) {
    const size_t count = whole.values.size();
    wanted_.resize(count);
    as_input_.resize(count);
    read_.resize(count);
    made_.resize(count);
  }

  RandomNetwork take() {
    part_ = {.graph = {}, .batch = whole_.batch, .has_codes = whole_.has_codes};
    part_.graph.opset = whole_.graph.opset;
    const auto producers = whole_.graph.producers();
    mark();
    for (size_t i = 0; i < whole_.values.size(); ++i) {
      const Value& v = whole_.graph.values()[i];
      const bool is_source = !producers[i].valid() && wanted_[i];
      if (v.constant && is_source)
        keep(i, made_[i] = read_[i] = part_.graph.add_constant(v.name, *v.constant, v.type.quant));
      else if (is_source || as_input_[i])
        add_input(i);
    }
    for (const Node& node : whole_.graph.nodes())
      if (is_wanted(node)) add_node(node);
    for (ValueId v : outputs_) part_.graph.add_output(made_[index(v)].valid() ? made_[index(v)] : read_[index(v)]);
    return std::move(part_);
  }

 private:
  static size_t index(ValueId v) { return static_cast<size_t>(v.index); }
  bool is_wanted(const Node& node) const {
    return std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) { return wanted_[index(v)]; });
  }
  void mark() {
    for (ValueId v : outputs_) wanted_[index(v)] = true;
    const auto& nodes = whole_.graph.nodes();
    for (auto node = nodes.rbegin(); node != nodes.rend(); ++node)
      for (ValueId v : node->inputs)
        if (v.valid() && is_wanted(*node)) (cut_[index(v)] ? as_input_ : wanted_)[index(v)] = true;
  }
  void keep(size_t from, ValueId to) {
    part_.values.resize(part_.graph.values().size());
    part_.values[index(to)] = whole_.values[from];
  }
  void add_input(size_t i) {
    TensorType type = whole_.graph.values()[i].type;
    if (bound_) type.shape = to_shape(whole_.values[i].dims());
    keep(i, read_[i] = part_.graph.add_input(whole_.graph.values()[i].name, type));
    part_.inputs.push_back(whole_.values[i]);
  }
  void add_node(const Node& node) {
    std::vector<ValueId> operands;
    for (ValueId v : node.inputs)
      operands.push_back(!v.valid() ? v : read_[index(v)].valid() ? read_[index(v)] : made_[index(v)]);
    std::vector<std::string> names;
    for (ValueId v : node.outputs) names.push_back(whole_.graph.value(v).name);
    const auto added = part_.graph.add_node(*node.op, node.name, operands, node.attributes, names);
    if (!added) std::abort();  // the types are those of the whole
    for (size_t i = 0; i < names.size(); ++i)
      keep(index(node.outputs[i]), made_[index(node.outputs[i])] = part_.graph.node(*added).outputs[i]);
  }

  const RandomNetwork& whole_;
  std::vector<ValueId> outputs_;
  std::vector<bool> cut_;
  bool bound_;
  RandomNetwork part_;
  std::vector<bool> wanted_, as_input_;
  std::vector<ValueId> read_, made_;
};

}  // namespace cupel
