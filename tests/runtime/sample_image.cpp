// An Image written by hand, as the compiler would write it: linked into the tests, and built as shared libraries that
// need libc alone. CUPEL_SAMPLE names the model, _FEATURE a CPU feature it asks for, _VERSION its tables' version,
// _FACTOR what its first step multiplies by, _BATCH the batch it fixes, _Y_BYTES what it says of the size of y.
//
//   x f32[batch,2,3], bias f32[3]
//   scaled = x · factor                stored as [3][2]: the last dimension outermost
//   codes  = u8 code of scaled         scale 0.5, zero point 10
//   y      = scaled + bias + weights   f32[batch,2,3]
//   total  = Σ codes                   s32[batch]
#include "runtime/session.h"

#ifndef CUPEL_SAMPLE
#define CUPEL_SAMPLE sample
#endif
#ifndef CUPEL_SAMPLE_FEATURE
#define CUPEL_SAMPLE_FEATURE nullptr
#endif
#ifndef CUPEL_SAMPLE_VERSION
#define CUPEL_SAMPLE_VERSION kCupelImageVersion
#endif
#ifndef CUPEL_SAMPLE_FACTOR
#define CUPEL_SAMPLE_FACTOR 2.0f
#endif
#ifndef CUPEL_SAMPLE_BATCH
#define CUPEL_SAMPLE_BATCH 0
#endif
#ifndef CUPEL_SAMPLE_Y_BYTES
#define CUPEL_SAMPLE_Y_BYTES 24
#endif

#define CUPEL_TEXT_(x) #x
#define CUPEL_TEXT(x) CUPEL_TEXT_(x)
#define CUPEL_JOIN_(model, name) cupel_##model##_##name
#define CUPEL_JOIN(model, name) CUPEL_JOIN_(model, name)
#define CUPEL_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int64_t kHeight = 2, kWidth = 3, kItem = kHeight * kWidth;
constexpr int64_t kBig = int64_t{1} << 20;  // effort, so that even one item is split over threads

// A unit is one column of an item. buffers: scaled, x.
void scale(uint8_t* const* buffers, int64_t begin, int64_t end) {
  auto* scaled = reinterpret_cast<float*>(buffers[0]);
  const auto* x = reinterpret_cast<const float*>(buffers[1]);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t item = unit / kWidth, w = unit % kWidth;
    for (int64_t h = 0; h < kHeight; ++h)
      scaled[item * 64 + w * kHeight + h] = x[item * kItem + h * kWidth + w] * CUPEL_SAMPLE_FACTOR;
  }
}

// A unit is one column of an item. buffers: codes, scaled.
void quantize(uint8_t* const* buffers, int64_t begin, int64_t end) {
  uint8_t* codes = buffers[0];
  const auto* scaled = reinterpret_cast<const float*>(buffers[1]);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t item = unit / kWidth, w = unit % kWidth;
    for (int64_t h = 0; h < kHeight; ++h)
      codes[item * 64 + w * kHeight + h] = static_cast<uint8_t>(scaled[item * 64 + w * kHeight + h] * 2.0f + 10.0f);
  }
}

// A unit is one row of an item. buffers: y, scaled, bias, weights.
void add(uint8_t* const* buffers, int64_t begin, int64_t end) {
  auto* y = reinterpret_cast<float*>(buffers[0]);
  const auto* scaled = reinterpret_cast<const float*>(buffers[1]);
  const auto* bias = reinterpret_cast<const float*>(buffers[2]);
  const auto* weights = reinterpret_cast<const float*>(buffers[3]);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t item = unit / kHeight, h = unit % kHeight;
    for (int64_t w = 0; w < kWidth; ++w)
      y[item * kItem + h * kWidth + w] = scaled[item * 64 + w * kHeight + h] + bias[w] + weights[w];
  }
}

// A unit is one item. buffers: total, codes.
void sum(uint8_t* const* buffers, int64_t begin, int64_t end) {
  auto* total = reinterpret_cast<int32_t*>(buffers[0]);
  for (int64_t item = begin; item < end; ++item) {
    total[item] = 0;
    for (int64_t i = 0; i < kItem; ++i) total[item] += buffers[1][item * 64 + i];
  }
}

const char* const kFeatures[] = {"sse2", CUPEL_SAMPLE_FEATURE, nullptr};

const int64_t kXDims[] = {-1, kHeight, kWidth}, kBiasDims[] = {kWidth}, kTotalDims[] = {-1};
const CupelImagePort kInputs[] = {{"x", kCupelF32, 3, kXDims, kItem * 4},
                                  {"bias", kCupelF32, 1, kBiasDims, kWidth * 4}};
const CupelImagePort kOutputs[] = {{"y", kCupelF32, 3, kXDims, CUPEL_SAMPLE_Y_BYTES},
                                   {"total", kCupelS32, 1, kTotalDims, 4}};

alignas(64) const float kConstants[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300};

// 0 x, 1 bias, 2 y, 3 total, 4 scaled (256 bytes an item), 5 codes (64 bytes), 6 weights
const CupelImageBuffer kBuffers[] = {{kCupelInput, 0, 0},    {kCupelInput, 1, 0},  {kCupelOutput, 0, 0},
                                     {kCupelOutput, 1, 0},   {kCupelArena, 0, 64}, {kCupelArena, 0, 320},
                                     {kCupelConstant, 0, 64}};

const int64_t kStoredDims[] = {kHeight, kWidth};
const int64_t kScaledStrides[] = {4, 8}, kCodesStrides[] = {1, 2}, kRowStrides[] = {12, 4};
const int32_t kScaleBuffers[] = {4, 0}, kQuantizeBuffers[] = {5, 4}, kAddBuffers[] = {2, 4, 1, 6},
              kSumBuffers[] = {3, 5};

const CupelImageStep kSteps[] = {
    {scale,
     "map_f32",
     "Mul_0",
     kScaleBuffers,
     2,
     kWidth,
     kBig,
     0,
     kItem * 8,
     0,
     0,
     {"scaled", kCupelF32, 2, kStoredDims, kScaledStrides, 0, 256, 0, 0}},
    {quantize,
     "map_u8",
     "Quantize_1",
     kQuantizeBuffers,
     2,
     kWidth,
     kBig,
     0,
     kItem * 5,
     0,
     0,
     {"codes", kCupelU8, 2, kStoredDims, kCodesStrides, 0, 64, 0.5f, 10}},
    {add,
     "map_f32_2",
     "Add_2\nAdd_3",
     kAddBuffers,
     4,
     kHeight,
     kBig,
     0,
     kItem * 8 + kWidth * 4,
     kWidth * 4,
     0,
     {"y", kCupelF32, 2, kStoredDims, kRowStrides, 0, kItem * 4, 0, 0}},
    {sum, "row_s32", "Sum_4", kSumBuffers, 2, 1, 1, 0, kItem + 4, 0, 0, {}},
};

}  // namespace

CUPEL_EXPORT const CupelImage CUPEL_JOIN(CUPEL_SAMPLE, image);
const CupelImage CUPEL_JOIN(CUPEL_SAMPLE, image) = {CUPEL_SAMPLE_VERSION,
                                                    CUPEL_TEXT(CUPEL_SAMPLE),
                                                    "x86-64",
                                                    kFeatures,
                                                    kInputs,
                                                    2,
                                                    kOutputs,
                                                    2,
                                                    CUPEL_SAMPLE_BATCH,
                                                    "",
                                                    nullptr,
                                                    kBuffers,
                                                    7,
                                                    kSteps,
                                                    4,
                                                    reinterpret_cast<const uint8_t*>(kConstants),
                                                    sizeof kConstants,
                                                    448,
                                                    "generic"};

CUPEL_EXPORT int CUPEL_JOIN(CUPEL_SAMPLE, create)(int threads, CupelSession** session) {
  return cupel_session_create(&CUPEL_JOIN(CUPEL_SAMPLE, image), threads, session);
}
CUPEL_EXPORT int CUPEL_JOIN(CUPEL_SAMPLE, run)(CupelSession* session, int64_t batch, const void* const* inputs,
                                               void* const* outputs) {
  return cupel_session_run(session, batch, inputs, outputs);
}
CUPEL_EXPORT int CUPEL_JOIN(CUPEL_SAMPLE, select)(CupelSession* session, const int64_t* const* dims, int64_t* batch,
                                                  const CupelModel** sizes) {
  return cupel_session_select(session, dims, batch, sizes);
}
CUPEL_EXPORT void CUPEL_JOIN(CUPEL_SAMPLE, free)(CupelSession* session) { cupel_session_free(session); }
CUPEL_EXPORT const char* CUPEL_JOIN(CUPEL_SAMPLE, error)(void) { return cupel_session_error(); }
CUPEL_EXPORT const CupelModel* CUPEL_JOIN(CUPEL_SAMPLE, metadata)(void) {
  return reinterpret_cast<const CupelModel*>(&CUPEL_JOIN(CUPEL_SAMPLE, image));
}
