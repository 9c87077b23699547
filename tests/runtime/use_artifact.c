// The program of docs/artifact.md: plain C against a compiled model.
#include <stdio.h>

#include "cupel/cupel.h"

CUPEL_MODEL(sample);

int main(void) {
  CupelSession* session = NULL;
  if (cupel_sample_create(2, &session) != kCupelOk) {
    fprintf(stderr, "%s\n", cupel_sample_error());
    return 1;
  }
  const CupelModel* model = cupel_sample_metadata();
  for (int i = 0; i < model->input_count; ++i)
    printf("input %s: %lld bytes\n", model->inputs[i].name, (long long)model->inputs[i].item_bytes);

  const float x[6] = {1, 2, 3, 4, 5, 6}, bias[3] = {0.25f, 0.5f, 0.75f};
  float y[6];
  int32_t total[1];
  const void* inputs[] = {x, bias};
  void* outputs[] = {y, total};
  const int code = cupel_sample_run(session, 1, inputs, outputs);
  if (code == kCupelOk)
    printf("y[0] = %g, total = %d\n", (double)y[0], (int)total[0]);
  else
    fprintf(stderr, "%s\n", cupel_sample_error());
  cupel_sample_free(session);
  return code;
}
