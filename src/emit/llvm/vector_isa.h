// What the vector instructions of a target compute: everything that differs from one architecture to the next. A target is
// one file beside this one.
#pragma once

#include <array>
#include <memory>

#include "emit/emit_target.h"
#include "emit/llvm/ir.h"

namespace cupel {

// Which bytes a pack makes of s32 lanes.
enum class PackKind : uint8_t {
  low_bits,     // the low 8 bits of any value
  unsigned_8,   // values are known to lie in 0 … 255
  signed_8,     // values are known to lie in −128 … 127
  saturate_u8,  // clamped to 0 … 255
  saturate_s8,  // clamped to −128 … 127
};

class VectorIsa {
 public:
  explicit VectorIsa(const EmitTarget& target) : target_(target) {}
  virtual ~VectorIsa() = default;

  // Lanes of 32 bits in one register: "a part" below is a vector of so many.
  int lanes() const { return target_.vector_lanes; }
  const EmitTarget& target() const { return target_; }

  // acc + Σ of 4 products of u8 (a) and s8 (b) in each lane; parts of s32. Exact.
  virtual llvm::Value* dot_u8_s8(Builder& ir, llvm::Value* acc, llvm::Value* a, llvm::Value* b) const = 0;
  // acc + Σ of 2 products of s16 in each lane; parts of s32. Exact.
  virtual llvm::Value* dot_s16(Builder& ir, llvm::Value* acc, llvm::Value* a, llvm::Value* b) const = 0;
  // f32 of magnitude below 2^31 to the nearest s32, ties to even; the least s32 for NaN and for anything beyond. One part.
  virtual llvm::Value* round_s32(Builder& ir, llvm::Value* value) const = 0;
  // Four parts of s32 to a vector of 4·lanes() bytes, in order.
  virtual llvm::Value* pack(Builder& ir, std::array<llvm::Value*, 4> parts, PackKind kind) const = 0;
  // table[low 8 bits of index] for the 256 bytes at `table`, zero-extended. One part of s32.
  virtual llvm::Value* lookup(Builder& ir, llvm::Value* table, llvm::Value* index) const = 0;
  // The same for a vector of 4·lanes() bytes.
  virtual llvm::Value* lookup_bytes(Builder& ir, llvm::Value* table, llvm::Value* index) const = 0;

 private:
  const EmitTarget& target_;
};

std::unique_ptr<VectorIsa> make_x86_isa(const EmitTarget& target);

}  // namespace cupel
