// An operator as oneDNN runs it: u8 x s8 -> u8 with a scale and an s32 bias for each output channel, zero points 0.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/operator_shapes.h"

namespace cupel {

// Weights [out, in / groups, kernel, kernel], or [in, out] of a matrix product. Images are NCHW.
struct OperatorContent {
  std::vector<uint8_t> x;
  std::vector<int8_t> weights;
  std::vector<int32_t> bias;
  std::vector<float> multipliers;  // of the sums, for each output channel
};

struct PeerOperator {
  std::string layout;                          // "nhwc" or "any" (what the primitive prefers)
  std::string implementation;                  // oneDNN's name of it
  std::function<void()> run;                   // on operands that lie as it wants them
  std::function<std::vector<uint8_t>()> read;  // the result, NCHW or [rows, columns]
};

// One for each layout that is to be tried. `threads`: of the whole program from now on.
std::vector<PeerOperator> peer_operators(const OperatorShape& shape, const OperatorContent& content);
void set_peer_threads(int threads);
std::string peer_version();

}  // namespace cupel
