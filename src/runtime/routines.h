// Routines: what kernels of form call run (kernel/kernel.h has the meaning of each). C layout; the compiler writes a
// CupelCall into the object of a kernel, and the evaluation without LLVM passes one to the same function.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kCupelMostCallDimensions = 12 };

typedef struct CupelAccess {
  int64_t element_bytes;
  int64_t offset, item_stride;
  const int64_t* strides;
} CupelAccess;

typedef struct CupelCall {
  int64_t rank;
  const int64_t* space;
  const CupelAccess* accesses;  // of the result, then of the operands
  const int64_t* integers;
} CupelCall;

// Data that a routine cannot compute with: an index outside [−extent, extent). All zero: none was found.
// What a routine could not compute with.
enum {
  kCupelIndexOutside = 1,   // `index` is none of [−extent, extent)
  kCupelDividedByZero = 2,  // element `index` of its item is an integer divided by 0
};
typedef struct CupelFault {
  int32_t found;  // one of these; 0: nothing
  int32_t lock;
  int64_t unit;  // of those that were noted, the first one is kept
  int64_t item;  // of the batch
  int64_t index, extent;
} CupelFault;

// Computes units [begin, end). buffers: of the accesses, then a CupelFault. A fault ends the range.
typedef void (*CupelRoutine)(const CupelCall* call, uint8_t* const* buffers, int64_t begin, int64_t end);

void cupel_call_gather(const CupelCall* call, uint8_t* const* buffers, int64_t begin, int64_t end);
#define CUPEL_OP_ROUTINE(name) \
  void cupel_op_##name(const CupelCall* call, uint8_t* const* buffers, int64_t begin, int64_t end);
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE

#ifdef __cplusplus
}

namespace cupel {

// Keeps the fault with the least unit; several threads may note at once.
void note_fault(CupelFault& fault, int32_t kind, int64_t unit, int64_t item, int64_t index, int64_t extent);
// What was found, for messages.
struct FaultText {
  char text[160];
};
FaultText describe_fault(const CupelFault& fault);

}  // namespace cupel
#endif
