// The C interface of a compiled model: a shared library that needs the C library alone and exports six functions named
// after the model. CUPEL_MODEL(resnet18) declares those of cupel_resnet18_*. docs/artifact.md shows a program.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  kCupelOk = 0,
  kCupelBadArgument = 1,  // null pointer, threads or batch < 1, a batch other than the one the model fixes, or sizes
                          // that the model does not hold
  kCupelNoMemory = 2,
  kCupelNoFeature = 3,    // the CPU lacks an instruction set the code needs
  kCupelBadImage = 4,     // tables of another version
  kCupelBadData = 5,      // inputs the model cannot compute with: an index out of range; outputs are undefined
};

// CupelPort.dtype. Codes of quantized values are u8 or s8.
// clang-format off
enum {
  kCupelF32 = 0, kCupelF64 = 1, kCupelF16 = 2, kCupelBF16 = 3, kCupelU8 = 6, kCupelS8 = 7, kCupelU16 = 8,
  kCupelS16 = 9, kCupelU32 = 10, kCupelS32 = 11, kCupelU64 = 12, kCupelS64 = 13, kCupelBoolean = 14
};
// clang-format on

// An input or output: row-major, in the dimension order of the ONNX file.
typedef struct CupelPort {
  const char* name;
  int32_t dtype;
  int32_t rank;
  const int64_t* dims;  // −1: the batch; −f: f times the batch, item by item
  int64_t item_bytes;   // of one batch item; all bytes where there is no batch
} CupelPort;

// A model for inputs of given sizes. Of a compiled model that holds several they stand in a chain; all have the same
// inputs and outputs but for their dimensions.
typedef struct CupelModel {
  int32_t version;  // of these tables
  const char* model;
  const char* target;           // "x86-64-v4+avx512vnni"
  const char* const* features;  // CPU features the code needs, null-terminated
  const CupelPort* inputs;
  int32_t input_count;
  const CupelPort* outputs;
  int32_t output_count;
  int64_t fixed_batch;  // the one batch that run takes; 0: any
  const char* sizes;    // what it was compiled for, "seq=64"; "" when it is the only one
  const struct CupelModel* next;  // for inputs of other sizes; null: none
} CupelModel;

// Memory and threads of one caller. Sessions are independent of each other; one call at a time for each.
typedef struct CupelSession CupelSession;

// create: threads ≥ 1 counts the calling thread (at most 256 are used); results do not depend on it. Null on failure.
// select: of a model that holds several sizes, further runs of the session take inputs of these dimensions: dims[i][d] is
// dimension d of input i, the batch among them. Gives that batch, and the sizes that fit (one of the metadata's chain),
// where the places are not null. Inputs that fit none are kCupelBadArgument, and nothing changes. A model that holds one
// needs no select.
// run: inputs and outputs in the metadata's order, batch items one after another, aligned to their elements. An output
// may not overlap an input or another output. The first run of a batch larger than all before allocates.
// free: null is allowed.
// error: why the last create, select or run that failed on this thread did so; "" when none did.
// metadata: valid as long as the library is loaded.
#define CUPEL_MODEL(name)                                                                                        \
  int cupel_##name##_create(int threads, CupelSession** session);                                                \
  int cupel_##name##_select(CupelSession* session, const int64_t* const* dims, int64_t* batch,                   \
                            const CupelModel** sizes);                                                           \
  int cupel_##name##_run(CupelSession* session, int64_t batch, const void* const* inputs, void* const* outputs); \
  void cupel_##name##_free(CupelSession* session);                                                               \
  const char* cupel_##name##_error(void);                                                                        \
  const CupelModel* cupel_##name##_metadata(void)

#ifdef __cplusplus
}
#endif
