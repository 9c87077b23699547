#include "onnx/spelling.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "onnx/upgrade.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

Status check_attributes(const SpelledOp& op, const Attributes& attributes) {
  for (const auto& [name, value] : attributes) {
    const auto spec = std::ranges::find(op.attributes, name, &AttributeSpec::name);
    if (spec == op.attributes.end())
      return unsupported("", fmt::format("attribute {} is not known for {}", printable(name), op.op),
                         "remove the attribute or export the model differently");
    if (static_cast<size_t>(spec->kind) != value.index())
      return bad_input("", fmt::format("attribute {} has the wrong kind of value", printable(name)), kExportAgain);
  }
  for (const AttributeSpec& spec : op.attributes)
    if (spec.required && !attributes.contains(spec.name))
      return bad_input("", fmt::format("attribute {} is missing", spec.name), kExportAgain);
  return {};
}

Status check_operands(const SpelledOp& op, const NodeDraft& draft) {
  const auto count = static_cast<int>(draft.inputs.size());
  if (count < op.min_inputs || (op.max_inputs >= 0 && count > op.max_inputs))
    return bad_input("",
                     fmt::format("{} operands, expected {}{}", count, op.min_inputs,
                                 op.max_inputs < 0               ? " or more"
                                 : op.max_inputs > op.min_inputs ? fmt::format(" to {}", op.max_inputs)
                                                                 : ""),
                     kExportAgain);
  for (int i = 0; i < op.min_inputs; ++i)
    if (!draft.has_input(static_cast<size_t>(i)))
      return bad_input("", fmt::format("operand {} is missing", i), "give every required operand");
  const auto results = static_cast<int>(draft.outputs.size());
  if (results < 1 || results > op.max_outputs)
    return bad_input("",
                     fmt::format("{} results, expected 1{}", results,
                                 op.max_outputs > 1 ? fmt::format(" to {}", op.max_outputs) : ""),
                     kExportAgain);
  return {};
}

}  // namespace

Status spell_in_others(const SpelledOp& op, Importer& importer, NodeDraft& draft) {
  if (importer.opset() < op.since_opset)
    return bad_input(
        "", fmt::format("opset {} has no such operator; it came with opset {}", importer.opset(), op.since_opset),
        "export the model with a newer opset");
  CUPEL_TRY(check_operands(op, draft));
  CUPEL_TRY(check_attributes(op, draft.attributes));
  const DType type = CUPEL_TRY(importer.file_type(draft.inputs[0]));
  if (!op.types.has(type))
    return bad_input("", fmt::format("operand 0 is {}, which ONNX forbids", dtype_name(type)), "convert the operand");
  if (!op.computed.has(type))
    return unsupported("", fmt::format("operand 0 is {}", dtype_name(type)), "convert the operand to f32");
  Spelling spelling(importer, draft);
  return op.spell(spelling);
}

Result<Shape> Spelling::shape(const std::string& value) const { return importer_.shape_of(value); }
Result<DType> Spelling::file_type(const std::string& value) const { return importer_.file_type(value); }

Result<Dims> Spelling::dims(const std::string& value) const {
  const Shape shape = CUPEL_TRY(this->shape(value));
  if (!is_static(shape))
    return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(shape)),
                       "fix the model's dimensions");
  return static_dims(shape);
}

Result<std::vector<int64_t>> Spelling::integers(size_t i, std::string_view what) const {
  const Tensor* t = importer_.constant(in(i));
  if (!t)
    return computed_at_run_time(fmt::format("{} (operand {}) is computed at run time", what, i),
                                "export the model with constant shapes");
  if (!is_integer(t->dtype()) && t->dtype() != DType::boolean)
    return bad_input("", fmt::format("{} (operand {}) is {}, expected integers", what, i, dtype_name(t->dtype())),
                     kExportAgain);
  std::vector<int64_t> values;
  for (int64_t e = 0; e < t->size(); ++e) values.push_back(t->int_at(e));
  return values;
}

std::string Spelling::constant(const std::string& part, Tensor tensor) {
  return importer_.add_constant(name() + "_" + part, std::move(tensor));
}
std::string Spelling::reals_like(const std::string& like, const std::string& part, Tensor reals) {
  return importer_.add_constant_like(like, name() + "_" + part, std::move(reals));
}
std::string Spelling::real_like(const std::string& like, const std::string& part, float value) {
  return reals_like(like, part, Tensor::scalar<float>(value));
}
std::string Spelling::list(const std::string& part, const std::vector<int64_t>& values) {
  return constant(part, Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span<const int64_t>(values)));
}

Result<std::string> Spelling::add(const std::string& op, const std::string& part, std::vector<std::string> inputs,
                                  Attributes attributes) {
  return importer_.add_part(op, draft_, part, std::move(inputs), std::move(attributes));
}

Result<std::vector<std::string>> Spelling::add_several(const std::string& op, const std::string& part, size_t results,
                                                       std::vector<std::string> inputs, Attributes attributes) {
  NodeDraft node{op, name() + "_" + part, std::move(inputs), {}, std::move(attributes)};
  for (size_t i = 0; i < results; ++i) node.outputs.push_back(importer_.fresh(fmt::format("{}_{}", node.name, i)));
  std::vector<std::string> names = node.outputs;
  CUPEL_TRY(importer_.add(std::move(node), draft_.origin()));
  return names;
}

Status Spelling::give(size_t i, const std::string& op, std::vector<std::string> inputs, Attributes attributes) {
  return importer_.add(
      {op, fmt::format("{}_result_{}", name(), i), std::move(inputs), {draft_.outputs[i]}, std::move(attributes)},
      draft_.origin());
}

Status Spelling::finish(const std::string& op, std::vector<std::string> inputs, Attributes attributes) {
  draft_.op = op;
  draft_.inputs = std::move(inputs);
  draft_.attributes = std::move(attributes);
  draft_.outputs.resize(1);
  return {};
}

Result<std::string> Spelling::add_as_read(const std::string& op, const std::string& part,
                                          std::vector<std::string> inputs, Attributes attributes) {
  NodeDraft node{op, name() + "_" + part, std::move(inputs), {}, std::move(attributes)};
  std::string result = importer_.fresh(node.name);
  node.outputs = {result};
  node.part_of = draft_.origin();
  while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
  CUPEL_TRY(upgrade(importer_, node));
  CUPEL_TRY(importer_.add(std::move(node), draft_.origin()));
  return result;
}

Status Spelling::finish_as_read(const std::string& op, std::vector<std::string> inputs, Attributes attributes) {
  CUPEL_TRY(finish(op, std::move(inputs), std::move(attributes)));
  return upgrade(importer_, draft_);
}

Result<std::string> Spelling::target(const std::string& part, const std::string& x, const Shape& to) {
  const Shape from = CUPEL_TRY(shape(x));
  std::vector<int64_t> dims;
  bool open = false;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_constant()) {
      dims.push_back(to[i].factor);
    } else if (i < from.size() && to[i] == from[i]) {
      dims.push_back(0);
    } else if (!open) {
      open = true;
      dims.push_back(-1);
    } else {
      return unsupported("", fmt::format("shape {} has dimensions that are not known", to_text(to)),
                         "fix the model's dimensions");
    }
  }
  return list(part + "_target", dims);
}

Result<std::string> Spelling::reshape(const std::string& part, const std::string& x, const Shape& to) {
  return add("Reshape", part, {x, CUPEL_TRY(target(part, x, to))});
}
Status Spelling::finish_reshape(const std::string& x, const Shape& to) {
  return finish("Reshape", {x, CUPEL_TRY(target("result", x, to))});
}

}  // namespace cupel
