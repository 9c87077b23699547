// fold_constants: a node whose operands are all constant becomes its value. Fewer steps at run time, and other passes
// see weights behind transposes and casts.
//   %t = Transpose(%w) {perm=[1,0]}; %y = MatMul(%x, %t)     ->     constant %t; %y = MatMul(%x, %t)
// Dequantization of constants stays in a Graph with Q/DQ nodes: it is how that holds quantized weights. In an integer
// Graph constants between codes and numbers become what they stand for.
#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"
#include "reference/interpreter.h"

namespace cupel {

Result<Graph> run_fold_constants(const Graph& graph, const PassContext& context) {
  constexpr int64_t kMaxFoldedElements = int64_t{1} << 26;
  const bool integer = graph.stage == Stage::integer;
  Patch patch(graph);
  std::vector<std::optional<Tensor>> known(graph.values().size());
  std::vector<ValueId> replacement(graph.values().size());
  for (size_t i = 0; i < known.size(); ++i) known[i] = graph.values()[i].constant;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!node.op->reference || is_linear_conversion(*node.op)) continue;
    bool foldable = true;
    std::vector<const Tensor*> operands;
    for (ValueId id : node.inputs) {
      foldable =
          foldable && (!id.valid() || (known[static_cast<size_t>(id.index)] && (integer || !graph.type(id).quant)));
      operands.push_back(id.valid() && known[static_cast<size_t>(id.index)] ? &*known[static_cast<size_t>(id.index)]
                                                                            : nullptr);
    }
    for (ValueId id : node.outputs) {
      const TensorType& t = graph.type(id);
      foldable = foldable && (integer || !t.quant) && is_static(t.shape) &&
                 element_count(static_dims(t.shape)) <= kMaxFoldedElements;
    }
    if (!foldable) continue;
    std::vector<Tensor> results = CUPEL_TRY(interpret_node(graph, node, operands, context.threads));
    patch.begin_edit();
    patch.remove({static_cast<int32_t>(n)});
    for (size_t i = 0; i < results.size(); ++i) {
      const ValueId id = node.outputs[i];
      known[static_cast<size_t>(id.index)] = results[i];
      patch.replace(id, patch.add_constant(graph.value(id).name, std::move(results[i]), graph.type(id).quant));
    }
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
