// Calibration by compiled code: the same ranges as the interpreter's, to the last bit.
#include "driver/calibration_run.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>

#include "quant/network.h"
#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

constexpr int64_t kManySamples = int64_t{1} << 60;  // more than the interpreter takes upon itself

class CalibrationRun : public testing::Test {
 protected:
  CalibrationRun() { setenv("CUPEL_EMIT", CUPEL_EMIT_PROGRAM, 1); }

  // Three batches of the graph's inputs, the last one shorter.
  static BatchSource batches_of(const Graph& g, samples::InputRange range = {}) {
    return [&g, range, next = 0]() mutable -> Result<std::optional<std::vector<Tensor>>> {
      if (next == 3) return std::optional<std::vector<Tensor>>();
      ++next;
      range.low *= 1.25f;
      return std::optional(samples::make_inputs(g, next == 3 ? 2 : 5, range));
    };
  }
  // The same calibration, run by compiled code and by the interpreter.
  void expect_equal(const Graph& g, samples::InputRange range = {}) {
    expect_equal(g, batches_of(g, range), batches_of(g, range));
  }
  void expect_equal(const Graph& g, BatchSource once, BatchSource again) {
    const std::vector<ValueId> values = select_values(g).activations;
    ASSERT_FALSE(values.empty());
    auto run = calibration_run(g, values, kManySamples, context_);
    ASSERT_TRUE(run) << run.error().message();
    const auto found = calibrate_min_max(g, values, once, *run, threads_),
               expected = calibrate_min_max(g, values, again, observed(g, interpreter(threads_)), threads_);
    ASSERT_TRUE(expected) << expected.error().message();
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(found->warnings, expected->warnings);
    ASSERT_EQ(found->ranges.size(), expected->ranges.size());
    for (const auto& [id, r] : expected->ranges) {
      EXPECT_EQ(std::bit_cast<uint32_t>(found->ranges.at(id).min), std::bit_cast<uint32_t>(r.min)) << g.value(id).name;
      EXPECT_EQ(std::bit_cast<uint32_t>(found->ranges.at(id).max), std::bit_cast<uint32_t>(r.max)) << g.value(id).name;
    }
  }
  ThreadPool threads_{2};
  CompileContext context_{threads_, {}};
};

TEST_F(CalibrationRun, GivesTheInterpretersRangesOfTheSampleNetworks) {
  for (const char* file : {"fashion_resnet.onnx", "fashion_mobilenet.onnx", "fashion_vit.onnx"}) {
    SCOPED_TRACE(file);
    const auto model = load_model(std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / file, context_);
    ASSERT_TRUE(model) << model.error().message();
    expect_equal(model->source, {.low = -0.8f, .high = 2.0f});
  }
}

TEST_F(CalibrationRun, SeesViewsSlicesPaddedAndUnbatchedValuesAndInputs) {
  expect_equal(networks::network(networks::kResidual));
  expect_equal(networks::network(R"(input %x : f32[batch,4,6,6]
input %v : f32[batch,8]
weights %w1 [8,4,3,3] 0.3
weights %w2 [8,8,3,3] 0.3
weights %w3 [288,16] 0.1
weights %w4 [8,16] 0.2
weights %w5 [32,5] 0.2
%c1 = Conv(%x, %w1) {pads=[1,1,1,1]}
%r1 = Relu(%c1)
%c2 = Conv(%r1, %w2) {pads=[1,1,1,1]}
%both = Concat(%c2, %r1) {axis=1}
%p = MaxPool(%both) {kernel_shape=[2,2], strides=[2,2]}
%f = Flatten(%p)
%g = Concat(%f, %f) {axis=1}
%m = MatMul(%g, %w3)
%n = MatMul(%v, %w4)
%all = Concat(%m, %n) {axis=1}
%y = MatMul(%all, %w5)
output %y
output %r1)"));
}

// A batch of the file's size, no batch at all, values for all samples together, few channels and borders.
TEST_F(CalibrationRun, OfAnyBatch) {
  for (const char* lead : {"batch", "5", "1"}) {
    SCOPED_TRACE(lead);
    std::string text = R"(input %x : f32[LEAD,3,7,5]
input %s : f32[3,4]
weights %w1 [5,3,3,3] 0.3
weights %w2 [6,5,3,3] 0.3
weights %w3 [6,4] 0.3
weights %w4 [4,4] 0.3
%c1 = Conv(%x, %w1) {pads=[1,1,1,1]}
%r1 = Relu(%c1)
%c2 = Conv(%r1, %w2) {pads=[1,1,1,1], strides=[2,2]}
%p = GlobalAveragePool(%c2)
%f = Flatten(%p)
%m = MatMul(%f, %w3)
%alone = MatMul(%s, %w4)
%t = MatMul(%alone, %w4)
output %m
output %t)";
    text.replace(text.find("LEAD"), 4, lead);
    const Graph g = networks::network(text);
    if (std::string(lead) == "batch") {
      expect_equal(g);
      continue;
    }
    const BatchSource whole = [&g, given = false]() mutable -> Result<std::optional<std::vector<Tensor>>> {
      if (std::exchange(given, true)) return std::optional<std::vector<Tensor>>();
      return std::optional(samples::make_inputs(g, 1));
    };
    expect_equal(g, whole, whole);
  }
}

TEST_F(CalibrationRun, FallsBackToTheInterpreterWhereNothingCompiles) {
  const Graph g = networks::network(R"(input %x : f32[batch,6]
weights %w [6,4] 0.5
%m = MatMul(%x, %w)
%i = Cast(%m) {to=6}
%f = Cast(%i) {to=1}
output %m
output %f)");
  expect_equal(g, {.low = 0, .high = 3});
}

TEST_F(CalibrationRun, NamesTheFirstNodeThatComputesNoNumber) {
  const Graph g = networks::network(R"(input %x : f32[batch,4]
weights %w [4,4] 0.5
weights %u [4,4] 0.5
%m = MatMul(%x, %w)
%root = Sqrt(%m)
%y = MatMul(%root, %u)
output %y)");
  const std::vector<ValueId> values = select_values(g).activations;
  for (const int64_t samples : {int64_t{1}, kManySamples}) {
    auto run = calibration_run(g, values, samples, context_);
    ASSERT_TRUE(run) << run.error().message();
    const auto c = calibrate_min_max(g, values, batches_of(g), *run, threads_);
    ASSERT_FALSE(c);
    EXPECT_EQ(c.error().message(),
              "node root (Sqrt): a value is NaN or infinite during calibration\n  check the calibration data and its "
              "preprocessing, and the model's weights");
  }
}

TEST_F(CalibrationRun, BatchesStaySmall) {
  const Graph g = networks::network(R"(input %x : f32[batch,4,512,512]
weights %w1 [4,4,3,3] 0.3
%c1 = Conv(%x, %w1) {pads=[1,1,1,1]}
output %c1)");
  const std::vector<ValueId> values = select_values(g).activations;  // 4 MiB of one sample
  ASSERT_EQ(values.size(), 1u);
  EXPECT_EQ(calibration_batch(g, values, 50), 2);
  EXPECT_EQ(calibration_batch(g, values, 1), 1);
  EXPECT_EQ(calibration_batch(networks::network(networks::kResidual), {}, 50), 50);
}

}  // namespace
}  // namespace cupel
