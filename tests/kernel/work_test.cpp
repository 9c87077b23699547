// Work of kernels whose numbers can be counted by hand.
#include "kernel/work.h"

#include <gtest/gtest.h>

#include "lower/builder.h"

namespace cupel {
namespace {

ScalarExpr requantize() {
  ExprBuilder b;
  return b.finish(to_code(to_f32(b.accumulator(0, ScalarType::s32)) * b.operand(0, DType::f32), DType::u8, 0));
}

// A 3x3 convolution, stride 1, of 8x8 pixels of 32 channels with a halo of 1, to 48 channels.
Kernel convolution() {
  ContractSpec s;
  s.space = {8, 8, 48};
  s.a = {.dtype = DType::u8, .item_stride = 10 * 10 * 32, .strides = {10 * 32, 32, 0}};
  s.loops = {{3, 10 * 32}};
  s.run = 3 * 32;
  s.b = {.dtype = DType::s8, .constant = true, .strides = {0, 0, 0}};
  s.b_block_stride = 9 * 32 * 16;
  s.start = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
  s.operands = {{.dtype = DType::f32, .constant = true, .strides = {0, 0, 4}}};
  s.epilogue = requantize();
  s.out = {.dtype = DType::u8, .item_stride = 8 * 8 * 48, .strides = {8 * 48, 48, 1}};
  return {s, ContractSchedule{}};
}

TEST(Work, OfAConvolution) {
  const Kernel kernel = convolution();
  ASSERT_TRUE(check_kernel(kernel));
  const KernelWork work = work_of(kernel);
  const int64_t products = 8 * 8 * 48 * 9 * 32;
  EXPECT_EQ(work.multiply_adds, products);
  const auto nodes = static_cast<int64_t>(std::get<ContractSpec>(kernel.spec).epilogue.nodes.size());
  EXPECT_EQ(work.effort, products + 8 * 8 * 48 * (16 + 4 * (nodes + 3)));  // a saturation counts for four
  EXPECT_EQ(work.accumulator, DType::s32);
  // Overlapping windows count the image once; the weights have three panels of 16 columns.
  EXPECT_EQ(work.item_bytes, 10 * 10 * 32 + 8 * 8 * 48);
  EXPECT_EQ(work.constant_bytes, 3 * 9 * 32 * 16 + 48 * 4 + 48 * 4);
}

TEST(Work, OfAGather) {
  CallSpec s;
  s.space = {7, 64};
  s.operands = {{DType::f32, true, 0, 0, {0, 4}}, {DType::s64, false, 0, 56, {8, 0}}};
  s.integers = {100, 256};
  s.out = {DType::f32, false, 0, 7 * 256, {256, 4}};
  KernelWork work = work_of({s, CallSchedule()});
  EXPECT_EQ(work.multiply_adds, 0);
  EXPECT_EQ(work.effort, 7 * 64 * 16);
  EXPECT_EQ(work.item_bytes, 7 * 256 + 7 * 8);
  EXPECT_EQ(work.constant_bytes, 7 * 256);  // of the table, no more rows than are looked up
  s.integers[0] = 3;
  EXPECT_EQ(work_of({s, CallSchedule()}).constant_bytes, 3 * 256);
}

TEST(Work, OfAMatrixProductOfValues) {
  // Four matrices of 10x20 floats times as many of 20x17, whose panels are values too.
  ContractSpec s;
  s.space = {4, 1, 10, 17};
  s.a = {.dtype = DType::f32, .strides = {800, 800, 80, 0}};
  s.run = 20;
  s.b = {.dtype = DType::f32, .strides = {2 * 20 * 64, 0, 0, 0}};
  s.b_block_stride = 20 * 64;
  s.start = {.dtype = DType::f32, .constant = true, .strides = {0, 0, 0, 0}};
  ExprBuilder b;
  s.epilogue = b.finish(b.accumulator(0, ScalarType::f32));
  s.out = {.dtype = DType::f32, .strides = {32 * 40, 32 * 40, 128, 4}};
  const KernelWork work = work_of({s, ContractSchedule{}});
  EXPECT_EQ(work.multiply_adds, 4 * 10 * 17 * 20);
  EXPECT_EQ(work.accumulator, DType::f32);
  EXPECT_EQ(work.item_bytes, 4 * 10 * 20 * 4 + 4 * 2 * 20 * 64 + 4 * 10 * 17 * 4);
  EXPECT_EQ(work.constant_bytes, 4);
}

TEST(Work, OfWindows) {
  // 3x3 taps with stride 2 over 9x9 pixels of 16 channels.
  WindowSpec s;
  s.kind = WindowKind::dot;
  s.space = {4, 4, 16};
  s.a = {.dtype = DType::u8, .strides = {2 * 9 * 16, 2 * 16, 1}};
  s.loops = {{3, 9 * 16}, {3, 16}};
  s.weights = {.dtype = DType::s8, .constant = true, .strides = {0, 0, 1}};
  s.weights_tap_stride = 16;
  s.start = {.dtype = DType::s32, .constant = true, .strides = {0, 0, 4}};
  s.operands = {{.dtype = DType::f32, .constant = true, .strides = {0, 0, 4}}};
  s.epilogue = requantize();
  s.out = {.dtype = DType::u8, .strides = {4 * 16, 16, 1}};
  KernelWork work = work_of({s, WindowSchedule{}});
  EXPECT_EQ(work.multiply_adds, 4 * 4 * 16 * 9);
  EXPECT_EQ(work.item_bytes, 9 * 9 * 16 + 4 * 4 * 16);
  EXPECT_EQ(work.constant_bytes, 9 * 16 + 16 * 4 + 16 * 4);

  s.kind = WindowKind::max;
  s.operands.clear();
  ExprBuilder b;
  s.epilogue = b.finish(to_code(to_f32(b.accumulator(0, ScalarType::s32)), DType::u8, 0));
  work = work_of({s, WindowSchedule{}});
  EXPECT_EQ(work.multiply_adds, 0);
  EXPECT_EQ(work.effort, 4 * 4 * 16 * (9 * 4 + 16 + 4 * static_cast<int64_t>(s.epilogue.nodes.size() + 3)));
  EXPECT_EQ(work.constant_bytes, 0);
}

TEST(Work, OfElementwiseKernels) {
  // y = x · c with c one number for each channel, x read from every second row.
  ExprBuilder b;
  const ScalarExpr product = b.finish(b.operand(0, DType::f32) * b.operand(1, DType::f32));
  const MapSpec map = {
      {5, 7},
      {{.dtype = DType::f32, .strides = {56, 4}}, {.dtype = DType::f32, .constant = true, .strides = {0, 4}}},
      product,
      {.dtype = DType::f32, .strides = {28, 4}}};
  KernelWork work = work_of({map, MapSchedule{}});
  EXPECT_EQ(work.effort, 5 * 7 * (16 + 4 * 3));
  EXPECT_EQ(work.multiply_adds, 0);
  EXPECT_EQ(work.item_bytes, 2 * 5 * 7 * 4);
  EXPECT_EQ(work.constant_bytes, 7 * 4);

  ExprBuilder square, scaled;
  const RowStep step = {RowReduction::sum64, square.finish(square.operand(0, DType::f32)), {}};
  const RowSpec row = {{5, 7},
                       {step},
                       {{.dtype = DType::f32, .strides = {28, 4}}},
                       scaled.finish(scaled.operand(0, DType::f32) * scaled.accumulator(0, ScalarType::f32)),
                       {.dtype = DType::f32, .strides = {28, 4}}};
  work = work_of({row, RowSchedule{}});
  EXPECT_EQ(work.effort, 5 * 7 * ((16 + 4 * 1) + (16 + 4 * 3)));
  EXPECT_EQ(work.item_bytes, 2 * 5 * 7 * 4);
}

}  // namespace
}  // namespace cupel
