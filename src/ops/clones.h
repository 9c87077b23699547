// CUPEL_CLONES before a function: it is compiled for several x86-64 levels and chosen at load time. The results are the
// same at every level (no contraction, no reordering), only the speed differs.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define CUPEL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CUPEL_CLONES
#endif
