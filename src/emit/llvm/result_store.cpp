#include "emit/llvm/result_store.h"

namespace cupel {

using llvm::Value;

ResultStore::ResultStore(Emitter& emitter, const ScalarExpr& expr, const std::vector<Access>& operands, DType type,
                         Value* base)
    : e_(emitter), expr_(expr), type_(type), base_(base) {
  if (dtype_bits(type) == 8) plan_ = plan_byte_result(expr, operands);
}

void ResultStore::add(int64_t offset, const ExpressionSources& sources) {
  if (dtype_bits(type_) != 8) {
    Value* value = emit_expression(e_, expr_, kBlock, sources);
    e_.store_lanes(type_, value, byte_address(e_.ir, base_, offset), dtype_bits(type_) / 8);
    return;
  }
  if (plan_.table >= 0) table_ = sources.table(plan_.table);
  waiting_.push_back({offset, emit_byte_source(e_, expr_, plan_, kBlock, sources)});
  if (static_cast<int64_t>(waiting_.size()) * kBlock == 4 * e_.lanes()) store_group();
}

void ResultStore::finish() {
  if (waiting_.empty()) return;
  const bool saturates = plan_.kind == PackKind::saturate_u8 || plan_.kind == PackKind::saturate_s8;
  if (waiting_.size() == 1 && plan_.table < 0 && !saturates) {
    e_.store_lanes(type_, waiting_[0].value, byte_address(e_.ir, base_, waiting_[0].offset), 1);
    waiting_.clear();
    return;
  }
  store_group();
}

void ResultStore::store_group() {
  Builder& ir = e_.ir;
  const size_t pieces = waiting_.size();
  std::vector<Value*> parts;
  for (const Piece& piece : waiting_)
    for (int64_t i = 0; i < kBlock; i += e_.lanes()) parts.push_back(slice(ir, piece.value, i, e_.lanes()));
  while (parts.size() < 4) parts.push_back(parts.back());
  Value* packed = e_.isa().pack(ir, {parts[0], parts[1], parts[2], parts[3]}, plan_.kind, plan_.zero_point);
  if (plan_.table >= 0) packed = e_.isa().lookup_bytes(ir, table_, packed);
  for (size_t i = 0; i < pieces;) {
    // The longest run of neighbours that is a power of two.
    size_t run = 1;
    while (i + run < pieces && waiting_[i + run].offset == waiting_[i].offset + static_cast<int64_t>(run) * kBlock)
      ++run;
    while ((run & (run - 1)) != 0) --run;
    Value* bytes = slice(ir, packed, static_cast<int64_t>(i) * kBlock, static_cast<int64_t>(run) * kBlock);
    ir.CreateAlignedStore(bytes, byte_address(ir, base_, waiting_[i].offset), llvm::Align(1));
    i += run;
  }
  waiting_.clear();
}

}  // namespace cupel
