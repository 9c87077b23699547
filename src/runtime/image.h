// The content of an Image: plain tables that the compiler writes into a shared library and Session reads. C layout, no
// pointers into the compiler.
#pragma once

#include "cupel/cupel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { kCupelImageVersion = 5 };

// Of one Image: the longest chain of sizes.
enum { kCupelMostSizes = 64 };

// A kernel's code: computes units [begin, end) of items·units_per_item, numbered item-major. buffers[i]: byte 0 of
// operand i's buffer for batch item 0.
typedef void (*CupelKernel)(uint8_t* const* buffers, int64_t begin, int64_t end);

typedef CupelPort CupelImagePort;

enum { kCupelInput = 0, kCupelOutput = 1, kCupelArena = 2, kCupelConstant = 3, kCupelFault = 4 };

typedef struct CupelImageBuffer {
  int32_t place;   // one of the five above; kCupelFault: the run's CupelFault (runtime/routines.h)
  int32_t index;   // of the input or output
  int64_t offset;  // arena: bytes for one item, multiplied by their number; constant: bytes in the block
} CupelImageBuffer;

// Where the result of a step lies, for taps: element i at offset + Σ strides[d]·i[d] of its buffer's item.
typedef struct CupelImageResult {
  const char* value_name;  // null: the step has no tap
  int32_t dtype;
  int32_t rank;  // without the batch
  const int64_t* dims;
  const int64_t* strides;
  int64_t offset, item_stride;
  float scale;  // of codes; 0 for numbers
  int32_t zero_point;
} CupelImageResult;

typedef struct CupelImageStep {
  CupelKernel run;
  const char* name;
  const char* origins;     // names separated by newlines
  const int32_t* buffers;  // into CupelImage.buffers
  int32_t buffer_count;
  int64_t units_per_item;
  int64_t effort;  // for one item, in multiply-adds of codes at full rate, to decide on threads
  // For measurements; Session does not read them.
  int64_t multiply_adds;   // of matrix products and convolutions, for one item; 0 for other kernels
  int64_t item_bytes;      // of values read and written for one item, each counted once
  int64_t constant_bytes;  // of constants read, once for a batch
  int32_t accumulator;     // where there are multiply-adds: kCupelS32 (of codes) or kCupelF32
  CupelImageResult result;
} CupelImageStep;

// Begins with the fields of CupelModel.
typedef struct CupelImage {
  int32_t version;
  const char* model;
  const char* target;           // "x86-64-v4+avx512vnni"
  const char* const* features;  // CPU features the code needs, null-terminated
  const CupelImagePort* inputs;
  int32_t input_count;
  const CupelImagePort* outputs;
  int32_t output_count;
  int64_t fixed_batch;            // 0: any
  const char* sizes;              // "seq=64"; "" when it is the only one
  const struct CupelImage* next;  // the same model for inputs of other sizes; the constants are shared
  const CupelImageBuffer* buffers;
  int32_t buffer_count;
  const CupelImageStep* steps;
  int32_t step_count;
  const uint8_t* constants;  // 64-byte aligned
  int64_t constants_bytes;
  int64_t arena_bytes;    // for one item; every buffer has 64 spare bytes behind it
  const char* tuned_for;  // the CPU whose schedules it has: "generic", "znver4"
} CupelImage;

// The ELF note by which a file is known as a compiled model, read as data before any code of the file runs. Section
// .note.cupel of every Image.
enum { kCupelNoteType = 1 };

typedef struct CupelImageNote {
  uint32_t owner_bytes, content_bytes, type;  // sizeof owner with its zero, of what follows it, kCupelNoteType
  char owner[8];                              // "Cupel", zeros behind it
  uint32_t version;                           // kCupelImageVersion
  uint8_t sha256[32];                         // of the whole file with these bytes zero
} CupelImageNote;

#ifdef __cplusplus
}
#endif
