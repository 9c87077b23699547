// A sound Program of every kind of access, and one planted fault of each kind.
#include "kernel/check_program.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernel/evaluate_program.h"
#include "kernel/sound_program.h"

namespace cupel {
namespace {

template <class Spec>
Spec& spec_of(Program& p, size_t step) {
  return std::get<Spec>(p.steps[step].kernel.spec);
}

std::string finding(const Program& p) {
  const Status status = check_program(p);
  if (status) return "sound";
  EXPECT_EQ(status.error().kind, ErrorKind::internal);
  return status.error().place + ": " + status.error().cause;
}

TEST(CheckProgram, PassesASoundProgram) {
  const Program p = sound_program();
  ASSERT_EQ(finding(p), "sound");
  const Tensor x(DType::u8, {2, kRows, kPixels, kChannels});
  EXPECT_TRUE(evaluate_program(p, std::span(&x, 1)).has_value());
}

TEST(CheckProgram, OfAFixedBatchAReadMayStandStillOverAllItems) {
  Program p = sound_program();
  p.fixed_batch = 2;
  p.inputs[0].type.shape[0] = Dim(2);
  p.outputs[0].type.shape[0] = Dim(2);
  // The first 24 bytes of every pixel row of both items.
  spec_of<MapSpec>(p, 7).operands[0] = {DType::u8, false, 0, 0, {kRows * kPixels * kPixel / 5, kPixel, 1}};
  EXPECT_EQ(finding(p), "sound");
  spec_of<MapSpec>(p, 7).operands[0].strides[0] = 400;
  EXPECT_EQ(finding(p), "step beside: bytes [0, 2144) of buffer pooled are read, which has 960 for one item");
  spec_of<MapSpec>(p, 7).operands[0].strides = {192, kPixel, 2};
  EXPECT_EQ(finding(p), "step beside: byte 20 of buffer pooled is read, which no step before has left a value in");
  p.fixed_batch = 0;
  p.inputs[0].type.shape[0] = p.outputs[0].type.shape[0] = Dim(1, "batch");
  EXPECT_EQ(finding(p), "step beside: buffer pooled has 960 bytes for one item, its access steps 0");
}

TEST(CheckProgram, PortsFitTheBatch) {
  Program p = sound_program();
  p.fixed_batch = 2;
  EXPECT_EQ(finding(p), "buffer x: has shape [batch,6,5,20], of a program whose batch is 2");
  p = sound_program();
  p.outputs[0].type.shape[0] = Dim(2);
  EXPECT_EQ(finding(p), "buffer y: has shape [2,30,40], of a program whose batch is any");
  p = sound_program();
  p.inputs[0].type.shape[1] = Dim(1, "rows");
  EXPECT_EQ(finding(p), "buffer x: has the symbolic shape [batch,rows,5,20]");
  p = sound_program();
  p.inputs[0].batched = false;
  EXPECT_EQ(finding(p), "buffer x: has the symbolic shape [batch,6,5,20]");
}

TEST(CheckProgram, EvaluationTakesArraysOfThePortsTypes) {
  const Program p = sound_program();
  for (const Tensor& x : {Tensor(DType::u8, {2, kRows, kPixels, kChannels - 1}), Tensor(DType::u8, {}),
                          Tensor(DType::s8, {2, kRows, kPixels, kChannels})}) {
    const auto result = evaluate_program(p, std::span(&x, 1));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::bad_input) << result.error().message();
  }
}

// A value whose bytes two kernels write in turns, and which is followed in several windows; then it is copied to the
// output.
Program fine_program(int64_t bytes) {
  const int64_t half = bytes / 2;
  Program p;
  p.model = "fine";
  p.inputs = {{"x", batched(DType::u8, {half}), true}};
  p.outputs = {{"y", batched(DType::u8, {bytes}), true}};
  p.buffers = {{"x", BufferPlace::input, half, 0, 0},
               {"joined", BufferPlace::arena, bytes, 0, 0},
               {"y", BufferPlace::output, bytes, 0, 0}};
  p.arena_bytes = bytes + 64;
  const auto copy = [](std::string name, int64_t count, Access from, Access to, std::vector<int64_t> buffers) {
    return step(std::move(name), {MapSpec{{count}, {std::move(from)}, copied(DType::u8), std::move(to)}, MapSchedule{}},
                std::move(buffers));
  };
  const Access x = {DType::u8, false, 0, half, {1}}, all = {DType::u8, false, 0, bytes, {1}};
  p.steps = {copy("even", half, x, {DType::u8, false, 0, bytes, {2}}, {1, 0}),
             copy("odd", half, x, {DType::u8, false, 1, bytes, {2}}, {1, 0}), copy("out", bytes, all, all, {2, 1})};
  return p;
}

TEST(CheckProgram, FollowsValuesInManyRuns) {
  constexpr int64_t kBytes = 2'200'000;
  Program p = fine_program(kBytes);
  EXPECT_EQ(finding(p), "sound");
  spec_of<MapSpec>(p, 1).space = {kBytes / 2 - 1};
  EXPECT_EQ(finding(p), "step out: byte 2199999 of buffer joined is read, which no step before has left a value in");
  p = fine_program(kBytes);
  // The second kernel reads what it writes, at another element.
  spec_of<MapSpec>(p, 1).operands[0] = {DType::u8, false, 0, kBytes, {2}};
  p.steps[1].buffers = {1, 1};
  EXPECT_EQ(finding(p), "sound");
  spec_of<MapSpec>(p, 1).operands[0].offset = 1;
  spec_of<MapSpec>(p, 1).out.offset = 0;
  EXPECT_EQ(finding(p), "step odd: byte 1 of buffer joined is read, which no step before has left a value in");
}

TEST(CheckProgram, RefusesWhatItCannotFollow) {
  const Status status = check_program(fine_program(2'200'000), 2'000'000);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::resource);
}

// What each test plants, in the words of the finding.
struct Planted {
  const char* fault;
  void (*plant)(Program&);
  const char* found;
};
class PlantedFault : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedFault, IsFound) {
  Program p = sound_program();
  GetParam().plant(p);
  EXPECT_EQ(finding(p), GetParam().found);
}

INSTANTIATE_TEST_SUITE_P(
    Space, PlantedFault,
    ::testing::Values(
        Planted{"rows", [](Program& p) { ++spec_of<WindowSpec>(p, 5).space[0]; },
                "step pool: kernel: out: elements overlap, with the last dimension in whole blocks of 16"},
        Planted{"taps", [](Program& p) { spec_of<WindowSpec>(p, 5).loops[0].count = 4; },
                "step pool: bytes [0, 2004) of buffer padded are read, which has 1792 for one item"},
        Planted{"run",
                [](Program& p) {
                  spec_of<ContractSpec>(p, 6).run = 24;
                  spec_of<ContractSpec>(p, 6).b_block_stride = 384;
                  p.buffers[kPacked].item_bytes = p.buffers[kStart].offset = 768;
                  p.constants.resize(1024);
                },
                "step product: byte 20 of buffer pooled is read, which no step before has left a value in"},
        Planted{"columns", [](Program& p) { spec_of<ContractSpec>(p, 6).space[2] = 33; },
                "step product: bytes [64, 5764) of buffer joined are written, which has 5760 for one item"},
        Planted{"depth",
                [](Program& p) {
                  spec_of<ContractSpec>(p, 6).loops = {{2, 0}};
                  spec_of<ContractSpec>(p, 6).b_block_stride *= 2;
                },
                "step product: bytes [640, 1248) of buffer packed are read, which has 640 for one item"},
        Planted{"table",
                [](Program& p) {
                  ExprBuilder b;
                  auto& map = spec_of<MapSpec>(p, 4);
                  map.operands.push_back({DType::u8, true, 0, 0, {0, 0, 0}});
                  map.value = b.finish(b.table(1, b.operand(0, DType::u8)));
                  p.steps[4].buffers.push_back(kStart);
                },
                "step into_image: bytes [0, 256) of buffer start are read, which has 128 for one item"}));

INSTANTIATE_TEST_SUITE_P(
    Stride, PlantedFault,
    ::testing::Values(Planted{"line", [](Program& p) { spec_of<WindowSpec>(p, 5).a.strides[0] += kPixel; },
                              "step pool: bytes [0, 1940) of buffer padded are read, which has 1792 for one item"},
                      Planted{"pixel",
                              [](Program& p) { spec_of<MapSpec>(p, 4).operands[0].strides[1] = kChannels + 1; },
                              "step into_image: bytes [0, 604) of buffer x are read, which has 600 for one item"},
                      Planted{"backwards",
                              [](Program& p) { spec_of<MapSpec>(p, 4).operands[0].strides[1] = -kChannels; },
                              "step into_image: kernel: operand 0: reaches bytes before its buffer"},
                      Planted{"item", [](Program& p) { spec_of<WindowSpec>(p, 5).a.item_stride -= 32; },
                              "step pool: buffer padded has 1792 bytes for one item, its access steps 1760"},
                      Planted{"still", [](Program& p) { spec_of<WindowSpec>(p, 5).a.item_stride = 0; },
                              "step pool: buffer padded has 1792 bytes for one item, its access steps 0"}));

INSTANTIATE_TEST_SUITE_P(
    Offset, PlantedFault,
    ::testing::Values(
        Planted{"behind", [](Program& p) { spec_of<MapSpec>(p, 4).operands[0].offset = 1; },
                "step into_image: bytes [1, 601) of buffer x are read, which has 600 for one item"},
        Planted{"before", [](Program& p) { spec_of<WindowSpec>(p, 5).a.offset = -1; },
                "step pool: kernel: a: reaches bytes before its buffer"},
        Planted{"output", [](Program& p) { spec_of<MapSpec>(p, 9).out.offset = 4; },
                "step to_output: bytes [4, 4804) of buffer y are written, which has 4800 for one item"},
        Planted{
            "constant", [](Program& p) { p.buffers[kStart].offset = 704; },
            "buffer start: lies at 704 with 128 bytes, outside the 768 bytes of constants or not on a multiple of 64"},
        Planted{
            "boundary", [](Program& p) { p.buffers[kStart].offset -= 4; },
            "buffer start: lies at 636 with 128 bytes, outside the 768 bytes of constants or not on a multiple of 64"},
        Planted{"slice", [](Program& p) { spec_of<MapSpec>(p, 7).out.offset = 4; },
                "step in_place: byte 0 of buffer joined is read, which no step before has left a value in"}));

INSTANTIATE_TEST_SUITE_P(
    Halo, PlantedFault,
    ::testing::Values(Planted{"missing", [](Program& p) { p.steps.erase(p.steps.begin() + 3); },
                              "step pool: byte 416 of buffer padded is read, which no step before has left a value in"},
                      Planted{
                          "short", [](Program& p) { spec_of<MapSpec>(p, 2).space[0] = kRows - 1; },
                          "step pool: byte 1344 of buffer padded is read, which no step before has left a value in"}));

INSTANTIATE_TEST_SUITE_P(
    OverRead, PlantedFault,
    ::testing::Values(Planted{"caller",
                              [](Program& p) {
                                spec_of<ContractSpec>(p, 6).a = {DType::u8,
                                                                 false,
                                                                 0,
                                                                 kRows * kPixels * kChannels,
                                                                 {kPixels * kChannels, kChannels, 0}};
                                spec_of<ContractSpec>(p, 6).run = 18;
                                spec_of<ContractSpec>(p, 6).a.offset = 2;
                                p.steps[6].buffers[1] = kX;
                              },
                              "step product: bytes [2, 602) of buffer x are read, which has 600 for one item"},
                      Planted{"constant", [](Program& p) { spec_of<ContractSpec>(p, 6).start.offset = 4; },
                              "step product: bytes [4, 132) of buffer start are read, which has 128 for one item"}));

INSTANTIATE_TEST_SUITE_P(
    OverWrite, PlantedFault,
    ::testing::Values(Planted{
        "neighbour",
        [](Program& p) {
          std::swap(p.steps[6], p.steps[7]);
          spec_of<ContractSpec>(p, 7).out.offset = 0;
          spec_of<MapSpec>(p, 6).out.offset = 24 * 4;
        },
        "step in_place: byte 96 of buffer joined is read, which no step before has left a value in"}));

INSTANTIATE_TEST_SUITE_P(
    Arena, PlantedFault,
    ::testing::Values(
        Planted{"together", [](Program& p) { p.buffers[kPooled].offset = 1792; },
                "step pool: buffer padded and buffer pooled are both needed and lie in the same bytes"},
        Planted{"in place shifted", [](Program& p) { spec_of<MapSpec>(p, 8).operands[0].offset = 4; },
                "step in_place: buffer joined and buffer doubled are both needed and lie in the same bytes"},
        Planted{"in place by another size",
                [](Program& p) {
                  p.buffers[kDoubled].offset += 64;
                  p.arena_bytes += 64;
                },
                "step in_place: buffer joined and buffer doubled are both needed and lie in the same bytes"},
        Planted{"read later",
                [](Program& p) {
                  std::swap(p.steps[8].buffers[0], p.steps[8].buffers[1]);
                  p.steps[9].buffers[1] = kJoined;
                },
                "step in_place: buffer joined and buffer doubled are both needed and lie in the same bytes"},
        Planted{"needed still",
                [](Program& p) {
                  p.steps.push_back(p.steps[9]);
                  p.steps[10].buffers[1] = kJoined;
                },
                "step in_place: buffer joined and buffer doubled are both needed and lie in the same bytes"},
        Planted{"too small", [](Program& p) { p.arena_bytes -= 64; },
                "buffer joined: lies at 2880 with 5760 bytes, outside the 8640 bytes of the arena or not on a multiple "
                "of 64"},
        Planted{"unaligned", [](Program& p) { p.buffers[kJoined].offset = p.buffers[kDoubled].offset = 2876; },
                "buffer joined: lies at 2876 with 5760 bytes, outside the 8704 bytes of the arena or not on a multiple "
                "of 64"},
        Planted{"before its begin", [](Program& p) { p.buffers[kPadded].offset = -64; },
                "buffer padded: lies at -64 with 1792 bytes, outside the 8704 bytes of the arena or not on a multiple "
                "of 64"}));

INSTANTIATE_TEST_SUITE_P(
    Threads, PlantedFault,
    ::testing::Values(
        Planted{"same element", [](Program& p) { spec_of<MapSpec>(p, 7).out.strides[1] = 4; },
                "step beside: kernel: out: elements overlap"},
        Planted{"same item",
                [](Program& p) {
                  p.buffers[kPooled].item_bytes = spec_of<WindowSpec>(p, 5).out.item_stride =
                      spec_of<ContractSpec>(p, 6).a.item_stride = spec_of<MapSpec>(p, 7).operands[0].item_stride =
                          kPixel;
                },
                "step pool: kernel: out: elements overlap, with the last dimension in whole blocks of 16"},
        Planted{"tile", [](Program& p) { std::get<WindowSchedule>(p.steps[5].kernel.schedule).tile_h = kRows + 1; },
                "step pool: kernel: schedule: tile_h is 7, expected 1 to 6"},
        Planted{"bands", [](Program& p) { std::get<ContractSchedule>(p.steps[6].kernel.schedule).bands = 2; },
                "step product: kernel: schedule: 9 tiles of pixels are no 2 equal bands"},
        Planted{"own result",
                [](Program& p) {
                  auto& map = spec_of<MapSpec>(p, 8);
                  map.operands[0].offset = 4;
                  map.space[1] = 39;
                  p.steps[8].buffers = {kJoined, kJoined};
                  p.steps[9].buffers[1] = kJoined;
                },
                "step in_place: byte 4 of buffer joined is read and written"}));

INSTANTIATE_TEST_SUITE_P(
    Places, PlantedFault,
    ::testing::Values(
        Planted{"input written",
                [](Program& p) {
                  const Access all = {DType::u8, false, 0, 600, {1}};
                  p.steps[4] = step("over", {MapSpec{{600}, {all}, copied(DType::u8), all}, MapSchedule{}}, {kX, kX});
                },
                "step over: buffer x is written, expected one of the arena or an output"},
        Planted{"constant written", [](Program& p) { p.steps[9].buffers[0] = kStart; },
                "step to_output: buffer start is constant, its access not"},
        Planted{"constant moves", [](Program& p) { p.buffers[kStart].place = BufferPlace::arena; },
                "step product: buffer start is computed, its access constant"},
        Planted{"unknown", [](Program& p) { p.steps[9].buffers[0] = 8; }, "step to_output: names buffer 8 of 8"},
        Planted{"one too many", [](Program& p) { p.steps[9].buffers.push_back(kX); },
                "step to_output: has 3 buffers, its kernel 2"},
        Planted{"fault", [](Program& p) { p.buffers[kX].place = BufferPlace::fault; },
                "step into_image: buffer x holds faults alone"},
        Planted{"port", [](Program& p) { p.buffers[kY].index = 1; }, "buffer y: is port 1 of 1"},
        Planted{"port bytes", [](Program& p) { p.outputs[0].type.shape.back() = Dim(41); },
                "buffer y: has 4800 bytes for one item, its port 4920"},
        Planted{"output in part", [](Program& p) { spec_of<MapSpec>(p, 9).space[0] = kRows * kPixels - 1; },
                "output y: is not written whole"},
        Planted{"no output",
                [](Program& p) {
                  p.buffers[kY].place = BufferPlace::arena;
                  p.arena_bytes = 1 << 20;
                  p.buffers[kY].offset = 1 << 19;
                },
                "output y: is not written whole"},
        Planted{"order", [](Program& p) { std::swap(p.steps[4], p.steps[5]); },
                "step pool: byte 256 of buffer padded is read, which no step before has left a value in"}));

INSTANTIATE_TEST_SUITE_P(
    Taps, PlantedFault,
    ::testing::Values(Planted{"channels", [](Program& p) { p.steps[5].result->dims[0] = kChannels + 1; },
                              "step pool: its tap shows byte 20 of buffer pooled, which is not written"},
                      Planted{"rows", [](Program& p) { p.steps[5].result->dims[1] = kRows + 1; },
                              "step pool: bytes [0, 1108) of buffer pooled are read, which has 960 for one item"},
                      Planted{"buffer", [](Program& p) { p.steps[5].result->buffer = kPadded; },
                              "step pool: its tap shows something else than its result"}));

}  // namespace
}  // namespace cupel
