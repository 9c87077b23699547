// Scalar expressions as LLVM values, for any number of lanes.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "emit/llvm/emitter.h"

namespace cupel {

// Where an expression's sources come from: s32 or f32 lanes; a table's address.
struct ExpressionSources {
  std::function<llvm::Value*(int32_t index)> operand;
  std::function<llvm::Value*(int32_t index)> accumulator;
  std::function<llvm::Value*(int32_t index)> table;
};

// The value of the last node, or of node `result`.
llvm::Value* emit_expression(Emitter& emitter, const ScalarExpr& expr, int64_t lanes, const ExpressionSources& sources,
                             int32_t result = -1);

// How a result of bytes is made: node `value` is evaluated, rounded where `rounds` says so, packed by `kind`, then
// looked up in the table operand `table` (−1: none). The low bytes equal those of the expression's last node.
struct ByteResult {
  int32_t value = -1;
  PackKind kind = PackKind::low_bits;
  int32_t zero_point = 0;  // of saturating kinds
  int32_t table = -1;
  // The last node is a saturation, which the pack does: `value` is f32, still to be rounded, and before that bounded by
  // `bound`, where it may be far from the codes. Values far below and NaN become the least s32, which saturates to the
  // least code.
  bool rounds = false;
  std::optional<float> bound;
};
// `operands`: of the spec, whose types bound values.
ByteResult plan_byte_result(const ScalarExpr& expr, const std::vector<Access>& operands);
// The s32 lanes to be packed.
llvm::Value* emit_byte_source(Emitter& emitter, const ScalarExpr& expr, const ByteResult& plan, int64_t lanes,
                              const ExpressionSources& sources);

}  // namespace cupel
