// A relocatable ELF object that holds bytes in .rodata, without a pass through LLVM.
#pragma once

#include <span>
#include <string>

#include "base/file.h"

namespace cupel {

// `symbol` (hidden) is at the first byte, 64-byte aligned. x86-64.
Bytes constants_object(std::span<const std::byte> content, const std::string& symbol);

}  // namespace cupel
