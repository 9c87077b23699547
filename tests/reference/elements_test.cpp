// What rows say of their elements (OpDef::elements) is true of their meanings, over every sample: and no row says less
// than is true.
#include <gtest/gtest.h>

#include <set>

#include "ops/rules.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

using samples::Sample;

// One node's run: its operands and results.
struct NodeRun {
  const Node* node;
  std::vector<std::optional<Tensor>> operands;
  std::vector<Tensor> results;
};

std::optional<NodeRun> run_node(const Sample& s) {
  if (!s.op->reference || s.graph.nodes().size() != 1) return std::nullopt;
  ThreadPool threads(1);
  const auto inputs = samples::make_inputs(s.graph, 3, samples::range_for(s.op->name));
  NodeRun run{&s.graph.nodes()[0], {}, {}};
  for (ValueId v : run.node->inputs) {
    run.operands.emplace_back();
    for (size_t i = 0; i < s.graph.inputs().size(); ++i)
      if (s.graph.inputs()[i] == v) run.operands.back() = inputs[i];
    if (v.valid() && s.graph.value(v).constant) run.operands.back() = *s.graph.value(v).constant;
  }
  auto results = interpret(s.graph, inputs, threads);
  if (!results) return std::nullopt;
  run.results = std::move(*results);
  return run;
}

// `t` as one dimension, each element repeated to where it broadcasts to.
Tensor flat(const Tensor& t, const Dims& dims) {
  Tensor out(t.dtype(), {element_count(dims)});
  const Dims strides = ops::broadcast_strides(t.dims(), dims);
  const auto size = static_cast<size_t>(dtype_bits(t.dtype()) / 8);
  Dims at(dims.size(), 0);
  for (int64_t i = 0; i < out.size(); ++i) {
    int64_t from = 0;
    for (size_t d = 0; d < dims.size(); ++d) from += at[d] * strides[d];
    std::memcpy(out.mutable_bytes().data() + static_cast<size_t>(i) * size,
                t.bytes().data() + static_cast<size_t>(from) * size, size);
    for (size_t d = dims.size(); d > 0 && ++at[d - 1] == dims[d - 1];) at[--d] = 0;
  }
  return out;
}

bool broadcasts(const Dims& from, const Dims& to) {
  if (from.size() > to.size()) return false;
  for (size_t d = 0; d < from.size(); ++d)
    if (const int64_t extent = to[d + to.size() - from.size()]; from[d] != extent && from[d] != 1) return false;
  return true;
}

// Whether the op, with all operands but its parameters spread over the result and laid out as one dimension, gives the
// same elements; nullopt where that cannot be asked: parameters along a dimension, several results.
std::optional<bool> works_element_by_element(const Sample& s, const NodeRun& run) {
  const Node& node = *run.node;
  if (run.results.size() != 1 || run.results[0].size() < 2 || attr_int(node.attributes, "axis", -1) >= 0)
    return std::nullopt;
  const Dims& dims = run.results[0].dims();
  const auto parameters = static_cast<size_t>(node.op->parameters_from);
  Graph graph;
  graph.stage = s.graph.stage;
  graph.opset = s.graph.opset;
  std::vector<ValueId> operands;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < run.operands.size(); ++i) {
    if (!run.operands[i]) {
      operands.emplace_back();
      continue;
    }
    const TensorType& type = s.graph.type(node.inputs[i]);
    if (i >= parameters) {
      if (run.operands[i]->size() > 1) return std::nullopt;
      operands.push_back(graph.add_constant("p" + std::to_string(i), *run.operands[i], type.quant));
      continue;
    }
    if (type.quant && !type.quant->per_tensor()) return std::nullopt;
    if (!broadcasts(run.operands[i]->dims(), dims)) return false;
    inputs.push_back(flat(*run.operands[i], dims));
    operands.push_back(
        graph.add_input("x" + std::to_string(i), {type.dtype, to_shape(inputs.back().dims()), type.quant}));
  }
  const TensorType& result = s.graph.type(node.outputs[0]);
  if (inputs.empty() || (result.quant && !result.quant->per_tensor())) return std::nullopt;
  const auto added = graph.add_node(*node.op, "flat", operands, node.attributes, {"y"}, {},
                                    {{result.dtype, {Dim(element_count(dims))}, result.quant}});
  if (!added) return false;
  graph.add_output(graph.node(*added).outputs[0]);
  ThreadPool threads(1);
  const auto found = interpret(graph, inputs, threads);
  if (!found || (*found)[0].size() != run.results[0].size()) return false;
  const auto a = (*found)[0].bytes(), b = run.results[0].bytes();
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

std::string title(const Sample& s) { return std::string(s.op->name) + " sample " + s.graph.name; }

TEST(Elements, ElementwiseRowsWorkElementByElement) {
  std::set<const OpDef*> asked;
  for (const Sample& s : samples::all_samples()) {
    if (!is_elementwise(*s.op)) continue;
    const auto run = run_node(s);
    if (!run) continue;
    const auto found = works_element_by_element(s, *run);
    if (found) asked.insert(s.op);
    EXPECT_TRUE(found.value_or(true)) << title(s);
  }
  for (const OpDef* op : all_ops())
    if (is_elementwise(*op) && op->parameters_from > 1 && op->conversion == Conversion::none) {
      EXPECT_TRUE(asked.contains(op)) << op->name << " has no sample that shows it";
    }
}

// A row that forgets to say so: it works element by element on every sample of which that can be asked.
TEST(Elements, OtherRowsDoNot) {
  for (const OpDef* op : all_ops()) {
    if (is_elementwise(*op) || op->quant_rule == QuantRule::same) continue;
    bool asked = false, always = true;
    for (const Sample& s : samples::all_samples()) {
      if (s.op != op) continue;
      const auto run = run_node(s);
      const auto found = run ? works_element_by_element(s, *run) : std::nullopt;
      asked = asked || found;
      always = always && found.value_or(true);
    }
    EXPECT_FALSE(asked && always) << op->name << " works element by element, and its row does not say so";
  }
}

TEST(Elements, ReshapedRowsKeepThemInOrder) {
  int count = 0;
  for (const Sample& s : samples::all_samples()) {
    const auto run = changes_shape(*s.op) ? run_node(s) : std::nullopt;
    if (!run) continue;
    const auto a = run->operands[0]->bytes(), b = run->results[0].bytes();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << title(s);
    ++count;
  }
  EXPECT_GE(count, 12);
}

// Every element of a result is one of an operand, or what fills in: zero, or the number of the last parameter.
TEST(Elements, MovedRowsComputeNone) {
  int count = 0;
  for (const Sample& s : samples::all_samples()) {
    if (s.op->elements != Elements::moved) continue;
    const auto run = run_node(s);
    if (!run || s.graph.type(run->node->outputs[0]).quant) continue;
    std::set<double> known = {0};
    for (const auto& operand : run->operands)
      for (int64_t i = 0; operand && i < operand->size(); ++i) known.insert(operand->at(i));
    for (const Tensor& result : run->results)
      for (int64_t i = 0; i < result.size(); ++i) EXPECT_TRUE(known.contains(result.at(i))) << title(s);
    ++count;
  }
  EXPECT_GE(count, 20);
}

}  // namespace
}  // namespace cupel
