// QuantizeLinear and DequantizeLinear: parameters from constant operands into attributes; with other parameters and
// codes in operators on numbers (spell_quantization.cpp). Constants of 4-bit codes are held in bytes; those of 16 bits,
// and with parameters per block, are the numbers that they stand for.
#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "base/file.h"
#include "onnx/element_type.h"
#include "onnx/spelling.h"
#include "onnx/upgrade.h"
#include "ops/onnx_dtype.h"

namespace cupel {
namespace {

const char* const kQuantizeAgain = "quantize the model again";

// The parameters of a node as the file gives them.
struct Given {
  const Tensor* scale = nullptr;   // null: computed
  const Tensor* zero = nullptr;    // null: computed, or 0
  std::optional<DType> zero_type;  // nullopt: there is no zero point, it is 0
  int64_t axis = 1, block = 0, output_type = 0;
  bool saturate = true;

  bool computed() const { return !scale || (zero_type && !zero); }
};

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

// A scale of the file: one below the least normal number is read as that (docs/quantization.md 2).
float normal_scale(float scale) { return scale > 0 && scale < FLT_MIN ? FLT_MIN : scale; }

Status check_scales(const Tensor& scales) {
  if (scales.empty()) return bad_input("", "scale is empty", kQuantizeAgain);
  for (int64_t i = 0; i < scales.size(); ++i)
    if (const float s = scales.data<float>()[static_cast<size_t>(i)]; !(s > 0) || !std::isfinite(s))
      return bad_input("", fmt::format("scale {} is {}, expected a finite normal number above 0", i, s),
                       kQuantizeAgain);
  return {};
}

Result<Given> given_by(Importer& importer, NodeDraft& node) {
  if (!node.has_input(0) || !node.has_input(1) || node.inputs.size() > 3)
    return bad_input("", fmt::format("{} operands, expected 2 or 3", node.inputs.size()), "export the model again");
  Given g;
  g.scale = importer.constant(node.inputs[1]);
  const DType type = CUPEL_TRY(importer.file_type(node.inputs[1]));
  if (type != DType::f32 && type != DType::f16 && type != DType::bf16)
    return unsupported("", fmt::format("scale is {}, expected f32", dtype_name(type)), "quantize from f32");
  if (g.scale) CUPEL_TRY(check_scales(*g.scale));
  if (node.has_input(2)) {
    g.zero = importer.constant(node.inputs[2]);
    g.zero_type = CUPEL_TRY(importer.file_type(node.inputs[2]));
  }
  if (g.scale && g.zero && g.zero->size() != g.scale->size())
    return bad_input(
        "", fmt::format("{} scales and {} zero points, expected equally many", g.scale->size(), g.zero->size()),
        kQuantizeAgain);
  g.saturate = CUPEL_TRY(taken(node, "saturate", 1)) != 0;
  CUPEL_TRY(taken(node, "precision", 0));  // the division is carried out in f32
  g.block = CUPEL_TRY(taken(node, "block_size", 0));
  g.output_type = CUPEL_TRY(taken(node, "output_dtype", 0));
  g.axis = CUPEL_TRY(taken(node, "axis", 1));
  return g;
}

DType held_type(DType type) { return type == DType::u4 ? DType::u8 : type == DType::s4 ? DType::s8 : type; }

// Integers, or floats of 8 bits, whose zero point is 0.
bool is_code_or_float(DType type) { return is_code(type) || is_byte_float(type); }

// The type of the node's codes.
Result<DType> code_type(const Given& g, bool quantize, DType operand) {
  DType type = quantize ? DType::u8 : operand;
  if (quantize && g.output_type != 0) {
    const auto named = dtype_from_onnx(g.output_type);
    if (!named || !is_code_or_float(*named))
      return unsupported("", fmt::format("quantization to {}", onnx_type_name(g.output_type)),
                         "quantize to uint8 or int8");
    type = *named;
  }
  if (g.zero_type) {
    const bool fixed = !quantize || g.output_type != 0;
    if (fixed && *g.zero_type != type)
      return bad_input("", fmt::format("zero point is {}, expected {}", dtype_name(*g.zero_type), dtype_name(type)),
                       kQuantizeAgain);
    if (!is_code_or_float(*g.zero_type))
      return unsupported("", fmt::format("zero point is {}", dtype_name(*g.zero_type)), "quantize to uint8 or int8");
    type = *g.zero_type;
  }
  if (!quantize && g.output_type != 0 && g.output_type != onnx_dtype(DType::f32))
    return unsupported("", fmt::format("dequantization to {}", onnx_type_name(g.output_type)), "dequantize to float");
  return type;
}

// A constant of 4-bit codes in bytes.
Tensor in_bytes(const Tensor& codes) {
  Tensor bytes(held_type(codes.dtype()), codes.dims());
  for (int64_t i = 0; i < bytes.size(); ++i)
    bytes.mutable_bytes()[static_cast<size_t>(i)] = static_cast<std::byte>(code_at(codes, i) & 255);
  return bytes;
}

// f32(q − z) · s for each code of a constant, with parameters for the tensor, along an axis, or for each block of an
// axis, as the shape of the scales is that of the codes with so many blocks along it.
Result<Tensor> numbers_of(const Tensor& codes, const Given& g) {
  const auto rank = static_cast<int64_t>(codes.rank());
  const bool listed = g.scale->size() > 1 || g.block != 0;
  const int64_t axis = listed ? CUPEL_TRY(normalize_axis(g.axis, rank)) : 0;
  if (codes.empty()) return Tensor(DType::f32, codes.dims());
  int64_t inner = 1;
  for (int64_t d = axis + 1; d < rank; ++d) inner *= codes.dims()[static_cast<size_t>(d)];
  const int64_t extent = rank == 0 ? 1 : codes.dims()[static_cast<size_t>(axis)];
  const int64_t blocks = g.block > 0 ? extent / g.block + (extent % g.block != 0 ? 1 : 0) : extent;
  Dims expected = g.block == 0 ? Dims{extent} : codes.dims();
  if (g.block != 0) expected[static_cast<size_t>(axis)] = blocks;
  if (g.block < 0 || (listed && g.scale->dims() != expected))
    return bad_input("",
                     fmt::format("scale has shape {} for codes of shape {} in blocks of {} along axis {}",
                                 to_text(g.scale->dims()), to_text(codes.dims()), g.block, axis),
                     kQuantizeAgain);
  const auto scales = g.scale->data<float>();
  Tensor numbers(DType::f32, codes.dims());
  const auto out = numbers.mutable_data<float>();
  for (int64_t i = 0; i < numbers.size(); ++i) {
    const int64_t at = i / inner % extent, row = i / inner / extent;
    const int64_t p = !listed ? 0 : g.block == 0 ? at : (row * blocks + at / g.block) * inner + i % inner;
    const int64_t difference = code_at(codes, i) - (g.zero ? code_at(*g.zero, p) : 0);
    out[static_cast<size_t>(i)] = static_cast<float>(difference) * normal_scale(scales[static_cast<size_t>(p)]);
  }
  return numbers;
}

// That of floats of 8 bits, which ONNX allows to be 0 alone.
Status drop_zero_point(NodeDraft& node, const Given& g) {
  if (g.zero_type && !g.zero) return unsupported("", "a zero point of floats that is computed", kQuantizeAgain);
  for (int64_t i = 0; g.zero && i < g.zero->size(); ++i)
    if (g.zero->at(i) != 0)
      return bad_input("", fmt::format("zero point {} of floats is {}, expected 0", i, g.zero->at(i)), kQuantizeAgain);
  node.inputs.resize(2);
  return {};
}

// The node in operators on numbers.
Status spell_conversion(Importer& importer, NodeDraft& node, const Given& g, DType type) {
  if (!is_code_or_float(type))
    return bad_input("", fmt::format("{} cannot hold quantized codes", dtype_name(type)), kQuantizeAgain);
  if (is_byte_float(type)) CUPEL_TRY(drop_zero_point(node, g));
  if (type == DType::s32 && node.op == "QuantizeLinear")
    return unsupported("", "quantization to s32", "quantize to uint8 or int8");
  if (const Tensor* codes = importer.constant(node.inputs[0]); codes && dtype_bits(codes->dtype()) == 4)
    node.inputs[0] = importer.add_constant(node.name + "_codes", in_bytes(*codes));
  if (g.zero && node.has_input(2) && dtype_bits(g.zero->dtype()) == 4)
    node.inputs[2] = importer.add_constant(node.name + "_zero_point", in_bytes(*g.zero));
  if (g.scale) {
    Tensor scales(DType::f32, g.scale->dims());
    std::ranges::transform(g.scale->data<float>(), scales.mutable_data<float>().begin(), normal_scale);
    node.inputs[1] = importer.add_constant(node.name + "_scale", std::move(scales));
  }
  const LinearSpelling how{type, g.axis, g.block, g.saturate};
  const bool quantize = node.op == "QuantizeLinear";
  Spelling spelling(importer, node);
  return quantize ? spell_quantize_linear(spelling, how) : spell_dequantize_linear(spelling, how);
}

// Numbers instead of the node that makes them of constant codes.
Status become_numbers(Importer& importer, NodeDraft& node, Tensor numbers) {
  node.inputs = {importer.add_constant(node.name + "_numbers", std::move(numbers))};
  node.op = "Identity";
  node.attributes.clear();
  return {};
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
  const Given g = CUPEL_TRY(given_by(importer, node));
  // A constant is not added yet, because its parameters belong to it.
  const Tensor* codes = quantize ? nullptr : importer.constant(node.inputs[0]);
  TensorType x;
  if (codes) {
    x = {codes->dtype(), to_shape(codes->dims()), std::nullopt};
  } else {
    x = importer.graph().type(CUPEL_TRY(importer.value(node.inputs[0])));
  }
  DType type = CUPEL_TRY(code_type(g, quantize, CUPEL_TRY(importer.file_type(node.inputs[0]))));
  const bool is_byte = (is_code(type) && dtype_bits(type) == 8) || (dtype_bits(type) == 4 && codes);
  if (codes && is_code(type) && !g.computed() && (g.block != 0 || dtype_bits(type) == 16))
    return become_numbers(importer, node, CUPEL_TRY(numbers_of(*codes, g)));
  if (g.computed() || g.block != 0 || g.scale->rank() > 1 || (!is_byte && type != DType::s32))
    return spell_conversion(importer, node, g, type);
  if (codes && dtype_bits(codes->dtype()) == 4)
    node.inputs[0] = importer.add_constant(node.name + "_codes", in_bytes(*codes));
  type = held_type(type);
  QuantParams params;
  std::vector<int64_t> zero_points;
  for (int64_t i = 0; i < g.scale->size(); ++i) {
    params.scale.push_back(normal_scale(g.scale->data<float>()[static_cast<size_t>(i)]));
    zero_points.push_back(g.zero ? code_at(*g.zero, i) : 0);
    params.zero_point.push_back(static_cast<int32_t>(zero_points.back()));
  }
  if (g.scale->size() > 1) params.axis = CUPEL_TRY(normalize_axis(g.axis, static_cast<int64_t>(x.shape.size())));
  CUPEL_TRY(check_quant_params(params, type, x.shape));

  node.inputs.resize(1);
  node.attributes["scale"] = params.scale;
  node.attributes["zero_point"] = std::move(zero_points);
  node.attributes["dtype"] = std::string(dtype_name(type));
  if (params.axis >= 0) node.attributes["axis"] = params.axis;
  return {};
}

}  // namespace cupel
