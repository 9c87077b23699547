// Kernel + target -> object file. A pure function of its arguments, LLVM's version and kEmitterVersion.
#pragma once

#include <string>

#include "base/file.h"
#include "emit/emit_target.h"
#include "kernel/kernel.h"

namespace cupel {

struct EmitOptions {
  int code_generation_level = 2;  // LLVM's 0 … 3; changes no result
};

// A relocatable ELF object that defines `symbol`, a CupelKernel (runtime/image.h).
Result<Bytes> emit_object(const Kernel& kernel, const EmitTarget& target, const std::string& symbol,
                          const EmitOptions& options = {});
// The LLVM IR before code generation, as text.
Result<std::string> emit_ir(const Kernel& kernel, const EmitTarget& target, const std::string& symbol);

}  // namespace cupel
