// Scalar expressions: what a kernel computes for one element. A closed set of operations on binary32 and int32, each
// with one meaning (docs/quantization.md): round to nearest even, no contraction; subnormal operands and results of
// what computes or compares binary32 are zeros of their sign. Sources, neg, abs, select and bits_… move bits.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"

namespace cupel {

enum class ScalarOp : uint8_t {
  // Sources.
  operand,      // element of operand `index` at the coordinates of the result: u8 and s8 widen to s32; s32 and f32 stay
  accumulator,  // reduced value `index`: s32 or f32, as the form says
  constant_f32,
  constant_s32,
  // binary32.
  add,
  sub,
  mul,
  div,
  fma,
  sqrt,
  neg,
  abs,
  floor,
  ceil,
  greater,  // a > b ? a : b; a subnormal one is a zero
  less,     // a < b ? a : b likewise
  // int32; additions, subtractions and products wrap, shifts are by 0 … 31.
  add_s32,
  sub_s32,
  mul_s32,
  and_s32,
  or_s32,
  xor_s32,
  shift_left,
  shift_right,
  shift_right_signed,
  // Comparisons give a mask: −1 or 0 in s32. Comparisons with NaN are false.
  is_greater,
  is_less,
  is_equal,
  is_greater_s32,
  is_equal_s32,
  select,  // mask, a, b of one type: the bits of a where the mask is −1, of b where it is 0
  // Conversions.
  to_f32,        // s32, rounded to nearest even
  round_s32,     // f32 of magnitude below 2^22, to the nearest integer, ties to even
  truncate_s32,  // f32 of magnitude below 2^31, towards zero
  bits_s32,      // the bit pattern of an f32
  bits_f32,      // the f32 of a bit pattern
  // The code of u8 or s8 that stands nearest to a number x with zero point z (a constant): x to the nearest integer,
  // ties
  // to even, plus z, clamped to the codes; NaN gives the least. near: x is no NaN and of magnitude below 2^22.
  saturate_u8,
  saturate_s8,
  saturate_near_u8,
  saturate_near_s8,
  table,  // entry (low 8 bits of the s32) of the 256-byte constant operand `index`: zero-extended
};

struct ScalarNode {
  ScalarOp op;
  std::array<int32_t, 3> arguments = {-1, -1, -1};  // earlier nodes
  int32_t index = 0;                                // operand, accumulator, table; the value of constant_s32
  float value = 0;                                  // constant_f32
  bool operator==(const ScalarNode& other) const;   // NaN constants compare by bits
};

// Nodes in order; the last one is the result.
struct ScalarExpr {
  std::vector<ScalarNode> nodes;
  bool operator==(const ScalarExpr&) const = default;
};

// Number of arguments of an op and its name in text ("is_greater_s32").
int argument_count(ScalarOp op);
std::string_view scalar_op_name(ScalarOp op);
std::optional<ScalarOp> scalar_op_from_name(std::string_view name);

enum class ScalarType : uint8_t { f32, s32 };
std::string_view scalar_type_name(ScalarType type);
// u8, s8, s16 and s32 are read as s32.
ScalarType scalar_type_of(DType type);

// Which codes an op saturates to: u8, s8; nullopt for other ops.
std::optional<DType> saturated_type(ScalarOp op);

// Type of the result; `alike` is that of a select's last two arguments, and what a source gives.
ScalarType scalar_result_type(ScalarOp op, ScalarType alike);

// What the sources of an expression are: dtypes of the operands, types of the accumulators it may read.
struct ScalarScope {
  std::vector<DType> operands;
  std::vector<ScalarType> accumulators;
};

// The type of every node. bad_input with place "" and the node and rule that is broken: at least one and at most
// kMaxScalarNodes nodes, arguments are earlier nodes, their number and types, sources within the scope, tables are u8
// operands, shift amounts are constants in 0 … 31, zero points constants within the codes.
inline constexpr size_t kMaxScalarNodes = 4096;
Result<std::vector<ScalarType>> scalar_types(const ScalarExpr& expr, const ScalarScope& scope);

}  // namespace cupel
