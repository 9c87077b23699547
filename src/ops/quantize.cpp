// From numbers to codes and back (docs/quantization.md 2 and 3).
// QuantizeLinear, DequantizeLinear: ONNX's meaning, parameters in attributes. Quantize, Dequantize, Requantize: the
// integer stage, parameters in the types. AsCodes: what integers of a file stand for, when a dequantize node says so.
// Saturate: the nearest integer that a code type holds, for parameters that are computed.
#include <fmt/format.h>

#include <algorithm>

#include "ir/graph.h"
#include "ops/clones.h"
#include "ops/move.h"
#include "ops/op_table.h"
#include "ops/requantize.h"
#include "ops/rules.h"
#include "runtime/thread_pool.h"

namespace cupel {
namespace {

using namespace ops;

constexpr int64_t kGrain = 16384;

Result<QuantParams> params_of(const Attributes& attributes) {
  QuantParams q;
  q.scale = attr_reals(attributes, "scale");
  for (int64_t z : attr_ints(attributes, "zero_point")) {
    if (z < INT32_MIN || z > INT32_MAX)
      return bad_input("", fmt::format("zero point {} is outside 32 bits", z), "quantize the model again");
    q.zero_point.push_back(static_cast<int32_t>(z));
  }
  q.axis = attr_int(attributes, "axis", -1);
  return q;
}

Result<Types> infer_quantize_linear(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  const std::string name = attr_text(c.attributes, "dtype", "u8");
  const auto dtype = dtype_from_name(name);
  if (!dtype || (*dtype != DType::u8 && *dtype != DType::s8))
    return unsupported("", fmt::format("quantization to {}", name), "quantize to u8 or s8");
  QuantParams q = CUPEL_TRY(params_of(c.attributes));
  CUPEL_TRY(check_quant_params(q, *dtype, c.shape(0)));
  return Types{TensorType{*dtype, c.shape(0), std::move(q)}};
}

Result<Types> infer_dequantize_linear(const InferContext& c) {
  const QuantParams q = CUPEL_TRY(params_of(c.attributes));
  CUPEL_TRY(check_quant_params(q, c.type(0).dtype, c.shape(0)));
  const DType t = c.type(0).dtype;
  if (t != DType::u8 && t != DType::s8 && t != DType::s32)
    return unsupported("", fmt::format("dequantization of {}", dtype_name(t)), "use u8, s8 or s32 codes");
  return Types{plain(DType::f32, c.shape(0))};
}

// The declared result of an op that writes bytes.
Result<TensorType> declared_bytes(const InferContext& c) {
  TensorType type = CUPEL_TRY(declared_codes(c, c.shape(0)));
  if (type.dtype != DType::u8 && type.dtype != DType::s8)
    return unsupported("", fmt::format("a result in {} codes", dtype_name(type.dtype)), "use u8 or s8 codes");
  return type;
}

Result<Types> infer_quantize(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  return Types{CUPEL_TRY(declared_bytes(c))};
}

Result<Types> infer_dequantize(const InferContext& c) {
  if (!c.type(0).quant) return bad_input("", "the operand does not hold codes", "quantize it first");
  return Types{plain(DType::f32, c.shape(0))};
}

Result<Types> infer_requantize(const InferContext& c) {
  if (!c.type(0).quant || !c.type(0).quant->per_tensor() || dtype_bits(c.type(0).dtype) != 8)
    return bad_input("", "the operand does not hold 8-bit codes per tensor", "quantize it first");
  return Types{CUPEL_TRY(declared_bytes(c))};
}

// The operand's integers under the declared parameters; s8 may become u8, each code 128 higher.
Result<Types> infer_as_codes(const InferContext& c) {
  const DType t = c.type(0).dtype;
  TensorType type = CUPEL_TRY(declared_codes(c, c.shape(0)));
  if (type.dtype != t && !(t == DType::s8 && type.dtype == DType::u8))
    return bad_input("", fmt::format("{} cannot be codes of {}", dtype_name(t), dtype_name(type.dtype)),
                     "give the result the operand's type");
  return Types{std::move(type)};
}

Status reference_as_codes(const EvalContext& c) {
  if (c.in(0).dtype() == c.out().dtype()) return share_elements(c);
  std::ranges::transform(c.in(0).bytes(), c.out().mutable_bytes().begin(),
                         [](std::byte b) { return b ^ std::byte{0x80}; });
  return {};
}

// The integers that attribute dtype names, in u8 or s8 where they have 4 bits, in s32 where they have 16.
Result<DType> saturated(const Attributes& attributes) {
  const std::string name = attr_text(attributes, "dtype", "u8");
  const auto dtype = dtype_from_name(name);
  if (!dtype || !is_code(*dtype) || *dtype == DType::s32)
    return unsupported("", fmt::format("integers of {}", name), "quantize to u8 or s8");
  return *dtype;
}

Result<Types> infer_saturate(const InferContext& c) {
  CUPEL_TRY(expect_dtype(c, 0, DType::f32));
  const DType integers = CUPEL_TRY(saturated(c.attributes));
  const bool is_signed = dtype_min(integers) < 0;
  return Types{plain(dtype_bits(integers) == 16 ? DType::s32 : is_signed ? DType::s8 : DType::u8, c.shape(0))};
}

Status reference_saturate(const EvalContext& c) {
  const CodeRange range(CUPEL_TRY(saturated(c.attributes)), 0);
  const float* x = c.in(0).data<float>().data();
  const auto convert = [&](auto* out) {
    c.threads.parallel_for(c.in(0).size(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        out[i] = static_cast<std::remove_reference_t<decltype(*out)>>(to_code(x[i], range));
    });
  };
  switch (c.out().dtype()) {
    case DType::u8: convert(c.out().mutable_data<uint8_t>().data()); break;
    case DType::s8: convert(c.out().mutable_data<int8_t>().data()); break;
    default: convert(c.out().mutable_data<int32_t>().data()); break;
  }
  return {};
}

// Calls run(channel, begin, end) over maximal runs of elements with one pair of parameters, on all threads.
template <class Run>
void for_each_run(const Tensor& t, const QuantParams& q, ThreadPool& threads, Run&& run) {
  if (q.per_tensor()) {
    threads.parallel_for(t.size(), kGrain, [&](int64_t begin, int64_t end) { run(0, begin, end); });
    return;
  }
  const auto axis = static_cast<size_t>(q.axis);
  const int64_t channels = t.dims()[axis], inner = strides_of(t.dims())[axis];
  if (t.empty()) return;
  threads.parallel_for(t.size() / inner, std::max<int64_t>(1, kGrain / inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) run(i % channels, i * inner, (i + 1) * inner);
  });
}

template <class T>
CUPEL_CLONES void divide_to_codes(const float* __restrict x, int64_t n, float scale, CodeRange range,
                                  T* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(to_code(x[i] / scale, range));
}
template <class T>
CUPEL_CLONES void multiply_to_codes(const float* __restrict x, int64_t n, float inverse, CodeRange range,
                                    T* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(to_code(x[i] * inverse, range));
}
template <class T>
CUPEL_CLONES void codes_to_reals(const T* __restrict q, int64_t n, int32_t zero, float scale, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = from_code(q[i], zero, scale);
}

template <bool kDivide>
Status reference_to_codes(const EvalContext& c) {
  const QuantParams& q = *c.output_types[0].quant;
  const float* x = c.in(0).data<float>().data();
  for_each_run(c.in(0), q, c.threads, [&](int64_t channel, int64_t begin, int64_t end) {
    const float s = q.scale_at(channel);
    const CodeRange range(c.output_types[0].dtype, q.zero_point_at(channel));
    const auto convert = [&](auto* out) {
      if constexpr (kDivide) {
        divide_to_codes(x + begin, end - begin, s, range, out + begin);
      } else {
        multiply_to_codes(x + begin, end - begin, inverse_scale(s), range, out + begin);
      }
    };
    if (c.out().dtype() == DType::u8) {
      convert(c.out().mutable_data<uint8_t>().data());
    } else {
      convert(c.out().mutable_data<int8_t>().data());
    }
  });
  return {};
}

Status to_reals(const EvalContext& c, const QuantParams& q) {
  float* out = c.out().mutable_data<float>().data();
  for_each_run(c.in(0), q, c.threads, [&](int64_t channel, int64_t begin, int64_t end) {
    const auto convert = [&](const auto* codes) {
      codes_to_reals(codes + begin, end - begin, q.zero_point_at(channel), q.scale_at(channel), out + begin);
    };
    switch (c.in(0).dtype()) {
      case DType::u8: return convert(c.in(0).data<uint8_t>().data());
      case DType::s8: return convert(c.in(0).data<int8_t>().data());
      default: return convert(c.in(0).data<int32_t>().data());
    }
  });
  return {};
}

Status reference_dequantize_linear(const EvalContext& c) { return to_reals(c, CUPEL_TRY(params_of(c.attributes))); }
Status reference_dequantize(const EvalContext& c) { return to_reals(c, *c.input_types[0]->quant); }

Status reference_requantize(const EvalContext& c) {
  const QuantParams &x = *c.input_types[0]->quant, &y = *c.output_types[0].quant;
  const Tensor& in = c.in(0);
  std::byte* out = c.out().mutable_bytes().data();
  if (x == y && in.dtype() == c.out().dtype()) {
    std::copy(in.bytes().begin(), in.bytes().end(), out);
    return {};
  }
  // All 256 codes once, then a look-up.
  const float m = scale_ratio(x.scale[0], y.scale[0]);
  const CodeRange range(c.output_types[0].dtype, y.zero_point[0]);
  std::byte table[256];
  for (int i = 0; i < 256; ++i) {
    const int32_t code = in.dtype() == DType::u8 ? i : static_cast<int8_t>(i);
    table[i] = static_cast<std::byte>(to_code(static_cast<float>(code - x.zero_point[0]) * m, range));
  }
  const std::byte* codes = in.bytes().data();
  c.threads.parallel_for(in.size(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = table[static_cast<size_t>(codes[i])];
  });
  return {};
}

}  // namespace

namespace ops {
const OpDef kQuantizeLinear{.name = "QuantizeLinear",
                            .since_opset = 10,
                            .operand_types = {{kFloatTypes | DType::s32}},
                            .attributes = {{"axis", AttributeKind::integer},
                                           {"dtype", AttributeKind::text},
                                           {"scale", AttributeKind::reals, true},
                                           {"zero_point", AttributeKind::integers, true}},
                            .elements = Elements::elementwise,
                            .conversion = Conversion::to_codes,
                            .infer = infer_quantize_linear,
                            .reference = reference_to_codes<true>,
                            .samples = {
                                R"(graph "quantize_linear" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = QuantizeLinear(%x) {scale=reals [0x1.99999ap-5], zero_point=[120], dtype="u8"}
  output %y
})",
                                R"(graph "quantize_linear_axis" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = QuantizeLinear(%x) {scale=reals [0.1, 0.02, 0.3], zero_point=[0, 1, -7], axis=1, dtype="s8"}
  output %y
})"}};

const OpDef kDequantizeLinear{.name = "DequantizeLinear",
                              .since_opset = 10,
                              .attributes = {{"axis", AttributeKind::integer},
                                             {"dtype", AttributeKind::text},
                                             {"scale", AttributeKind::reals, true},
                                             {"zero_point", AttributeKind::integers, true}},
                              .elements = Elements::elementwise,
                              .conversion = Conversion::to_numbers,
                              .infer = infer_dequantize_linear,
                              .reference = reference_dequantize_linear,
                              .samples = {
                                  R"(graph "dequantize_linear" stage imported opset 17 {
  input %x : u8[batch,3,5]
  %y = DequantizeLinear(%x) {scale=reals [0x1.99999ap-5], zero_point=[120]}
  output %y
})",
                                  R"(graph "dequantize_linear_s32" stage imported opset 17 {
  input %x : s32[3]
  %y = DequantizeLinear(%x) {scale=reals [0.1, 0.02, 0.3], zero_point=[0, 0, 0], axis=0}
  output %y
})"}};

const OpDef kQuantize{.name = "Quantize",
                      .since_opset = 0,
                      .elements = Elements::elementwise,
                      .conversion = Conversion::to_codes,
                      .infer = infer_quantize,
                      .reference = reference_to_codes<false>,
                      .samples = {R"(graph "quantize" stage integer opset 17 {
  input %x : f32[batch,3,5]
  %y = Quantize(%x) : u8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[120])
  output %y
})",
                                  R"(graph "quantize_axis" stage integer opset 17 {
  input %x : f32[batch,3,5]
  %y = Quantize(%x) : s8[batch,3,5] quant(axis=1, scale=[0x1.99999ap-5, 0x1p-6, 0x1.8p-2], zero_point=[-128, 3, 127])
  output %y
})"}};

const OpDef kDequantize{.name = "Dequantize",
                        .since_opset = 0,
                        .elements = Elements::elementwise,
                        .conversion = Conversion::to_numbers,
                        .infer = infer_dequantize,
                        .reference = reference_dequantize,
                        .samples = {R"(graph "dequantize" stage integer opset 17 {
  input %x : s8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[-20])
  %y = Dequantize(%x)
  output %y
})",
                                    R"(graph "dequantize_axis" stage integer opset 17 {
  input %x : u8[batch,3,2] quant(axis=2, scale=[0x1.99999ap-5, 0x1p+3], zero_point=[0, 255])
  %y = Dequantize(%x)
  output %y
})"}};

const OpDef kRequantize{.name = "Requantize",
                        .since_opset = 0,
                        .elements = Elements::elementwise,
                        .conversion = Conversion::between_codes,
                        .infer = infer_requantize,
                        .reference = reference_requantize,
                        .samples = {R"(graph "requantize" stage integer opset 17 {
  input %x : u8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[20])
  %y = Requantize(%x) : u8[batch,3,5] quant(scale=[0x1.2p-4], zero_point=[100])
  output %y
})"}};

const OpDef kAsCodes{.name = "AsCodes",
                     .since_opset = 0,
                     .elements = Elements::elementwise,
                     .conversion = Conversion::between_codes,
                     .infer = infer_as_codes,
                     .reference = reference_as_codes,
                     .cost = no_cost,
                     .samples = {R"(graph "as_codes" stage integer opset 17 {
  input %x : u8[batch,3,5]
  %y = AsCodes(%x) : u8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[20])
  output %y
})",
                                 R"(graph "as_codes_signed" stage integer opset 17 {
  input %x : s8[batch,3,5]
  %y = AsCodes(%x) : s8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[-20])
  output %y
})",
                                 R"(graph "as_other_codes" stage integer opset 17 {
  input %x : u8[batch,3,5] quant(scale=[0x1.4p-5], zero_point=[128])
  %y = AsCodes(%x) : u8[batch,3,5] quant(scale=[0x1.99999ap-5], zero_point=[20])
  output %y
})"}};

const OpDef kSaturate{.name = "Saturate",
                      .since_opset = 0,
                      .operand_types = {{DType::f32}},
                      .attributes = {{"dtype", AttributeKind::text}},
                      .elements = Elements::elementwise,
                      .infer = infer_saturate,
                      .reference = reference_saturate,
                      .spelled_by = "Cast(Clip(Round(x)))",
                      .samples = {R"(graph "saturate" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Saturate(%x) {dtype="u8"}
  output %y
})",
                                  R"(graph "saturate_short" stage imported opset 17 {
  input %x : f32[batch,7]
  %y = Saturate(%x) {dtype="s16"}
  output %y
})",
                                  R"(graph "saturate_nibble" stage imported opset 17 {
  input %x : f32[batch,7]
  %y = Saturate(%x) {dtype="s4"}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
