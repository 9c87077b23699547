#include "onnx/upgrade.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>

#include "base/file.h"
#include "onnx/operators.h"
#include "onnx/spelling.h"

namespace cupel {
namespace {

const char* const kExportAgain = "export the model again";

Tensor integers(std::span<const int64_t> values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

void set_input(NodeDraft& node, size_t index, std::string name) {
  if (node.inputs.size() <= index) node.inputs.resize(index + 1);
  node.inputs[index] = std::move(name);
}

// Moves an attribute, a list of integers, to operand `index`.
Status attribute_to_input(Importer& importer, NodeDraft& node, const std::string& attribute, size_t index) {
  const auto found = node.attributes.find(attribute);
  if (found == node.attributes.end()) return {};
  const auto* values = std::get_if<std::vector<int64_t>>(&found->second);
  if (!values || node.has_input(index))
    return bad_input(
        "", fmt::format("attribute {} is not a list of integers, or is given as operand {} too", attribute, index),
        kExportAgain);
  set_input(node, index, importer.add_constant(node.name + "_" + attribute, integers(*values)));
  node.attributes.erase(found);
  return {};
}

// Moves an attribute, a real, to operand `index`.
Status real_to_input(Importer& importer, NodeDraft& node, const std::string& attribute, size_t index) {
  const auto found = node.attributes.find(attribute);
  if (found == node.attributes.end()) return {};
  const auto* value = std::get_if<float>(&found->second);
  if (!value || node.has_input(index))
    return bad_input("", fmt::format("attribute {} is not a real, or is given as operand {} too", attribute, index),
                     kExportAgain);
  set_input(node, index, importer.add_constant(node.name + "_" + attribute, Tensor::scalar<float>(*value)));
  node.attributes.erase(found);
  return {};
}

Status axes_to_input(Importer& importer, NodeDraft& node) { return attribute_to_input(importer, node, "axes", 1); }

Status upgrade_clip(Importer& importer, NodeDraft& node) {
  CUPEL_TRY(real_to_input(importer, node, "min", 1));
  return real_to_input(importer, node, "max", 2);
}

Status upgrade_pad(Importer& importer, NodeDraft& node) {
  CUPEL_TRY(attribute_to_input(importer, node, "pads", 1));
  return real_to_input(importer, node, "value", 2);
}

Status upgrade_slice(Importer& importer, NodeDraft& node) {
  CUPEL_TRY(attribute_to_input(importer, node, "starts", 1));
  CUPEL_TRY(attribute_to_input(importer, node, "ends", 2));
  return attribute_to_input(importer, node, "axes", 3);
}

Status upgrade_split(Importer& importer, NodeDraft& node) {
  CUPEL_TRY(attribute_to_input(importer, node, "split", 1));
  if (!node.has_input(1) && !node.attributes.contains("num_outputs"))
    node.attributes.emplace("num_outputs", static_cast<int64_t>(node.outputs.size()));
  return {};
}

// Below opset 13 axis (1 by default) splits the shape in two, and everything behind it is one row.
Status upgrade_softmax(Importer& importer, NodeDraft& node) {
  if (node.inputs.empty()) return {};
  const Shape shape = importer.graph().type(CUPEL_TRY(importer.value(node.inputs[0]))).shape;
  const auto rank = static_cast<int64_t>(shape.size());
  const auto found = node.attributes.find("axis");
  int64_t axis = 1;
  if (found != node.attributes.end()) {
    const auto* given = std::get_if<int64_t>(&found->second);
    if (!given) return bad_input("", "attribute axis is not an integer", kExportAgain);
    axis = *given;
  }
  axis = CUPEL_TRY(normalize_axis(axis, rank));
  node.attributes["axis"] = int64_t{-1};
  if (axis == rank - 1) return {};
  const std::string x = node.inputs[0];
  const std::string rows = CUPEL_TRY(importer.add_part("Flatten", node, "flatten", {x}, {{"axis", axis}}));
  const std::string result = CUPEL_TRY(importer.add_part(node.op, node, "rows", {rows}, {{"axis", int64_t{-1}}}));
  std::string dims;
  std::vector<int64_t> target;
  for (const Dim& d : shape) target.push_back(d.is_constant() ? d.factor : -1);
  if (std::count(target.begin(), target.end(), -1) <= 1 && std::count(target.begin(), target.end(), 0) == 0) {
    dims = importer.add_constant(node.name + "_shape", integers(target));
  } else {
    dims = CUPEL_TRY(importer.add_part("Shape", node, "shape", {x}));
  }
  node.op = "Reshape";
  node.inputs = {result, dims};
  node.attributes.clear();
  return {};
}

Status upgrade_dropout(Importer& importer, NodeDraft& node) {
  if (node.has_input(2)) {
    const Tensor* training = importer.constant(node.inputs[2]);
    if (!training || training->dtype() != DType::boolean || training->size() != 1 || training->int_at(0) != 0)
      return unsupported("", "training_mode is not the constant false", "export the model for inference");
  }
  if (node.inputs.size() > 1) node.inputs.resize(1);
  return {};
}

Status upgrade_batch_normalization(Importer&, NodeDraft& node) {
  for (const auto& [attribute, wanted] : {std::pair<const char*, int64_t>{"training_mode", 0}, {"spatial", 1}}) {
    const auto found = node.attributes.find(attribute);
    if (found != node.attributes.end() && !(found->second == Attribute(wanted)))
      return unsupported("", fmt::format("attribute {} is not {}", attribute, wanted),
                         "export the model for inference");
  }
  return {};
}

// Mean and 1 / √(variance + epsilon), where somebody reads them, by nodes of their own.
Status upgrade_layer_normalization(Importer& importer, NodeDraft& node) {
  if (node.outputs.size() < 2 || node.inputs.empty()) return {};
  const Attributes attributes = node.attributes;
  Spelling s(importer, node);
  if (s.gives(1) || s.gives(2)) {
    const std::string& x = s.in(0);
    const auto rank = static_cast<int64_t>(CUPEL_TRY(s.shape(x)).size());
    std::vector<int64_t> axes;
    for (int64_t d = CUPEL_TRY(normalize_axis(attr_int(attributes, "axis", -1), rank)); d < rank; ++d)
      axes.push_back(d);
    const std::string over = s.list("axes", axes);
    if (s.gives(1)) CUPEL_TRY(s.give(1, "ReduceMean", {x, over}));
    if (s.gives(2)) {
      const std::string mean = CUPEL_TRY(s.add("ReduceMean", "mean", {x, over}));
      const std::string centred = CUPEL_TRY(s.add("Sub", "centred", {x, mean}));
      const std::string square = CUPEL_TRY(s.add("Mul", "square", {centred, centred}));
      const std::string variance = CUPEL_TRY(s.add("ReduceMean", "variance", {square, over}));
      const std::string epsilon = s.real_like(x, "epsilon", attr_real(attributes, "epsilon", 1e-5f));
      const std::string root =
          CUPEL_TRY(s.add("Sqrt", "deviation", {CUPEL_TRY(s.add("Add", "shifted", {variance, epsilon}))}));
      CUPEL_TRY(s.give(2, "Reciprocal", {root}));
    }
  }
  return s.finish("LayerNormalization", node.inputs, attributes);
}

Status rename_quantize(Importer& importer, NodeDraft& node) {
  node.op = "QuantizeLinear";
  return upgrade_quantization(importer, node);
}
Status rename_dequantize(Importer& importer, NodeDraft& node) {
  node.op = "DequantizeLinear";
  return upgrade_quantization(importer, node);
}

Status rename_lstm(Importer&, NodeDraft& node) {
  node.op = "DynamicQuantizeLSTM";
  return {};
}

// Resize before opset 11: scales are operand 1, coordinates are divided alone.
Status upgrade_resize(Importer& importer, NodeDraft& node) {
  if (importer.opset() < 11) {
    if (node.inputs.size() == 2) node.inputs = {node.inputs[0], "", node.inputs[1]};
    node.attributes.emplace("coordinate_transformation_mode", std::string("asymmetric"));
    node.attributes.emplace("nearest_mode", std::string("floor"));
  }
  // Operands without elements say nothing.
  for (size_t i = 1; i < node.inputs.size(); ++i)
    if (const Tensor* t = node.has_input(i) ? importer.constant(node.inputs[i]) : nullptr; t && t->empty())
      node.inputs[i].clear();
  if (attr_text(node.attributes, "mode", "nearest") == "nearest") {
    const std::string coordinates = attr_text(node.attributes, "coordinate_transformation_mode", "half_pixel");
    if (coordinates != "tf_crop_and_resize") node.op = "ResizeNearest";
    node.attributes["mode"] = std::string("nearest");
  }
  return {};
}

// Upsample is Resize by scales.
Status upgrade_upsample(Importer& importer, NodeDraft& node) {
  const auto scales = node.attributes.find("scales");
  if (scales != node.attributes.end()) {
    const auto* values = std::get_if<std::vector<float>>(&scales->second);
    if (!values) return bad_input("", "attribute scales is no list of reals", kExportAgain);
    set_input(node, 1,
              importer.add_constant(node.name + "_scales", Tensor::of<float>({static_cast<int64_t>(values->size())},
                                                                             std::span<const float>(*values))));
    node.attributes.erase(scales);
  }
  if (node.inputs.size() != 2) return bad_input("", "has no scales", kExportAgain);
  node.inputs = {node.inputs[0], "", node.inputs[1]};
  node.op = "Resize";
  node.attributes.emplace("coordinate_transformation_mode", std::string("asymmetric"));
  node.attributes.emplace("nearest_mode", std::string("floor"));
  return upgrade_resize(importer, node);
}

// Numbers had only the remainder with the sign of the dividend.
Status upgrade_mod(Importer& importer, NodeDraft& node) {
  if (!node.has_input(0)) return {};
  const DType type = CUPEL_TRY(importer.file_type(node.inputs[0]));
  if (!kFloatTypes.has(type) || attr_int(node.attributes, "fmod", 0) == 1) return {};
  return bad_input("", fmt::format("operand 0 is {}, for which fmod must be 1 below opset 28", dtype_name(type)),
                   "correct the attribute");
}

// Before opset 16 pixels lie at whole coordinates.
Status upgrade_roi_align(Importer&, NodeDraft& node) {
  node.attributes.emplace("coordinate_transformation_mode", std::string("output_half_pixel"));
  return {};
}

// Scatter, which opset 11 renamed.
Status rename_scatter(Importer&, NodeDraft& node) {
  node.op = "ScatterElements";
  return {};
}

struct Row {
  std::string_view op;
  int below_opset;  // INT_MAX: every opset
  Status (*run)(Importer&, NodeDraft&);
};

constexpr Row kRows[] = {
    {"BatchNormalization", INT_MAX, upgrade_batch_normalization},
    {"Clip", 11, upgrade_clip},
    {"DequantizeLinear", INT_MAX, upgrade_quantization},
    {"Dropout", INT_MAX, upgrade_dropout},
    {"LayerNormalization", INT_MAX, upgrade_layer_normalization},
    {"LogSoftmax", 13, upgrade_softmax},
    {"Mod", 28, upgrade_mod},
    {"Pad", 11, upgrade_pad},
    {"QuantizeLinear", INT_MAX, upgrade_quantization},
    {"ReduceMax", 18, axes_to_input},
    {"ReduceMean", 18, axes_to_input},
    {"ReduceMin", 18, axes_to_input},
    {"ReduceProd", 18, axes_to_input},
    {"ReduceSum", 13, axes_to_input},
    {"Resize", INT_MAX, upgrade_resize},
    {"RoiAlign", 16, upgrade_roi_align},
    {"Scatter", INT_MAX, rename_scatter},
    {"Slice", 10, upgrade_slice},
    {"Softmax", 13, upgrade_softmax},
    {"Split", INT_MAX, upgrade_split},
    {"Squeeze", 13, axes_to_input},
    {"Unsqueeze", 13, axes_to_input},
    {"Upsample", INT_MAX, upgrade_upsample},
    {"com.microsoft.DequantizeLinear", INT_MAX, rename_dequantize},
    {"com.microsoft.DynamicQuantizeLSTM", INT_MAX, rename_lstm},
    {"com.microsoft.QuantizeLinear", INT_MAX, rename_quantize},
};

const Row* find_row(std::string_view op) {
  const auto row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return r.op == op; });
  return row == std::end(kRows) ? nullptr : row;
}

}  // namespace

Status upgrade(Importer& importer, NodeDraft& node) {
  CUPEL_TRY(upgrade_first_opsets(importer, node));
  if (const SpelledOp* spelled = find_spelled_op(node.op); spelled && (!spelled->when || spelled->when(importer, node)))
    return spell_in_others(*spelled, importer, node);
  const Row* row = find_row(node.op);
  return row && importer.opset() < row->below_opset ? row->run(importer, node) : Status{};
}

std::vector<ReadOperator> read_operators() {
  std::vector<ReadOperator> all = {{"If"}, {"Loop"}, {"Scan", 8}};  // inlined by branches.cpp, loops.cpp
  for (const SpelledOp& op : spelled_ops()) all.push_back({op.op, op.since_opset, op.types & op.computed});
  for (const Row& row : kRows) all.push_back({row.op});
  std::erase_if(all, [](const ReadOperator& op) { return find_op(op.name) != nullptr; });
  std::ranges::sort(all, {}, &ReadOperator::name);
  return all;
}

bool is_upgraded_away(std::string_view op) {
  return find_op(op) == nullptr && (find_spelled_op(op) != nullptr || find_row(op) != nullptr);
}

}  // namespace cupel
