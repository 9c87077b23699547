#include "emit/llvm/image_tables.h"

#include "emit/llvm/code_generation.h"
#include "runtime/image.h"

namespace cupel {
namespace {

using llvm::Constant;

// Builds the structures of runtime/image.h field by field; their layout is that of the C types.
class TablesModule {
 public:
  TablesModule(llvm::Module& module, const ImageChain& chain)
      : module_(module), context_(module.getContext()), chain_(chain) {
    pointer_ = llvm::PointerType::get(context_, 0);
  }

  void build() {
    Constant* next = none();
    for (size_t i = chain_.images.size(); i-- > 1;) next = global("image", image_of(chain_.images[i], next));
    llvm::GlobalVariable* image = global("image", image_of(chain_.images.at(0), next));
    llvm::Type* i32 = llvm::Type::getInt32Ty(context_);
    llvm::Type* i64 = llvm::Type::getInt64Ty(context_);
    image->setName(chain_.prefix + "_image");
    image->setLinkage(llvm::GlobalValue::ExternalLinkage);
    returns_pointer("_metadata", image);
    forwards("_create", "cupel_session_create", i32, {i32, pointer_}, image);
    forwards("_select", "cupel_session_select", i32, {pointer_, pointer_, pointer_, pointer_}, nullptr);
    forwards("_run", "cupel_session_run", i32, {pointer_, i64, pointer_, pointer_}, nullptr);
    forwards("_free", "cupel_session_free", llvm::Type::getVoidTy(context_), {pointer_}, nullptr);
    forwards("_error", "cupel_session_error", pointer_, {}, nullptr);
  }

 private:
  Constant* image_of(const ImageTables& tables, Constant* next) {
    return structure({s32(kCupelImageVersion), text(tables.model), text(tables.target), features(tables),
                      ports(tables.inputs), count(tables.inputs), ports(tables.outputs), count(tables.outputs),
                      s64(tables.fixed_batch), text(tables.sizes), next, buffers(tables), count(tables.buffers),
                      steps(tables), count(tables.steps), constants(), s64(tables.constants_bytes),
                      s64(tables.arena_bytes), text(tables.tuned_for)});
  }
  Constant* s32(int64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getInt32Ty(context_), static_cast<uint64_t>(value));
  }
  Constant* s64(int64_t value) {
    return llvm::ConstantInt::get(llvm::Type::getInt64Ty(context_), static_cast<uint64_t>(value));
  }
  Constant* f32(float value) { return llvm::ConstantFP::get(context_, llvm::APFloat(value)); }
  Constant* none() { return llvm::ConstantPointerNull::get(llvm::cast<llvm::PointerType>(pointer_)); }
  template <class T>
  Constant* count(const std::vector<T>& values) {
    return s32(static_cast<int64_t>(values.size()));
  }
  Constant* structure(const std::vector<Constant*>& fields) { return llvm::ConstantStruct::getAnon(context_, fields); }

  llvm::GlobalVariable* global(const char* name, Constant* value) {
    return new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value, name);
  }
  Constant* text(const std::string& value) {
    return global("text", llvm::ConstantDataArray::getString(context_, value));
  }
  // A pointer to the elements; null for none.
  Constant* array(const std::vector<Constant*>& elements, const char* name) {
    if (elements.empty()) return none();
    return global(name,
                  llvm::ConstantArray::get(llvm::ArrayType::get(elements[0]->getType(), elements.size()), elements));
  }
  Constant* numbers(const std::vector<int64_t>& values) {
    std::vector<Constant*> elements;
    for (int64_t value : values) elements.push_back(s64(value));
    return array(elements, "numbers");
  }

  Constant* features(const ImageTables& tables) {
    std::vector<Constant*> names;
    for (const std::string& name : tables.features) names.push_back(text(name));
    names.push_back(none());
    return array(names, "features");
  }
  Constant* ports(const std::vector<ImageTables::Port>& rows) {
    std::vector<Constant*> elements;
    for (const ImageTables::Port& row : rows)
      elements.push_back(
          structure({text(row.name), s32(row.dtype), count(row.dims), numbers(row.dims), s64(row.item_bytes)}));
    return array(elements, "ports");
  }
  Constant* buffers(const ImageTables& tables) {
    std::vector<Constant*> elements;
    for (const ImageTables::Buffer& row : tables.buffers)
      elements.push_back(structure({s32(row.place), s32(row.index), s64(row.offset)}));
    return array(elements, "buffers");
  }
  Constant* constants() {
    if (llvm::GlobalVariable* known = module_.getGlobalVariable(kConstantsSymbol)) return known;
    return new llvm::GlobalVariable(module_, llvm::Type::getInt8Ty(context_), true, llvm::GlobalValue::ExternalLinkage,
                                    nullptr, kConstantsSymbol);
  }
  Constant* steps(const ImageTables& tables) {
    std::vector<Constant*> elements;
    auto* kernel =
        llvm::FunctionType::get(llvm::Type::getVoidTy(context_),
                                {pointer_, llvm::Type::getInt64Ty(context_), llvm::Type::getInt64Ty(context_)}, false);
    for (const ImageTables::Step& row : tables.steps) {
      std::vector<Constant*> buffers;
      for (int32_t buffer : row.buffers) buffers.push_back(s32(buffer));
      llvm::Function* run = module_.getFunction(row.symbol);
      if (run == nullptr) {
        run = llvm::Function::Create(kernel, llvm::Function::ExternalLinkage, row.symbol, module_);
        run->setVisibility(llvm::GlobalValue::HiddenVisibility);
      }
      Constant* result =
          structure({row.tapped ? text(row.value_name) : none(), s32(row.dtype), count(row.dims), numbers(row.dims),
                     numbers(row.strides), s64(row.offset), s64(row.item_stride), f32(row.scale), s32(row.zero_point)});
      elements.push_back(
          structure({run, text(row.name), text(row.origins), array(buffers, "step_buffers"), count(row.buffers),
                     s64(row.units_per_item), s64(row.effort), s64(row.multiply_adds), s64(row.item_bytes),
                     s64(row.constant_bytes), s32(row.accumulator), result}));
    }
    return array(elements, "steps");
  }

  llvm::Function* exported(const std::string& name, llvm::Type* result, const std::vector<llvm::Type*>& parameters) {
    auto* type = llvm::FunctionType::get(result, parameters, false);
    return llvm::Function::Create(type, llvm::Function::ExternalLinkage, chain_.prefix + name, module_);
  }
  void returns_pointer(const std::string& name, Constant* value) {
    Builder ir(llvm::BasicBlock::Create(context_, "", exported(name, pointer_, {})));
    ir.CreateRet(value);
  }
  // Calls `to` with the same arguments, `first` before them.
  void forwards(const std::string& name, const std::string& to, llvm::Type* result,
                const std::vector<llvm::Type*>& parameters, Constant* first) {
    llvm::Function* function = exported(name, result, parameters);
    Builder ir(llvm::BasicBlock::Create(context_, "", function));
    std::vector<llvm::Type*> types = parameters;
    std::vector<llvm::Value*> arguments;
    if (first != nullptr) {
      types.insert(types.begin(), pointer_);
      arguments.push_back(first);
    }
    for (llvm::Argument& argument : function->args()) arguments.push_back(&argument);
    llvm::FunctionCallee callee = module_.getOrInsertFunction(to, llvm::FunctionType::get(result, types, false));
    llvm::cast<llvm::Function>(callee.getCallee())->setVisibility(llvm::GlobalValue::HiddenVisibility);
    llvm::Value* value = ir.CreateCall(callee, arguments);
    if (result->isVoidTy()) {
      ir.CreateRetVoid();
    } else {
      ir.CreateRet(value);
    }
  }

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  const ImageChain& chain_;
  llvm::Type* pointer_ = nullptr;
};

}  // namespace

Result<Bytes> tables_object(const ImageChain& chain, const EmitTarget& target) {
  llvm::LLVMContext context;
  llvm::Module module("image tables", context);
  if (chain.images.empty()) return internal_error("the image's tables", "there are none");
  TablesModule(module, chain).build();
  // Plain code: `create` runs before the CPU is known to have the target's features.
  EmitTarget plain = target;
  plain.cpu = "x86-64";
  plain.features.clear();
  return generate_object(module, plain, 1);
}

}  // namespace cupel
