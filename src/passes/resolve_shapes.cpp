// resolve_shapes: shape arithmetic over the symbolic batch becomes constants, so that none is left at run time.
//   %s = Shape(%x); … %t = Concat(…); %y = Reshape(%x, %t)     ->     constant %t = [-1, 49, 64]; %y = Reshape(%x, %t)
// A known element that is symbolic can only be a Reshape or Expand target: there the batch becomes the one −1
// (Reshape), or the operand's own dimension, which 1 keeps (Expand). An operand of one item that Expand repeats for the
// whole batch takes the batch from an input of the graph (ExpandBatch, and a Transpose where it does not lead).
#include <fmt/format.h>

#include <algorithm>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"

namespace cupel {
namespace {

Tensor integers(std::span<const int64_t> values, const Dims& dims) { return Tensor::of<int64_t>(dims, values); }

// The Reshape target that gives `result`, with −1 for its one symbolic dimension.
Result<std::vector<int64_t>> reshape_target(const Shape& result, const Node& node) {
  std::vector<int64_t> target;
  int symbolic = 0;
  for (const Dim& d : result) {
    target.push_back(d.is_constant() ? d.factor : -1);
    symbolic += !d.is_constant();
  }
  if (symbolic > 1)
    return unsupported(node_place(node),
                       fmt::format("the result {} has {} symbolic dimensions", to_text(result), symbolic), kGiveSize);
  return target;
}

// An input of the graph whose leading dimension is the symbolic `dim`; invalid when there is none.
ValueId batch_of(const Graph& graph, const Dim& dim) {
  if (dim.is_constant()) return {};
  for (ValueId id : graph.inputs())
    if (const Shape& shape = graph.type(id).shape; !shape.empty() && shape[0] == dim) return id;
  return {};
}

}  // namespace

Result<Graph> run_resolve_shapes(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const auto producers = graph.producers();
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const Value& value = graph.values()[v];
    const NodeId producer = producers[v];
    if (value.constant || !value.contents || !producer.valid() || !is_static(value.type.shape)) continue;
    if (!std::all_of(value.contents->begin(), value.contents->end(), [](const Dim& d) { return d.is_constant(); }))
      continue;
    Tensor t(value.type.dtype, static_dims(value.type.shape));
    for (size_t i = 0; i < value.contents->size(); ++i) {
      const int64_t element = (*value.contents)[i].factor;
      if (t.dtype() == DType::s64) {
        t.mutable_data<int64_t>()[i] = element;
      } else if (t.dtype() == DType::s32) {
        t.mutable_data<int32_t>()[i] = static_cast<int32_t>(element);
      }
    }
    if (t.dtype() != DType::s64 && t.dtype() != DType::s32) continue;
    patch.begin_edit();
    patch.replace({static_cast<int32_t>(v)}, patch.add_constant(value.name, std::move(t)));
  }
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const bool reshape = is(node, ops::kReshape), expand = is(node, ops::kExpand);
    if ((!reshape && !expand) || graph.value(node.inputs[1]).constant) continue;
    const Shape& result = graph.type(node.outputs[0]).shape;
    std::vector<int64_t> target;
    ValueId repeated;  // gives the batch that the result is repeated for,
    size_t along = 0;  // as this dimension
    if (reshape) {
      // A target dimension of 0 would mean "copy"; an empty result keeps its own target.
      if (std::any_of(result.begin(), result.end(), [](const Dim& d) { return d == Dim(0); })) continue;
      target = CUPEL_TRY(reshape_target(result, node));
    } else {
      const Shape& operand = graph.type(node.inputs[0]).shape;
      for (size_t i = 0; i < result.size(); ++i) {
        const bool own =
            i + operand.size() >= result.size() && operand[i + operand.size() - result.size()] == result[i];
        if (!own && !repeated.valid() && is_static(operand) && batch_of(graph, result[i]).valid()) {
          repeated = batch_of(graph, result[i]);
          along = i;
          target.push_back(1);
          continue;
        }
        if (!result[i].is_constant() && !own)
          return unsupported(node_place(node), fmt::format("a dimension grows to the symbolic {}", to_text(result[i])),
                             "export the model with a fixed batch, or without the expansion");
        target.push_back(own ? 1 : result[i].factor);
      }
    }
    patch.begin_edit();
    const Dims dims{static_cast<int64_t>(target.size())};
    const ValueId constant = patch.add_constant(node.name + "_target", integers(target, dims));
    if (!repeated.valid()) {
      patch.replace_operand({static_cast<int32_t>(n)}, 1, constant);
      continue;
    }
    patch.remove({static_cast<int32_t>(n)});
    const std::string& name = graph.value(node.outputs[0]).name;
    ValueId item = patch.add(ops::kExpand, node.name + "_item", {node.inputs[0], constant});
    if (along == 0) {
      patch.replace(node.outputs[0], patch.add_named(ops::kExpandBatch, node.name, name, {item, repeated}));
      continue;
    }
    std::vector<int64_t> first = {1}, perm;
    for (size_t d = 0; d < result.size(); ++d) {
      if (d != along) first.push_back(result[d].factor);
      perm.push_back(d == along ? 0 : static_cast<int64_t>(d < along ? d + 1 : d));
    }
    item = patch.add(ops::kReshape, node.name + "_first",
                     {item, patch.add_constant(node.name + "_first_target", integers(first, dims))});
    patch.replace(node.outputs[0],
                  patch.add_named(ops::kTranspose, node.name, name,
                                  {patch.add(ops::kExpandBatch, node.name + "_batch", {item, repeated})},
                                  {{"perm", std::move(perm)}}));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
