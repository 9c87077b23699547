#include "ir/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/file.h"
#include "base/hash.h"
#include "ir/text.h"

namespace cupel {
namespace {

constexpr std::array<std::string_view, 5> kStageNames = {"imported", "simplified", "quantized", "integer", "fused"};
constexpr int64_t kMaxKnownElements = 64;

// Known elements of a small integer constant.
std::optional<std::vector<Dim>> constant_contents(const Tensor& t) {
  if ((t.dtype() != DType::s64 && t.dtype() != DType::s32) || t.size() > kMaxKnownElements) return std::nullopt;
  std::vector<Dim> elements;
  for (int64_t i = 0; i < t.size(); ++i) elements.emplace_back(t.int_at(i));
  return elements;
}

Status check_attributes(const OpDef& op, const Attributes& attributes) {
  for (const auto& [name, value] : attributes) {
    const auto spec = std::find_if(op.attributes.begin(), op.attributes.end(),
                                   [&](const AttributeSpec& s) { return s.name == name; });
    if (spec == op.attributes.end())
      return unsupported("", fmt::format("attribute {} is not known for {}", printable(name), op.name),
                         "remove the attribute or export the model differently");
    if (static_cast<size_t>(spec->kind) != value.index())
      return bad_input("", fmt::format("attribute {} has the wrong kind of value", printable(name)),
                       "export the model again");
  }
  for (const AttributeSpec& spec : op.attributes)
    if (spec.required && !attributes.contains(spec.name))
      return bad_input("", fmt::format("attribute {} is missing", spec.name), "export the model again");
  return {};
}

bool same_real(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

bool same_attribute(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  if (const float* x = std::get_if<float>(&a)) return same_real(*x, std::get<float>(b));
  if (const auto* x = std::get_if<std::vector<float>>(&a)) {
    const auto& y = std::get<std::vector<float>>(b);
    return std::equal(x->begin(), x->end(), y.begin(), y.end(), same_real);
  }
  return a == b;
}

bool same_attributes(const Attributes& a, const Attributes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same_attribute(x.second, y.second);
  });
}

}  // namespace

std::string_view stage_name(Stage stage) { return kStageNames[static_cast<size_t>(stage)]; }
std::optional<Stage> stage_from_name(std::string_view name) {
  for (size_t i = 0; i < kStageNames.size(); ++i)
    if (kStageNames[i] == name) return static_cast<Stage>(i);
  return std::nullopt;
}

std::string node_place(const Node& node) {
  return fmt::format("node {} ({})", printable(node.name), node.op ? node.op->name : "?");
}

std::optional<ValueId> Graph::find_value(std::string_view value_name) const {
  const auto found = names_.find(std::string(value_name));
  if (found == names_.end()) return std::nullopt;
  return ValueId{found->second};
}

std::string Graph::free_name(std::string wanted) {
  if (wanted.empty()) wanted = "v";
  if (!names_.contains(wanted)) return wanted;
  // The counter only grows, so that many equal names do not cost the square of their number.
  for (int& i = suffixes_[wanted];;) {
    std::string candidate = wanted + "_" + std::to_string(++i);
    if (!names_.contains(candidate)) return candidate;
  }
}

ValueId Graph::add_value(Value value) {
  value.name = free_name(std::move(value.name));
  const ValueId id{static_cast<int32_t>(values_.size())};
  names_.emplace(value.name, id.index);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(std::string value_name, TensorType type) {
  const ValueId id = add_value({std::move(value_name), std::move(type), std::nullopt, std::nullopt});
  inputs_.push_back(id);
  return id;
}

ValueId Graph::add_constant(std::string value_name, Tensor value, std::optional<QuantParams> quant) {
  TensorType type{value.dtype(), to_shape(value.dims()), std::move(quant)};
  auto contents = constant_contents(value);
  return add_value({std::move(value_name), std::move(type), std::move(value), std::move(contents)});
}

void Graph::rename_value(ValueId id, std::string value_name) {
  Value& v = values_[static_cast<size_t>(id.index)];
  if (v.name == value_name) return;
  names_.erase(v.name);
  v.name = free_name(std::move(value_name));
  names_.emplace(v.name, id.index);
}

Result<NodeId> Graph::add_node(const OpDef& op, std::string node_name, std::vector<ValueId> inputs,
                               Attributes attributes, std::vector<std::string> output_names,
                               std::vector<std::string> origin, std::vector<TensorType> declared) {
  if (node_name.empty()) node_name = fmt::format("{}_{}", op.name, nodes_.size());
  auto id = add_unplaced_node(op, node_name, std::move(inputs), std::move(attributes), std::move(output_names),
                              std::move(origin), std::move(declared));
  if (id) return id;
  const std::string place = fmt::format("node {} ({})", printable(node_name), op.name);
  return std::unexpected(std::move(id).error().at_node(std::move(node_name), place));
}

Result<NodeId> Graph::add_unplaced_node(const OpDef& op, std::string node_name, std::vector<ValueId> inputs,
                                        Attributes attributes, std::vector<std::string> output_names,
                                        std::vector<std::string> origin, std::vector<TensorType> declared) {
  while (!inputs.empty() && !inputs.back().valid()) inputs.pop_back();
  const auto count = [](size_t n) { return static_cast<int>(n); };
  if (count(inputs.size()) < op.min_inputs || (op.max_inputs >= 0 && count(inputs.size()) > op.max_inputs))
    return bad_input(
        "",
        fmt::format("{} operands, expected {}", inputs.size(),
                    op.max_inputs < 0                ? fmt::format("at least {}", op.min_inputs)
                    : op.min_inputs == op.max_inputs ? fmt::format("{}", op.min_inputs)
                                                     : fmt::format("{} to {}", op.min_inputs, op.max_inputs)),
        "export the model again");
  for (int i = 0; i < op.min_inputs; ++i)
    if (!inputs[static_cast<size_t>(i)].valid())
      return bad_input("", fmt::format("operand {} is missing", i), "export the model again");
  if (count(output_names.size()) < op.min_outputs ||
      (op.max_outputs >= 0 && count(output_names.size()) > op.max_outputs))
    return bad_input("", fmt::format("{} results, expected {}", output_names.size(), op.min_outputs),
                     "export the model again");
  if (Status status = check_attributes(op, attributes); !status) return std::unexpected(std::move(status).error());

  std::vector<const TensorType*> types;
  std::vector<const std::vector<Dim>*> contents;
  std::vector<const Tensor*> constants;
  for (ValueId id : inputs) {
    const Value* v = id.valid() ? &value(id) : nullptr;
    types.push_back(v ? &v->type : nullptr);
    contents.push_back(v && v->contents ? &*v->contents : nullptr);
    constants.push_back(v && v->constant ? &*v->constant : nullptr);
  }
  const InferContext context{attributes, types, contents, constants, declared};
  auto inferred = infer_types(op, context);
  if (!inferred) return std::unexpected(std::move(inferred).error());
  if (op.max_outputs < 0 && inferred->size() > output_names.size())
    return bad_input("", fmt::format("{} results are named, the node has {}", output_names.size(), inferred->size()),
                     "export the model again");
  if (inferred->size() < output_names.size())
    return unsupported(
        "", fmt::format("{} results are asked for, Cupel computes {}", output_names.size(), inferred->size()),
        "remove the unused results");
  std::optional<std::vector<Dim>> known;
  if (op.fold_contents) {
    auto folded = op.fold_contents(context);
    if (!folded) return std::unexpected(std::move(folded).error());
    known = std::move(*folded);
    if (known && static_cast<int64_t>(known->size()) > kMaxKnownElements) known.reset();
  }
  for (const TensorType& t : *inferred) {
    const auto bound = bind_shape(t.shape, 1);
    if (!bound) return std::unexpected(bound.error());
    if (t.quant)
      if (Status status = check_quant_params(*t.quant, t.dtype, t.shape); !status)
        return std::unexpected(std::move(status).error());
  }

  Node node{&op, std::move(node_name), std::move(inputs), {}, std::move(attributes), std::move(origin)};
  if (node.origin.empty()) node.origin = {node.name};
  std::sort(node.origin.begin(), node.origin.end());
  node.origin.erase(std::unique(node.origin.begin(), node.origin.end()), node.origin.end());
  for (size_t i = 0; i < output_names.size(); ++i) {
    Value v{output_names[i].empty() ? node.name + "_unused" : std::move(output_names[i]), std::move((*inferred)[i]),
            std::nullopt, std::nullopt};
    if (i == 0) v.contents = std::move(known);
    node.outputs.push_back(add_value(std::move(v)));
  }
  nodes_.push_back(std::move(node));
  return NodeId{static_cast<int32_t>(nodes_.size()) - 1};
}

std::vector<std::vector<NodeId>> Graph::users() const {
  std::vector<std::vector<NodeId>> users(values_.size());
  for (size_t n = 0; n < nodes_.size(); ++n)
    for (ValueId id : nodes_[n].inputs)
      if (id.valid()) users[static_cast<size_t>(id.index)].push_back({static_cast<int32_t>(n)});
  return users;
}

std::vector<NodeId> Graph::producers() const {
  std::vector<NodeId> producers(values_.size());
  for (size_t n = 0; n < nodes_.size(); ++n)
    for (ValueId id : nodes_[n].outputs) producers[static_cast<size_t>(id.index)] = {static_cast<int32_t>(n)};
  return producers;
}

bool Graph::is_output(ValueId id) const { return std::find(outputs_.begin(), outputs_.end(), id) != outputs_.end(); }

bool operator==(const Graph& a, const Graph& b) {
  if (a.name != b.name || a.stage != b.stage || a.opset != b.opset || a.nodes_.size() != b.nodes_.size()) return false;
  const auto same_value = [&](ValueId x, ValueId y) {
    if (x.valid() != y.valid()) return false;
    if (!x.valid()) return true;
    const Value &v = a.value(x), &w = b.value(y);
    return v.name == w.name && v.type == w.type && v.constant == w.constant;
  };
  const auto same_values = [&](const std::vector<ValueId>& x, const std::vector<ValueId>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), same_value);
  };
  if (!same_values(a.inputs_, b.inputs_) || !same_values(a.outputs_, b.outputs_)) return false;
  return std::equal(a.nodes_.begin(), a.nodes_.end(), b.nodes_.begin(), [&](const Node& x, const Node& y) {
    return x.op == y.op && x.name == y.name && x.origin == y.origin && same_values(x.inputs, y.inputs) &&
           same_values(x.outputs, y.outputs) && same_attributes(x.attributes, y.attributes);
  });
}

std::string graph_hash(const Graph& graph) { return to_hex(sha256(print_graph(graph))); }

}  // namespace cupel
