// What a kernel has to do at least, counted from its spec: the numerator of every rate.
#pragma once

#include "kernel/kernel.h"

namespace cupel {

// For one batch item.
struct KernelWork {
  // About how long one thread takes, in u8·s8 multiply-adds at full rate.
  int64_t effort = 0;
  int64_t multiply_adds = 0;       // of contracts and dot windows alone
  DType accumulator = DType::s32;  // s32 (products of codes) or f32; where there are multiply-adds
  // Bytes of values that are read and written, each counted once however often the loops come back to it.
  int64_t item_bytes = 0;
  // Bytes of packed constants that are read; once for a whole batch.
  int64_t constant_bytes = 0;
};

KernelWork work_of(const Kernel& kernel);

}  // namespace cupel
