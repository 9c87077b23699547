// The operators whose speed is measured: shapes of ResNet-50, MobileNetV2 and BERT.
#pragma once

#include <cstdint>

namespace cupel {

struct OperatorShape {
  const char* name;
  int64_t size, kernel, stride, in, out;  // pixels of one side of the result
  bool depthwise = false;
  int64_t width = 0;  // rows of a matrix product, which has size 1; 0: a convolution

  int64_t result_width() const { return width > 0 ? width : size; }
  // A multiply-add counts as two.
  double operations() const {
    const int64_t depth = depthwise ? kernel * kernel : kernel * kernel * in;
    return 2.0 * static_cast<double>(size * result_width() * out * depth);
  }
};

inline constexpr OperatorShape kOperatorShapes[] = {
    {"3x3_56_64_64", 56, 3, 1, 64, 64},
    {"3x3_28_128_128", 28, 3, 1, 128, 128},
    {"3x3_14_256_256", 14, 3, 1, 256, 256},
    {"3x3_7_512_512", 7, 3, 1, 512, 512},
    {"1x1_56_64_256", 56, 1, 1, 64, 256},
    {"1x1_14_1024_256", 14, 1, 1, 1024, 256},
    {"1x1_7_2048_512", 7, 1, 1, 2048, 512},
    {"3x3s2_28_128_128", 28, 3, 2, 128, 128},
    {"7x7s2_112_3_64", 112, 7, 2, 3, 64},
    {"1x1_14_96_576", 14, 1, 1, 96, 576},
    {"1x1_56_24_144", 56, 1, 1, 24, 144},
    {"gemm_128_768_768", 1, 1, 1, 768, 768, false, 128},
    {"gemm_128_768_3072", 1, 1, 1, 768, 3072, false, 128},
    {"dw3x3_112_32", 112, 3, 1, 32, 32, true},
    {"dw3x3_14_576", 14, 3, 1, 576, 576, true},
    {"dw3x3s2_28_144", 28, 3, 2, 144, 144, true},
};

}  // namespace cupel
