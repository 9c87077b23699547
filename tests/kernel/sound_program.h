// A small Program with every kind of access: a padded image, a window, a contraction whose result lies beside another
// kernel's, a map in place, an output.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernel/program.h"
#include "lower/builder.h"

namespace cupel {

constexpr int64_t kRows = 6, kPixels = 5, kChannels = 20, kPixel = 32;  // bytes from pixel to pixel
constexpr int64_t kLine = (kPixels + 2) * kPixel, kImage = (kRows + 2) * kLine;

enum Buffers : int64_t { kX, kPadded, kPooled, kPacked, kStart, kJoined, kDoubled, kY };

inline ScalarExpr copied(DType type) {
  ExprBuilder b;
  return b.finish(b.operand(0, type));
}

inline Step step(std::string name, Kernel kernel, std::vector<int64_t> buffers) {
  Step s;
  s.name = std::move(name);
  s.kernel = std::move(kernel);
  s.buffers = std::move(buffers);
  return s;
}

// The border of the padded image: above, below, left, right.
inline Step fill(int64_t offset, int64_t rows, int64_t pixels) {
  ExprBuilder b;
  return step(
      "fill",
      {MapSpec{{rows, pixels, kPixel}, {}, b.finish(Scalar(7)), {DType::u8, false, offset, kImage, {kLine, kPixel, 1}}},
       MapSchedule{}},
      {kPadded});
}

inline Step into_image() {
  const int64_t corner = kLine + kPixel;
  return step("into_image",
              {MapSpec{{kRows, kPixels, kChannels},
                       {{DType::u8, false, 0, kRows * kPixels * kChannels, {kPixels * kChannels, kChannels, 1}}},
                       copied(DType::u8),
                       {DType::u8, false, corner, kImage, {kLine, kPixel, 1}}},
               MapSchedule{}},
              {kPadded, kX});
}

// 3x3 maxima over the padded image.
inline Step pool() {
  WindowSpec s;
  s.kind = WindowKind::max;
  s.space = {kRows, kPixels, kChannels};
  s.a = {DType::u8, false, 0, kImage, {kLine, kPixel, 1}};
  s.loops = {{3, kLine}, {3, kPixel}};
  ExprBuilder b;
  s.epilogue = b.finish(b.accumulator(0, ScalarType::s32));
  s.out = {DType::u8, false, 0, kRows * kPixels * kPixel, {kPixels * kPixel, kPixel, 1}};
  return step("pool", {s, WindowSchedule{2, 2, 1}}, {kPooled, kPadded});
}

// Products of each pixel's 20 codes with 24 columns; the result begins where the channels of another kernel end.
inline Step product() {
  ContractSpec s;
  s.space = {kRows, kPixels, 24};
  s.a = {DType::u8, false, 0, kRows * kPixels * kPixel, {kPixels * kPixel, kPixel, 0}};
  s.b = {DType::s8, true, 0, 0, {0, 0, 0}};
  s.b_block_stride = kChannels * 16;
  s.start = {DType::s32, true, 0, 0, {0, 0, 4}};
  s.run = kChannels;
  ExprBuilder b;
  s.epilogue = b.finish(b.accumulator(0, ScalarType::s32));
  s.out = {DType::s32, false, 16 * 4, kRows * kPixels * 48 * 4, {kPixels * 48 * 4, 48 * 4, 4}};
  return step("product", {s, ContractSchedule{2, 2, 2, 4, 1, 0}}, {kJoined, kPooled, kPacked, kStart});
}

inline Step beside() {
  return step("beside",
              {MapSpec{{kRows, kPixels, 16},
                       {{DType::u8, false, 0, kRows * kPixels * kPixel, {kPixels * kPixel, kPixel, 1}}},
                       copied(DType::u8),
                       {DType::s32, false, 0, kRows * kPixels * 48 * 4, {kPixels * 48 * 4, 48 * 4, 4}}},
               MapSchedule{}},
              {kJoined, kPooled});
}

inline Step in_place() {
  const Access all = {DType::s32, false, 0, kRows * kPixels * 48 * 4, {48 * 4, 4}};
  ExprBuilder b;
  return step(
      "in_place",
      {MapSpec{{kRows * kPixels, 40}, {all}, b.finish(b.operand(0, DType::s32) + Scalar(1)), all}, MapSchedule{}},
      {kDoubled, kJoined});
}

inline Step to_output() {
  return step("to_output",
              {MapSpec{{kRows * kPixels, 40},
                       {{DType::s32, false, 0, kRows * kPixels * 48 * 4, {48 * 4, 4}}},
                       copied(DType::s32),
                       {DType::s32, false, 0, kRows * kPixels * 40 * 4, {40 * 4, 4}}},
               MapSchedule{}},
              {kY, kDoubled});
}

inline TensorType batched(DType type, Dims dims) {
  TensorType t{type, {Dim(1, "batch")}, std::nullopt};
  for (int64_t d : dims) t.shape.emplace_back(d);
  return t;
}

inline Program sound_program() {
  Program p;
  p.model = "checked";
  p.inputs = {{"x", batched(DType::u8, {kRows, kPixels, kChannels}), true}};
  p.outputs = {{"y", batched(DType::s32, {kRows * kPixels, 40}), true}};
  const int64_t joined = kRows * kPixels * 48 * 4, pooled = kRows * kPixels * kPixel;
  p.buffers = {{"x", BufferPlace::input, kRows * kPixels * kChannels, 0, 0},
               {"padded", BufferPlace::arena, kImage, 0, 0},
               {"pooled", BufferPlace::arena, pooled, 0, 1856},
               {"packed", BufferPlace::constant, kChannels * 32, 0, 0},
               {"start", BufferPlace::constant, 128, 0, 640},
               {"joined", BufferPlace::arena, joined, 0, 2880},
               {"doubled", BufferPlace::arena, joined, 0, 2880},
               {"y", BufferPlace::output, kRows * kPixels * 40 * 4, 0, 0}};
  p.constants.resize(768);
  p.arena_bytes = 2880 + joined + 64;
  p.steps = {fill(0, 1, kPixels + 2),
             fill((kRows + 1) * kLine, 1, kPixels + 2),
             fill(kLine, kRows, 1),
             fill(kLine + (kPixels + 1) * kPixel, kRows, 1),
             into_image(),
             pool(),
             product(),
             beside(),
             in_place(),
             to_output()};
  p.steps[5].result = ValueLayout{kPooled, DType::u8, {kChannels, kRows, kPixels}, 0, {1, kPixels * kPixel, kPixel}};
  p.steps[5].value_name = "pooled";
  return p;
}

}  // namespace cupel
