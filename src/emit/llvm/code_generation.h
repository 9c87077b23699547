// Module -> object file.
#pragma once

#include "base/file.h"
#include "emit/emit_target.h"
#include "emit/llvm/ir.h"

namespace cupel {

// Sets triple and data layout, makes the functions' variables SSA, generates code at `level` (0 … 3).
Result<Bytes> generate_object(llvm::Module& module, const EmitTarget& target, int level);
// Variables of every function to SSA form.
void promote_variables(llvm::Module& module);

}  // namespace cupel
