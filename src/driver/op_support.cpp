#include "driver/op_support.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ir/text.h"
#include "lower/lower.h"
#include "lower/op_lowerings.h"
#include "onnx/operators.h"

namespace cupel {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::s64, DType::s32,    DType::s16,
                            DType::s8,  DType::u64, DType::u32, DType::u16,  DType::u8,  DType::boolean};

std::string names_of(DTypeSet types) {
  std::string text;
  if (!(types.has(DType::f64) && types.has(DType::u16) && types.has(DType::boolean))) {
    for (const DType type : kTypes)
      if (types.has(type)) text += (text.empty() ? "" : ", ") + std::string(dtype_name(type));
    return text;
  }
  return "any";
}

std::string_view rule_text(QuantRule rule) {
  switch (rule) {
    case QuantRule::contraction: return "integer sums";
    case QuantRule::add:
    case QuantRule::mul:
    case QuantRule::average: return "integers";
    case QuantRule::unary: return "table";
    case QuantRule::same: return "moves codes";
    case QuantRule::concat: return "integers";
    case QuantRule::none: break;
  }
  return "float";
}

// Samples of the op: their types, and how many have no compiled form.
struct Shown {
  DTypeSet types;
  int samples = 0, lacking = 0;
};

// A machine with byte products and 32 vector registers: which forms there are does not depend on it.
constexpr LowerTarget kAnyTarget = {true, 32};

std::vector<Tensor> zeros(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (const ValueId id : graph.inputs())
    inputs.emplace_back(graph.type(id).dtype, bind_shape(graph.type(id).shape, 1).value_or(Dims{0}));
  return inputs;
}

Shown shown_by(const OpDef& op) {
  Shown shown;
  for (const std::string_view text : op.samples) {
    const auto graph = parse_graph(text);
    if (!graph) continue;
    const Node& node = graph->nodes()[0];
    if (!node.inputs.empty() && node.inputs[0].valid() && !graph->type(node.inputs[0]).quant)
      shown.types = shown.types | graph->type(node.inputs[0]).dtype;
    ++shown.samples;
    const auto sample = with_constant_operands(*graph, zeros(*graph));
    if (!sample || !lower_graph(*sample, "sample", kAnyTarget)) ++shown.lacking;
  }
  // Networks of narrow numbers are computed in binary32.
  if (shown.types.has(DType::f32)) shown.types = shown.types | DType::f16 | DType::bf16;
  return shown;
}

std::string compiled_text(const OpDef& op, const Shown& shown) {
  const OpLowering& row = lowering_of(op);
  if (op.removed_by_simplify) return "before it";  // known when the model is read
  if (is_linear_conversion(op)) return "as conversions of codes";
  if (row.ways.empty() && row.gap.empty()) return "before it";
  const bool written = row.ways.empty() && shown.lacking < shown.samples;
  std::string text = row.ways.empty() ? (written ? "in other ops" : "not yet") : "kernels";
  if (!row.ways.empty() && op.routine) text = row.ways.size() == 1 ? "routine" : "kernels, or a routine";
  if (shown.lacking > 0 && text != "not yet")
    text += fmt::format("; not yet {} of {} forms", shown.lacking, shown.samples);
  return text;
}

}  // namespace

Result<Graph> with_constant_operands(const Graph& graph, std::span<const Tensor> inputs) {
  Graph out;
  out.opset = graph.opset;
  out.stage = std::max(graph.stage, Stage::simplified);
  std::vector<ValueId> values(graph.values().size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value& v = graph.value(graph.inputs()[i]);
    values[static_cast<size_t>(graph.inputs()[i].index)] = i > 0 && is_static(v.type.shape)
                                                               ? out.add_constant(v.name, inputs[i], v.type.quant)
                                                               : out.add_input(v.name, v.type);
  }
  for (size_t i = 0; i < graph.values().size(); ++i)
    if (const Value& v = graph.values()[i]; v.constant) values[i] = out.add_constant(v.name, *v.constant, v.type.quant);
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> operands;
    for (ValueId v : node.inputs) operands.push_back(v.valid() ? values[static_cast<size_t>(v.index)] : v);
    std::vector<std::string> names;
    std::vector<TensorType> types;
    for (ValueId v : node.outputs) {
      names.push_back(graph.value(v).name);
      types.push_back(graph.type(v));
    }
    const NodeId added =
        CUPEL_TRY(out.add_node(*node.op, node.name, std::move(operands), node.attributes, names, node.origin, types));
    for (size_t i = 0; i < node.outputs.size(); ++i)
      values[static_cast<size_t>(node.outputs[i].index)] = out.node(added).outputs[i];
  }
  for (ValueId v : graph.outputs()) out.add_output(values[static_cast<size_t>(v.index)]);
  return out;
}

std::vector<OpSupport> op_support() {
  std::vector<OpSupport> rows;
  for (const OpDef* op : all_ops()) {
    if (op->since_opset == 0) continue;  // none of ONNX
    const Shown shown = shown_by(*op);
    rows.push_back({std::string(op->name), op->since_opset, names_of(shown.types), compiled_text(*op, shown),
                    std::string(op->conversion != Conversion::none ? "converts" : rule_text(op->quant_rule))});
  }
  for (const ReadOperator& op : read_operators())
    rows.push_back({std::string(op.name), op.since_opset, names_of(op.types), "in other ops", "as those"});
  return rows;
}

std::string op_support_text(const std::vector<OpSupport>& rows) {
  std::string text = "| operator | since | operand 0 | compiled | between codes |\n|---|---|---|---|---|\n";
  for (const OpSupport& row : rows)
    text +=
        fmt::format("| {} | {} | {} | {} | {} |\n", row.name, row.since_opset, row.types, row.compiled, row.quantized);
  return text;
}

}  // namespace cupel
