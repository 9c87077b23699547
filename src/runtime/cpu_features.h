// Whether this CPU and operating system offer an instruction set, by LLVM's name for it.
#pragma once

namespace cupel {

// False for a name without a row of this architecture (base/cpu_features.def), and for matrix tiles (AMX), which a
// process has to ask for first.
bool cpu_has(const char* name);

}  // namespace cupel
