// QuantizeLinear and DequantizeLinear: parameters from constant operands into attributes.
#include <fmt/format.h>

#include "base/file.h"
#include "onnx/element_type.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kQuantizeAgain = "quantize the model again";

// The constant operand `index`.
Result<const Tensor*> parameter(const Importer& importer, const NodeDraft& node, size_t index, const char* what) {
  if (const Tensor* t = importer.constant(node.inputs[index])) {
    if (t->rank() > 1)
      return unsupported(
          "", fmt::format("{} has shape {}; parameters per block are not supported", what, to_text(t->dims())),
          "quantize per tensor or per channel");
    return t;
  }
  return unsupported(
      "", fmt::format("{} {} is computed by the network, expected a constant", what, printable(node.inputs[index])),
      "quantize the model statically");
}

int64_t code_at(const Tensor& t, int64_t i) {
  if (dtype_bits(t.dtype()) != 4) return t.int_at(i);
  const int nibble = (std::to_integer<int>(t.bytes()[static_cast<size_t>(i / 2)]) >> (i % 2 * 4)) & 15;
  return t.dtype() == DType::s4 && nibble > 7 ? nibble - 16 : nibble;
}

// Takes an integer attribute out of the node.
Result<int64_t> taken(NodeDraft& node, std::string_view name, int64_t fallback) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return fallback;
  const auto* value = std::get_if<int64_t>(&found->second);
  if (!value) return bad_input("", fmt::format("attribute {} is not an integer", name), "export the model again");
  const int64_t result = *value;
  node.attributes.erase(found);
  return result;
}

}  // namespace

QuantParams params_of(const Attributes& attributes) {
  QuantParams params;
  params.scale = attr_reals(attributes, "scale");
  for (const int64_t z : attr_ints(attributes, "zero_point")) params.zero_point.push_back(static_cast<int32_t>(z));
  params.axis = attr_int(attributes, "axis", -1);
  return params;
}

Status upgrade_quantization(Importer& importer, NodeDraft& node) {
  const bool quantize = node.op == "QuantizeLinear";
  if (!node.has_input(0) || !node.has_input(1) || node.inputs.size() > 3)
    return bad_input("", fmt::format("{} operands, expected 2 or 3", node.inputs.size()), "export the model again");
  const Tensor* scale = CUPEL_TRY(parameter(importer, node, 1, "scale"));
  const Tensor* zero = node.has_input(2) ? CUPEL_TRY(parameter(importer, node, 2, "zero point")) : nullptr;
  if (scale->dtype() != DType::f32)
    return unsupported("", fmt::format("scale is {}, expected f32", dtype_name(scale->dtype())), "quantize from f32");
  if (scale->empty()) return bad_input("", "scale is empty", kQuantizeAgain);
  if (zero && zero->size() != scale->size())
    return bad_input("",
                     fmt::format("{} scales and {} zero points, expected equally many", scale->size(), zero->size()),
                     kQuantizeAgain);
  if (CUPEL_TRY(taken(node, "block_size", 0)) != 0)
    return unsupported("", "parameters per block are not supported", "quantize per tensor or per channel");
  CUPEL_TRY(taken(node, "saturate", 1));   // for 8-bit floats alone
  CUPEL_TRY(taken(node, "precision", 0));  // the division is carried out in f32
  const int64_t output_type = CUPEL_TRY(taken(node, "output_dtype", 0));
  int64_t axis = CUPEL_TRY(taken(node, "axis", 1));

  // The shape of x; a constant is not added yet, because its parameters belong to it.
  const Tensor* codes = quantize ? nullptr : importer.constant(node.inputs[0]);
  TensorType x;
  if (codes) {
    x = {codes->dtype(), to_shape(codes->dims()), std::nullopt};
  } else {
    x = importer.graph().type(CUPEL_TRY(importer.value(node.inputs[0])));
  }

  DType type = quantize ? DType::u8 : x.dtype;
  if (quantize && output_type != 0) {
    const auto named = dtype_from_onnx(output_type);
    if (!named || !is_code(*named))
      return unsupported("", fmt::format("quantization to {}", onnx_type_name(output_type)),
                         "quantize to uint8 or int8");
    type = *named;
  }
  if (zero) {
    const bool fixed = !quantize || output_type != 0;
    if (fixed && zero->dtype() != type)
      return bad_input("", fmt::format("zero point is {}, expected {}", dtype_name(zero->dtype()), dtype_name(type)),
                       kQuantizeAgain);
    if (!is_code(zero->dtype()))
      return unsupported("", fmt::format("zero point is {}", dtype_name(zero->dtype())), "quantize to uint8 or int8");
    type = zero->dtype();
  }
  if (!quantize && output_type != 0 && output_type != onnx_dtype(DType::f32))
    return unsupported("", fmt::format("dequantization to {}", onnx_type_name(output_type)), "dequantize to float");

  QuantParams params;
  params.scale.assign(scale->data<float>().begin(), scale->data<float>().end());
  std::vector<int64_t> zero_points;
  for (int64_t i = 0; i < scale->size(); ++i) {
    zero_points.push_back(zero ? code_at(*zero, i) : 0);
    params.zero_point.push_back(static_cast<int32_t>(zero_points.back()));
  }
  if (scale->size() > 1) params.axis = CUPEL_TRY(normalize_axis(axis, static_cast<int64_t>(x.shape.size())));
  CUPEL_TRY(check_quant_params(params, type, x.shape));

  node.inputs.resize(1);
  node.attributes["scale"] = params.scale;
  node.attributes["zero_point"] = std::move(zero_points);
  node.attributes["dtype"] = std::string(dtype_name(type));
  if (params.axis >= 0) node.attributes["axis"] = params.axis;
  return {};
}

}  // namespace cupel
