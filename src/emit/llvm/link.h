// Linking within the process by lld.
#pragma once

#include "base/result.h"
#include "emit/protocol.h"

namespace cupel {

// A shared library that needs libc.so.6 alone.
Status link_library(const LinkRequest& request);

}  // namespace cupel
