// A network that data cut into parts: each is imported with what the parts before it gave, up to the nodes whose
// results have a shape, or a meaning, that follows from values which are not known yet.
#include <fmt/format.h>

#include <algorithm>

#include "onnx/importer.h"
#include "onnx/input_codes.h"

namespace cupel {
namespace {

bool is_known(const KnownValues& known, std::string_view name) {
  return known.constants.contains(name) || known.inputs.contains(name);
}

void names_read(const GraphFields& graph, std::vector<std::string>& names) {
  for (const NodeFields& node : graph.nodes) {
    for (const std::string_view name : node.inputs) names.emplace_back(name);
    for (const AttributeFields& a : node.attributes)
      if (a.graph) names_read(*a.graph, names);
  }
  for (const ValueFields& output : graph.outputs) names.emplace_back(output.name);
}

}  // namespace

// Operands, and what subgraphs read of this one.
std::vector<std::string> Importer::read_by_node(size_t index) const {
  const NodeFields& node = file_.nodes[index];
  std::vector<std::string> names(node.inputs.begin(), node.inputs.end());
  for (const AttributeFields& a : node.attributes)
    if (a.graph) names_read(*a.graph, names);
  std::erase_if(names, [&](const std::string& name) { return name.empty() || !definitions_.contains(name); });
  return names;
}

void Importer::take_known(const KnownValues& known) {
  for (const auto& [name, value] : known.constants) {
    constants_.insert_or_assign(name, Constant{value, {}});
    widen_constant(name);
  }
  std::erase_if(inputs_, [&](const DeclaredInput& input) { return is_known(known, input.name); });
}

// The nodes, in order, that the outputs need which are not known.
Result<std::vector<size_t>> Importer::wanted_nodes(const KnownValues& known) const {
  std::vector<size_t> order = CUPEL_TRY(sorted_nodes());
  std::unordered_set<std::string> wanted;
  for (const ValueFields& output : file_.outputs) wanted.emplace(output.name);
  std::vector<size_t> nodes;
  for (size_t i = order.size(); i-- > 0;) {
    const auto& results = file_.nodes[order[i]].outputs;
    const auto is_wanted = [&](std::string_view name) {
      return wanted.contains(std::string(name)) && !is_known(known, name);
    };
    if (std::ranges::none_of(results, is_wanted)) continue;
    nodes.push_back(order[i]);
    for (std::string& name : read_by_node(order[i])) wanted.insert(std::move(name));
  }
  std::ranges::reverse(nodes);
  return nodes;
}

// Behind the first part inputs that no node reads are left out.
Status Importer::add_known_inputs(const KnownValues& known, std::span<const size_t> nodes) {
  const bool first = known.inputs.empty() && known.constants.empty();
  std::unordered_set<std::string> read;
  for (const size_t index : nodes)
    for (std::string& name : read_by_node(index)) read.insert(std::move(name));
  if (!first) std::erase_if(inputs_, [&](const DeclaredInput& input) { return !read.contains(input.name); });
  CUPEL_TRY(add_inputs());
  for (const auto& [name, type] : known.inputs)
    if (read.contains(name)) CUPEL_TRY(add_input_value(name, type));
  return {};
}

Result<std::vector<size_t>> Importer::import_until_data_decide(std::span<const size_t> nodes, OnnxPart& part) {
  std::vector<size_t> left;
  std::unordered_set<std::string_view> waiting;  // results of these
  for (const size_t index : nodes) {
    const auto waits = [&](const std::string& name) { return waiting.contains(name); };
    std::vector<std::string> operands = read_by_node(index);
    if (std::ranges::none_of(operands, waits)) {
      Status status = import_node(index);
      if (status) continue;
      if (status.error().code != ErrorCode::computed_at_run_time) return std::unexpected(std::move(status).error());
      part.deciding.push_back({std::move(operands), std::move(status).error()});
    }
    left.push_back(index);
    waiting.insert(file_.nodes[index].outputs.begin(), file_.nodes[index].outputs.end());
  }
  return left;
}

Status Importer::add_part_outputs(const KnownValues& known, std::span<const size_t> left, OnnxPart& part) {
  if (file_.outputs.empty()) return bad_input("graph", "has no outputs", "export the model again");
  std::unordered_set<std::string> done;
  for (const size_t index : left)
    for (const std::string_view name : file_.nodes[index].outputs) done.emplace(name);
  for (const ValueFields& output : file_.outputs)
    if (!is_known(known, output.name) && done.emplace(output.name).second) CUPEL_TRY(add_output(output));
  for (const size_t index : left)
    for (const std::string& name : read_by_node(index)) {
      const Definition& from = definitions_.at(name);
      if (from.kind != Definer::node || is_constant_node(file_.nodes[from.index]) || is_known(known, name) ||
          !done.insert(name).second)
        continue;
      if (const Tensor* t = constant(name); !t)
        graph_.add_output(CUPEL_TRY(output_value(name)));
      else if (!narrow_type(name) && !held_.contains(name))  // the others are folded again
        part.constants.emplace(name, *t);
    }
  return {};
}

Result<OnnxPart> Importer::run_part(const KnownValues& known) {
  CUPEL_TRY(begin());
  take_known(known);
  const std::vector<size_t> nodes = CUPEL_TRY(wanted_nodes(known));
  CUPEL_TRY(add_known_inputs(known, nodes));
  OnnxPart part;
  for (const ValueFields& output : file_.outputs) part.outputs.emplace_back(output.name);
  const std::vector<size_t> left = CUPEL_TRY(import_until_data_decide(nodes, part));
  CUPEL_TRY(add_part_outputs(known, left, part));
  part.graph = with_input_codes(std::move(graph_));
  return part;
}

}  // namespace cupel
