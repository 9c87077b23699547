// A chain of two kernels over rows: 255 − x, then the greatest of three rows.
#pragma once

#include <random>

#include "kernel/kernel_buffers.h"

namespace cupel {

inline constexpr int64_t kChainRows = 9, kChainWidth = 5, kChainChannels = 32;

// The first part writes kChainRows rows, the last one reads three of them for each of its kChainRows − 2.
inline Kernel row_chain() {
  constexpr int64_t pixel = kChainChannels, row = kChainWidth * pixel, item = kChainRows * row;
  MapSpec invert;
  invert.space = {kChainRows, row};
  invert.operands = {{DType::u8, false, 0, item, {row, 1}}};
  ScalarNode read{.op = ScalarOp::operand, .index = 0}, most{.op = ScalarOp::constant_s32, .index = 255};
  ScalarNode difference{.op = ScalarOp::sub_s32, .arguments = {1, 0, -1}};
  invert.value.nodes = {read, most, difference};
  invert.out = {DType::u8, false, 0, item, {row, 1}};
  WindowSpec greatest;
  greatest.kind = WindowKind::max;
  greatest.space = {kChainRows - 2, kChainWidth, kChainChannels};
  greatest.a = {DType::u8, false, 0, item, {row, pixel, 1}};
  greatest.loops = {{3, row}};
  greatest.epilogue.nodes = {{.op = ScalarOp::accumulator, .index = 0}};
  greatest.out = {DType::u8, false, 0, (kChainRows - 2) * row, {row, pixel, 1}};
  ChainSpec chain;
  chain.steps = kChainRows - 2;
  chain.parts.push_back({{invert, MapSchedule{}}, 1, 0, 2});
  chain.parts.push_back({{greatest, WindowSchedule{.tile_w = 2, .tile_blocks = 2}}, 1, 0, 0});
  return {std::move(chain), ChainSchedule{}};
}

// Buffers: the result, the rows between as the window reads and as the map writes them (one memory), the input.
struct ChainRun {
  int64_t items = 2;
  AlignedBytes result, between, input;
  ChainRun()
      : result(items * (kChainRows - 2) * kChainWidth * kChainChannels + 64),
        between(items * kChainRows * kChainWidth * kChainChannels + 64),
        input(items * kChainRows * kChainWidth * kChainChannels + 64) {
    std::mt19937 engine(7);
    for (int64_t i = 0; i < input.size(); ++i) input.data()[i] = static_cast<std::byte>(engine() & 255);
  }
  std::vector<std::byte*> pointers() { return {result.data(), between.data(), between.data(), input.data()}; }
  // The difference of the result from what the two kernels mean; empty when there is none.
  std::string difference() const {
    constexpr int64_t row = kChainWidth * kChainChannels;
    for (int64_t n = 0; n < items; ++n)
      for (int64_t r = 0; r < kChainRows - 2; ++r)
        for (int64_t i = 0; i < row; ++i) {
          uint8_t expected = 0;
          for (int64_t k = 0; k < 3; ++k)
            expected = std::max(
                expected, static_cast<uint8_t>(255 - element<uint8_t>(input, ((n * kChainRows + r + k) * row) + i)));
          const uint8_t found = element<uint8_t>(result, (n * (kChainRows - 2) + r) * row + i);
          if (found != expected)
            return fmt::format("item {} row {} byte {}: {}, expected {}", n, r, i, found, expected);
        }
    return {};
  }
};

}  // namespace cupel
