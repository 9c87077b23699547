// Loop and Scan: bodies that become part of the graph, once for each iteration.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/element_type.h"
#include "onnx/importer.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";
const char* const kGiveSizes = "give it with --value, or the sizes that it comes from with --dim or --shape";

// Of all loops of a model together: an iteration counts one, and one for each node in it.
constexpr int64_t kMostUnrolledNodes = int64_t{1} << 14;

const AttributeFields* attribute_of(const NodeFields& node, std::string_view name) {
  for (const AttributeFields& a : node.attributes)
    if (a.name == name) return &a;
  return nullptr;
}

// One number for each of `count` values; `fallback` where the attribute is missing.
Result<std::vector<int64_t>> numbers_of(const NodeFields& node, std::string_view name, size_t count) {
  const AttributeFields* a = attribute_of(node, name);
  if (!a) return std::vector<int64_t>(count, 0);
  if (a->ints.size() != count)
    return bad_input("", fmt::format("attribute {} has {} numbers, expected {}", name, a->ints.size(), count),
                     kExportAgain);
  return a->ints;
}

// A number or bool in as many dimensions of 1 as the body declares for it.
Tensor of_rank(Tensor scalar, const ValueFields& declared) {
  const size_t rank = declared.shape ? std::min<size_t>(declared.shape->size(), 1) : 0;
  return scalar.reshaped(Dims(rank, 1));
}

Tensor truth(bool value) {
  Tensor t(DType::boolean, {});
  t.mutable_bytes()[0] = static_cast<std::byte>(value);
  return t;
}

}  // namespace

Result<Importer::Body> Importer::body_of(const NodeFields& node, const std::string& name, size_t inputs,
                                         size_t least_outputs, const Scope& outer) {
  const AttributeFields* a = attribute_of(node, "body");
  if (!a || !a->graph) return bad_input("", "expected a body", kExportAgain);
  const GraphFields& graph = *a->graph;
  if (graph.inputs.size() != inputs)
    return bad_input("", fmt::format("the body takes {} values, expected {}", graph.inputs.size(), inputs),
                     kExportAgain);
  if (graph.outputs.size() < least_outputs)
    return bad_input("", fmt::format("the body gives {} values, expected {}", graph.outputs.size(), least_outputs),
                     kExportAgain);
  for (const ValueFields& input : graph.inputs)
    if (input.kind && !input.is_tensor())
      return unsupported("", fmt::format("value {} of the body is {}", printable(input.name), input.kind),
                         "export the model with tensors as what a loop carries");
  Body body{&graph, name, {outer.names, {}}};
  CUPEL_TRY(import_constants(graph, body.scope));
  return body;
}

Result<std::vector<std::string>> Importer::import_iteration(const Body& body, const std::vector<std::string>& inputs) {
  unrolled_ += 1 + static_cast<int64_t>(body.graph->nodes.size());
  if (unrolled_ > kMostUnrolledNodes)
    return resource_error(
        "",
        fmt::format("unrolled it has more nodes than the limit of {} (kMostUnrolledNodes), which holds "
                    "for all loops of a model together",
                    kMostUnrolledNodes),
        "use fewer iterations, or export the model without the loop");
  Scope scope = body.scope;
  for (size_t i = 0; i < inputs.size(); ++i)
    scope.names.insert_or_assign(std::string(body.graph->inputs[i].name), inputs[i]);
  const std::string name = fmt::format("{}_{}", body.name, iterations_[body.name]++);
  auto results = CUPEL_TRY(import_nodes(*body.graph, name, scope));
  // What was known within this iteration alone.
  for (const auto& [inner, own] : scope.names) {
    const auto outside = body.scope.names.find(inner);
    const bool here = (outside == body.scope.names.end() || outside->second != own) &&
                      std::ranges::find(results, own) == results.end() &&
                      std::ranges::find(inputs, own) == inputs.end();
    if (here) constants_.erase(own);
  }
  return results;
}

Result<std::string> Importer::stacked(const Body& body, const std::string& part, const std::vector<std::string>& values,
                                      int64_t axis) {
  const NodeDraft whole{"Concat", body.name, {}, {}, {}};
  std::vector<std::string> rows;
  const std::string axes = add_constant(fmt::format("{}_{}_axis", body.name, part), Tensor::of<int64_t>({1}, {axis}));
  for (const std::string& value : values)
    rows.push_back(CUPEL_TRY(add_part("Unsqueeze", whole, fmt::format("{}_row{}", part, rows.size()), {value, axes})));
  if (rows.size() == 1) return rows[0];
  return add_part("Concat", whole, part, std::move(rows), {{"axis", axis}});
}

// No iteration has given a row: the body has to declare what rows are like.
Result<std::string> Importer::stack_of_none(const Body& body, const ValueFields& declared, int64_t axis) {
  const auto type = dtype_from_onnx(declared.elem_type);
  Dims dims;
  bool known = type && declared.shape;
  for (size_t d = 0; known && d < declared.shape->size(); ++d) {
    const auto& size = (*declared.shape)[d].value;
    known = size && *size >= 0 && *size <= kMaxElements && declared.shape->size() < kMaxRank;
    if (known) dims.push_back(*size);
  }
  if (!known)
    return unsupported(
        "", fmt::format("it has no iteration, and the body leaves the shape of {} open", printable(declared.name)),
        "declare the shape in the body, or give inputs for which the loop runs");
  const int64_t at = axis < 0 ? axis + static_cast<int64_t>(dims.size()) + 1 : axis;
  if (at < 0 || at > static_cast<int64_t>(dims.size()))
    return bad_input("", fmt::format("axis {} lies outside the rank {}", axis, dims.size() + 1), kExportAgain);
  dims.insert(dims.begin() + at, 0);
  const std::string own = add_constant(body.name + "_none", Tensor(*type, dims));
  widen_constant(own);
  return own;
}

Status Importer::give_results(const std::vector<std::string>& results, const std::vector<std::string>& given) {
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].empty()) CUPEL_TRY(alias(results[i], given[i]));
  return {};
}

Result<std::vector<std::string>> Importer::resolved_inputs(const NodeFields& node, size_t first, const Scope& outer) {
  std::vector<std::string> names;
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const auto found = outer.names.find(std::string(node.inputs[i]));
    names.push_back(found == outer.names.end() ? std::string(node.inputs[i]) : found->second);
    if (!values_.contains(names.back()) && !constants_.contains(names.back()))
      return bad_input("", fmt::format("reads value {}, which nothing before it defines", printable(node.inputs[i])),
                       kExportAgain);
  }
  return names;
}

// The one element of operand i; nullopt where it is absent.
Result<std::optional<int64_t>> Importer::loop_operand(const NodeFields& node, size_t i, DType type, const char* what,
                                                      const Scope& outer) {
  if (i >= node.inputs.size() || node.inputs[i].empty()) return std::nullopt;
  const auto found = outer.names.find(std::string(node.inputs[i]));
  const Tensor* t = constant(found == outer.names.end() ? std::string(node.inputs[i]) : found->second);
  if (!t) return computed_at_run_time(fmt::format("{} is computed from data", what), kGiveSizes);
  if (t->dtype() != type || t->size() != 1)
    return bad_input(
        "",
        fmt::format("{} is {}{}, expected one {}", what, dtype_name(t->dtype()), to_text(t->dims()), dtype_name(type)),
        kExportAgain);
  return t->int_at(0);
}

// Loop(trip count, condition, state…) -> state…, scan outputs…: while i < trip count and the condition holds,
// condition, state, rows = body(i, condition, state); the rows of a scan output are stacked along a new axis 0.
Status Importer::import_loop(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                             const Scope& outer) {
  const size_t states = node.inputs.size() < 2 ? 0 : node.inputs.size() - 2;
  const auto trips = CUPEL_TRY(loop_operand(node, 0, DType::s64, "the trip count", outer));
  bool goes_on = CUPEL_TRY(loop_operand(node, 1, DType::boolean, "the condition", outer)).value_or(1) != 0;
  const Body body = CUPEL_TRY(body_of(node, name, 2 + states, 1 + states, outer));
  const size_t scans = body.graph->outputs.size() - 1 - states;
  if (results.size() > states + scans)
    return bad_input("", fmt::format("it has {} results, the body gives {}", results.size(), states + scans),
                     kExportAgain);
  std::vector<std::string> state = CUPEL_TRY(resolved_inputs(node, 2, outer));
  std::vector<std::vector<std::string>> rows(scans);
  for (int64_t i = 0; goes_on && (!trips || i < *trips); ++i) {
    std::vector<std::string> inputs = {
        add_constant(name + "_i", of_rank(Tensor::scalar<int64_t>(i), body.graph->inputs[0])),
        add_constant(name + "_condition", of_rank(truth(true), body.graph->inputs[1]))};
    inputs.insert(inputs.end(), state.begin(), state.end());
    const std::vector<std::string> given = CUPEL_TRY(import_iteration(body, inputs));
    const Tensor* condition = constant(given[0]);
    if (!condition)
      return computed_at_run_time(fmt::format("whether it goes on after iteration {} is computed from data", i),
                                  "export the model with a fixed number of iterations");
    if (condition->dtype() != DType::boolean || condition->size() != 1)
      return bad_input("", "the condition that the body gives is not one bool", kExportAgain);
    goes_on = condition->int_at(0) != 0;
    state.assign(given.begin() + 1, given.begin() + 1 + static_cast<std::ptrdiff_t>(states));
    for (size_t s = 0; s < scans; ++s) rows[s].push_back(given[1 + states + s]);
  }
  for (size_t s = 0; s < scans; ++s) {
    if (states + s >= results.size() || results[states + s].empty()) {
      state.emplace_back();
      continue;
    }
    state.push_back(rows[s].empty() ? CUPEL_TRY(stack_of_none(body, body.graph->outputs[1 + states + s], 0))
                                    : CUPEL_TRY(stacked(body, fmt::format("scan{}", s), rows[s], 0)));
  }
  return give_results(results, state);
}

// The length of all scanned inputs along their axes, which become those from 0.
Result<int64_t> Importer::scan_length(const std::vector<std::string>& inputs, std::vector<int64_t>& axes) {
  std::optional<int64_t> length;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape shape = CUPEL_TRY(shape_of(inputs[i]));
    const auto rank = static_cast<int64_t>(shape.size());
    if (axes[i] < -rank || axes[i] >= rank)
      return bad_input("", fmt::format("axis {} of scanned input {} lies outside the rank {}", axes[i], i, rank),
                       kExportAgain);
    if (axes[i] < 0) axes[i] += rank;
    const Dim& dim = shape[static_cast<size_t>(axes[i])];
    if (!dim.is_constant())
      return unsupported("", fmt::format("the length of scanned input {} is {}, which is not known", i, to_text(shape)),
                         "give it with --dim or --shape");
    if (length && *length != dim.factor)
      return bad_input("", fmt::format("scanned inputs have lengths {} and {}", *length, dim.factor), kExportAgain);
    length = dim.factor;
  }
  return length.value_or(0);
}

Result<std::vector<std::string>> Importer::run_scan(const Body& body, std::vector<std::string> state,
                                                    const std::vector<std::string>& scanned, ScanForm form) {
  const size_t states = state.size(), scans = body.graph->outputs.size() - states;
  const int64_t length = CUPEL_TRY(scan_length(scanned, form.input_axes));
  const NodeDraft whole{"Gather", body.name, {}, {}, {}};
  std::vector<std::vector<std::string>> rows(scans);
  for (int64_t i = 0; i < length; ++i) {
    std::vector<std::string> inputs = state;
    for (size_t x = 0; x < scanned.size(); ++x) {
      const int64_t at = form.input_directions[x] != 0 ? length - 1 - i : i;
      const std::string index = add_constant(body.name + "_at", Tensor::scalar<int64_t>(at));
      inputs.push_back(CUPEL_TRY(add_part("Gather", whole, fmt::format("input{}_{}", x, i), {scanned[x], index},
                                          {{"axis", form.input_axes[x]}})));
    }
    const std::vector<std::string> given = CUPEL_TRY(import_iteration(body, inputs));
    state.assign(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(states));
    for (size_t s = 0; s < scans; ++s)
      rows[s].insert(form.output_directions[s] != 0 ? rows[s].begin() : rows[s].end(), given[states + s]);
  }
  for (size_t s = 0; s < scans; ++s)
    state.push_back(rows[s].empty()
                        ? CUPEL_TRY(stack_of_none(body, body.graph->outputs[states + s], form.output_axes[s]))
                        : CUPEL_TRY(stacked(body, fmt::format("scan{}", s), rows[s], form.output_axes[s])));
  return state;
}

// Scan(state…, scanned…) -> state…, scan outputs…: for i along the axes of the scanned inputs, state, rows =
// body(state, element i of each); rows are stacked along the axes of the scan outputs.
Status Importer::import_scan(const NodeFields& node, const std::string& name, const std::vector<std::string>& results,
                             const Scope& outer) {
  const size_t first = opset_ < 9 ? 1 : 0;  // opset 8 begins with the lengths of sequences
  const AttributeFields* count = attribute_of(node, "num_scan_inputs");
  const int64_t most = static_cast<int64_t>(node.inputs.size()) - static_cast<int64_t>(first);
  if (!count || !count->i || *count->i < 1 || *count->i > most)
    return bad_input("", "attribute num_scan_inputs does not fit the inputs", kExportAgain);
  if (first == 1 && !node.inputs[0].empty())
    return unsupported("", "sequences of one batch have lengths of their own",
                       "export the model with opset 9 or newer");
  const auto scanned = static_cast<size_t>(*count->i), states = static_cast<size_t>(most) - scanned;
  const Body body = CUPEL_TRY(body_of(node, name, states + scanned, states, outer));
  const size_t scans = body.graph->outputs.size() - states;
  if (results.size() > states + scans)
    return bad_input("", fmt::format("it has {} results, the body gives {}", results.size(), states + scans),
                     kExportAgain);
  const bool batched = first == 1;
  ScanForm form{CUPEL_TRY(numbers_of(node, batched ? "axes" : "scan_input_axes", scanned)),
                CUPEL_TRY(numbers_of(node, batched ? "directions" : "scan_input_directions", scanned)),
                CUPEL_TRY(numbers_of(node, "scan_output_axes", scans)),
                CUPEL_TRY(numbers_of(node, "scan_output_directions", scans))};
  const std::vector<std::string> inputs = CUPEL_TRY(resolved_inputs(node, first, outer));
  const auto middle = inputs.begin() + static_cast<std::ptrdiff_t>(states);
  if (!batched)
    return give_results(results, CUPEL_TRY(run_scan(body, {inputs.begin(), middle}, {middle, inputs.end()}, form)));
  return give_results(results, CUPEL_TRY(run_batched_scan(body, inputs, states, form)));
}

// Opset 8: a scan for each entry of the leading dimension of all inputs, whose results are stacked along it.
Result<std::vector<std::string>> Importer::run_batched_scan(const Body& body, const std::vector<std::string>& inputs,
                                                            size_t states, const ScanForm& form) {
  std::vector<int64_t> lead(inputs.size(), 0);
  const int64_t batch = CUPEL_TRY(scan_length(inputs, lead));
  if (batch == 0) return unsupported("", "it has an empty batch", "give inputs with at least one entry");
  const NodeDraft whole{"Gather", body.name, {}, {}, {}};
  std::vector<std::vector<std::string>> results(body.graph->outputs.size());
  for (int64_t b = 0; b < batch; ++b) {
    const std::string index = add_constant(body.name + "_entry", Tensor::scalar<int64_t>(b));
    std::vector<std::string> own;
    for (size_t i = 0; i < inputs.size(); ++i)
      own.push_back(CUPEL_TRY(
          add_part("Gather", whole, fmt::format("entry{}_{}", b, i), {inputs[i], index}, {{"axis", int64_t{0}}})));
    const auto middle = own.begin() + static_cast<std::ptrdiff_t>(states);
    const auto given = CUPEL_TRY(run_scan(body, {own.begin(), middle}, {middle, own.end()}, form));
    for (size_t i = 0; i < results.size(); ++i) results[i].push_back(given[i]);
  }
  std::vector<std::string> all;
  for (size_t i = 0; i < results.size(); ++i)
    all.push_back(CUPEL_TRY(stacked(body, fmt::format("batch{}", i), results[i], 0)));
  return all;
}

}  // namespace cupel
