// Memory that runs out anywhere: at each of an operation's allocations in turn, on whichever thread makes it, and from
// there on for all of them. The operation ends with std::bad_alloc or an error of kind resource, never by an abort, and
// works when there is memory again.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <new>

#include "driver/compile.h"
#include "driver/output_folder.h"
#include "ir/text.h"
#include "reference/interpreter.h"

namespace {

enum class Failing { none, one, rest };
std::atomic<Failing> g_failing = Failing::none;
std::atomic<int64_t> g_left = 0, g_failed = 0;

void* allocate(size_t bytes, size_t alignment) {
  const Failing failing = g_failing.load(std::memory_order_relaxed);
  if (failing != Failing::none) {
    const int64_t left = g_left.fetch_sub(1);
    if (left == 0 || (left < 0 && failing == Failing::rest)) {
      ++g_failed;
      throw std::bad_alloc();
    }
  }
  void* block = nullptr;
  if (posix_memalign(&block, std::max(alignment, sizeof(void*)), bytes) != 0) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* block) noexcept { free(block); }
void operator delete(void* block, size_t) noexcept { free(block); }
void operator delete(void* block, std::align_val_t) noexcept { free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { free(block); }

namespace cupel {
namespace {

// What an operation ends with: nothing, or its error. Throws what it throws.
using Operation = std::function<Status()>;

struct Outcome {
  bool failed = false;  // an allocation did
  std::string end;      // "good", "bad_alloc", "resource", or another error's message
};

Outcome with_failure(const Operation& operation, Failing failing, int64_t after) {
  Outcome outcome;
  g_failed = 0;
  g_left = after;
  g_failing = failing;
  Status status;
  bool thrown = false;
  try {
    status = operation();
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  g_failing = Failing::none;
  outcome.failed = g_failed > 0;
  outcome.end = thrown                                       ? "bad_alloc"
                : status                                     ? "good"
                : status.error().kind == ErrorKind::resource ? "resource"
                                                             : status.error().message();
  return outcome;
}

// Lets each allocation fail, `step` of them apart; ends behind the last one.
void expect_no_harm(const Operation& operation, int64_t step) {
  ASSERT_TRUE(operation());  // warms up what is made once
  for (const Failing failing : {Failing::one, Failing::rest}) {
    int64_t tried = 0, ended = 0;
    for (int64_t after = 0;; after += step) {
      const Outcome outcome = with_failure(operation, failing, after);
      if (!outcome.failed) {
        EXPECT_EQ(outcome.end, "good");
        break;
      }
      ++tried;
      ended += outcome.end != "good";
      EXPECT_TRUE(outcome.end == "good" || outcome.end == "bad_alloc" || outcome.end == "resource")
          << "allocation " << after << ": " << outcome.end;
    }
    EXPECT_GT(tried, 3);
    EXPECT_GT(ended, 0);
    EXPECT_TRUE(operation());
  }
}

// Large enough for several threads with a batch of 600.
Graph network() {
  auto graph = parse_graph(R"(graph "small" stage simplified opset 17 {
  input %x : f32[batch,1,8,8]
  constant %filters : f32[3,1,2,2] = [1, 0.5, -1, 2, 0, 1, 0.25, -2, 1, 1, 1, -1]
  constant %shift : f32[3] = [0, 1, -1]
  constant %axes : s64[2] = [2, 3]
  %conv = Conv(%x, %filters, %shift) {kernel_shape=[2, 2]}
  %pool = MaxPool(%conv) {kernel_shape=[2, 2]}
  %sum = ReduceSum(%pool, %axes) {keepdims=0}
  %y = Softmax(%sum) {axis=1}
  output %y
})");
  if (!graph) {
    ADD_FAILURE() << graph.error().message();
    std::abort();
  }
  return std::move(*graph);
}

std::vector<Tensor> inputs(int64_t batch) {
  Tensor x(DType::f32, {batch, 1, 8, 8});
  for (int64_t i = 0; i < x.size(); ++i)
    x.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i % 23 - 11) / 4;
  return {x};
}

TEST(FailingAllocations, OfTheInterpreter) {
  ThreadPool threads(4);
  const Graph graph = network();
  const auto x = inputs(600);
  const auto expected = interpret(graph, x, threads);
  ASSERT_TRUE(expected) << expected.error().message();
  expect_no_harm(
      [&]() -> Status {
        const auto y = CUPEL_TRY(interpret(graph, x, threads));
        EXPECT_EQ(y, *expected);
        return {};
      },
      1);
}

TEST(FailingAllocations, OfCodeGeneration) {
  const EmitTarget target = *find_emit_target("host");
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM, .workers = 3});
  const Graph graph = network();
  const ImageOptions options = {.lower = {}, .build = {.cache_folder = {}}};
  const auto expected = compile_image(graph, "small", target, workers, options);
  ASSERT_TRUE(expected) << expected.error().message();
  expect_no_harm(
      [&]() -> Status {
        const auto image = CUPEL_TRY(compile_image(graph, "small", target, workers, options));
        EXPECT_EQ(image, *expected);
        return {};
      },
      41);
}

TEST(FailingAllocations, OfACompiledModel) {
  const EmitTarget target = *find_emit_target("host");
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
  const Graph graph = network();
  const auto image = compile_image(graph, "small", target, workers, {});
  ASSERT_TRUE(image) << image.error().message();
  const auto x = inputs(5);
  expect_no_harm(
      [&]() -> Status {
        CompiledModel model = CUPEL_TRY(CompiledModel::load(*image, "small", 2));
        int64_t timed = 0;
        std::vector<std::string> steps;
        model.set_timer([&](const CupelImageStep& step, int64_t time_ns) {
          timed += time_ns;
          steps.emplace_back(std::string(100, '.') + step.name);
        });
        CUPEL_TRY(model.run(graph, x, [](ValueId, const Tensor& t) -> Status {
          return t.size() > 0 ? Status() : internal_error("tap", "nothing");
        }));
        return {};
      },
      1);
}

TEST(FailingAllocations, OfAnOutputFolder) {
  std::string path = (std::filesystem::temp_directory_path() / "cupel-failing-XXXXXX").string();
  ASSERT_NE(mkdtemp(path.data()), nullptr);
  expect_no_harm(
      [&]() -> Status {
        OutputFolder folder = CUPEL_TRY(OutputFolder::open(std::filesystem::path(path) / "a/b"));
        CUPEL_TRY(folder.write("one.txt", "text"));
        return folder.commit();
      },
      1);
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace cupel
