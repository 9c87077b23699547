// lld starts every code generator that its LLVM was built with. Those that are not linked here start nothing.
// The names of the one that is linked are moved out of the way.
#define LLVMInitializeX86Target cupel_no_target
#define LLVMInitializeX86TargetMC cupel_no_target_mc
#define LLVMInitializeX86TargetInfo cupel_no_target_description
#define LLVMInitializeX86AsmPrinter cupel_no_printer
#define LLVMInitializeX86AsmParser cupel_no_parser

extern "C" {
#define LLVM_TARGET(name)                  \
  void LLVMInitialize##name##Target() {}   \
  void LLVMInitialize##name##TargetMC() {} \
  void LLVMInitialize##name##TargetInfo() {}
#include "llvm/Config/Targets.def"
#define LLVM_ASM_PRINTER(name) \
  void LLVMInitialize##name##AsmPrinter() {}
#include "llvm/Config/AsmPrinters.def"
#define LLVM_ASM_PARSER(name) \
  void LLVMInitialize##name##AsmParser() {}
#include "llvm/Config/AsmParsers.def"
}
