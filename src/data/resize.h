// Resizing of images by named algorithms that match their namesakes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/tensor.h"

namespace cupel {

// An image of out_height x out_width from a u8 or f32 image [height, width, channels].
struct ResizeAlgorithm {
  std::string_view name;
  Tensor (*apply)(const Tensor& image, int64_t out_height, int64_t out_width);
};

// pillow-bilinear-antialias: Pillow's BILINEAR. A triangle filter widened by the scale when shrinking; rows first, then
//   columns. u8: 22-bit fixed-point weights, each pass rounded to u8; f32: weights and sums in binary64, each pass
//   rounded to binary32. Equal to Pillow up to version 10 bit for bit; Pillow 13 takes the columns first for some
//   sizes, which moves a value by at most one.
// opencv-linear: OpenCV's INTER_LINEAR of the two nearest pixels, half-pixel centres, no antialiasing. u8: 11-bit
//   fixed-point weights; f32: weights and sums in binary32. Equal to OpenCV 4 and 5 bit for bit for u8; for f32 too
//   where OpenCV runs without IPP and does not halve both sides exactly.
// nearest: output i takes input floor((i + 1/2) · in / out), computed in integers.
// nullptr for another name.
const ResizeAlgorithm* find_resize_algorithm(std::string_view name);
std::string resize_algorithm_names();

}  // namespace cupel
