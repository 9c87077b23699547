// Operators that an opset lacks, written in others. Each spelling is the form in which exporters write the operator, so
// that reading it back finds it again.
#include <fmt/format.h>

#include <numeric>

#include "onnx/downgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

std::string scalar(Exporter& exporter, const NodeDraft& whole, const char* name, float value) {
  return exporter.add_constant(fmt::format("{}_{}", whole.name, name), Tensor::scalar<float>(value));
}

// The draft becomes the last node of the spelling; its results keep their names.
void finish(NodeDraft& draft, std::string op, std::vector<std::string> inputs) {
  draft.op = std::move(op);
  draft.inputs = std::move(inputs);
  draft.attributes.clear();
}

// x · (1 + erf(x / √2)) · 0.5
Status spell_gelu_erf(Exporter& e, NodeDraft& d) {
  const std::string x = d.inputs[0];
  const std::string scaled = e.add_part("Div", d, "scaled", {x, scalar(e, d, "sqrt2", 1.41421356f)});
  const std::string erf = e.add_part("Erf", d, "erf", {scaled});
  const std::string gate = e.add_part("Add", d, "gate", {erf, scalar(e, d, "one", 1.0f)});
  const std::string product = e.add_part("Mul", d, "product", {x, gate});
  finish(d, "Mul", {product, scalar(e, d, "half", 0.5f)});
  return {};
}

// 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))
Status spell_gelu_tanh(Exporter& e, NodeDraft& d) {
  const std::string x = d.inputs[0];
  const std::string square = e.add_part("Mul", d, "square", {x, x});
  const std::string cube = e.add_part("Mul", d, "cube", {square, x});
  const std::string term = e.add_part("Mul", d, "term", {cube, scalar(e, d, "c3", 0.044715f)});
  const std::string sum = e.add_part("Add", d, "sum", {x, term});
  const std::string scaled = e.add_part("Mul", d, "scaled", {sum, scalar(e, d, "sqrt_2_over_pi", 0.797884561f)});
  const std::string tanh = e.add_part("Tanh", d, "tanh", {scaled});
  const std::string gate = e.add_part("Add", d, "gate", {tanh, scalar(e, d, "one", 1.0f)});
  const std::string product = e.add_part("Mul", d, "product", {x, gate});
  finish(d, "Mul", {product, scalar(e, d, "half", 0.5f)});
  return {};
}

Status spell_gelu(Exporter& e, const Node& node, NodeDraft& d) {
  return attr_text(node.attributes, "approximate", "none") == "tanh" ? spell_gelu_tanh(e, d) : spell_gelu_erf(e, d);
}

// x · hard_sigmoid(x), hard_sigmoid(x) = clip(x / 6 + 0.5, 0, 1)
Status spell_hard_swish(Exporter& e, const Node&, NodeDraft& d) {
  const std::string x = d.inputs[0];
  finish(d, "Mul", {x, e.add_part("HardSigmoid", d, "gate", {x}, {{"alpha", 1.0f / 6.0f}, {"beta", 0.5f}})});
  return {};
}

// x · sigmoid(x)
Status spell_silu(Exporter& e, const Node&, NodeDraft& d) {
  const std::string x = d.inputs[0];
  finish(d, "Mul", {x, e.add_part("Sigmoid", d, "gate", {x})});
  return {};
}

// (x − mean) / √(mean((x − mean)²) + epsilon) · scale + bias, means over the dimensions from axis on
Status spell_layer_normalization(Exporter& e, const Node& node, NodeDraft& d) {
  if (node.outputs.size() > 1)
    return unsupported("", fmt::format("opset {} cannot give mean and deviation out", e.opset()),
                       "use opset 17 or newer");
  const auto rank = static_cast<int64_t>(e.graph().type(node.inputs[0]).shape.size());
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(node.attributes, "axis", -1), rank));
  std::vector<int64_t> axes(static_cast<size_t>(rank - axis));
  std::iota(axes.begin(), axes.end(), axis);
  const Attributes reduction = {{"axes", axes}, {"keepdims", int64_t{1}}};
  const std::string x = d.inputs[0], scale = d.inputs[1], bias = d.inputs.size() > 2 ? d.inputs[2] : "";
  const std::string mean = e.add_part("ReduceMean", d, "mean", {x}, reduction);
  const std::string centred = e.add_part("Sub", d, "centred", {x, mean});
  const std::string square = e.add_part("Mul", d, "square", {centred, centred});
  const std::string variance = e.add_part("ReduceMean", d, "variance", {square}, reduction);
  const std::string epsilon = scalar(e, d, "epsilon", attr_real(node.attributes, "epsilon", 1e-5f));
  const std::string shifted = e.add_part("Add", d, "shifted", {variance, epsilon});
  const std::string deviation = e.add_part("Sqrt", d, "deviation", {shifted});
  const std::string normal = e.add_part("Div", d, "normal", {centred, deviation});
  if (bias.empty()) {
    finish(d, "Mul", {normal, scale});
  } else {
    finish(d, "Add", {e.add_part("Mul", d, "scaled", {normal, scale}), bias});
  }
  return {};
}

// x · tanh(softplus(x))
Status spell_mish(Exporter& e, const Node&, NodeDraft& d) {
  const std::string x = d.inputs[0];
  finish(d, "Mul", {x, e.add_part("Tanh", d, "gate", {e.add_part("Softplus", d, "softplus", {x})})});
  return {};
}

// x / √(mean(x²) + epsilon) · scale, the mean over the dimensions from axis on
Status spell_rms_normalization(Exporter& e, const Node& node, NodeDraft& d) {
  const auto rank = static_cast<int64_t>(e.graph().type(node.inputs[0]).shape.size());
  const int64_t axis = CUPEL_TRY(normalize_axis(attr_int(node.attributes, "axis", -1), rank));
  std::vector<int64_t> axes(static_cast<size_t>(rank - axis));
  std::iota(axes.begin(), axes.end(), axis);
  const std::string x = d.inputs[0], scale = d.inputs[1];
  std::vector<std::string> operands = {e.add_part("Mul", d, "square", {x, x})};
  Attributes reduction = {{"keepdims", int64_t{1}}};
  if (e.opset() < 18) {
    reduction["axes"] = axes;
  } else {
    const Dims dims = {static_cast<int64_t>(axes.size())};
    operands.push_back(e.add_constant(d.name + "_axes", Tensor::of<int64_t>(dims, std::span<const int64_t>(axes))));
  }
  const std::string mean = e.add_part("ReduceMean", d, "mean", std::move(operands), reduction);
  const std::string epsilon = scalar(e, d, "epsilon", attr_real(node.attributes, "epsilon", 1e-5f));
  const std::string root = e.add_part("Sqrt", d, "root", {e.add_part("Add", d, "shifted", {mean, epsilon})});
  finish(d, "Mul", {e.add_part("Div", d, "normal", {x, root}), scale});
  return {};
}

// x repeated to [dimension 0 of like, the other dimensions of x]
Status spell_expand_batch(Exporter& e, const Node& node, NodeDraft& d) {
  const Shape& x = e.graph().type(node.inputs[0]).shape;
  std::vector<int64_t> rest;
  for (size_t i = 1; i < x.size(); ++i) rest.push_back(x[i].factor);
  const auto constant = [&](const char* name, std::vector<int64_t> values) {
    const Dims dims = {static_cast<int64_t>(values.size())};
    return e.add_constant(fmt::format("{}_{}", d.name, name),
                          Tensor::of<int64_t>(dims, std::span<const int64_t>(values)));
  };
  const std::string shape = e.add_part("Shape", d, "shape", {d.inputs[1]});
  const std::string batch = e.add_part("Slice", d, "batch", {shape, constant("first", {0}), constant("behind", {1})});
  const std::string target =
      rest.empty() ? batch : e.add_part("Concat", d, "target", {batch, constant("rest", rest)}, {{"axis", int64_t{0}}});
  finish(d, "Expand", {d.inputs[0], target});
  return {};
}

Status spell_resize_nearest(Exporter&, const Node&, NodeDraft& d) {
  d.op = "Resize";
  return {};
}

// The numbers of a type, rounded and cast.
Status spell_saturate(Exporter& e, const Node& node, NodeDraft& d) {
  const DType type = *dtype_from_name(attr_text(node.attributes, "dtype", "u8"));
  const std::string rounded = e.add_part("Round", d, "rounded", {d.inputs[0]});
  const std::string within = e.add_part("Clip", d, "within",
                                        {rounded, scalar(e, d, "least", static_cast<float>(dtype_min(type))),
                                         scalar(e, d, "most", static_cast<float>(dtype_max(type)))});
  finish(d, "Cast", {within});
  d.attributes["to"] = onnx_dtype(e.graph().type(node.outputs[0]).dtype);
  return {};
}

struct Row {
  std::string_view op;
  Status (*run)(Exporter&, const Node&, NodeDraft&);
};

constexpr Row kRows[] = {
    {"ExpandBatch", spell_expand_batch},
    {"Gelu", spell_gelu},
    {"HardSwish", spell_hard_swish},
    {"LayerNormalization", spell_layer_normalization},  // below opset 17, where axes of ReduceMean are an attribute
    {"Mish", spell_mish},
    {"RMSNormalization", spell_rms_normalization},
    {"ResizeNearest", spell_resize_nearest},
    {"Saturate", spell_saturate},
    {"Silu", spell_silu},
};

}  // namespace

bool has_spelling(std::string_view op) {
  for (const Row& row : kRows)
    if (row.op == op) return true;
  return false;
}

Status spell_out(Exporter& exporter, const Node& node, NodeDraft& draft) {
  for (const Row& row : kRows)
    if (row.op == node.op->name) return row.run(exporter, node, draft);
  return internal_error("", "has no spelling");
}

}  // namespace cupel
