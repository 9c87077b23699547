// The same model, target and version give the same bytes, whatever the machine is doing; a CPU to tune for changes
// schedules alone.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/same_bytes.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "emit/image_builder.h"
#include "ir/text.h"
#include "lower/lower.h"
#include "reference/interpreter.h"
#include "runtime/image.h"

namespace cupel {
namespace {

Graph network() {
  auto graph = parse_graph(R"(graph "network" stage simplified opset 17 {
  input %x : f32[batch,3,12,12]
  constant %a : f32[16] = [0.5, -1.0, 0.25, 2.0, 0.5, -1.0, 0.25, 2.0, 0.5, -1.0, 0.25, 2.0, 0.5, -1.0, 0.25, 2.0]
  constant %shape : s64[4] = [16, 1, 1, 1]
  constant %factor : f32[1,3,1,1] = [0.5, 0.25, -1.0]
  %weights = Reshape(%a, %shape)
  %filter = Mul(%weights, %factor)
  %c = Conv(%x, %filter) {kernel_shape=[1,1]}
  %p = MaxPool(%c) {kernel_shape=[3,3], pads=[1,1,1,1]}
  %s = Silu(%p)
  %y = GlobalAveragePool(%s)
  output %y
})");
  EXPECT_TRUE(graph.has_value()) << graph.error().message();
  ThreadPool threads(1);
  constexpr std::string_view kFold[] = {"fold_constants"};
  PassOptions options;
  auto folded = run_passes(std::move(*graph), kFold, {threads}, options);
  EXPECT_TRUE(folded.has_value()) << folded.error().message();
  return std::move(*folded);
}

Bytes compiled(const Graph& graph, const EmitTarget& target, int workers) {
  WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = workers});
  auto image = compile_image(graph, "network", target, pool, {.lower = {}, .build = {.cache_folder = {}}});
  EXPECT_TRUE(image.has_value()) << image.error().message();
  return image ? std::move(*image) : Bytes();
}

TEST(Compilation, RepeatsItsBytesUnderLoadAndOnAnyNumberOfWorkers) {
  const Graph graph = network();
  for (const char* name : {"x86-64-v4+avx512vnni", "x86-64-v3"}) {
    const EmitTarget target = *find_emit_target(name);
    const Bytes alone = compiled(graph, target, 1);
    std::atomic<bool> stop = false;
    std::vector<std::thread> load;
    for (int i = 0; i < 3; ++i)
      load.emplace_back([&] {
        while (!stop) {
        }
      });
    const Bytes under_load = compiled(graph, target, 2);
    stop = true;
    for (std::thread& thread : load) thread.join();
    EXPECT_TRUE(alone == under_load) << name;
  }
}

// What a named target is tuned for does not depend on this machine; "host" is this machine.
TEST(Compilation, IsTunedByName) {
  for (const char* name : {"x86-64-v3", "x86-64-v4", "x86-64-v4+avx512vnni+avx512vbmi"})
    EXPECT_EQ(find_emit_target(name)->tuning->name, "generic");
  EXPECT_EQ(lower_target(*find_emit_target("x86-64-v4")).products_per_cycle, 2);
  EXPECT_EQ(lower_target(*find_emit_target("x86-64-v4", "znver4")).products_per_cycle, 1);
  EXPECT_EQ(lower_target(*find_emit_target("x86-64-v3", "znver5")).products_per_cycle, 1);
  if (auto host = find_emit_target("host")) {
    EXPECT_EQ(host->tuning, &cpu_of(host_machine()));
    EXPECT_EQ(find_emit_target("host", "generic")->tuning->name, "generic");
  }
  const auto unknown = find_emit_target("x86-64-v4", "pentium");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().message(),
            "--tune-for: \"pentium\" is no CPU\n  known CPUs: generic, skylake-avx512, icelake-client, tigerlake, "
            "rocketlake, icelake-server, sapphirerapids, emeraldrapids, graniterapids, znver4, znver5-mobile, znver5");
}

TEST(Compilation, TuningChangesNoResult) {
  const auto host = find_emit_target("host");
  if (!host) GTEST_SKIP() << host.error().message();
  const Graph graph = network();
  Tensor x(DType::f32, {2, 3, 12, 12});
  for (int64_t i = 0; i < x.size(); ++i)
    x.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i * 7919 % 2001 - 1000) / 128.0f;
  ThreadPool threads(1);
  const std::vector<Tensor> inputs = {x};
  const auto expected = interpret(graph, inputs, threads);
  ASSERT_TRUE(expected.has_value()) << expected.error().message();
  for (const CpuRow& cpu : cpu_table()) {
    const Bytes image = compiled(graph, *find_emit_target("host", cpu.name), 1);
    auto model = CompiledModel::load(image, "network", 1);
    ASSERT_TRUE(model.has_value()) << model.error().message();
    EXPECT_STREQ(model->image().tuned_for, std::string(cpu.name).c_str());
    const auto found = model->run(inputs);
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_TRUE(same_bytes((*found)[0], (*expected)[0])) << cpu.name;
  }
}

}  // namespace
}  // namespace cupel
