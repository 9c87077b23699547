// LLVM's headers as this folder uses them, with warnings of foreign code off, and short names for vector types and
// values.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wextra"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DerivedTypes.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#pragma GCC diagnostic pop

#include <cstdint>
#include <vector>

namespace cupel {

using Builder = llvm::IRBuilder<>;

// <lanes x element>; the element itself for one lane.
inline llvm::Type* vector_type(llvm::Type* element, int64_t lanes) {
  return lanes == 1 ? element : llvm::FixedVectorType::get(element, static_cast<unsigned>(lanes));
}
inline int64_t lane_count(const llvm::Value* value) {
  const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return type == nullptr ? 1 : static_cast<int64_t>(type->getNumElements());
}
inline llvm::Value* splat(Builder& ir, llvm::Value* scalar, int64_t lanes) {
  return lanes == 1 ? scalar : ir.CreateVectorSplat(static_cast<unsigned>(lanes), scalar);
}
// Lanes [first, first + count) of a vector.
inline llvm::Value* slice(Builder& ir, llvm::Value* vector, int64_t first, int64_t count) {
  if (first == 0 && count == lane_count(vector)) return vector;
  if (count == 1) return ir.CreateExtractElement(vector, static_cast<uint64_t>(first));
  std::vector<int> mask;
  for (int64_t i = 0; i < count; ++i) mask.push_back(static_cast<int>(first + i));
  return ir.CreateShuffleVector(vector, mask);
}
// Vectors of equal types one after another; their number is a power of two.
inline llvm::Value* concat(Builder& ir, std::vector<llvm::Value*> vectors) {
  while (vectors.size() > 1) {
    std::vector<llvm::Value*> pairs;
    std::vector<int> mask;
    for (int64_t i = 0; i < 2 * lane_count(vectors[0]); ++i) mask.push_back(static_cast<int>(i));
    for (size_t i = 0; i < vectors.size(); i += 2)
      pairs.push_back(ir.CreateShuffleVector(vectors[i], vectors[i + 1], mask));
    vectors = std::move(pairs);
  }
  return vectors[0];
}
// The bytes at base + offset.
inline llvm::Value* byte_address(Builder& ir, llvm::Value* base, int64_t offset) {
  return offset == 0 ? base : ir.CreateConstInBoundsGEP1_64(ir.getInt8Ty(), base, static_cast<uint64_t>(offset));
}
inline llvm::Value* byte_address(Builder& ir, llvm::Value* base, llvm::Value* offset) {
  return ir.CreateInBoundsGEP(ir.getInt8Ty(), base, offset);
}

}  // namespace cupel
