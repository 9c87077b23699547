// Lowered programs mean what the graph means: every step's result and every output equal the interpreter's, byte for
// byte.
#include "kernel/lower.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "driver/compile.h"
#include "driver/engine.h"
#include "driver/equal_tensors.h"
#include "emit/image_builder.h"
#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "kernel/memory_plan.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

Tensor random_images(int64_t items, unsigned seed) {
  Tensor t(DType::f32, {items, 1, 28, 28});
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (float& v : t.mutable_data<float>()) v = normal(engine);
  return t;
}

void expect_same_meaning(const Graph& graph, const Tensor& input, bool byte_dot, LowerOptions options = {}) {
  ThreadPool threads(2);
  const auto lowered = lower_graph(graph, "m", {byte_dot, 32}, options);
  ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
  const bool fused = std::any_of(lowered->decisions.begin(), lowered->decisions.end(),
                                 [](const FusionDecision& decision) { return decision.accepted; });
  EXPECT_EQ(fused, options.fuse);
  std::map<std::string, Tensor> expected;
  const auto reference = interpret(graph, std::span(&input, 1), threads, [&](ValueId id, const Tensor& t) -> Status {
    expected[graph.value(id).name] = t;
    return {};
  });
  ASSERT_TRUE(reference.has_value()) << reference.error().message();
  int taps = 0;
  const auto outputs =
      evaluate_program(lowered->program, std::span(&input, 1), [&](const Step& step, const Tensor& t) -> Status {
        ++taps;
        EXPECT_TRUE(same_bytes(t, expected.at(step.value_name))) << step.name << " " << step.value_name;
        return {};
      });
  ASSERT_TRUE(outputs.has_value()) << outputs.error().message();
  EXPECT_GT(taps, 5);
  for (size_t i = 0; i < outputs->size(); ++i) EXPECT_TRUE(same_bytes((*outputs)[i], (*reference)[i]));
  EXPECT_LE(static_cast<double>(lowered->program.arena_bytes),
            1.15 * static_cast<double>(live_bytes(lowered->program)));
}

// The compiled Image on every x86 target that this machine runs, one and two threads, batches 1 and 3: every step's
// result and every output equal the interpreter's.
void expect_same_bits_compiled(const Graph& graph) {
  ThreadPool threads(2);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  int images = 0;
  for (const EmitTarget& target : runnable_emit_targets()) {
    const auto image = compile_image(graph, "network", target, workers);
    if (!image && image.error().kind == ErrorKind::unsupported && target.byte_product != ByteProduct::four_u8_s8)
      continue;
    ASSERT_TRUE(image.has_value()) << target.name << ": " << image.error().message();
    ++images;
    for (int thread_count : {1, 2})
      for (int64_t batch : {1, 3}) {
        auto model = CompiledModel::load(*image, "network", thread_count);
        ASSERT_TRUE(model.has_value()) << model.error().message();
        const Tensor input = random_images(batch, static_cast<unsigned>(10 + batch));
        std::map<ValueId, Tensor> expected;
        const auto reference =
            interpret(graph, std::span(&input, 1), threads, [&](ValueId id, const Tensor& t) -> Status {
              expected[id] = t;
              return {};
            });
        ASSERT_TRUE(reference.has_value()) << reference.error().message();
        int taps = 0;
        const auto outputs = model->run(graph, std::span(&input, 1), [&](ValueId id, const Tensor& t) -> Status {
          ++taps;
          EXPECT_TRUE(same_bytes(t, expected.at(id))) << target.name << " " << graph.value(id).name;
          return {};
        });
        ASSERT_TRUE(outputs.has_value()) << outputs.error().message();
        EXPECT_GT(taps, 5);
        for (size_t i = 0; i < outputs->size(); ++i)
          EXPECT_TRUE(same_bytes((*outputs)[i], (*reference)[i])) << target.name;
      }
  }
  EXPECT_GT(images, 0);
}

class SampleNetwork : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path path() const {
    return std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / (std::string("fashion_") + GetParam() + ".onnx");
  }
};

TEST_P(SampleNetwork, FloatProgramsEqualInterpreter) {
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto model = load_model(path(), context);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  expect_same_meaning(model->program, random_images(1, 1), true);
  expect_same_meaning(model->program, random_images(3, 2), true);
  expect_same_meaning(model->program, random_images(1, 6), true, {.fuse = false});
  expect_same_bits_compiled(model->program);
}

TEST_P(SampleNetwork, IntegerProgramsEqualInterpreter) {
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto model = load_model(path(), context);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  int batches = 0;
  const auto quantized = quantize_graph(
      model->source,
      [&]() -> Result<std::optional<std::vector<Tensor>>> {
        if (batches++ > 0) return std::optional<std::vector<Tensor>>();
        return std::optional(std::vector<Tensor>{random_images(8, 3)});
      },
      context);
  ASSERT_TRUE(quantized.has_value()) << quantized.error().message();
  const auto program = integerize_graph(quantized->graph, context, nullptr);
  ASSERT_TRUE(program.has_value()) << program.error().message();
  expect_same_meaning(*program, random_images(1, 4), true);
  expect_same_meaning(*program, random_images(1, 4), true, {.fuse = false});
  expect_same_bits_compiled(*program);
  if (std::string(GetParam()) != "vit") return expect_same_meaning(*program, random_images(2, 5), false);
  expect_same_meaning(*program, random_images(2, 5), true);
  const auto without = lower_graph(*program, "m", {false, 32});
  ASSERT_FALSE(without.has_value());
  EXPECT_EQ(without.error().message(),
            "node /blocks/blocks.0/MatMul (MatMul): a product of two activations on a target without a byte dot "
            "product has no compiled form yet\n  run the model with --engine reference");
}

INSTANTIATE_TEST_SUITE_P(Networks, SampleNetwork, ::testing::Values("resnet", "mobilenet", "vit"),
                         [](const auto& network) { return std::string(network.param); });

TEST(Lower, ShapesBeyondTheLimitStopBeforeCodeIsMade) {
  const auto graph = parse_graph(R"(graph "large" stage simplified opset 17 {
  input %x : f32[batch,65536,196608]
  %y = Relu(%x)
  %z = Sigmoid(%y)
  output %z
})");
  ASSERT_TRUE(graph.has_value()) << graph.error().message();
  const auto lowered = lower_graph(*graph, "large", {});
  ASSERT_FALSE(lowered.has_value());
  EXPECT_EQ(lowered.error().exit_code(), 6);
  EXPECT_EQ(lowered.error().message(),
            "value x: it takes 51539607552 bytes for one batch item; the limit of a buffer is 34359738368 bytes\n"
            "  compile a smaller model, or one of smaller inputs");
}

}  // namespace
}  // namespace cupel
