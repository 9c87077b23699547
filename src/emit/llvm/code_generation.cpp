#include "emit/llvm/code_generation.h"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <optional>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wextra"
#include "llvm/IR/Dominators.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/PromoteMemToReg.h"
#pragma GCC diagnostic pop

namespace cupel {
namespace {

void start_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
}

}  // namespace

void promote_variables(llvm::Module& module) {
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    llvm::DominatorTree tree(function);
    std::vector<llvm::AllocaInst*> variables;
    for (llvm::Instruction& instruction : function.getEntryBlock())
      if (auto* variable = llvm::dyn_cast<llvm::AllocaInst>(&instruction);
          variable && llvm::isAllocaPromotable(variable))
        variables.push_back(variable);
    llvm::PromoteMemToReg(variables, tree);
  }
}

Result<Bytes> generate_object(llvm::Module& module, const EmitTarget& target, int level) {
  start_llvm();
  std::string cause;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(target.triple, cause);
  if (found == nullptr)
    return unsupported(target.name, "LLVM has no code generation for it: " + cause, "choose another target");
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.FunctionSections = true;
  const auto code_level = llvm::CodeGenOpt::getLevel(level).value_or(llvm::CodeGenOptLevel::Default);
  std::unique_ptr<llvm::TargetMachine> machine(found->createTargetMachine(
      target.triple, target.cpu, target.features, options, llvm::Reloc::PIC_, std::nullopt, code_level));
  module.setTargetTriple(target.triple);
  module.setDataLayout(machine->createDataLayout());
  promote_variables(module);
  std::string problem;
  llvm::raw_string_ostream problem_stream(problem);
  if (llvm::verifyModule(module, &problem_stream))
    return internal_error(module.getName().str(), "invalid LLVM IR: " + problem);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile, true))
    return internal_error(target.name, "LLVM cannot write object files for it");
  passes.run(module);
  const auto* bytes = reinterpret_cast<const std::byte*>(object.data());
  return Bytes(bytes, bytes + object.size());
}

}  // namespace cupel
