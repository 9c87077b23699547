// How fast one core of this machine begins vector multiply-adds: what start schedules ask.
#pragma once

#include <cstdint>

namespace cupel {

// Multiply-adds of the widest vectors that one core begins in a cycle, 1 or 2. Measured once for each process, in about
// 3 ms; 0 where there are no loops to measure with.
int widest_products_per_cycle();

}  // namespace cupel
