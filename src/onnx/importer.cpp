#include "onnx/importer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/attribute_proto.h"
#include "onnx/element_type.h"
#include "onnx/input_codes.h"
#include "onnx/tensor_proto.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

}  // namespace

std::string Importer::node_name(size_t index) const {
  const NodeFields& node = file_.nodes[index];
  return node.name.empty() ? fmt::format("{}_{}", node.op_type, index) : std::string(node.name);
}

std::string Importer::place_of(size_t index) const {
  return fmt::format("node {} ({})", printable(node_name(index)), printable(file_.nodes[index].op_type, 60));
}

std::string Importer::describe(const Definition& d) const {
  switch (d.kind) {
    case Definer::input: return "an input";
    case Definer::initializer: return "an initializer";
    case Definer::node: break;
  }
  return place_of(d.index);
}

Status Importer::define(std::string_view name, Definition definition) {
  const auto [entry, added] = definitions_.emplace(name, definition);
  if (added) return {};
  return bad_input(fmt::format("value {}", printable(name)),
                   fmt::format("is defined twice, by {} and by {}", describe(entry->second), describe(definition)),
                   kExportAgain);
}

// Files of IR versions before 4 list initializers as inputs too; the initializer counts.
Status Importer::collect_definitions() {
  for (size_t i = 0; i < file_.initializers.size(); ++i) {
    if (file_.initializers[i].name.empty())
      return bad_input(fmt::format("initializer {}", i), "has no name", kExportAgain);
    CUPEL_TRY(define(file_.initializers[i].name, {Definer::initializer, i}));
  }
  std::unordered_set<std::string_view> inputs;
  for (size_t i = 0; i < file_.inputs.size(); ++i) {
    const std::string_view name = file_.inputs[i].name;
    if (name.empty()) return bad_input(fmt::format("input {}", i), "has no name", kExportAgain);
    if (!inputs.insert(name).second)
      return bad_input(fmt::format("value {}", printable(name)), "is defined twice, by an input and by an input",
                       kExportAgain);
    const auto found = definitions_.find(name);
    if (found == definitions_.end()) CUPEL_TRY(define(name, {Definer::input, i}));
  }
  for (size_t i = 0; i < file_.nodes.size(); ++i) {
    for (const std::string_view name : file_.nodes[i].outputs)
      if (!name.empty()) CUPEL_TRY(define(name, {Definer::node, i}));
    for (const std::string_view name : file_.nodes[i].inputs) read_.emplace(name);
    for (const AttributeFields& a : file_.nodes[i].attributes)
      if (a.graph) read_by(*a.graph);
  }
  for (const ValueFields& output : file_.outputs) read_.emplace(output.name);
  read_.erase("");
  for (const auto& [name, definition] : definitions_) taken_.emplace(name);
  return {};
}

Result<Tensor> Importer::constant_node(const NodeFields& node) const {
  if (node.outputs.size() != 1 || node.outputs[0].empty())
    return bad_input("", fmt::format("{} results, expected 1", node.outputs.size()), kExportAgain);
  if (node.attributes.size() != 1)
    return bad_input("", fmt::format("{} attributes, expected 1", node.attributes.size()), kExportAgain);
  const AttributeFields& a = node.attributes[0];
  if (a.name == "value" && a.t) return read_tensor(*a.t, folder_);
  if (a.name == "value_float" && a.f) return Tensor::scalar<float>(*a.f);
  if (a.name == "value_int" && a.i) return Tensor::scalar<int64_t>(*a.i);
  if (a.name == "value_floats")
    return Tensor::of<float>({static_cast<int64_t>(a.floats.size())}, std::span<const float>(a.floats));
  if (a.name == "value_ints")
    return Tensor::of<int64_t>({static_cast<int64_t>(a.ints.size())}, std::span<const int64_t>(a.ints));
  if (a.name == "sparse_value" || a.name == "value_string" || a.name == "value_strings")
    return unsupported("", fmt::format("attribute {} is not supported", a.name),
                       "export the model with dense numeric constants");
  return bad_input("", fmt::format("attribute {} holds no constant", printable(a.name)), kExportAgain);
}

// Sizes and values that the caller gives; an input with a value is a constant from here on.
Status Importer::bind_inputs() {
  inputs_ = CUPEL_TRY(declared_inputs(file_));
  CUPEL_TRY(bind_sizes(inputs_, bindings_));
  for (const DeclaredInput& input : inputs_)
    if (input.in_file != input.dtype) hold(input.name, input.in_file);
  auto values = CUPEL_TRY(bound_values(inputs_, bindings_));
  std::erase_if(inputs_, [&](const DeclaredInput& input) { return values.contains(input.name); });
  for (auto& [name, value] : values) {
    constants_.emplace(name, Constant{std::move(value), {}});
    widen_constant(name);
  }
  return {};
}

Status Importer::collect_constants() {
  for (const TensorFields& fields : file_.initializers) {
    auto tensor = read_tensor(fields, folder_);
    if (!tensor)
      return std::unexpected(std::move(tensor).error().within(fmt::format("initializer {}", printable(fields.name))));
    constants_.emplace(fields.name, Constant{std::move(*tensor), {}});
    widen_constant(std::string(fields.name));
  }
  for (size_t i = 0; i < file_.nodes.size(); ++i) {
    if (!is_constant_node(file_.nodes[i])) continue;
    auto tensor = constant_node(file_.nodes[i]);
    if (!tensor) return std::unexpected(std::move(tensor).error().within(place_of(i)));
    constants_.emplace(file_.nodes[i].outputs[0], Constant{std::move(*tensor), {}});
    widen_constant(std::string(file_.nodes[i].outputs[0]));
  }
  return {};
}

// Nodes with operands before users, in the file's order where that allows it. Depth first with an explicit stack.
Result<std::vector<size_t>> Importer::sorted_nodes() const {
  enum class Visit : uint8_t { none, open, done };
  std::vector<Visit> visits(file_.nodes.size(), Visit::none);
  std::vector<size_t> order;
  struct Step {
    size_t node, next_input;
  };
  std::vector<Step> stack;
  for (size_t root = 0; root < file_.nodes.size(); ++root) {
    if (visits[root] != Visit::none) continue;
    stack.push_back({root, 0});
    visits[root] = Visit::open;
    while (!stack.empty()) {
      const size_t node = stack.back().node;
      const auto& inputs = file_.nodes[node].inputs;
      if (stack.back().next_input == inputs.size()) {
        visits[node] = Visit::done;
        if (!is_constant_node(file_.nodes[node])) order.push_back(node);
        stack.pop_back();
        continue;
      }
      const std::string_view name = inputs[stack.back().next_input++];
      if (name.empty()) continue;
      const auto found = definitions_.find(name);
      if (found == definitions_.end())
        return bad_input(place_of(node), fmt::format("reads value {}, which nothing defines", printable(name)),
                         kExportAgain);
      if (found->second.kind != Definer::node) continue;
      const size_t producer = found->second.index;
      if (visits[producer] == Visit::none) {
        visits[producer] = Visit::open;
        stack.push_back({producer, 0});
      } else if (visits[producer] == Visit::open) {
        std::vector<std::string> names;
        auto step = std::find_if(stack.begin(), stack.end(), [&](const Step& s) { return s.node == producer; });
        for (; step != stack.end() && names.size() < 8; ++step) names.push_back(printable(node_name(step->node)));
        if (step != stack.end()) names.push_back("…");
        return bad_input("graph", fmt::format("nodes form a cycle: {}", fmt::join(names, ", ")), kExportAgain);
      }
    }
  }
  return order;
}

Status Importer::add_inputs() {
  for (DeclaredInput& input : inputs_)
    CUPEL_TRY(add_input_value(input.name, {input.dtype, std::move(input.shape), std::nullopt}));
  return {};
}

Status Importer::add_outputs() {
  if (file_.outputs.empty()) return bad_input("graph", "has no outputs", kExportAgain);
  for (const ValueFields& output : file_.outputs) CUPEL_TRY(add_output(output));
  return {};
}

Status Importer::add_output(const ValueFields& output) {
  const std::string place = fmt::format("output {}", printable(output.name));
  if (!definitions_.contains(output.name)) return bad_input(place, "nothing defines it", kExportAgain);
  if (output.kind && !output.is_tensor())
    return unsupported(place, fmt::format("is {}, expected a tensor", output.kind),
                       "export the model with plain tensors as outputs");
  const ValueId id = CUPEL_TRY(output_value(std::string(output.name)));
  const TensorType& type = graph_.type(id);
  // Numbers of 4 bits are given out in bytes.
  const auto held = held_.find(std::string(output.name));
  const DType in_file = held != held_.end() && dtype_bits(held->second) == 4 ? held->second : type.dtype;
  if (output.elem_type != 0 && dtype_from_onnx(output.elem_type) != in_file)
    return bad_input(place,
                     fmt::format("is declared as {}, but is {}", onnx_type_name(output.elem_type),
                                 onnx_type_name(onnx_dtype(in_file))),
                     kExportAgain);
  // The declared shape is a note, which exporters get wrong: what the nodes give counts.
  graph_.add_output(id);
  return {};
}

ValueId Importer::use(Constant& constant, const std::string& name, const std::optional<QuantParams>& params) {
  for (const auto& [known, id] : constant.uses)
    if (known == params) return id;
  const ValueId id = graph_.add_constant(constant.uses.empty() ? name : fresh(name), constant.tensor, params);
  constant.uses.emplace_back(params, id);
  return id;
}

Result<ValueId> Importer::value(const std::string& name) {
  if (const auto found = constants_.find(name); found != constants_.end())
    return use(found->second, name, std::nullopt);
  const auto found = values_.find(name);
  if (found == values_.end()) return internal_error(fmt::format("value {}", printable(name)), "is not built yet");
  return found->second;
}

const Tensor* Importer::constant(const std::string& name) const {
  const auto found = constants_.find(name);
  return found == constants_.end() ? nullptr : &found->second.tensor;
}

Result<Shape> Importer::shape_of(const std::string& name) {
  if (const Tensor* t = constant(name)) return to_shape(t->dims());
  return graph_.type(CUPEL_TRY(value(name))).shape;
}

Result<DType> Importer::file_type(const std::string& name) {
  if (const auto narrow = narrow_type(name)) return *narrow;
  if (const auto held = held_.find(name); held != held_.end()) return held->second;
  if (const Tensor* t = constant(name)) return t->dtype();
  return graph_.type(CUPEL_TRY(value(name))).dtype;
}

ValueId Importer::quantized_constant(const std::string& name, const QuantParams& params) {
  return use(constants_.at(name), name, params);
}

std::string Importer::fresh(const std::string& wanted) {
  std::string name = wanted;
  while (!taken_.insert(name).second) name = fmt::format("{}_{}", wanted, ++next_suffix_[wanted]);
  return name;
}

std::string Importer::add_constant(const std::string& wanted, Tensor tensor) {
  std::string name = fresh(wanted);
  constants_.emplace(name, Constant{std::move(tensor), {}});
  return name;
}

namespace {

Tensor in_double(const Tensor& reals) {
  Tensor wide(DType::f64, reals.dims());
  std::ranges::copy(reals.data<float>(), wide.mutable_data<double>().begin());
  return wide;
}

}  // namespace

std::string Importer::add_constant_like(const std::string& like, const std::string& wanted, Tensor reals) {
  const auto found = values_.find(like);
  const Tensor* given = constant(like);
  const bool wide =
      given ? given->dtype() == DType::f64 : found != values_.end() && graph_.type(found->second).dtype == DType::f64;
  std::string name = add_constant(wanted, wide ? in_double(reals) : std::move(reals));
  if (const auto type = narrow_type(like)) narrow_.insert_or_assign(name, *type);
  return name;
}

Result<std::string> Importer::add_part(std::string op, const NodeDraft& whole, const std::string& part,
                                       std::vector<std::string> inputs, Attributes attributes) {
  const std::string name = fmt::format("{}_{}", whole.name, part);
  std::string result = fresh(name);
  CUPEL_TRY(add({std::move(op), name, std::move(inputs), {result}, std::move(attributes)}, whole.origin()));
  return result;
}

Result<std::optional<std::vector<Tensor>>> Importer::folded(const OpDef& op, const NodeDraft& node) const {
  // Larger ones are left to pass fold_constants, which has all threads.
  constexpr int64_t kMostElements = int64_t{1} << 20;
  // Codes belong to their quantize and dequantize nodes.
  if (!op.reference || node.inputs.empty() || node.op == "QuantizeLinear" || node.op == "DequantizeLinear")
    return std::nullopt;
  Graph alone;
  alone.opset = opset_;
  std::vector<ValueId> inputs;
  std::vector<const Tensor*> operands;
  for (const std::string& name : node.inputs) {
    const Tensor* t = name.empty() ? nullptr : constant(name);
    if (!name.empty() && (!t || t->size() > kMostElements)) return std::nullopt;
    operands.push_back(t);
    inputs.push_back(t ? alone.add_constant(name, *t) : ValueId{});
  }
  const NodeId id =
      CUPEL_TRY(alone.add_unplaced_node(op, node.name, std::move(inputs), node.attributes, node.outputs, {node.name}));
  for (const ValueId output : alone.node(id).outputs) {
    const TensorType& type = alone.type(output);
    if (type.quant || !is_static(type.shape) || element_count(static_dims(type.shape)) > kMostElements)
      return std::nullopt;
  }
  ThreadPool one(1);
  operands.resize(alone.node(id).inputs.size());
  auto results = interpret_node(alone, alone.node(id), operands, one);
  if (!results) {
    // The caller names the node.
    results.error().place.clear();
    return std::unexpected(std::move(results).error());
  }
  return std::optional(std::move(*results));
}

// Codes are integers to ONNX: what it forbids for these is bad input; what it allows has another meaning than ours.
Status Importer::expect_no_arithmetic_on_codes(const OpDef& op, const Attributes& attributes,
                                               std::span<const ValueId> inputs) const {
  if (op.name == "DequantizeLinear" || op.quant_rule == QuantRule::same) return {};
  const auto holds_codes = [&](ValueId id) { return id.valid() && graph_.type(id).quant; };
  const auto found = std::ranges::find_if(inputs, holds_codes);
  if (found == inputs.end()) return {};
  std::vector<TensorType> integers;
  std::vector<const TensorType*> types;
  integers.reserve(inputs.size());
  for (const ValueId id : inputs) {
    if (id.valid()) integers.push_back({graph_.type(id).dtype, graph_.type(id).shape, std::nullopt});
    types.push_back(id.valid() ? &integers.back() : nullptr);
  }
  const std::vector<const std::vector<Dim>*> contents(inputs.size());
  const std::vector<const Tensor*> constants(inputs.size());
  if (auto inferred = infer_types(op, {attributes, types, contents, constants, {}});
      !inferred && inferred.error().kind == ErrorKind::bad_input)
    return std::unexpected(std::move(inferred).error());
  return unsupported("",
                     fmt::format("operand {} holds codes, which it takes as plain integers", found - inputs.begin()),
                     "put a DequantizeLinear node before it");
}

void Importer::note_known(const std::string& name, NodeId id) {
  const Value& v = graph_.value(graph_.node(id).outputs[0]);
  if (!v.contents || !is_static(v.type.shape) || (v.type.dtype != DType::s64 && v.type.dtype != DType::s32)) return;
  if (!std::ranges::all_of(*v.contents, [](const Dim& d) { return d.is_constant(); })) return;
  Tensor t(v.type.dtype, static_dims(v.type.shape));
  for (size_t i = 0; i < v.contents->size(); ++i) {
    const int64_t element = (*v.contents)[i].factor;
    if (t.dtype() == DType::s64)
      t.mutable_data<int64_t>()[i] = element;
    else
      t.mutable_data<int32_t>()[i] = static_cast<int32_t>(element);
  }
  constants_.emplace(name, Constant{std::move(t), {}});
}

Status Importer::add_as_it_is(NodeDraft node, const std::string& origin) {
  const OpDef* op = find_op(node.op);
  // Trailing optional results that nobody reads.
  while (op->max_outputs >= 0 && static_cast<int>(node.outputs.size()) > op->min_outputs &&
         !is_read(node.outputs.back()))
    node.outputs.pop_back();
  drop_harmless(*op, node.attributes);
  if (auto known = CUPEL_TRY(folded(*op, node))) {
    for (size_t i = 0; i < known->size(); ++i)
      if (!node.outputs[i].empty()) constants_.emplace(node.outputs[i], Constant{std::move((*known)[i]), {}});
    return {};
  }
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const std::string& name = node.inputs[i];
    std::optional<QuantParams> params;  // of a constant that holds codes
    if (node.op == "DequantizeLinear") params = params_of(node.attributes);
    if (node.op == "Pad" && i == 2 && inputs[0].valid()) params = graph_.type(inputs[0]).quant;
    if (name.empty()) {
      inputs.emplace_back();
    } else if (const Tensor* t = params ? constant(name) : nullptr;
               t && check_quant_params(*params, t->dtype(), to_shape(t->dims()))) {
      inputs.push_back(quantized_constant(name, *params));
    } else {
      inputs.push_back(CUPEL_TRY(value(name)));
    }
  }
  std::vector<std::string> names;
  for (const std::string& name : node.outputs) names.push_back(name.empty() ? fresh(node.name + "_unused") : name);
  CUPEL_TRY(expect_no_arithmetic_on_codes(*op, node.attributes, inputs));
  // import_node names the file's node, by the operator that the file gives it.
  const NodeId id = CUPEL_TRY(
      node.name == origin
          ? graph_.add_unplaced_node(*op, node.name, std::move(inputs), std::move(node.attributes), names, {origin})
          : graph_.add_node(*op, node.name, std::move(inputs), std::move(node.attributes), names, {origin}));
  for (size_t i = 0; i < names.size(); ++i) values_.emplace(names[i], graph_.node(id).outputs[i]);
  note_known(names[0], id);
  return {};
}

Result<NodeDraft> Importer::draft_of(const NodeFields& fields, std::string name) const {
  const bool home = fields.domain.empty() || fields.domain == "ai.onnx";
  const std::string op =
      home ? std::string(fields.op_type) : std::string(fields.domain) + "." + std::string(fields.op_type);
  const OpDef* known = find_op(op);
  if (known && known->since_opset == 0) known = nullptr;  // not an operator of ONNX
  if (!known && !is_upgraded_away(op)) {
    if (!home)
      return unsupported("",
                         fmt::format("Cupel does not know this operator of domain {}", printable(fields.domain, 60)),
                         "export the model with operators of ai.onnx only");
    return unsupported("", "Cupel does not know this operator",
                       "export the model with other operators, or ask for this one");
  }
  // ONNX Runtime's optimizer writes LayerNormalization into files of older opsets.
  if (known && known->since_opset > opset_ && op != "LayerNormalization")
    return bad_input("",
                     fmt::format("opset {} has no such operator; it came with opset {}", opset_, known->since_opset),
                     "export the model with a newer opset");
  NodeDraft draft{op, std::move(name), {}, {}, {}};
  for (const std::string_view value : fields.inputs) draft.inputs.emplace_back(value);
  for (const std::string_view value : fields.outputs) draft.outputs.emplace_back(value);
  while (!draft.inputs.empty() && draft.inputs.back().empty()) draft.inputs.pop_back();
  for (const AttributeFields& a : fields.attributes) {
    Attribute value = CUPEL_TRY(read_attribute(a, folder_));
    if (!draft.attributes.emplace(a.name, std::move(value)).second)
      return bad_input("", fmt::format("attribute {} is given twice", printable(a.name)), kExportAgain);
  }
  return draft;
}

Status Importer::import_draft(NodeDraft draft) {
  const std::string origin = draft.name;
  // Scales become attributes; their type is that of the numbers.
  const auto numbers =
      draft.op == "DequantizeLinear" && draft.has_input(1) ? narrow_type(draft.inputs[1]) : std::nullopt;
  const std::string result = draft.outputs.empty() ? "" : draft.outputs[0];
  CUPEL_TRY(upgrade(*this, draft));
  CUPEL_TRY(add(std::move(draft), origin));
  if (numbers) narrow_.insert_or_assign(result, *numbers);
  return {};
}

Status Importer::import_node(size_t index) {
  const NodeFields& fields = file_.nodes[index];
  const auto imported = [&]() -> Status {
    if (is_branching(fields))
      return import_structured(fields, node_name(index), {fields.outputs.begin(), fields.outputs.end()}, {});
    return import_draft(CUPEL_TRY(draft_of(fields, node_name(index))));
  };
  Status status = imported();
  if (!status) return std::unexpected(std::move(status).error().at_node(node_name(index), place_of(index)));
  return {};
}

Status Importer::begin() {
  if (model_.functions)
    return unsupported("", "holds functions of its own", "inline the functions when exporting the model");
  if (model_.training) return unsupported("", "holds training steps", "export the model for inference");
  if (file_.sparse_initializers)
    return unsupported("", "holds sparse initializers", "export the model with dense constants");
  graph_.stage = Stage::imported;
  graph_.opset = opset_;
  if (!file_.name.empty()) graph_.name = file_.name;
  CUPEL_TRY(collect_definitions());
  CUPEL_TRY(collect_constants());
  return bind_inputs();
}

Result<Graph> Importer::run() {
  CUPEL_TRY(begin());
  const std::vector<size_t> order = CUPEL_TRY(sorted_nodes());
  CUPEL_TRY(add_inputs());
  for (const size_t index : order) CUPEL_TRY(import_node(index));
  CUPEL_TRY(add_outputs());
  return with_input_codes(std::move(graph_));
}

}  // namespace cupel
