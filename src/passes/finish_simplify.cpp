// finish_simplify: nodes that no output needs go away, and the graph enters its next stage: quantized when it holds
// Q/DQ nodes, simplified otherwise. Names what simplify could not remove.
//   graph stage imported { … }     ->     graph stage simplified { … }
#include <fmt/format.h>

#include "base/file.h"
#include "ir/patch.h"
#include "ops/op_table.h"
#include "passes/pass.h"

namespace cupel {

Result<Graph> run_finish_simplify(const Graph& graph, const PassContext&) {
  Graph out = CUPEL_TRY(apply_patch(Patch(graph)));
  out.stage = Stage::simplified;
  for (const Node& node : out.nodes()) {
    if (node.op->removed_by_simplify || !node.op->reference)
      return unsupported(node_place(node),
                         "its result depends on data or on a dimension that is not known before the run",
                         kGiveParameters);
    if (is_linear_conversion(*node.op)) out.stage = Stage::quantized;
  }
  std::string symbol;
  for (const Value& v : out.values())
    for (size_t i = 0; i < v.type.shape.size(); ++i) {
      const Dim& d = v.type.shape[i];
      if (d.is_constant()) continue;
      if (symbol.empty()) symbol = d.symbol;
      if (i != 0 || d.symbol != symbol)
        return unsupported("value " + printable(v.name),
                           fmt::format("dimension {} of {} is symbolic; only one leading batch dimension may be", i,
                                       to_text(v.type.shape)),
                           kGiveSize);
    }
  return out;
}

}  // namespace cupel
