// One kernel function being written: void name(uint8_t* const* buffers, int64_t begin, int64_t end). Variables are
// allocas of the entry block, made SSA by mem2reg afterwards.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "emit/llvm/vector_isa.h"
#include "kernel/kernel.h"

namespace cupel {

class Emitter {
 public:
  Emitter(llvm::Module& module, const EmitTarget& target, const std::string& symbol, const KernelSpec& spec);

  Builder ir;
  const VectorIsa& isa() const { return *isa_; }
  int lanes() const { return isa_->lanes(); }
  llvm::Value* begin() const { return begin_; }
  llvm::Value* end() const { return end_; }
  // Byte 0 of buffer i, in the order of accesses_of.
  llvm::Value* buffer(size_t i) const { return buffers_[i]; }
  llvm::Module& module() { return module_; }
  // Ends the function.
  void finish();

  llvm::Type* s32() { return ir.getInt32Ty(); }
  llvm::Type* f32() { return ir.getFloatTy(); }
  llvm::Type* s64() { return ir.getInt64Ty(); }
  llvm::Value* constant(int64_t value) { return ir.getInt64(static_cast<uint64_t>(value)); }
  llvm::Type* element_type(DType type);

  // Variables.
  llvm::AllocaInst* variable(llvm::Type* type, llvm::Value* start);
  llvm::Value* read(llvm::AllocaInst* variable) { return ir.CreateLoad(variable->getAllocatedType(), variable); }
  void write(llvm::AllocaInst* variable, llvm::Value* value) { ir.CreateStore(value, variable); }

  // body(i) for i = 0, step, … < count; count ≥ 1 known at compile time. One round makes no loop.
  void count_loop(int64_t count, int64_t step, const std::function<void(llvm::Value*)>& body);
  // body(i) for i = first, first + step, … while i < limit.
  void range_loop(llvm::Value* first, llvm::Value* limit, int64_t step, const std::function<void(llvm::Value*)>& body);
  // body for every unit of [begin, end): item and the coordinates within `extents`, outermost first.
  void unit_loop(const std::vector<int64_t>& extents,
                 const std::function<void(llvm::Value* item, const std::vector<llvm::Value*>& at)>& body);
  // First element of tile `index` of `size` elements; the last tile moves back to end at `extent`.
  llvm::Value* tile_start(llvm::Value* index, int64_t size, int64_t extent);
  void if_then(llvm::Value* condition, const std::function<void()>& body);

  // The address of an access at item and coordinates; missing or null coordinates are 0.
  llvm::Value* address(const Access& access, size_t buffer, llvm::Value* item, std::span<llvm::Value* const> at);

  // Vectors of `lanes` elements `stride` bytes apart as s32 or f32 lanes (u8 and s8 widened); stride 0 repeats one
  // element.
  llvm::Value* load_lanes(DType type, llvm::Value* from, int64_t stride, int64_t lanes);
  // The first `valid` lanes only (a compile-time number, or a mask of i1 lanes); other lanes are 0.
  llvm::Value* load_first(DType type, llvm::Value* from, int64_t stride, int64_t lanes, int64_t valid);
  llvm::Value* load_masked(DType type, llvm::Value* from, int64_t stride, llvm::Value* mask);
  // s32 or f32 lanes as `type`: the low bits, or rounded.
  llvm::Value* narrow(DType type, llvm::Value* value);
  // Stores them.
  void store_lanes(DType type, llvm::Value* value, llvm::Value* to, int64_t stride);
  void store_masked(DType type, llvm::Value* value, llvm::Value* to, llvm::Value* mask);

  // a > b ? a : b and a < b ? a : b of any number of f32 lanes; a subnormal result is a zero.
  llvm::Value* greater(llvm::Value* a, llvm::Value* b);
  llvm::Value* less(llvm::Value* a, llvm::Value* b);
  // mask ? a : b, bit by bit. On f32 itself code generation would make a minimum or maximum of some choices, which is
  // zero where the chosen number is subnormal.
  llvm::Value* select_bits(llvm::Value* mask, llvm::Value* a, llvm::Value* b);

  // `operation` on each part of `lanes()` lanes; one scalar is widened to a part.
  llvm::Value* by_parts(llvm::Value* value, const std::function<llvm::Value*(llvm::Value*)>& operation);

 private:
  llvm::Value* widen(DType type, llvm::Value* value);
  // `operation` on parts, or on at least 4 lanes.
  llvm::Value* by_pairs(llvm::Value* a, llvm::Value* b,
                        const std::function<llvm::Value*(llvm::Value*, llvm::Value*)>& operation);
  llvm::Module& module_;
  std::unique_ptr<VectorIsa> isa_;
  llvm::Function* function_ = nullptr;
  llvm::BasicBlock* entry_ = nullptr;
  llvm::Value *begin_ = nullptr, *end_ = nullptr;
  std::vector<llvm::Value*> buffers_;
};

}  // namespace cupel
