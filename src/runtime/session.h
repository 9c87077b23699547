// Session: runs an Image. C interface; include/cupel/cupel.h has the part that every Image exports under
// cupel_<model>_*, and the codes that these functions return. Sessions are independent; one call at a time for each. No
// exceptions, no C++ library: an Image needs libc alone.
#pragma once

#include "runtime/image.h"

#ifdef __cplusplus
extern "C" {
#endif

// threads ≥ 1 counts the calling thread; at most 256 are used. On failure *session is null. The image must outlive it.
int cupel_session_create(const CupelImage* image, int threads, CupelSession** session);
// Chooses, of the chain that begins with the session's Image, the one whose inputs have these dimensions: dims[i][d] is
// dimension d of input i. Gives the batch and the Image where the places are not null. kCupelBadArgument, naming all
// that there are, when no one fits; the session's choice then stays. The batch is 1 where no input has one.
int cupel_session_select(CupelSession* session, const int64_t* const* dims, int64_t* batch, const CupelModel** sizes);
// The same by an Image of the chain.
int cupel_session_choose(CupelSession* session, const CupelImage* sizes);
// inputs and outputs in the chosen Image's order, row-major, batch items one after another; outputs hold
// batch·item_bytes. Results do not depend on the number of threads. Kernels run as runtime/floating_point.h says,
// whatever the caller's setting; the caller's setting is restored.
int cupel_session_run(CupelSession* session, int64_t batch, const void* const* inputs, void* const* outputs);
void cupel_session_free(CupelSession* session);
// "the CPU lacks avx512vnni": why the last create or run that failed on this thread did so. Valid until the next.
const char* cupel_session_error(void);

// Called after each step whose result has a value_name, before its memory is reused: step, and byte 0 of the buffer of
// its result (the first of its buffers) for item 0.
typedef void (*CupelTap)(void* context, const CupelImageStep* step, const uint8_t* buffer, int64_t batch);
// Called after each step with its time.
typedef void (*CupelStepTime)(void* context, const CupelImageStep* step, int64_t time_ns);
// Null for none.
void cupel_session_set_tap(CupelSession* session, CupelTap tap, void* context);
void cupel_session_set_timer(CupelSession* session, CupelStepTime timer, void* context);
// Bytes of the arena for the largest run so far.
int64_t cupel_session_arena_bytes(const CupelSession* session);

#ifdef __cplusplus
}
#endif
