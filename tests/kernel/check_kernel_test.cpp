// check_kernel names the rule that a kernel breaks.
#include <gtest/gtest.h>

#include "kernel/kernel.h"

namespace cupel {
namespace {

constexpr std::string_view kContract = R"(kernel contract
  space 2 4 6 20
  a u8 offset 0 item 4096 strides 512 128 16 0
  b s8 constant offset 0 item 0 strides 4096 0 0 0
  block_stride 768
  start s32 constant offset 0 item 0 strides 128 0 0 4
  loop 3 128
  run 13
  operand f32 constant offset 0 item 0 strides 128 0 0 4
  operand u8 constant offset 0 item 0 strides 0 0 0 0
  out u8 offset 0 item 2048 strides 1024 192 32 1
  epilogue
    %0 = accumulator 0
    %1 = to_f32 %0
    %2 = operand 0
    %3 = mul %1 %2
    %4 = constant_f32 0x1p+7
    %5 = less %3 %4
    %6 = round_s32 %5
    %7 = table 1 %6
    %8 = constant_s32 3
    %9 = shift_left %7 %8
  schedule tile_h 2 tile_w 6 tile_blocks 2 unroll 4 bands 1 prefetch 0
end
)";
constexpr std::string_view kWindow = R"(kernel window dot
  space 4 6 20
  a u8 offset 0 item 4096 strides 512 32 1
  weights s8 constant offset 0 item 0 strides 0 0 1
  tap_stride 32
  start s32 constant offset 0 item 0 strides 0 0 4
  loop 3 512
  loop 3 32
  out s32 offset 0 item 4096 strides 768 128 4
  epilogue
    %0 = accumulator 0
  schedule tile_h 1 tile_w 3 tile_blocks 1
end
)";
constexpr std::string_view kMap = R"(kernel map
  space 3 5
  operand u8 offset 0 item 15 strides 5 1
  operand f32 offset 0 item 60 strides 20 4
  out u8 offset 4 item 15 strides 1 3
  value
    %0 = operand 0
  schedule vector_dimension -1
end
)";
constexpr std::string_view kRow = R"(kernel row
  space 3 5
  operand f32 offset 0 item 60 strides 20 4
  step greatest
    %0 = operand 0
  step sum64
    %0 = operand 0
    %1 = accumulator 0
    %2 = sub %0 %1
  finish
    %0 = accumulator 1
    %1 = sqrt %0
  out f32 offset 0 item 60 strides 20 4
  value
    %0 = operand 0
    %1 = accumulator 1
    %2 = mul %0 %1
  schedule
end
)";

// Four places of data look up in a table of 100 rows.
constexpr std::string_view kCall = R"(kernel call gather
  space 4 16
  operand f32 constant offset 0 item 0 strides 0 4
  operand s64 offset 0 item 32 strides 8 0
  integers 100 64
  out f32 offset 0 item 256 strides 64 4
  schedule
end
)";

struct Rule {
  std::string_view kernel;
  std::string_view from, to;  // the first place of `from` becomes `to`
  std::string_view cause;
};

const Rule kRules[] = {
    {kCall, "space 4 16", "space 0 16", "space [0,16] has an extent below 1"},
    {kCall, "  operand s64 offset 0 item 32 strides 8 0\n", "", "gather has 1 operands, expected 2"},
    {kCall, "integers 100 64", "integers 100", "gather has 1 integers, expected 2: extent, step"},
    {kCall, "operand f32", "operand s16", "data: is s16, expected u8, s8, s32, f32 or s64"},
    {kCall, "operand s64", "operand u8", "indices: is u8, expected s64 or s32"},
    {kCall, "strides 8 0", "strides 12 0", "indices: an offset or stride is no multiple of 8 bytes"},
    {kCall, "strides 8 0", "strides 8", "indices: has 1 strides for 2 dimensions"},
    {kCall, "strides 8 0", "strides -8 0", "indices: reaches bytes before its buffer"},
    {kCall, "out f32", "out s32", "out: is s32, expected f32, which data is"},
    {kCall, "out f32", "out s16", "out: is s16, expected u8, s8, s32, f32 or s64"},
    {kCall, "out f32", "out f32 constant", "out: is constant with item stride 256, expected 0"},
    {kCall, "strides 64 4", "strides 60 4", "out: elements overlap"},
    {kCall, "integers 100", "integers 0", "extent is 0, expected 1 to 2^34"},
    {kCall, "integers 100", "integers 17179869185", "extent is 17179869185, expected 1 to 2^34"},
    {kCall, "integers 100 64", "integers 100 62", "step: 62 is no multiple of 4 bytes"},
    {kCall, "integers 100 64", "integers 100 -64", "data: some index reaches bytes before its buffer"},
    {kCall, "integers 100 64", "integers 17179869184 128", "data: its indices span 2^40 bytes or more"},
    {kContract, "space 2 4 6 20", "space 6 20", "space has 2 dimensions, expected 3 to 12"},
    {kContract, "space 2 4 6 20", "space 2 0 6 20", "space [2,0,6,20] has an extent below 1"},
    {kMap, "space 3 5", "space 9000000000 9000000000", "space [9000000000,9000000000] has more than 2^34 elements"},
    {kContract, "a u8", "a s8", "a: is s8, expected u8 or f32"},
    {kContract, "16 0\n", "16\n", "a: has 3 strides for 4 dimensions"},
    {kContract, "16 0\n", "16 1\n", "a: moves along the columns"},
    {kContract, "a u8 offset 0 item 4096", "a u8 offset 0 item -1", "a: item stride -1 is negative"},
    {kContract, "a u8 offset 0 item 4096", "a u8 offset 0 item 1099511627776", "a: item stride is 2^40 bytes or more"},
    {kContract, "a u8 offset 0", "a u8 offset -1", "a: reaches bytes before its buffer"},
    {kContract, "loop 3 128", "loop 3 -1", "a: reaches bytes before its buffer"},
    {kContract, "loop 3 128", "loop 3 1099511627776", "a: spans 2^40 bytes or more"},
    {kContract, "strides 512 128", "strides 9223372036854775807 128", "a: spans 2^40 bytes or more"},
    {kContract, "loop 3 128", "loop 0 128", "a reduction loop counts 0, expected at least 1"},
    {kContract, "loop 3 128", "loop 16777217 0", "the reduction has more than 2^24 steps"},
    {kContract, "loop 3 128", "loop 4096 0\n loop 4097 0", "the reduction has more than 2^24 steps"},
    {kContract, "loop 3 128",
     "loop 1 0\nloop 1 0\nloop 1 0\nloop 1 0\nloop 1 0\nloop 1 0\nloop 1 0\nloop 1 0\nloop 1 0",
     "9 reduction loops, expected at most 8"},
    {kContract, "run 13", "run 0", "run is 0, expected 1 to 2^24"},
    {kContract, "loop 3 128\n  run 13", "run 13\nrows taps 1 stride 1 dilation 1 before 1 lines 7",
     "rows: the reduction has no loop over them"},
    {kContract, "run 13", "run 13\nrows taps 2 stride 2 dilation 1 before 1 lines 7",
     "rows: 2 taps, the reduction has 3"},
    {kContract, "run 13", "run 13\nrows taps 3 stride 4 dilation 1 before -1 lines 7",
     "rows: stride 4, dilation 1, before -1 and lines 7 must be at least 1, 1, 0 and 1 and at most 2^24"},
    {kContract, "run 13", "run 13\nrows taps 3 stride 3 dilation 1 before 1 lines 7",
     "rows: a position moves 128 bytes and a tap 128, which is not as 3 to 1"},
    {kContract, "run 13", "run 13\ncolumns taps 3 stride 1 dilation 1 before 1 lines 7",
     "columns: a run of 13 is no 3 equal parts"},
    {kContract, "run 13", "run 13\ncolumns taps 13 stride 1 dilation 1 before 1 lines 7",
     "columns: a position moves 16 bytes and a tap 1, which is not as 1 to 1"},
    {kContract, "b s8", "b f32", "b: is f32, expected s8 or s16"},
    {kContract, "b s8 constant offset 0 item 0", "b s8 constant offset 0 item 64",
     "b: is constant with item stride 64, expected 0"},
    {kContract, "strides 4096 0 0 0", "strides 4096 0 0 1", "b: steps 1 bytes along the last dimension, expected 0"},
    {kContract, "strides 4096 0 0 0", "strides 4096 0 1 0", "b: moves along h or w"},
    {kContract, "block_stride 768", "block_stride 767",
     "b: block stride 767 is below the 768 bytes of a block of 16 columns or no multiple of 1"},
    {kContract, "start s32", "start f32", "start: is f32, expected s32"},
    {kContract, "start s32 constant offset 0", "start s32 constant offset 2",
     "start: an offset or stride is no multiple of 4 bytes"},
    {kContract, "strides 128 0 0 4\n  loop", "strides 128 4 0 4\n  loop", "start: moves along h or w"},
    {kContract, "strides 128 0 0 4\n  loop", "strides 128 0 0 8\n  loop",
     "start: steps 8 bytes along the last dimension, expected 4"},
    {kContract, "operand f32 constant offset 0 item 0 strides 128 0 0 4",
     "operand f32 constant offset 0 item 0 strides 128 0 0 8",
     "operand 0: steps 8 bytes along the last dimension, expected 0 or 4"},
    {kContract, "operand f32", "operand f16", "operand 0: is f16, expected u8, s8, s32 or f32"},
    {kContract, "out u8 offset 0 item 2048 strides 1024 192 32 1",
     "out u8 constant offset 0 item 0 strides 1024 192 32 1", "out: is constant"},
    {kContract, "192 32 1", "192 32 2", "out: steps 2 bytes along the last dimension, expected 1"},
    {kContract, "192 32 1", "192 20 1", "out: elements overlap, with the last dimension in whole blocks of 16"},
    {kContract, "out u8 offset 0 item 2048", "out u8 offset 0 item 1024",
     "out: elements overlap, with the last dimension in whole blocks of 16"},
    {kContract, "out u8", "out f32", "out: an offset or stride is no multiple of 4 bytes"},
    {kContract, "%9 = shift_left %7 %8", "%9 = to_f32 %7", "epilogue: gives f32, expected s32"},
    {kContract, "%3 = mul %1 %2", "%3 = mul %0 %2", "epilogue: %3 mul: argument 0 is s32, expected f32"},
    {kContract, "%3 = mul %1 %2", "%3 = mul %1 %3", "epilogue: %3 mul: argument 1 is %3, expected an earlier node"},
    {kContract, "%0 = accumulator 0", "%0 = accumulator 1",
     "epilogue: %0 accumulator: accumulator 1 does not exist here, found 1 accumulators"},
    {kContract, "%2 = operand 0", "%2 = operand 2", "epilogue: %2 operand: operand 2 does not exist, found 2 operands"},
    {kContract, "%2 = operand 0", "%2 = operand -1",
     "epilogue: %2 operand: operand -1 does not exist, found 2 operands"},
    {kContract, "table 1", "table 0", "epilogue: %7 table: operand 0 is f32, expected u8"},
    {kContract, "table 1", "table 2", "epilogue: %7 table: operand 2 does not exist, found 2 operands"},
    {kContract, "%8 = constant_s32 3", "%8 = constant_s32 32",
     "epilogue: %9 shift_left: argument 1 is no constant_s32 of 0 to 31"},
    {kContract, "%9 = shift_left %7 %8", "%9 = shift_left %7 %7",
     "epilogue: %9 shift_left: argument 1 is no constant_s32 of 0 to 31"},
    {kContract, "%9 = shift_left %7 %8", "%9 = saturate_s8 %3 %7",
     "epilogue: %9 saturate_s8: argument 1 is no constant_s32 of -128 to 127"},
    {kContract, "%8 = constant_s32 3\n    %9 = shift_left %7 %8",
     "%8 = constant_s32 256\n    %9 = saturate_near_u8 %3 %8",
     "epilogue: %9 saturate_near_u8: argument 1 is no constant_s32 of 0 to 255"},
    {kContract, "%9 = shift_left %7 %8", "%9 = saturate_u8 %7 %8",
     "epilogue: %9 saturate_u8: argument 0 is s32, expected f32"},
    {kContract, "operand u8 constant offset 0 item 0", "operand u8 offset 0 item 0",
     "operand 1: a table is constant, has strides 0 and no other use"},
    {kContract, "strides 0 0 0 0", "strides 1 0 0 0", "operand 1: a table is constant, has strides 0 and no other use"},
    {kContract, "%8 = constant_s32 3\n    %9 = shift_left %7 %8", "%8 = operand 1",
     "operand 1: a table is constant, has strides 0 and no other use"},
    {kContract, "tile_h 2", "tile_h 5", "schedule: tile_h is 5, expected 1 to 4"},
    {kContract, "tile_w 6", "tile_w 0", "schedule: tile_w is 0, expected 1 to 6"},
    {kContract, "tile_blocks 2", "tile_blocks 3", "schedule: tile_blocks is 3, expected 1 to 2"},
    {kContract, "unroll 4", "unroll 65", "schedule: unroll is 65, expected 1 to 64"},
    {kContract, "prefetch 0", "prefetch 4097", "schedule: prefetch is 4097, expected 0 to 4096"},
    {kWindow, "strides 512 32 1", "strides 512 32 2", "a: steps 2 bytes along the last dimension, expected 1"},
    {kWindow, "a u8", "a s8", "a: is s8, expected u8 or f32"},
    {kWindow, "weights s8", "weights u8", "weights: is u8, expected s8"},
    {kWindow, "tap_stride 32", "tap_stride -32", "weights: reaches bytes before its buffer"},
    {kWindow, "tile_w 3", "tile_w 7", "schedule: tile_w is 7, expected 1 to 6"},
    {kWindow, "tile_blocks 1", "tile_blocks 3", "schedule: tile_blocks is 3, expected 1 to 2"},
    {kMap, "strides 1 3", "strides 1 2", "out: elements overlap"},
    {kMap, "strides 1 3", "strides -1 3", ""},
    {kMap, "strides 1 3", "strides -3 3", "out: reaches bytes before its buffer"},
    {kMap, "strides 1 3", "strides 0 3", "out: elements overlap"},
    {kMap, "    %0 = operand 0\n", "", "value: the expression is empty, expected at least one node"},
    {kMap, "%0 = operand 0", "%0 = operand 1", "value: gives f32, expected s32"},
    {kMap, "vector_dimension -1", "vector_dimension 2", "schedule: vector_dimension is 2, expected -1 to 1"},
    {kMap, "vector_dimension -1", "vector_dimension -2", "schedule: vector_dimension is -2, expected -1 to 1"},
    {kRow, "%1 = accumulator 0\n", "%1 = accumulator 1\n",
     "step 1: %1 accumulator: accumulator 1 does not exist here, found 1 accumulators"},
    {kRow, "%0 = accumulator 1\n    %1 = sqrt", "%0 = operand 0\n    %1 = sqrt",
     "step 1: finish: %0 operand: operand 0 does not exist, found 0 operands"},
    {kRow, "%1 = sqrt %0", "%1 = bits_s32 %0", "step 1: finish: gives s32, expected f32"},
    {kRow, "%2 = sub %0 %1", "%2 = is_less %0 %1", "step 1: gives s32, expected f32"},
};

TEST(CheckKernel, TheKernelsOfTheseTestsAreValid) {
  for (const std::string_view text : {kContract, kWindow, kMap, kRow}) {
    const auto kernel = parse_kernel(text);
    ASSERT_TRUE(kernel) << kernel.error().message();
    EXPECT_EQ(print_kernel(*kernel), text);
    const Status status = check_kernel(*kernel);
    EXPECT_TRUE(status) << status.error().message();
  }
}

TEST(CheckKernel, NamesTheBrokenRule) {
  for (const Rule& rule : kRules) {
    std::string text(rule.kernel);
    const size_t at = text.find(rule.from);
    ASSERT_NE(at, std::string::npos) << rule.from;
    text.replace(at, rule.from.size(), rule.to);
    const auto kernel = parse_kernel(text);
    ASSERT_TRUE(kernel) << kernel.error().message();
    const Status status = check_kernel(*kernel);
    if (rule.cause.empty()) {
      EXPECT_TRUE(status) << rule.to << ": " << status.error().message();
      continue;
    }
    ASSERT_FALSE(status) << rule.to;
    EXPECT_EQ(status.error().kind, ErrorKind::bad_input);
    EXPECT_EQ(status.error().message(), "kernel: " + std::string(rule.cause) + "\n  correct the kernel");
  }
}

TEST(CheckKernel, RefusesWhatTextCannotSay) {
  Kernel map = *parse_kernel(kMap), sum = *parse_kernel(kWindow), row = *parse_kernel(kRow);
  map.schedule = RowSchedule();
  EXPECT_EQ(check_kernel(map).error().cause, "the schedule is of another form than the spec");
  std::get<WindowSpec>(sum.spec).kind = WindowKind::sum;
  EXPECT_EQ(check_kernel(sum).error().cause, "weights and start belong to dot windows alone");
  std::get<RowSpec>(row.spec).steps.clear();
  EXPECT_EQ(check_kernel(row).error().cause, "a row has 0 reductions, expected 1 to 16");

  Kernel call = *parse_kernel(kCall);
  std::get<CallSpec>(call.spec).routine = static_cast<Routine>(99);
  EXPECT_EQ(check_kernel(call).error().cause, "the routine is unknown");

  ScalarExpr expr{{{.op = ScalarOp::constant_f32, .index = 3}}};
  EXPECT_EQ(scalar_types(expr, {}).error().cause, "%0 constant_f32: index is 3, expected 0");
  expr.nodes[0] = {.op = ScalarOp::constant_s32, .value = 1};
  EXPECT_EQ(scalar_types(expr, {}).error().cause, "%0 constant_s32: found a constant, expected none");
  expr.nodes[0] = {.op = ScalarOp::constant_s32, .arguments = {0, -1, -1}};
  EXPECT_EQ(scalar_types(expr, {}).error().cause, "%0 constant_s32: found more than 0 arguments");
  expr.nodes[0] = {.op = static_cast<ScalarOp>(200)};
  EXPECT_EQ(scalar_types(expr, {}).error().cause, "%0: unknown operation 200");
  expr.nodes.assign(4097, {.op = ScalarOp::constant_s32});
  EXPECT_EQ(scalar_types(expr, {}).error().cause, "the expression has 4097 nodes, expected at most 4096");
}

TEST(CheckKernel, ATileHasAtMost256Blocks) {
  Kernel kernel = *parse_kernel(kContract);
  auto& spec = std::get<ContractSpec>(kernel.spec);
  spec.space = {1, 1, 200, 20};
  spec.out.item_stride = 200 * 32;
  std::get<ContractSchedule>(kernel.schedule) = {.tile_w = 200, .tile_blocks = 2};
  EXPECT_EQ(check_kernel(kernel).error().cause, "schedule: a tile has more than 256 blocks of results");
}

TEST(CheckKernel, UnitsAndNamesFollowTheForms) {
  EXPECT_EQ(units_per_item(*parse_kernel(kContract)), 2 * 2 * 1 * 1);
  EXPECT_EQ(units_per_item(*parse_kernel(kWindow)), 4);
  EXPECT_EQ(units_per_item(*parse_kernel(kMap)), 3);
  EXPECT_EQ(units_per_item(*parse_kernel(kRow)), 3);
  EXPECT_EQ(units_per_item(*parse_kernel(kCall)), 4);
  EXPECT_EQ(kernel_name(*parse_kernel(kCall)), "call_gather_f32_s64_f32");
  EXPECT_EQ(accesses_of(parse_kernel(kCall)->spec).size(), 3u);
  EXPECT_EQ(buffer_count(parse_kernel(kCall)->spec), 4u);
  EXPECT_EQ(buffer_count(parse_kernel(kMap)->spec), 3u);
  EXPECT_EQ(kernel_name(*parse_kernel(kContract)), "contract_u8_s8_u8_m12n32");
  EXPECT_EQ(kernel_name(*parse_kernel(kWindow)), "window_dot_u8_s32_w3n16");
  EXPECT_EQ(kernel_name(*parse_kernel(kMap)), "map_u8_f32_u8");
  EXPECT_EQ(kernel_name(*parse_kernel(kRow)), "row_greatest_sum64_f32_f32");
  EXPECT_EQ(accesses_of(parse_kernel(kContract)->spec).size(), 6u);
  EXPECT_EQ(accesses_of(parse_kernel(kWindow)->spec).size(), 4u);
}

}  // namespace
}  // namespace cupel
