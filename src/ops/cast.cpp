// Cast between element types. To a float type: round to nearest even, once. To an integer: of integers the low bits,
// of real numbers truncation, which ends at the type's bounds (docs/quantization.md 4). To bool: anything but zero, NaN
// included, is true. To a float of 8 bits: `saturate` (base/dtype.h).
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/scalar_math.h"
#include "ir/graph.h"
#include "ops/known.h"
#include "ops/move.h"
#include "ops/onnx_dtype.h"
#include "ops/op_table.h"
#include "ops/rules.h"
#include "runtime/convert.h"

namespace cupel {
namespace {

using namespace ops;

bool castable(DType t) { return dtype_bits(t) >= 8; }

Result<Types> infer_cast(const InferContext& c) {
  const int64_t number = attr_int(c.attributes, "to", 0);
  const auto to = dtype_from_onnx(number);
  const std::string remedy = "cast between floats, bool and integers of 8 to 64 bits";
  if (!to) return unsupported("", fmt::format("a cast to ONNX's element type {}", number), remedy);
  const TensorType& x = c.type(0);
  if (x.quant) return bad_input("", fmt::format("the operand {} holds codes", to_text(x)), "dequantize it first");
  if (!castable(x.dtype) || !castable(*to))
    return unsupported("", fmt::format("a cast from {} to {}", dtype_name(x.dtype), dtype_name(*to)), remedy);
  return Types{plain(*to, x.shape)};
}

// Integers stay what they are; those outside the result's type are left to the run. To bool, constants become 0 or 1.
Result<Contents> fold_cast(const InferContext& c) {
  const std::vector<Dim>* x = contents_of(c, 0);
  const auto to = dtype_from_onnx(attr_int(c.attributes, "to", 0));
  if (x == nullptr || !to || is_float(*to)) return std::nullopt;
  const bool truth = *to == DType::boolean, wide = *to == DType::s64 || *to == DType::s32;
  std::vector<Dim> elements;
  for (const Dim& d : *x) {
    if (!d.is_constant() && !wide) return std::nullopt;
    if (d.is_constant() && !truth && (d.factor < dtype_min(*to) || d.factor > dtype_max(*to))) return std::nullopt;
    elements.push_back(truth ? Dim(d.factor != 0) : d);
  }
  return elements;
}

// Calls body(T{}) with the type of the elements.
template <class Body>
void with_type(DType type, Body&& body) {
  switch (type) {
    case DType::f32: return body(float{});
    case DType::f64: return body(double{});
    case DType::f16: return body(Half{});
    case DType::bf16: return body(Brain{});
    case DType::f8e4m3: return body(E4m3{});
    case DType::f8e5m2: return body(E5m2{});
    case DType::u8: return body(uint8_t{});
    case DType::s8: return body(int8_t{});
    case DType::u16: return body(uint16_t{});
    case DType::s16: return body(int16_t{});
    case DType::u32: return body(uint32_t{});
    case DType::s32: return body(int32_t{});
    case DType::u64: return body(uint64_t{});
    case DType::s64: return body(int64_t{});
    default: return body(bool{});
  }
}

Status reference_cast(const EvalContext& c) {
  if (c.in(0).dtype() == c.out().dtype()) return share_elements(c);
  const bool saturate = attr_int(c.attributes, "saturate", 1) != 0;
  with_type(c.in(0).dtype(), [&](auto from) {
    with_type(c.out().dtype(), [&](auto to) {
      const auto* source = reinterpret_cast<const decltype(from)*>(c.in(0).bytes().data());
      auto* target = reinterpret_cast<decltype(to)*>(c.out().mutable_bytes().data());
      c.threads.parallel_for(c.in(0).size(), kMoveGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) convert_element(source[i], target[i], saturate);
      });
    });
  });
  return {};
}

Result<RoutineUse> routine_cast(const RoutineContext& c) {
  const DType to = dtype_from_onnx(attr_int(c.attributes, "to", 0)).value_or(DType::f32);
  return RoutineUse{.name = "cast",
                    .operands = {0},
                    .attributes = {static_cast<int64_t>(bytes_of(c.inputs[0]->dtype)),
                                   static_cast<int64_t>(bytes_of(to)), attr_int(c.attributes, "saturate", 1)},
                    .units = std::max<int64_t>(element_count(c.outputs[0]->dims), 1),
                    .grain = kMoveGrain};
}

}  // namespace

namespace ops {
const OpDef kCast{.name = "Cast",
                  .attributes = {{"saturate", AttributeKind::integer}, {"to", AttributeKind::integer, true}},
                  .elements = Elements::elementwise,
                  .infer = infer_cast,
                  .fold_contents = fold_cast,
                  .reference = reference_cast,
                  .routine = routine_cast,
                  .samples = {R"(graph "cast_to_integer" stage imported opset 17 {
  input %x : f32[batch,3,5]
  %y = Cast(%x) {to=6}
  output %y
})",
                              R"(graph "cast_to_real" stage imported opset 17 {
  input %x : u8[batch,7]
  %y = Cast(%x) {to=1}
  output %y
})",
                              R"(graph "cast_to_half" stage imported opset 17 {
  input %x : f32[batch,7]
  %y = Cast(%x) {to=10}
  output %y
})",
                              R"(graph "cast_to_bool" stage imported opset 17 {
  input %x : f32[batch,7]
  %y = Cast(%x) {to=9}
  output %y
})",
                              R"(graph "cast_wider" stage imported opset 17 {
  input %x : s32[batch,7]
  %y = Cast(%x) {to=7}
  output %y
})",
                              R"(graph "cast_wide_to_real" stage imported opset 17 {
  input %x : s64[batch,3,5]
  %y = Cast(%x) {to=1}
  output %y
})",
                              R"(graph "cast_to_byte_float" stage imported opset 19 {
  input %x : f32[batch,7]
  %y = Cast(%x) {saturate=0, to=17}
  output %y
})",
                              R"(graph "cast_of_byte_float" stage imported opset 19 {
  input %x : f8e5m2[batch,7]
  %y = Cast(%x) {to=1}
  output %y
})"}};
}  // namespace ops
}  // namespace cupel
