// BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot, BitShift: bits of integers, with broadcasting. What is shifted by the
// number of its bits or more is 0.
#include <fmt/format.h>

#include "base/file.h"
#include "ir/graph.h"
#include "ops/combine.h"
#include "ops/op_table.h"
#include "ops/routine.h"
#include "ops/rules.h"

namespace cupel {
namespace {

using namespace ops;

constexpr DTypeSet kUnsignedTypes = DType::u8 | DType::u16 | DType::u32 | DType::u64;
constexpr DTypeSet kIntegerTypes = kUnsignedTypes | DType::s8 | DType::s16 | DType::s32 | DType::s64;

template <ElementFunction f>
Result<Types> infer_bits(const InferContext& c) {
  CUPEL_TRY(expect_function(c, f));
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.inputs.size(); ++i) shape = CUPEL_TRY(broadcast_shapes(shape, c.shape(i)));
  return Types{plain(c.type(0).dtype, std::move(shape))};
}

Result<Types> infer_shift(const InferContext& c) {
  const std::string direction = attr_text(c.attributes, "direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    return bad_input("", fmt::format("direction is \"{}\", expected LEFT or RIGHT", printable(direction)),
                     "correct the attribute");
  return infer_bits<ElementFunction::shift_left>(c);
}

Result<RoutineUse> routine_shift(const RoutineContext& c) {
  return attr_text(c.attributes, "direction", "") == "LEFT" ? routine_combine<ElementFunction::shift_left>(c)
                                                            : routine_combine<ElementFunction::shift_right>(c);
}

template <ElementFunction f>
OpDef bits(std::string_view name, std::string_view sample) {
  const int operands = takes_one(f) ? 1 : 2;
  return {.name = name,
          .since_opset = 18,
          .operand_types = same_type(kIntegerTypes),
          .min_inputs = operands,
          .max_inputs = operands,
          .elements = Elements::elementwise,
          .infer = infer_bits<f>,
          .reference = evaluate_routine,
          .routine = routine_combine<f>,
          .samples = {sample}};
}

}  // namespace

namespace ops {

const OpDef kBitwiseAnd = bits<ElementFunction::bit_and>("BitwiseAnd", R"(graph "bitwise_and" stage imported opset 18 {
  input %a : s16[batch,3]
  input %b : s16[3]
  %y = BitwiseAnd(%a, %b)
  output %y
})");
const OpDef kBitwiseOr = bits<ElementFunction::bit_or>("BitwiseOr", R"(graph "bitwise_or" stage imported opset 18 {
  input %a : u64[batch,3,1]
  input %b : u64[batch,1,5]
  %y = BitwiseOr(%a, %b)
  output %y
})");
const OpDef kBitwiseXor = bits<ElementFunction::bit_xor>("BitwiseXor", R"(graph "bitwise_xor" stage imported opset 18 {
  input %a : u8[batch,3]
  input %b : u8[]
  %y = BitwiseXor(%b, %a)
  output %y
})");
const OpDef kBitwiseNot = bits<ElementFunction::inverted>("BitwiseNot", R"(graph "bitwise_not" stage imported opset 18 {
  input %a : s32[batch,3,5]
  %y = BitwiseNot(%a)
  output %y
})");

const OpDef kBitShift{.name = "BitShift",
                      .since_opset = 11,
                      .operand_types = same_type(kIntegerTypes),
                      .min_inputs = 2,
                      .max_inputs = 2,
                      .attributes = {{"direction", AttributeKind::text, true}},
                      .elements = Elements::elementwise,
                      .infer = infer_shift,
                      .reference = evaluate_routine,
                      .routine = routine_shift,
                      .samples = {R"(graph "shift_left" stage imported opset 17 {
  input %a : u32[batch,3]
  constant %b : u32[3] = [1, 31, 7]
  %y = BitShift(%a, %b) {direction="LEFT"}
  output %y
})",
                                  R"(graph "shift_right" stage imported opset 17 {
  input %a : u8[batch,3]
  constant %b : u8[1] = [3]
  %y = BitShift(%a, %b) {direction="RIGHT"}
  output %y
})"}};

}  // namespace ops
}  // namespace cupel
