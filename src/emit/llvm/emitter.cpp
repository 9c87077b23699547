#include "emit/llvm/emitter.h"

namespace cupel {

using llvm::BasicBlock;
using llvm::Value;

namespace {
int64_t bytes_of(DType type) { return dtype_bits(type) / 8; }
}  // namespace

Emitter::Emitter(llvm::Module& module, const EmitTarget& target, const std::string& symbol, const KernelSpec& spec)
    : ir(module.getContext()), module_(module), isa_(make_x86_isa(target)) {
  llvm::Type* pointer = ir.getPtrTy();
  auto* type = llvm::FunctionType::get(ir.getVoidTy(), {pointer, s64(), s64()}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module_);
  function_->setDoesNotThrow();
  const std::string bits = std::to_string(lanes() * 32);
  function_->addFnAttr("prefer-vector-width", bits);
  function_->addFnAttr("min-legal-vector-width", bits);
  function_->addFnAttr("target-cpu", target.cpu);
  function_->addFnAttr("target-features", target.features);
  function_->addFnAttr("no-builtins");
  function_->addFnAttr("denormal-fp-math", "preserve-sign,preserve-sign");  // runtime/floating_point.h
  llvm::AttrBuilder stack(module.getContext());
  stack.addStackAlignmentAttr(64);
  function_->addFnAttrs(stack);
  entry_ = BasicBlock::Create(module.getContext(), "entry", function_);
  ir.SetInsertPoint(entry_);
  begin_ = function_->getArg(1);
  end_ = function_->getArg(2);
  function_->addParamAttr(0, llvm::Attribute::NoAlias);
  const size_t count = buffer_count(spec);
  for (size_t i = 0; i < count; ++i) {
    Value* slot = byte_address(ir, function_->getArg(0), static_cast<int64_t>(i * 8));
    buffers_.push_back(ir.CreateAlignedLoad(pointer, slot, llvm::Align(8)));
  }
}

void Emitter::finish() { ir.CreateRetVoid(); }

llvm::Type* Emitter::element_type(DType type) {
  return type == DType::f32   ? f32()
         : type == DType::f16 ? llvm::Type::getHalfTy(module_.getContext())
                              : llvm::Type::getIntNTy(module_.getContext(), static_cast<unsigned>(dtype_bits(type)));
}

llvm::AllocaInst* Emitter::variable(llvm::Type* type, Value* start) {
  Builder top(entry_, entry_->begin());
  llvm::AllocaInst* slot = top.CreateAlloca(type);
  ir.CreateStore(start, slot);
  return slot;
}

void Emitter::count_loop(int64_t count, int64_t step, const std::function<void(Value*)>& body) {
  if (count <= step) {
    body(constant(0));
    return;
  }
  llvm::AllocaInst* index = variable(s64(), constant(0));
  BasicBlock* loop = BasicBlock::Create(module_.getContext(), "loop", function_);
  BasicBlock* after = BasicBlock::Create(module_.getContext(), "after", function_);
  ir.CreateBr(loop);
  ir.SetInsertPoint(loop);
  body(read(index));
  Value* next = ir.CreateAdd(read(index), constant(step), "", true, true);
  write(index, next);
  ir.CreateCondBr(ir.CreateICmpULT(next, constant(count)), loop, after);
  ir.SetInsertPoint(after);
}

void Emitter::range_loop(Value* first, Value* limit, int64_t step, const std::function<void(Value*)>& body) {
  llvm::AllocaInst* index = variable(s64(), first);
  BasicBlock* loop = BasicBlock::Create(module_.getContext(), "loop", function_);
  BasicBlock* after = BasicBlock::Create(module_.getContext(), "after", function_);
  ir.CreateCondBr(ir.CreateICmpSLT(first, limit), loop, after);
  ir.SetInsertPoint(loop);
  body(read(index));
  Value* next = ir.CreateAdd(read(index), constant(step), "", true, true);
  write(index, next);
  ir.CreateCondBr(ir.CreateICmpSLT(next, limit), loop, after);
  ir.SetInsertPoint(after);
}

Value* Emitter::tile_start(Value* index, int64_t size, int64_t extent) {
  if (size >= extent) return constant(0);
  Value* start = ir.CreateMul(index, constant(size));
  if (extent % size == 0) return start;
  Value* last = constant(extent - size);
  return ir.CreateSelect(ir.CreateICmpSLT(start, last), start, last);
}

void Emitter::if_then(Value* condition, const std::function<void()>& body) {
  BasicBlock* then = BasicBlock::Create(module_.getContext(), "then", function_);
  BasicBlock* after = BasicBlock::Create(module_.getContext(), "after", function_);
  ir.CreateCondBr(condition, then, after);
  ir.SetInsertPoint(then);
  body();
  ir.CreateBr(after);
  ir.SetInsertPoint(after);
}

void Emitter::unit_loop(const std::vector<int64_t>& extents,
                        const std::function<void(Value*, const std::vector<Value*>&)>& body) {
  // Coordinates of the first unit by division, then counted up with carries.
  BasicBlock* start = BasicBlock::Create(module_.getContext(), "start", function_);
  BasicBlock* out = BasicBlock::Create(module_.getContext(), "out", function_);
  ir.CreateCondBr(ir.CreateICmpSLT(begin_, end_), start, out);
  ir.SetInsertPoint(start);
  std::vector<llvm::AllocaInst*> counters(extents.size());
  Value* rest = begin_;
  for (size_t d = extents.size(); d-- > 0;) {
    Value* position = extents[d] == 1 ? constant(0) : ir.CreateURem(rest, constant(extents[d]));
    if (extents[d] != 1) rest = ir.CreateUDiv(rest, constant(extents[d]));
    counters[d] = variable(s64(), position);
  }
  llvm::AllocaInst* item = variable(s64(), rest);
  range_loop(begin_, end_, 1, [&](Value*) {
    std::vector<Value*> at;
    for (llvm::AllocaInst* counter : counters) at.push_back(read(counter));
    body(read(item), at);
    Value* carry = constant(1);
    for (size_t d = extents.size(); d-- > 0;) {
      if (extents[d] == 1) continue;
      Value* next = ir.CreateAdd(read(counters[d]), carry);
      Value* full = ir.CreateICmpEQ(next, constant(extents[d]));
      write(counters[d], ir.CreateSelect(full, constant(0), next));
      carry = ir.CreateZExt(full, s64());
    }
    write(item, ir.CreateAdd(read(item), carry));
  });
  ir.CreateBr(out);
  ir.SetInsertPoint(out);
}

Value* Emitter::address(const Access& access, size_t buffer, Value* item, std::span<Value* const> at) {
  Value* offset = constant(access.offset);
  if (access.item_stride != 0) offset = ir.CreateAdd(offset, ir.CreateMul(item, constant(access.item_stride)));
  for (size_t d = 0; d < at.size() && d < access.strides.size(); ++d)
    if (at[d] != nullptr && access.strides[d] != 0)
      offset = ir.CreateAdd(offset, ir.CreateMul(at[d], constant(access.strides[d])));
  return byte_address(ir, buffers_[buffer], offset);
}

Value* Emitter::widen(DType type, Value* value) {
  const int64_t lanes = lane_count(value);
  if (type == DType::u8) return ir.CreateZExt(value, vector_type(s32(), lanes));
  if (type == DType::s8 || type == DType::s16) return ir.CreateSExt(value, vector_type(s32(), lanes));
  if (type == DType::f16) return ir.CreateFPExt(value, vector_type(f32(), lanes));
  return value;
}

Value* Emitter::load_lanes(DType type, Value* from, int64_t stride, int64_t lanes) {
  llvm::Type* element = element_type(type);
  const llvm::Align unaligned(1);
  if (stride == 0 || lanes == 1) return splat(ir, widen(type, ir.CreateAlignedLoad(element, from, unaligned)), lanes);
  if (stride == bytes_of(type)) return widen(type, ir.CreateAlignedLoad(vector_type(element, lanes), from, unaligned));
  return load_first(type, from, stride, lanes, lanes);
}

Value* Emitter::load_first(DType type, Value* from, int64_t stride, int64_t lanes, int64_t valid) {
  if (lanes == 1 || (valid == lanes && (stride == 0 || stride == bytes_of(type))))
    return load_lanes(type, from, stride, lanes);
  llvm::Type* element = element_type(type);
  Value* whole = llvm::Constant::getNullValue(vector_type(element, lanes));
  if (stride == bytes_of(type)) {
    // Powers of two from the front.
    for (int64_t at = 0, width = lanes; width > 0; width /= 2) {
      if (valid - at < width) continue;
      Value* piece =
          ir.CreateAlignedLoad(vector_type(element, width), byte_address(ir, from, at * stride), llvm::Align(1));
      if (width == 1) {
        whole = ir.CreateInsertElement(whole, piece, static_cast<uint64_t>(at));
      } else {
        std::vector<int> spread, merge;
        for (int64_t i = 0; i < lanes; ++i) spread.push_back(i < width ? static_cast<int>(i) : -1);
        for (int64_t i = 0; i < lanes; ++i)
          merge.push_back(static_cast<int>(i >= at && i < at + width ? lanes + i - at : i));
        whole = ir.CreateShuffleVector(whole, ir.CreateShuffleVector(piece, spread), merge);
      }
      at += width;
    }
    return widen(type, whole);
  }
  for (int64_t i = 0; i < valid; ++i) {
    Value* one = ir.CreateAlignedLoad(element, byte_address(ir, from, i * stride), llvm::Align(1));
    whole = ir.CreateInsertElement(whole, one, static_cast<uint64_t>(i));
  }
  return widen(type, whole);
}

Value* Emitter::load_masked(DType type, Value* from, int64_t stride, Value* mask) {
  const int64_t lanes = lane_count(mask);
  if (stride == 0) return load_lanes(type, from, 0, lanes);
  llvm::Type* vector = vector_type(element_type(type), lanes);
  return widen(type, ir.CreateMaskedLoad(vector, from, llvm::Align(1), mask, llvm::Constant::getNullValue(vector)));
}

Value* Emitter::narrow(DType type, Value* value) {
  llvm::Type* element = element_type(type);
  if (value->getType()->getScalarType() == element) return value;
  if (element->isHalfTy()) return ir.CreateFPTrunc(value, vector_type(element, lane_count(value)));
  return ir.CreateTrunc(value, vector_type(element, lane_count(value)));
}

void Emitter::store_lanes(DType type, Value* value, Value* to, int64_t stride) {
  Value* narrowed = narrow(type, value);
  const int64_t lanes = lane_count(value);
  if (lanes == 1 || stride == bytes_of(type)) {
    ir.CreateAlignedStore(narrowed, to, llvm::Align(1));
    return;
  }
  for (int64_t i = 0; i < lanes; ++i)
    ir.CreateAlignedStore(ir.CreateExtractElement(narrowed, static_cast<uint64_t>(i)), byte_address(ir, to, i * stride),
                          llvm::Align(1));
}

void Emitter::store_masked(DType type, Value* value, Value* to, Value* mask) {
  ir.CreateMaskedStore(narrow(type, value), to, llvm::Align(1), mask);
}

Value* Emitter::by_pairs(Value* a, Value* b, const std::function<Value*(Value*, Value*)>& operation) {
  const int64_t count = lane_count(a), part = lanes();
  if (count < 4) {
    const std::vector<int> mask = {0, count > 1 ? 1 : 0, 0, count > 1 ? 1 : 0};
    const auto widened = [&](Value* v) { return count == 1 ? splat(ir, v, 4) : ir.CreateShuffleVector(v, mask); };
    return slice(ir, operation(widened(a), widened(b)), 0, count);
  }
  if (count <= part) return operation(a, b);
  std::vector<Value*> parts;
  for (int64_t i = 0; i < count; i += part) parts.push_back(operation(slice(ir, a, i, part), slice(ir, b, i, part)));
  return concat(ir, parts);
}

Value* Emitter::greater(Value* a, Value* b) {
  return by_pairs(a, b, [&](Value* x, Value* y) { return isa_->greater(ir, x, y); });
}
Value* Emitter::less(Value* a, Value* b) {
  return by_pairs(a, b, [&](Value* x, Value* y) { return isa_->less(ir, x, y); });
}

Value* Emitter::select_bits(Value* mask, Value* a, Value* b) {
  if (!a->getType()->isFPOrFPVectorTy()) return ir.CreateSelect(mask, a, b);
  llvm::Type* bits = vector_type(s32(), lane_count(a));
  return ir.CreateBitCast(ir.CreateSelect(mask, ir.CreateBitCast(a, bits), ir.CreateBitCast(b, bits)), a->getType());
}

Value* Emitter::by_parts(Value* value, const std::function<Value*(Value*)>& operation) {
  const int64_t count = lane_count(value);
  const int64_t part = lanes();
  if (count == part) return operation(value);
  if (count < part) {
    Value* wide = nullptr;
    if (count == 1) {
      wide = splat(ir, value, part);
    } else {
      std::vector<int> mask;
      for (int64_t i = 0; i < part; ++i) mask.push_back(static_cast<int>(i % count));
      wide = ir.CreateShuffleVector(value, mask);
    }
    return slice(ir, operation(wide), 0, count);
  }
  std::vector<Value*> parts;
  for (int64_t i = 0; i < count; i += part) parts.push_back(operation(slice(ir, value, i, part)));
  return concat(ir, parts);
}

}  // namespace cupel
