#include "onnx/downgrade.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "ops/requantize.h"

namespace cupel {
namespace {

Tensor integers(std::span<const int64_t> values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

bool has_operand(const Node& node, size_t i) { return i < node.inputs.size() && node.inputs[i].valid(); }

bool is_constant(const Graph& graph, const Node& node, size_t operand) {
  return graph.value(node.inputs[operand]).constant.has_value();
}

bool all_ones(const Attributes& attributes, std::string_view name) {
  const auto values = attr_ints(attributes, name);
  return std::all_of(values.begin(), values.end(), [](int64_t v) { return v == 1; });
}

bool is_constant_where_given(const Graph& graph, const Node& node, size_t operand) {
  return !has_operand(node, operand) || is_constant(graph, node, operand);
}

// Sizes of equal pieces, the last one smaller where `parts` does not divide the dimension.
std::vector<int64_t> split_sizes(const Graph& graph, const Node& node) {
  std::vector<int64_t> sizes;
  for (const ValueId id : node.outputs) {
    const Shape& shape = graph.type(id).shape;
    const auto axis = normalize_axis(attr_int(node.attributes, "axis", 0), static_cast<int64_t>(shape.size()));
    if (!axis || !shape[static_cast<size_t>(*axis)].is_constant()) return {};
    sizes.push_back(shape[static_cast<size_t>(*axis)].factor);
  }
  return sizes;
}

// What a node needs beyond its operator's first opset.
int needed_by_form(const Graph& graph, const Node& node) {
  const std::string_view op = node.op->name;
  const Attributes& a = node.attributes;
  int needed = 13;
  const auto need = [&](bool condition, int opset) {
    if (condition) needed = std::max(needed, opset);
  };
  for (const ValueId id : node.outputs) {
    const int bits = dtype_bits(graph.type(id).dtype);
    need(graph.type(id).quant && (bits == 4 || bits == 16), 21);
  }
  if (op == "QuantizeLinear" || op == "DequantizeLinear") {
    const int bits = dtype_bits(graph.type(node.inputs[0]).dtype);
    need(op == "DequantizeLinear" && (bits == 4 || bits == 16), 21);
  }
  if (op == "ReduceMean" || op == "ReduceMax" || op == "ReduceMin" || op == "ReduceProd")
    need(!is_constant_where_given(graph, node, 1), 18);
  const TensorType* first = node.inputs.empty() || !node.inputs[0].valid() ? nullptr : &graph.type(node.inputs[0]);
  const bool holds_integers = first && !first->quant && is_integer(first->dtype);
  if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div")
    need(holds_integers && dtype_bits(first->dtype) < 32, 14);
  if (op == "Relu") need(holds_integers, 14);
  if (op == "Cast") need(is_byte_float(first->dtype) || is_byte_float(graph.type(node.outputs[0]).dtype), 19);
  if (op == "BitShift") need(dtype_min(first->dtype) < 0, 28);
  if (op == "ReduceMax" || op == "ReduceMin") need(first->dtype == DType::boolean, 20);
  if (op == "Pad") {
    need(!is_constant_where_given(graph, node, 3) || (has_operand(node, 3) && !is_constant(graph, node, 1)), 18);
    need(attr_text(a, "mode", "constant") == "wrap", 19);
  }
  if (op == "Split") need(!has_operand(node, 1) && split_sizes(graph, node).empty(), 18);
  if (op == "Reshape") need(attr_int(a, "allowzero", 0) != 0, 14);
  if (op == "Mod") need(kFloatTypes.has(graph.type(node.outputs[0]).dtype) && attr_int(a, "fmod", 0) == 0, 28);
  if (op == "ScatterElements" || op == "ScatterND") {
    const std::string reduction = attr_text(a, "reduction", "none");
    need(has_attr(a, "reduction"), reduction == "max" || reduction == "min" ? 18 : 16);
  }
  if (op == "RoiAlign") need(attr_text(a, "coordinate_transformation_mode", "half_pixel") == "half_pixel", 16);
  if (op == "GridSample") need(graph.type(node.inputs[0]).shape.size() != 4, 20);
  if (op == "Shape") need(has_attr(a, "start") || has_attr(a, "end"), 15);
  if (op == "Resize" || op == "ResizeNearest") {
    need(has_attr(a, "axes") || has_attr(a, "antialias") || has_attr(a, "keep_aspect_ratio_policy"), 18);
    need(attr_text(a, "coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric", 19);
  }
  if (op == "AveragePool") need(!all_ones(a, "dilations"), 19);
  return needed;
}

// Moves the constant axes of a reduction into the attribute.
Status axes_to_attribute(Exporter& exporter, const Node& node, NodeDraft& draft) {
  const std::vector<Dim>* axes = exporter.known(node, 1);
  const bool nothing =
      attr_int(node.attributes, "noop_with_empty_axes", 0) != 0 && (!has_operand(node, 1) || (axes && axes->empty()));
  draft.inputs.resize(1);
  draft.attributes.erase("noop_with_empty_axes");
  if (nothing) {
    draft.op = "Identity";
    draft.attributes.clear();
  } else if (axes && !axes->empty()) {
    std::vector<int64_t> values;
    for (const Dim& d : *axes) values.push_back(d.factor);
    draft.attributes["axes"] = std::move(values);
  }
  return {};
}

// ONNX pads codes with a code, the Graph with a real number (0 when absent).
Status pad_with_code(Exporter& exporter, const Node& node, NodeDraft& draft) {
  const TensorType& x = exporter.graph().type(node.inputs[0]);
  if (!x.quant || attr_text(node.attributes, "mode", "constant") != "constant") return {};
  int32_t code = x.quant->zero_point_at(0);
  if (has_operand(node, 2)) {
    const Value& value = exporter.graph().value(node.inputs[2]);
    if (value.type.dtype != DType::f32) return {};
    if (!value.constant) return unsupported("", "codes are padded with a computed number", "pad with a constant");
    code = ops::to_code(static_cast<float>(value.constant->at(0)) * ops::inverse_scale(x.quant->scale_at(0)),
                        ops::CodeRange(x.dtype, code));
  }
  if (draft.inputs.size() < 3) draft.inputs.resize(3);
  draft.inputs[2] = exporter.add_constant(draft.name + "_value", tensor_of_codes(x.dtype, {}, {code}));
  return {};
}

// Pads of some axes become pads of all of them.
Status downgrade_pad(Exporter& exporter, const Node& node, NodeDraft& draft) {
  CUPEL_TRY(pad_with_code(exporter, node, draft));
  if (exporter.opset() >= 18 || !has_operand(node, 3)) return {};
  const std::vector<Dim>*axes = exporter.known(node, 3), *pads = exporter.known(node, 1);
  const auto rank = static_cast<int64_t>(exporter.graph().type(node.inputs[0]).shape.size());
  if (!axes || !pads || pads->size() != 2 * axes->size())
    return internal_error("", "pads and axes do not fit each other");
  std::vector<int64_t> all(static_cast<size_t>(2 * rank), 0);
  for (size_t i = 0; i < axes->size(); ++i) {
    const auto axis = static_cast<size_t>(CUPEL_TRY(normalize_axis((*axes)[i].factor, rank)));
    all[axis] = (*pads)[i].factor;
    all[axis + static_cast<size_t>(rank)] = (*pads)[i + axes->size()].factor;
  }
  draft.inputs[1] = exporter.add_constant(draft.name + "_pads", integers(all));
  draft.inputs.resize(3);
  return {};
}

Status spell_split_sizes(Exporter& exporter, const Node& node, NodeDraft& draft) {
  draft.attributes.erase("num_outputs");
  if (has_operand(node, 1)) return {};
  const std::vector<int64_t> sizes = split_sizes(exporter.graph(), node);
  if (sizes.empty() || std::equal(sizes.begin() + 1, sizes.end(), sizes.begin()))
    return {};  // equal pieces need no list
  draft.inputs.resize(2);
  draft.inputs[1] = exporter.add_constant(draft.name + "_split", integers(sizes));
  return {};
}

Status drop_dilations(Exporter&, const Node&, NodeDraft& draft) {
  draft.attributes.erase("dilations");
  return {};
}
Status drop_allowzero(Exporter&, const Node&, NodeDraft& draft) {
  draft.attributes.erase("allowzero");
  return {};
}

Status drop_coordinate_mode(Exporter&, const Node&, NodeDraft& draft) {
  draft.attributes.erase("coordinate_transformation_mode");
  return {};
}

// Layout 1, rows before steps, which ONNX Runtime has not: as layout 0 between transposes.
Status steps_first(Exporter& e, const Node& node, NodeDraft& d) {
  if (attr_int(node.attributes, "layout", 0) == 0) {
    d.attributes.erase("layout");
    return {};
  }
  const Attributes swap = {{"perm", std::vector<int64_t>{1, 0, 2}}};
  NodeDraft inner = d;
  inner.attributes.erase("layout");
  for (const size_t i : {size_t{0}, size_t{5}, size_t{6}})
    if (d.has_input(i)) inner.inputs[i] = e.add_part("Transpose", d, fmt::format("operand{}", i), {d.inputs[i]}, swap);
  for (size_t i = 0; i < d.outputs.size(); ++i) inner.outputs[i] = e.fresh(fmt::format("{}_result{}", d.name, i));
  // The node keeps its name; the transposes behind it have names of their own.
  const std::vector<std::string> results = d.outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    NodeDraft turn{"Transpose", e.fresh(fmt::format("{}_turn{}", d.name, i)), {inner.outputs[i]}, {results[i]}, swap};
    // [steps,directions,rows,hidden] → [rows,steps,directions,hidden]
    if (i == 0) turn.attributes = {{"perm", std::vector<int64_t>{2, 0, 1, 3}}};
    if (i == 0) e.add(inner);
    if (i + 1 < results.size())
      e.add(std::move(turn));
    else
      d = std::move(turn);
  }
  return {};
}

// Modes had other names, which opset 20 has no longer.
Status rename_modes(Exporter& e, const Node&, NodeDraft& draft) {
  const bool old = e.opset() < 20;
  std::string mode = attr_text(draft.attributes, "mode", "linear");
  for (const auto& [two_dimensional, any] : {std::pair("bilinear", "linear"), {"bicubic", "cubic"}})
    if (mode == (old ? any : two_dimensional)) mode = old ? two_dimensional : any;
  draft.attributes.insert_or_assign("mode", mode);
  return {};
}

struct Row {
  std::string_view op;
  int below_opset;
  Status (*run)(Exporter&, const Node&, NodeDraft&);
};

constexpr Row kRows[] = {
    {"AveragePool", 19, drop_dilations},   {"Pad", INT_MAX, downgrade_pad},
    {"ReduceMax", 18, axes_to_attribute},  {"ReduceMean", 18, axes_to_attribute},
    {"ReduceMin", 18, axes_to_attribute},  {"ReduceProd", 18, axes_to_attribute},
    {"Reshape", 14, drop_allowzero},       {"RoiAlign", 16, drop_coordinate_mode},
    {"Split", 18, spell_split_sizes},      {"GRU", INT_MAX, steps_first},
    {"GridSample", INT_MAX, rename_modes}, {"LSTM", INT_MAX, steps_first},
    {"RNN", INT_MAX, steps_first},
};

}  // namespace

int least_opset(const Graph& graph, const Node& node) {
  const int by_form = needed_by_form(graph, node);
  return has_spelling(node.op->name) ? by_form : std::max(by_form, node.op->since_opset);
}

Status downgrade(Exporter& exporter, const Node& node, NodeDraft& draft) {
  for (const Row& row : kRows)
    if (row.op == draft.op && exporter.opset() < row.below_opset) return row.run(exporter, node, draft);
  return {};
}

}  // namespace cupel
