#include "emit/llvm/emit_kernel.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include "llvm/Support/raw_ostream.h"
#pragma GCC diagnostic pop

#include "emit/llvm/code_generation.h"
#include "emit/llvm/forms.h"

namespace cupel {
namespace {

Status build(llvm::Module& module, const Kernel& kernel, const EmitTarget& target, const std::string& symbol) {
  Emitter emitter(module, target, symbol, kernel.spec);
  if (const auto* contract = std::get_if<ContractSpec>(&kernel.spec)) {
    if (contract->b.dtype == DType::s8 && target.byte_product != ByteProduct::four_u8_s8)
      return internal_error(symbol, "weights of s8 for a target without a dot product of bytes, expected s16");
    emit_contract(emitter, *contract, std::get<ContractSchedule>(kernel.schedule));
  } else if (const auto* window = std::get_if<WindowSpec>(&kernel.spec)) {
    emit_window(emitter, *window, std::get<WindowSchedule>(kernel.schedule));
  } else if (const auto* map = std::get_if<MapSpec>(&kernel.spec)) {
    emit_map(emitter, *map, std::get<MapSchedule>(kernel.schedule));
  } else if (const auto* call = std::get_if<CallSpec>(&kernel.spec)) {
    emit_call(emitter, *call);
  } else {
    emit_row(emitter, std::get<RowSpec>(kernel.spec));
  }
  emitter.finish();
  return {};
}

}  // namespace

Result<Bytes> emit_object(const Kernel& kernel, const EmitTarget& target, const std::string& symbol,
                          const EmitOptions& options) {
  llvm::LLVMContext context;
  llvm::Module module(symbol, context);
  CUPEL_TRY(build(module, kernel, target, symbol));
  return generate_object(module, target, options.code_generation_level);
}

Result<std::string> emit_ir(const Kernel& kernel, const EmitTarget& target, const std::string& symbol) {
  llvm::LLVMContext context;
  llvm::Module module(symbol, context);
  CUPEL_TRY(build(module, kernel, target, symbol));
  promote_variables(module);
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

}  // namespace cupel
