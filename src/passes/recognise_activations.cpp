// recognise_activations: x·sigmoid(x) becomes Silu, x·hardsigmoid(x) with alpha 1/6 and beta 1/2 becomes HardSwish:
// unary functions, which quantize to a table.
//   %s = Sigmoid(%x); %y = Mul(%x, %s)     ->     %y = Silu(%x)
#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/match.h"
#include "passes/pass.h"

namespace cupel {

Result<Graph> run_recognise_activations(const Graph& graph, const PassContext&) {
  Patch patch(graph);
  const Match m(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& gate = graph.nodes()[n];
    const bool sigmoid = is(gate, ops::kSigmoid), hard = is(gate, ops::kHardSigmoid);
    if (!sigmoid && !hard) continue;
    if (hard && (std::abs(attr_real(gate.attributes, "alpha", 0.2f) - 1.0f / 6) > 1e-6f ||
                 attr_real(gate.attributes, "beta", 0.5f) != 0.5f))
      continue;
    const ValueId s = gate.outputs[0];
    const Node* mul = m.only_user(s, ops::kMul);
    if (!mul || Match::other(*mul, s) != gate.inputs[0]) continue;
    patch.begin_edit();
    patch.remove({static_cast<int32_t>(n)});
    patch.remove(m.only_user(s));
    const ValueId result = mul->outputs[0];
    patch.replace(result, patch.add_named(sigmoid ? ops::kSilu : ops::kHardSwish, mul->name, graph.value(result).name,
                                          {gate.inputs[0]}));
  }
  return patch.empty() ? Result<Graph>(graph) : apply_patch(patch);
}

}  // namespace cupel
