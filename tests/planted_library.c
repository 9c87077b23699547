// A shared library that is no compiled model: its code runs as soon as it is loaded, and leaves a file named by
// CUPEL_TRACE.
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void leave_trace(void) {
  const char* path = getenv("CUPEL_TRACE");
  FILE* file = path != NULL ? fopen(path, "w") : NULL;
  if (file != NULL) fclose(file);
}

const int cupel_planted_image = 3;
