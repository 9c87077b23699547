// If: subgraphs that become part of the graph.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/importer.h"
#include "onnx/tensor_proto.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

const GraphFields* branch_of(const NodeFields& node, std::string_view name) {
  for (const AttributeFields& a : node.attributes)
    if (a.name == name) return a.graph.get();
  return nullptr;
}

std::string named(const NodeFields& node, const std::string& outer, size_t index) {
  return fmt::format("{}/{}", outer, node.name.empty() ? fmt::format("{}_{}", node.op_type, index) : node.name);
}

// The name that a value of a subgraph has in the graph.
std::string resolved(const std::unordered_map<std::string, std::string>& names, std::string_view name) {
  const auto found = names.find(std::string(name));
  return found == names.end() ? std::string(name) : found->second;
}

}  // namespace

bool Importer::is_branching(const NodeFields& node) const {
  return (node.op_type == "If" || node.op_type == "Loop" || node.op_type == "Scan") &&
         (node.domain.empty() || node.domain == "ai.onnx");
}

// Results that a subgraph reads are read.
void Importer::read_by(const GraphFields& graph) {
  for (const NodeFields& node : graph.nodes) {
    for (const std::string_view name : node.inputs) read_.emplace(name);
    for (const AttributeFields& a : node.attributes)
      if (a.graph) read_by(*a.graph);
  }
  for (const ValueFields& output : graph.outputs) read_.emplace(output.name);
}

// A second name of a value or a constant; an output of the model keeps its own.
Status Importer::alias(const std::string& name, const std::string& of) {
  const auto is_output = [&](const ValueFields& output) { return output.name == name; };
  if (std::ranges::any_of(file_.outputs, is_output)) return add({"Identity", name, {of}, {name}, {}}, name);
  if (const auto narrow = narrow_type(of)) narrow_.insert_or_assign(name, *narrow);
  if (const Tensor* t = constant(of)) {
    constants_.emplace(name, Constant{*t, {}});
    return {};
  }
  values_.emplace(name, CUPEL_TRY(value(of)));
  return {};
}

std::string Importer::inner_result(std::string_view name, Scope& scope) {
  if (name.empty()) return {};
  const std::string own(name);
  const auto wanted = scope.wanted.find(own);
  std::string result = wanted == scope.wanted.end() ? fresh(own) : wanted->second;
  if (read_.contains(own)) read_.insert(result);
  scope.names.insert_or_assign(own, result);
  return result;
}

Status Importer::import_inner(const NodeFields& fields, const std::string& name, Scope& scope) {
  if (is_branching(fields)) {
    const Scope before = scope;
    std::vector<std::string> results;
    for (const std::string_view output : fields.outputs) results.push_back(inner_result(output, scope));
    return import_structured(fields, name, results, before);
  }
  NodeDraft draft = CUPEL_TRY(draft_of(fields, name));
  for (std::string& input : draft.inputs) {
    if (input.empty()) continue;
    input = resolved(scope.names, input);
    if (!values_.contains(input) && !constants_.contains(input))
      return bad_input("", fmt::format("reads value {}, which nothing before it defines", printable(input)),
                       kExportAgain);
  }
  for (std::string& output : draft.outputs) output = inner_result(output, scope);
  return import_draft(std::move(draft));
}

Result<std::vector<std::string>> Importer::import_branch(const GraphFields& branch, const std::string& name,
                                                         const std::vector<std::string>& wanted, const Scope& outer) {
  Scope scope{outer.names, {}};
  for (size_t i = 0; i < std::min(wanted.size(), branch.outputs.size()); ++i)
    if (!wanted[i].empty()) scope.wanted.emplace(branch.outputs[i].name, wanted[i]);
  CUPEL_TRY(import_constants(branch, scope));
  return import_nodes(branch, name, scope);
}

Status Importer::import_constants(const GraphFields& branch, Scope& scope) {
  if (branch.sparse_initializers)
    return unsupported("", "a subgraph holds sparse initializers", "export the model with dense constants");
  for (const TensorFields& fields : branch.initializers) {
    auto tensor = read_tensor(fields, folder_);
    if (!tensor)
      return std::unexpected(std::move(tensor).error().within(fmt::format("initializer {}", printable(fields.name))));
    const std::string own = fresh(std::string(fields.name));
    constants_.emplace(own, Constant{std::move(*tensor), {}});
    widen_constant(own);
    scope.names.insert_or_assign(std::string(fields.name), own);
  }
  for (const NodeFields& node : branch.nodes) {
    if (!is_constant_node(node)) continue;
    Tensor value = CUPEL_TRY(constant_node(node));
    const std::string own = inner_result(node.outputs[0], scope);
    constants_.emplace(own, Constant{std::move(value), {}});
    widen_constant(own);
  }
  return {};
}

Result<std::vector<std::string>> Importer::import_nodes(const GraphFields& branch, const std::string& name,
                                                        Scope& scope) {
  for (size_t i = 0; i < branch.nodes.size(); ++i) {
    const NodeFields& node = branch.nodes[i];
    if (is_constant_node(node)) continue;
    const std::string inner = named(node, name, i);
    if (Status status = import_inner(node, inner, scope); !status)
      return std::unexpected(std::move(status).error().at_node(
          inner, fmt::format("node {} ({})", printable(inner), printable(node.op_type, 60))));
  }
  std::vector<std::string> results;
  for (const ValueFields& output : branch.outputs) {
    results.push_back(resolved(scope.names, output.name));
    if (!values_.contains(results.back()) && !constants_.contains(results.back()))
      return bad_input("", fmt::format("nothing defines result {} of a subgraph", printable(output.name)),
                       kExportAgain);
  }
  return results;
}

Status Importer::import_structured(const NodeFields& node, const std::string& name,
                                   const std::vector<std::string>& results, const Scope& outer) {
  if (node.op_type == "Loop") return import_loop(node, name, results, outer);
  if (node.op_type == "Scan") return import_scan(node, name, results, outer);
  return import_if(node, name, results, outer);
}

// One of two values of the same type.
Status Importer::choose(const std::string& name, const std::string& condition, size_t result, const std::string& yes,
                        const std::string& no, const std::string& chosen) {
  const TensorType a = graph_.type(CUPEL_TRY(value(yes))), b = graph_.type(CUPEL_TRY(value(no)));
  if (a.dtype != b.dtype || a.shape != b.shape || a.quant || b.quant)
    return computed_at_run_time(
        fmt::format("the condition is computed, and result {} is {}{} in one branch, {}{} in the other", result,
                    dtype_name(a.dtype), to_text(a.shape), dtype_name(b.dtype), to_text(b.shape)),
        "give the condition's operands with --value, or their sizes with --dim or --shape");
  NodeDraft draft{"Where", fmt::format("{}_choice{}", name, result), {condition, yes, no}, {chosen}, {}};
  if (graph_.type(CUPEL_TRY(value(condition))).shape.size() > a.shape.size())
    draft.inputs[0] = CUPEL_TRY(
        add_part("Reshape", draft, "condition", {condition, add_constant(name + "_scalar", Tensor(DType::s64, {0}))}));
  return add(std::move(draft), name);
}

Status Importer::import_if(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                           const Scope& outer) {
  const GraphFields *then_branch = branch_of(node, "then_branch"), *else_branch = branch_of(node, "else_branch");
  if (!then_branch || !else_branch || node.inputs.size() != 1)
    return bad_input("", "expected a condition and two branches", kExportAgain);
  for (const GraphFields* branch : {then_branch, else_branch})
    if (branch->outputs.size() < results.size())
      return bad_input("",
                       fmt::format("a branch gives {} results, expected {}", branch->outputs.size(), results.size()),
                       kExportAgain);
  const std::string condition = resolved(outer.names, node.inputs[0]);
  if (const Tensor* known = constant(condition)) {
    if (known->dtype() != DType::boolean || known->size() != 1)
      return bad_input("", "the condition is not one bool", kExportAgain);
    const GraphFields& taken = known->int_at(0) != 0 ? *then_branch : *else_branch;
    const auto given = CUPEL_TRY(import_branch(taken, name, results, outer));
    for (size_t i = 0; i < results.size(); ++i)
      if (!results[i].empty() && given[i] != results[i]) CUPEL_TRY(alias(results[i], given[i]));
    return {};
  }
  // A condition that data decides: both are computed, and one of the two is chosen.
  // What is wrong with one of them may be what the condition keeps away.
  const auto either = [&](const GraphFields& branch, const char* suffix) {
    auto given = import_branch(branch, name + suffix, {}, outer);
    if (!given && given.error().kind == ErrorKind::bad_input) {
      given.error().kind = ErrorKind::unsupported;
      given.error().remedy = "give the condition's operands with --value, or their sizes with --dim or --shape";
    }
    return given;
  };
  const auto yes = CUPEL_TRY(either(*then_branch, "_then"));
  const auto no = CUPEL_TRY(either(*else_branch, "_else"));
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].empty()) CUPEL_TRY(choose(name, condition, i, yes[i], no[i], results[i]));
  return {};
}

}  // namespace cupel
