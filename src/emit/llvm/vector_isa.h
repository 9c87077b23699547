// What the vector instructions of a target compute: everything that differs from one architecture to the next. A target
// is one file beside this one.
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

  // acc + Σ of 4 products of u8 (a) and s8 (b) in each lane; parts of s32, or halves or quarters of one. Exact.
  virtual llvm::Value* dot_u8_s8(Builder& ir, llvm::Value* acc, llvm::Value* a, llvm::Value* b) const = 0;
  // acc + Σ of 2 products of s16 in each lane; parts of s32. Exact.
  virtual llvm::Value* dot_s16(Builder& ir, llvm::Value* acc, llvm::Value* a, llvm::Value* b) const = 0;
  // f32 of magnitude below 2^31 to the nearest s32, ties to even; the least s32 for NaN and for anything beyond. A
  // part, a half or a quarter of one.
  virtual llvm::Value* round_s32(Builder& ir, llvm::Value* value) const = 0;
  // a > b ? a : b and a < b ? a : b of f32, as one instruction: a subnormal result is a zero. A part, a half or a
  // quarter of one, but at least 4 lanes.
  virtual llvm::Value* greater(Builder& ir, llvm::Value* a, llvm::Value* b) const = 0;
  virtual llvm::Value* less(Builder& ir, llvm::Value* a, llvm::Value* b) const = 0;
  // Four parts of s32 to a vector of 4·lanes() bytes, in order. zero_point, which saturating kinds alone have, is added
  // to values before they are clamped.
  virtual llvm::Value* pack(Builder& ir, std::array<llvm::Value*, 4> parts, PackKind kind,
                            int32_t zero_point) const = 0;
  // table[low 8 bits of index] for the 256 bytes at `table`, zero-extended. One part of s32.
  virtual llvm::Value* lookup(Builder& ir, llvm::Value* table, llvm::Value* index) const = 0;
  // The same for a vector of 4·lanes() bytes.
  virtual llvm::Value* lookup_bytes(Builder& ir, llvm::Value* table, llvm::Value* index) const = 0;

  // Four vectors of n bytes to four of n/4 lanes of 32 bits, each lane holding the bytes of one element, in order of
  // the vectors: element interleaved_element(j, lane) in vector j. n is 64, 32 or 16, at most 4·lanes().
  virtual std::array<llvm::Value*, 4> interleave(Builder& ir, std::array<llvm::Value*, 4> bytes) const = 0;
  virtual int64_t interleaved_element(int64_t vector, int64_t lane) const = 0;
  // As pack, but of four vectors in the order that interleave gives; the bytes come out in order of their elements.
  virtual llvm::Value* pack_interleaved(Builder& ir, std::array<llvm::Value*, 4> parts, PackKind kind,
                                        int32_t zero_point) const = 0;

 private:
  const EmitTarget& target_;
};

std::unique_ptr<VectorIsa> make_x86_isa(const EmitTarget& target);

}  // namespace cupel
