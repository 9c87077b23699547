// Scalar expressions as LLVM values, for any number of lanes.
#pragma once

#include <functional>
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
llvm::Value* emit_expression(Emitter& emitter, const ScalarExpr& expr, int64_t lanes, const ExpressionSources& sources, int32_t result = -1);

// How a result of bytes is made from s32 lanes: node `value` is evaluated, packed by `kind`, then looked up in the table
// operand `table` (−1: none). The low bytes equal those of the expression's last node.
struct ByteResult {
  int32_t value = -1;
  PackKind kind = PackKind::low_bits;
  int32_t table = -1;
};
// `s32_operand_range`: operands of the spec, to bound values by their types.
ByteResult plan_byte_result(const ScalarExpr& expr, const std::vector<Access>& operands);

}  // namespace cupel
