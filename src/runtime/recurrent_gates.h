// The gates of recurrent operators: their activations, and an LSTM's equations. Header of routines: no exceptions,
// nothing of the C++ library.
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/scalar_math.h"

namespace cupel {

enum Activation {
  kTanh,
  kSigmoid,
  kRelu,
  kAffine,
  kLeakyRelu,
  kThresholdedRelu,
  kScaledTanh,
  kHardSigmoid,
  kElu,
  kSoftsign,
  kSoftplus,
  kActivationCount
};

struct Function {
  int64_t code = 0;
  float alpha = 0.0f, beta = 0.0f;
};

template <class F>
void each(float* x, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) x[i] = f(x[i]);
}

inline void apply(const Function& f, float* x, int64_t n) {
  const float a = f.alpha, b = f.beta;
  switch (f.code) {
    case kTanh: return each(x, n, [](float v) { return tanh_f32(v); });
    case kSigmoid: return each(x, n, [](float v) { return sigmoid_f32(v); });
    case kRelu: return each(x, n, [](float v) { return scalar::greater(0.0f, v); });
    case kAffine: return each(x, n, [=](float v) { return a * v + b; });
    case kLeakyRelu: return each(x, n, [=](float v) { return scalar::select(v < 0.0f, a * v, v); });
    case kThresholdedRelu: return each(x, n, [=](float v) { return scalar::select(v > a, v, 0.0f); });
    case kScaledTanh: return each(x, n, [=](float v) { return a * tanh_f32(b * v); });
    case kHardSigmoid: return each(x, n, [=](float v) { return hard_sigmoid_f32(v, a, b); });
    case kElu: return each(x, n, [=](float v) { return scalar::select(v < 0.0f, a * (exp_f32(v) - 1.0f), v); });
    case kSoftsign: return each(x, n, [](float v) { return v / (1.0f + scalar::magnitude(v)); });
    default: return each(x, n, [](float v) { return softplus_f32(v); });
  }
}

struct Gates {
  int64_t hidden = 0;
  bool clips = false;
  float clip = 0;
  bool input_forget = false;
  const float* peepholes = nullptr;  // i, o, f
  Function functions[3] = {};

  void activate(int64_t which, float* x) const {
    const float limit = clip;
    if (clips) each(x, hidden, [limit](float v) { return v > limit ? limit : v < -limit ? -limit : v; });
    apply(functions[which], x, hidden);
  }

  // Gates i, o, f, c and the state of one row; the new h and c. spare: as long as h.
  void lstm(float* gates, float* h, float* c, float* spare) const {
    float *in = gates, *out = gates + hidden, *forget = gates + 2 * hidden, *next = gates + 3 * hidden;
    if (peepholes != nullptr) {
      for (int64_t j = 0; j < hidden; ++j) {
        in[j] = in[j] + peepholes[j] * c[j];
        forget[j] = forget[j] + peepholes[2 * hidden + j] * c[j];
      }
    }
    activate(0, in);
    if (input_forget)
      for (int64_t j = 0; j < hidden; ++j) forget[j] = 1.0f - in[j];
    else
      activate(0, forget);
    activate(1, next);
    for (int64_t j = 0; j < hidden; ++j) c[j] = forget[j] * c[j] + in[j] * next[j];
    if (peepholes != nullptr)
      for (int64_t j = 0; j < hidden; ++j) out[j] = out[j] + peepholes[hidden + j] * c[j];
    activate(0, out);
    memcpy(spare, c, static_cast<size_t>(hidden) * sizeof(float));
    apply(functions[2], spare, hidden);
    for (int64_t j = 0; j < hidden; ++j) h[j] = out[j] * spare[j];
  }
};

}  // namespace cupel
