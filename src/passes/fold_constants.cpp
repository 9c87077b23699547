// fold_constants: a node whose operands are all constant becomes its value. Fewer steps at run time, and other passes
// see weights behind transposes and casts.
//   %t = Transpose(%w) {perm=[1,0]}; %y = MatMul(%x, %t)     ->     constant %t; %y = MatMul(%x, %t)
// Dequantization of constants stays in a Graph with Q/DQ nodes: it is how that holds quantized weights. In an integer
// Graph constants between codes and numbers become what they stand for. A node stays where its result would have more
// than 2^26 elements, or all results together would take more than 1 GiB and more than the constants of the graph.
#include <algorithm>
#include <optional>

#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 26;  // of one result

class Folding {
 public:
  Folding(const Graph& graph, const PassContext& context)
      : graph_(graph), context_(context), patch_(graph), bytes_left_(context.most_folded_bytes) {
    int64_t constants = 0;
    for (const Value& value : graph.values()) {
      known_.push_back(value.constant);
      if (value.constant) constants += value.constant->bytes_size();
    }
    bytes_left_ = std::max(bytes_left_, constants);
  }

  Result<Graph> run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n)
      if (is_foldable(graph_.nodes()[n])) CUPEL_TRY(fold({static_cast<int32_t>(n)}));
    return patch_.empty() ? Result<Graph>(graph_) : apply_patch(patch_);
  }

 private:
  const Tensor* known(ValueId id) const {
    if (!id.valid()) return nullptr;
    const auto& tensor = known_[static_cast<size_t>(id.index)];
    return tensor ? &*tensor : nullptr;
  }
  // Whether codes may be folded: not while they are how the graph holds quantized weights.
  bool allows(ValueId id) const { return graph_.stage == Stage::integer || !graph_.type(id).quant; }

  // Whether its operands are known, and its results not too large.
  bool is_foldable(const Node& node) const {
    if (!node.op->reference || is_linear_conversion(*node.op)) return false;
    for (const ValueId id : node.inputs)
      if (id.valid() && (!known(id) || !allows(id))) return false;
    int64_t bytes = 0;
    for (const ValueId id : node.outputs) {
      const TensorType& type = graph_.type(id);
      if (!allows(id) || !is_static(type.shape)) return false;
      const int64_t elements = element_count(static_dims(type.shape));
      if (elements > kMostElements) return false;
      bytes += byte_count(type.dtype, elements);
    }
    return bytes <= bytes_left_;
  }

  Status fold(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<const Tensor*> operands;
    for (const ValueId input : node.inputs) operands.push_back(known(input));
    std::vector<Tensor> results = CUPEL_TRY(interpret_node(graph_, node, operands, context_.threads));
    patch_.begin_edit();
    patch_.remove(id);
    for (size_t i = 0; i < results.size(); ++i) {
      const ValueId output = node.outputs[i];
      bytes_left_ -= results[i].bytes_size();
      known_[static_cast<size_t>(output.index)] = results[i];
      patch_.replace(output,
                     patch_.add_constant(graph_.value(output).name, std::move(results[i]), graph_.type(output).quant));
    }
    return {};
  }

  const Graph& graph_;
  const PassContext& context_;
  Patch patch_;
  std::vector<std::optional<Tensor>> known_;  // of each value
  int64_t bytes_left_;
};

}  // namespace

Result<Graph> run_fold_constants(const Graph& graph, const PassContext& context) {
  return Folding(graph, context).run();
}

}  // namespace cupel
