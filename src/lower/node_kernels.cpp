#include "lower/node_kernels.h"

#include <unordered_map>

namespace cupel {

std::vector<NodeKernel> node_kernels(const Graph& graph, const Lowered& lowered) {
  std::vector<NodeKernel> rows(graph.nodes().size());
  for (const FusionDecision& decision : lowered.decisions) {
    NodeKernel& row = rows[static_cast<size_t>(decision.node.index)];
    if (decision.accepted)
      row.joined = decision.kernel;
    else
      row.refused.push_back(decision);
  }
  const auto first_of = [&](size_t i) {  // the node that begins the kernel of node i
    return rows[i].joined.valid() ? static_cast<size_t>(rows[i].joined.index) : i;
  };
  std::unordered_map<std::string_view, size_t> producer;
  for (size_t i = 0; i < rows.size(); ++i)
    for (ValueId output : graph.nodes()[i].outputs)
      if (output.valid()) producer.emplace(graph.value(output).name, i);
  // A step's value is the result of the last node in its kernel.
  std::unordered_map<size_t, std::string_view> step_of;
  for (const Step& step : lowered.program.steps)
    if (const auto last = producer.find(step.value_name); step.result && last != producer.end())
      step_of[first_of(last->second)] = step.name;
  for (size_t i = 0; i < rows.size(); ++i)
    if (const auto step = step_of.find(first_of(i)); step != step_of.end()) rows[i].step = step->second;
  return rows;
}

}  // namespace cupel
