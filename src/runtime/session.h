// Session: runs an Image. C interface, also exported by every Image under cupel_<model>_*. Sessions are independent; one
// call at a time for each. No exceptions, no C++ library: an Image needs libc alone.
#pragma once

#include "runtime/image.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CupelSession CupelSession;

enum {
  kCupelOk = 0,
  kCupelBadArgument = 1,   // null pointer, batch < 1, or a batch other than the one the model fixes
  kCupelNoMemory = 2,
  kCupelNoFeature = 3,     // the CPU lacks an instruction set the code needs
  kCupelBadImage = 4,      // another version of the tables
};

// threads ≥ 1 counts the calling thread. On failure *session is null.
int cupel_session_create(const CupelImage* image, int threads, CupelSession** session);
// inputs and outputs in the Image's order, row-major, batch items one after another; outputs hold batch·item_bytes.
int cupel_session_run(CupelSession* session, int64_t batch, const void* const* inputs, void* const* outputs);
void cupel_session_free(CupelSession* session);
// "the CPU lacks avx512vnni": why the last create on this thread failed.
const char* cupel_session_error(void);

// Called after each step that has a result, before its memory is reused: step, and the bytes of its buffer for item 0.
typedef void (*CupelTap)(void* context, const CupelImageStep* step, const uint8_t* buffer, int64_t batch);
// Called after each step with its time.
typedef void (*CupelStepTime)(void* context, const CupelImageStep* step, int64_t time_ns);
void cupel_session_set_tap(CupelSession* session, CupelTap tap, void* context);
void cupel_session_set_timer(CupelSession* session, CupelStepTime timer, void* context);
// Bytes of the arena for the largest batch run so far.
int64_t cupel_session_arena_bytes(const CupelSession* session);

#ifdef __cplusplus
}
#endif
