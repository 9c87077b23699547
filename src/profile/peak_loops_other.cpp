#if !defined(__x86_64__) && !defined(__aarch64__)

#include "profile/peak_loops.h"

namespace cupel {

std::span<const PeakLoop> peak_loops() { return {}; }
std::span<const ReadLoop> read_loops() { return {}; }

}  // namespace cupel

#endif
