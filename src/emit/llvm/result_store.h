// Stores of results in pieces of 16 elements at constant distances from one address; bytes are packed several pieces at
// a time.
#pragma once

#include <functional>
#include <vector>

#include "emit/llvm/expression.h"

namespace cupel {

// Elements in a block of columns or channels (kernel/packing.h).
inline constexpr int64_t kBlock = 16;

class ResultStore {
 public:
  ResultStore(Emitter& emitter, const ScalarExpr& expr, const std::vector<Access>& operands, DType type,
              llvm::Value* base);
  // The 16 results at base + offset; `sources` are for 16 lanes.
  void add(int64_t offset, const ExpressionSources& sources);
  // Stores what is left.
  void finish();

 private:
  struct Piece {
    int64_t offset;
    llvm::Value* value;
  };
  void store_group();

  Emitter& e_;
  const ScalarExpr& expr_;
  DType type_;
  llvm::Value* base_;
  ByteResult plan_;
  llvm::Value* table_ = nullptr;
  std::vector<Piece> waiting_;
};

}  // namespace cupel
