// Loads a compiled model, runs it and prints what the process took: footprint MODEL.so PREFIX [THREADS].
// Prints bytes of resident memory at the peak, and before the model was loaded.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cupel/cupel.h"

static long status_kb(const char* key) {
  FILE* file = fopen("/proc/self/status", "r");
  char line[256];
  long value = -1;
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, key, strlen(key)) == 0) value = atol(line + strlen(key) + 1);
  if (file != NULL) fclose(file);
  return value;
}

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: footprint MODEL.so PREFIX [THREADS]\n");
    return 2;
  }
  const long before = status_kb("VmRSS:");
  void* library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  char name[512];
  snprintf(name, sizeof name, "%s_create", argv[2]);
  int (*create)(int, CupelSession**) = (int (*)(int, CupelSession**))dlsym(library, name);
  snprintf(name, sizeof name, "%s_run", argv[2]);
  int (*run)(CupelSession*, int64_t, const void* const*, void* const*) =
      (int (*)(CupelSession*, int64_t, const void* const*, void* const*))dlsym(library, name);
  snprintf(name, sizeof name, "%s_metadata", argv[2]);
  const CupelModel* (*metadata)(void) = (const CupelModel* (*)(void))dlsym(library, name);
  if (create == NULL || run == NULL || metadata == NULL) {
    fprintf(stderr, "%s exports no %s\n", argv[1], argv[2]);
    return 3;
  }
  CupelSession* session = NULL;
  if (create(argc > 3 ? atoi(argv[3]) : 1, &session) != kCupelOk) return 4;
  const CupelModel* model = metadata();
  const void* inputs[16] = {NULL};
  void* outputs[16] = {NULL};
  if (model->input_count > 16 || model->output_count > 16) return 4;
  for (int i = 0; i < model->input_count; ++i) inputs[i] = calloc(1, (size_t)model->inputs[i].item_bytes);
  for (int i = 0; i < model->output_count; ++i) outputs[i] = calloc(1, (size_t)model->outputs[i].item_bytes);
  for (int i = 0; i < 3; ++i)
    if (run(session, 1, inputs, outputs) != kCupelOk) return 5;
  printf("%ld %ld\n", status_kb("VmHWM:") * 1024, before * 1024);
  return 0;
}
