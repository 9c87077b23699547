// Networks of binary16, bfloat16 and floats of 8 bits are computed in binary32. Where the file has a value of such a
// type the graph has one of f32: constants are widened, inputs get a Cast behind them, outputs one before them, and a
// Cast to such a type rounds and widens again. Nothing else rounds (docs/quantization.md 4).
#include <fmt/format.h>

#include "onnx/importer.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

bool is_narrow(DType type) { return is_float(type) && dtype_bits(type) < 32; }

Tensor widened(const Tensor& t) {
  Tensor wide(DType::f32, t.dims());
  const auto elements = wide.mutable_data<float>();
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<float>(t.at(static_cast<int64_t>(i)));
  return wide;
}

Attributes cast_to(DType type) { return {{"to", onnx_dtype(type)}}; }
// Of a number that has such a one already: infinity is what it is.
Attributes exact_cast_to(DType type) {
  Attributes attributes = cast_to(type);
  if (is_byte_float(type)) attributes["saturate"] = int64_t{0};
  return attributes;
}

}  // namespace

std::optional<DType> Importer::narrow_type(const std::string& name) const {
  const auto found = narrow_.find(name);
  return found == narrow_.end() ? std::nullopt : std::optional(found->second);
}

void Importer::widen_constant(const std::string& name) {
  const auto found = constants_.find(name);
  if (found == constants_.end() || !is_narrow(found->second.tensor.dtype())) return;
  narrow_.insert_or_assign(name, found->second.tensor.dtype());
  found->second.tensor = widened(found->second.tensor);
}

Status Importer::add_input_value(const std::string& name, TensorType type) {
  const DType given = type.dtype;
  const ValueId input = graph_.add_input(name, std::move(type));
  if (!is_narrow(given)) {
    values_.emplace(name, input);
    return {};
  }
  const std::string wide = fresh(name + "_f32");
  const NodeId cast = CUPEL_TRY(graph_.add_node(*find_op("Cast"), wide, {input}, cast_to(DType::f32), {wide}));
  values_.emplace(name, graph_.node(cast).outputs[0]);
  narrow_.emplace(name, given);
  return {};
}

Result<ValueId> Importer::output_value(const std::string& name) {
  const ValueId id = CUPEL_TRY(value(name));
  // Where a node's result is known, the constant that stands for it takes its name.
  if (const auto computed = values_.find(name); computed != values_.end() && computed->second != id) {
    graph_.rename_value(computed->second, fresh(name + "_computed"));
    graph_.rename_value(id, name);
  }
  auto type = narrow_type(name);
  if (const auto held = held_.find(name); held != held_.end() && dtype_bits(held->second) != 4) type = held->second;
  if (!type) return id;
  if (graph_.value(id).name == name)
    graph_.rename_value(id, fresh(name + "_" + std::string(dtype_name(graph_.type(id).dtype))));
  const NodeId cast =
      CUPEL_TRY(graph_.add_node(*find_op("Cast"), fresh(name + "_rounded"), {id}, exact_cast_to(*type), {name}));
  return graph_.node(cast).outputs[0];
}

// A Cast to a narrow type rounds, unless its operand has that type already.
Status Importer::round_operand(NodeDraft& node, const std::string& origin) {
  const auto to = dtype_from_onnx(attr_int(node.attributes, "to", 0));
  if (!to || !is_byte_float(*to)) node.attributes.erase("saturate");
  if (!to || !is_narrow(*to) || node.inputs.size() != 1 || node.outputs.size() != 1) return {};
  if (narrow_type(node.inputs[0]) != to) {
    NodeDraft rounding{"Cast", fresh(node.name + "_rounded"), node.inputs, {}, cast_to(*to)};
    if (is_byte_float(*to)) rounding.attributes["saturate"] = attr_int(node.attributes, "saturate", 1);
    rounding.outputs = {rounding.name};
    node.inputs = rounding.outputs;
    CUPEL_TRY(add_as_it_is(std::move(rounding), origin));
  }
  node.attributes = cast_to(DType::f32);
  narrow_.insert_or_assign(node.outputs[0], *to);
  return {};
}

Status Importer::expect_one_width(const OpDef& op, const NodeDraft& node) const {
  for (size_t i = 1; i < node.inputs.size() && !op.operand_types.empty(); ++i) {
    const OperandTypes& rule = op.operand_types[std::min(i, op.operand_types.size() - 1)];
    if (rule.same_as < 0 || !node.has_input(i) || !node.has_input(static_cast<size_t>(rule.same_as))) continue;
    const std::string& other = node.inputs[static_cast<size_t>(rule.same_as)];
    const auto own = narrow_type(node.inputs[i]), expected = narrow_type(other);
    const auto name = [](const std::optional<DType>& type) { return dtype_name(type.value_or(DType::f32)); };
    const auto is_real = [&](const std::string& v) {
      const Tensor* t = constant(v);
      const auto found = values_.find(v);
      return t ? t->dtype() == DType::f32 : found != values_.end() && graph_.type(found->second).dtype == DType::f32;
    };
    if (own != expected && is_real(node.inputs[i]) && is_real(other))
      return bad_input("",
                       fmt::format("operand {} is {}, operand {} is {}", i, name(own), rule.same_as, name(expected)),
                       "convert the operand");
  }
  return {};
}

void Importer::note_width(const NodeDraft& node) {
  const size_t source = node.op == "Where" ? 1 : 0;
  const auto type = node.has_input(source) ? narrow_type(node.inputs[source]) : std::nullopt;
  for (const std::string& name : node.outputs) {
    widen_constant(name);
    if (name.empty() || !type || node.op == "Cast") continue;
    const Tensor* t = constant(name);
    const auto found = values_.find(name);
    if (t ? t->dtype() == DType::f32 : found != values_.end() && graph_.type(found->second).dtype == DType::f32)
      narrow_.insert_or_assign(name, *type);
  }
}

void Importer::note_held(const NodeDraft& node) {
  const auto held = node.inputs.empty() ? held_.end() : held_.find(node.inputs[0]);
  if (held == held_.end() || find_op(node.op)->quant_rule != QuantRule::same) return;
  const DType type = held->second;
  for (const std::string& name : node.outputs) hold(name, type);
}

Status Importer::add(NodeDraft node, const std::string& origin) {
  const OpDef* op = find_op(node.op);
  if (!op) return internal_error("", fmt::format("operator {} is not in the op table", node.op));
  if (node.op == "Cast") CUPEL_TRY(round_operand(node, origin));
  CUPEL_TRY(expect_one_width(*op, node));
  const NodeDraft names{node.op, {}, node.inputs, node.outputs, {}};
  for (auto& [key, attribute] : node.attributes)  // what ConstantOfShape repeats
    if (Tensor* t = std::get_if<Tensor>(&attribute); t && is_narrow(t->dtype())) {
      narrow_.insert_or_assign(node.outputs.at(0), t->dtype());
      *t = widened(*t);
    }
  CUPEL_TRY(add_as_it_is(std::move(node), origin));
  note_width(names);
  note_held(names);
  return {};
}

}  // namespace cupel
