// Why the last call on each thread failed. No thread-local storage: a library that is loaded late gets little of it,
// and loses it for good when it is unloaded.
#pragma once

#include <stdarg.h>

namespace cupel {

// Keeps the text, cut at 255 bytes, for the current thread. The texts of the last 64 threads that failed are kept.
__attribute__((format(printf, 1, 0))) void set_last_error(const char* format, va_list arguments);
// "" when there is none. Valid until the next failure on this thread.
const char* last_error();

}  // namespace cupel
