// What objects depend on besides kernel and target; and LLVM's fatal errors.
#pragma once

#include <string>

namespace cupel {

// "LLVM 19.1.7, cupel-emit 3f2a…": the build identity of this program; empty where it was linked without a build id.
std::string emitter_version();
// `reply` is called with the reason and has to end the process.
void install_fatal_error_replies(void (*reply)(void* context, const char* reason, bool));

}  // namespace cupel
