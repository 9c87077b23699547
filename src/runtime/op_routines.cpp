// The functions that compiled code calls, one for each row of op_routines.def.
#include "runtime/op_call.h"

#define CUPEL_OP_ROUTINE(name)                                                                                        \
  extern "C" void cupel_op_##name(const CupelCall* call, uint8_t* const* buffers, int64_t begin, int64_t end) {       \
    cupel::for_items(*call, buffers, begin, end,                                                                      \
                     [](const cupel::OpCall& c, int64_t first, int64_t last) { cupel::run_##name(c, first, last); }); \
  }
#include "runtime/op_routines.def"
#undef CUPEL_OP_ROUTINE
