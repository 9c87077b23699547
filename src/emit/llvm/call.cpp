// Calls: the routine of the runtime, with a description of the kernel that lies beside the code.
#include "emit/llvm/forms.h"
#include "kernel/routines.h"

namespace cupel {
namespace {

using llvm::Constant;

// Builds a CupelCall (runtime/routines.h) field by field; its layout is that of the C types.
class Description {
 public:
  explicit Description(Emitter& emitter) : e_(emitter), module_(emitter.module()) {}

  Constant* of(const CallSpec& spec) {
    std::vector<Constant*> accesses = {access(spec.out)};
    for (const Access& operand : spec.operands) accesses.push_back(access(operand));
    return global(structure({number(static_cast<int64_t>(spec.space.size())), numbers(spec.space), array(accesses),
                             numbers(spec.integers)}));
  }

 private:
  Constant* access(const Access& a) {
    return structure({number(dtype_bits(a.dtype) / 8), number(a.offset), number(a.item_stride), numbers(a.strides)});
  }
  Constant* number(int64_t value) { return e_.ir.getInt64(static_cast<uint64_t>(value)); }
  Constant* structure(const std::vector<Constant*>& fields) {
    return llvm::ConstantStruct::getAnon(module_.getContext(), fields);
  }
  Constant* global(Constant* value) {
    return new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value, "call");
  }
  // A pointer to the elements; null for none.
  Constant* array(const std::vector<Constant*>& elements) {
    if (elements.empty()) return llvm::ConstantPointerNull::get(e_.ir.getPtrTy());
    return global(llvm::ConstantArray::get(llvm::ArrayType::get(elements[0]->getType(), elements.size()), elements));
  }
  Constant* numbers(const std::vector<int64_t>& values) {
    std::vector<Constant*> elements;
    for (const int64_t value : values) elements.push_back(number(value));
    return array(elements);
  }

  Emitter& e_;
  llvm::Module& module_;
};

}  // namespace

void emit_call(Emitter& e, const CallSpec& spec) {
  llvm::Type* pointer = e.ir.getPtrTy();
  auto* type = llvm::FunctionType::get(e.ir.getVoidTy(), {pointer, pointer, e.s64(), e.s64()}, false);
  llvm::FunctionCallee routine = e.module().getOrInsertFunction(routine_row(spec.routine).symbol, type);
  llvm::cast<llvm::Function>(routine.getCallee())->setVisibility(llvm::GlobalValue::HiddenVisibility);
  llvm::Value* buffers = e.ir.GetInsertBlock()->getParent()->getArg(0);
  e.ir.CreateCall(routine, {Description(e).of(spec), buffers, e.begin(), e.end()});
}

}  // namespace cupel
