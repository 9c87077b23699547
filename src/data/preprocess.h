// Preprocessing: the steps of a data-set file, applied to one sample at a time in the order listed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/tensor.h"
#include "data/source.h"

namespace cupel {

// One step with its parameters bound.
struct PreprocessStep {
  std::string text;  // as the file spells it
  // The type that the step makes of `type` (with -1 for sizes that differ from image to image), or why it cannot.
  std::function<Result<SampleType>(const SampleType& type)> infer;
  // The step itself, on a sample of a type that infer accepts, held by nobody else. Errors have no place.
  std::function<Result<Tensor>(Tensor sample)> apply;
};

// Parses "NAME arguments". In the arguments, words are separated by spaces; a list is name=[a, b, …].
// The steps, x being one element, all arithmetic in binary32 with the written rounding after each operation:
//   to-float                        any integer or float type to f32, nearest even where it is not exact
//   scale X                         x · X
//   normalize mean=[…] std=[…]      (x - mean) / std, one value or one per channel
//   resize W H ALGORITHM            resize.h
//   resize-shorter N ALGORITHM      shorter side N, the other floor(N · longer / shorter)
//   center-crop W H                 offset round_half_even((size - crop) / 2)
//   grayscale                       u8: (19595 r + 38470 g + 7471 b + 32768) >> 16;
//                                   f32: (r · 0.299 + g · 0.587) + b · 0.114
// X, mean and std are the binary32 values nearest to the text. bad_input at `place` otherwise.
Result<PreprocessStep> parse_step(const std::string& place, const std::string& text);

// Where the elements of an image end up in the model's input.
enum class ImageLayout { nchw, nhwc };

}  // namespace cupel
