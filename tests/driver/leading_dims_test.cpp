// Every op sample with its leading dimension symbolic, of a constant size, and gone, along every axis that its
// attributes and constants can name: what lowering makes of it means what the interpreter computes, or is refused. A
// dimension that an op works along may be the one that lowering takes for the batch.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>

#include "base/same_bytes.h"
#include "driver/op_support.h"
#include "ir/verifier.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

// What becomes of the dimensions of a sample's inputs. False: it is not a variation of this one.
using Reshaping = std::function<bool(Shape&)>;
struct Variation {
  std::string name;
  Reshaping reshaping;
};

bool is_open(const Shape& shape) { return !shape.empty() && !shape[0].is_constant(); }

std::vector<Variation> variations() {
  std::vector<Variation> list = {{"as it is", [](Shape&) { return true; }}};
  for (const int64_t size : {1, 2, 3})
    list.push_back({"leading " + std::to_string(size), [size](Shape& shape) {
                      if (is_open(shape)) shape[0] = Dim(shape[0].factor * size);
                      return true;
                    }});
  list.push_back({"without the leading one", [](Shape& shape) {
                    if (is_open(shape)) shape.erase(shape.begin());
                    return true;
                  }});
  list.push_back({"rows of a batch", [](Shape& shape) {
                    if (is_open(shape)) shape[0] = Dim(2 * shape[0].factor, shape[0].symbol);
                    return true;
                  }});
  // The dimension behind the leading one becomes the batch.
  list.push_back({"the next one is the batch", [](Shape& shape) {
                    if (!is_open(shape)) return true;
                    shape.erase(shape.begin());
                    if (shape.empty() || !shape[0].is_constant()) return false;
                    shape[0] = Dim(1, "batch");
                    return true;
                  }});
  // Sizes that lead every value, and that an op works along too.
  for (const int64_t size : {2, 3})
    list.push_back({"all sizes " + std::to_string(size), [size](Shape& shape) {
                      for (Dim& d : shape)
                        if (d != Dim(1)) d = size;
                      return true;
                    }});
  return list;
}

// Constants of other dimensions hold other numbers; those of integers may be axes and sizes, and stay.
std::optional<Tensor> reshaped_constant(const Value& v, const Reshaping& reshaping) {
  Shape shape = v.type.shape;
  if (v.type.dtype == DType::s64 || v.type.dtype == DType::s32 || !reshaping(shape) || shape == v.type.shape)
    return std::nullopt;
  return samples::make_tensor({v.type.dtype, shape, {}}, 1, 5, {.low = 0.5f});
}

// The sample's node over other inputs, constants and attributes; nullopt where it has no types then.
std::optional<Graph> rebuilt(const Graph& sample, const Reshaping& reshaping, const Attributes& attributes,
                             const std::vector<std::optional<Tensor>>& constants) {
  Graph graph;
  graph.opset = sample.opset;
  graph.stage = sample.stage;
  std::vector<ValueId> values(sample.values().size());
  for (ValueId id : sample.inputs()) {
    TensorType type = sample.type(id);
    if (!reshaping(type.shape)) return std::nullopt;
    if (type.quant && !check_quant_params(*type.quant, type.dtype, type.shape)) return std::nullopt;
    values[static_cast<size_t>(id.index)] = graph.add_input(sample.value(id).name, type);
  }
  for (size_t i = 0; i < values.size(); ++i)
    if (const Value& v = sample.values()[i]; v.constant) {
      const auto reshaped = reshaped_constant(v, reshaping);
      values[i] = graph.add_constant(v.name,
                                     constants[i] ? *constants[i]
                                     : reshaped   ? *reshaped
                                                  : *v.constant,
                                     v.type.quant);
    }
  const Node& node = sample.nodes()[0];
  std::vector<ValueId> operands;
  for (ValueId v : node.inputs) operands.push_back(v.valid() ? values[static_cast<size_t>(v.index)] : v);
  std::vector<std::string> names;
  std::vector<TensorType> declared;
  for (ValueId v : node.outputs) {
    names.push_back(sample.value(v).name);
    declared.push_back({sample.type(v).dtype, {}, sample.type(v).quant});
  }
  const auto added = graph.add_node(*node.op, node.name, operands, attributes, names, {}, declared);
  if (!added) return std::nullopt;
  for (ValueId v : graph.node(*added).outputs) graph.add_output(v);
  return graph;
}

// Attributes that differ in `axis`, as far as a rank of 5 lets them.
std::vector<Attributes> along_every_axis(const Graph& sample) {
  const Node& node = sample.nodes()[0];
  std::vector<Attributes> list = {node.attributes};
  for (const AttributeSpec& spec : node.op->attributes)
    if (spec.name == "axis" && !node.inputs.empty())
      for (int64_t axis = -1; axis < static_cast<int64_t>(sample.type(node.inputs[0]).shape.size()); ++axis) {
        list.push_back(node.attributes);
        list.back().insert_or_assign("axis", axis);
      }
  return list;
}

// Constant operands that can be axes: one or two numbers, each of which may be any axis.
std::vector<std::vector<std::optional<Tensor>>> with_other_axes(const Graph& sample) {
  std::vector<std::vector<std::optional<Tensor>>> list = {std::vector<std::optional<Tensor>>(sample.values().size())};
  for (size_t i = 0; i < sample.values().size(); ++i) {
    const auto& constant = sample.values()[i].constant;
    if (!constant || (constant->dtype() != DType::s64 && constant->dtype() != DType::s32)) continue;
    if (constant->size() < 1 || constant->size() > 2 || sample.values()[i].type.quant) continue;
    const int64_t last = constant->size() == 2 ? 3 : 0;
    for (int64_t a = -1; a < 4; ++a)
      for (int64_t b = 0; b <= last; ++b) {
        Tensor t(constant->dtype(), constant->dims());
        for (int64_t k = 0; k < t.size(); ++k) {
          if (t.dtype() == DType::s64) t.mutable_data<int64_t>()[static_cast<size_t>(k)] = k == 0 ? a : b;
          if (t.dtype() == DType::s32)
            t.mutable_data<int32_t>()[static_cast<size_t>(k)] = static_cast<int32_t>(k == 0 ? a : b);
        }
        list.push_back(list.front());
        list.back()[i] = std::move(t);
      }
  }
  return list;
}

struct Counts {
  int equal = 0, refused = 0;
};

void expect_lowered_as_interpreted(const Graph& graph, const std::string& what, int64_t batch, Counts& counts) {
  const OpDef& op = *graph.nodes()[0].op;
  if (!verify_graph(graph)) return;  // simplify leaves none like it
  const auto lowered = lower_graph(graph, "sample", {true, 32});
  if (!lowered) {
    EXPECT_NE(lowered.error().kind, ErrorKind::internal) << what << lowered.error().message();
    ++counts.refused;
    return;
  }
  const auto inputs = samples::make_inputs(graph, batch, samples::range_for(op.name));
  ThreadPool threads(1);
  const auto expected = interpret(graph, inputs, threads);
  const auto meant = evaluate_program(lowered->program, inputs);
  ASSERT_EQ(expected.has_value(), meant.has_value())
      << what << print_graph(graph) << (expected ? meant : expected).error().message();
  if (!expected) return;
  ++counts.equal;
  for (size_t i = 0; i < expected->size(); ++i)
    EXPECT_TRUE(same_bytes((*meant)[i], (*expected)[i])) << what << ", batch " << batch << "\n" << print_graph(graph);
}

TEST(LeadingDimensions, AreTheBatchOnlyWhereItemsStayApart) {
  Counts counts;
  ThreadPool threads(1);
  for (const samples::Sample& s : samples::all_samples()) {
    if (!s.op->reference || s.op->removed_by_simplify) continue;
    for (const Variation& variation : variations())
      for (const Attributes& attributes : along_every_axis(s.graph))
        for (const auto& constants : with_other_axes(s.graph)) {
          auto graph = rebuilt(s.graph, variation.reshaping, attributes, constants);
          if (!graph) continue;
          graph->stage = std::max(graph->stage, Stage::simplified);
          const std::string what = s.graph.name + ", " + variation.name;
          expect_lowered_as_interpreted(*graph, what, 3, counts);
          const auto parameters =
              with_constant_operands(*graph, samples::make_inputs(*graph, 3, samples::range_for(s.op->name)));
          if (parameters && graph->inputs().size() > 1)
            expect_lowered_as_interpreted(*parameters, what + ", constant operands", 3, counts);
        }
  }
  std::printf("%d forms equal the interpreter, %d have no compiled form\n", counts.equal, counts.refused);
  EXPECT_GT(counts.equal, 4 * counts.refused);
}

}  // namespace
}  // namespace cupel
