// Defects within a worker: the caller gets an error with the kernel's text and goes on.
#include "emit/worker_pool.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "emit/emit_target.h"

namespace cupel {
namespace {

WorkerOptions planted(int64_t timeout_ms = 60'000) {
  return {.program = CUPEL_EMIT_PROGRAM,
          .workers = 1,
          .timeout_ms = timeout_ms,
          .memory_bytes = int64_t{1} << 30,
          .plant_defects = true};
}

void expect_alive(WorkerPool& pool) {
  const auto version = pool.ask(RequestKind::version, {}, "version");
  EXPECT_TRUE(version) << version.error().message();
}

TEST(WorkerPool, AbortIsAnInternalErrorWithTheKernelsText) {
  WorkerPool pool(planted());
  const auto result = pool.ask(RequestKind::plant_abort, {}, "kernel k", "the text");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "kernel k: cupel-emit was ended by signal 6 (Aborted)\nthe text\n"
            "  this is a defect of Cupel; please report it with the model");
  EXPECT_EQ(result.error().exit_code(), 5);
  expect_alive(pool);
}

TEST(WorkerPool, HangIsAResourceErrorWithTheKernelsText) {
  WorkerPool pool(planted(300));
  const auto result = pool.ask(RequestKind::plant_hang, {}, "kernel k", "the text");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "kernel k: code generation took longer than 300 ms and was stopped\nthe text\n"
            "  this is a defect of Cupel or a machine under heavy load; please report it with the kernel above");
  EXPECT_EQ(result.error().exit_code(), 6);
}

TEST(WorkerPool, MemoryOverrunIsAResourceErrorWithTheKernelsText) {
#if defined(CUPEL_ADDRESS_SANITIZER)
  GTEST_SKIP() << "workers have no memory limit under the address sanitizer";
#endif
  WorkerPool pool(planted());
  const auto result = pool.ask(RequestKind::plant_memory, {}, "kernel k", "the text");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "kernel k: code generation ran out of memory\nthe text\n"
            "  this is a defect of Cupel or a machine with little memory; please report it with the kernel above");
  EXPECT_EQ(result.error().exit_code(), 6);
  expect_alive(pool);
}

TEST(WorkerPool, PlantedDefectsAreRefusedOtherwise) {
  WorkerOptions options = planted();
  options.plant_defects = false;
  WorkerPool pool(options);
  const auto result = pool.ask(RequestKind::plant_abort, {}, "kernel k");
  ASSERT_FALSE(result);
  EXPECT_EQ(
      result.error().message(),
      "kernel k: cupel-emit: a request of unknown kind\n  this is a defect of Cupel; please report it with the model");
}

TEST(WorkerPool, MissingProgram) {
  WorkerPool pool({.program = "/no/such/program", .workers = 1});
  const auto result = pool.ask(RequestKind::version, {}, "version");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(),
            "cupel-emit: \"/no/such/program\" cannot be started: No such file or directory\n"
            "  install cupel-emit beside cupel, or name it by the environment variable CUPEL_EMIT");
  EXPECT_EQ(result.error().kind, ErrorKind::resource);
}

TEST(WorkerPool, BrokenKernelTextIsTheKernelsError) {
  WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
  const ObjectRequest request = {"x86-64-v3", "k", "nonsense"};
  const auto result = pool.ask(RequestKind::object, to_payload(request), "kernel k");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::bad_input);
  Bytes cut = to_payload(request);
  cut.resize(cut.size() / 2);
  const auto broken = pool.ask(RequestKind::object, cut, "kernel k");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message(),
            "kernel k: cupel-emit: a message has the wrong size\n  this is a defect of Cupel; please report it with "
            "the model");
}

TEST(WorkerPool, ManyThreadsShareTheWorkers) {
  WorkerPool pool({.program = CUPEL_EMIT_PROGRAM, .workers = 2});
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int k = 0; k < 5; ++k)
          if (pool.ask(RequestKind::version, {}, "version")) ++good;
      });
  }
  EXPECT_EQ(good, 40);
}

TEST(EmitTarget, NamesParseBack) {
  for (const EmitTarget& target : runnable_emit_targets())
    EXPECT_EQ(find_emit_target(target.name)->features, target.features);
  const auto host = find_emit_target("host");
  ASSERT_TRUE(host) << host.error().message();
  EXPECT_EQ(find_emit_target(host->name)->features, host->features);
  EXPECT_EQ(find_emit_target("x86-64-v4+avx512vnni")->features, "+avx512vnni");
  EXPECT_EQ(find_emit_target("x86-64-v4+avx512vnni+avx512vbmi")->features, "+avx512vnni,+avx512vbmi");
  EXPECT_EQ(find_emit_target("x86-64-v3")->byte_product, ByteProduct::two_s16);
}

TEST(EmitTarget, UnknownNames) {
  for (const char* name : {"x86-64-v5", "x86-64-v3+", "x86-64-v3+nothing", "", "x86-64-v4avx512vnni"}) {
    const auto target = find_emit_target(name);
    ASSERT_FALSE(target) << name;
    EXPECT_EQ(
        target.error().message(),
        fmt::format("--target: \"{}", name) +
            "\" is no target\n  known targets: host, x86-64-v3, x86-64-v3+avxvnni, x86-64-v4, x86-64-v4+avx512vnni; "
            "more features may follow, each after a \"+\"");
  }
  EXPECT_EQ(find_emit_target("aarch64+dotprod").error().message(),
            "--target: no code is generated for aarch64+dotprod yet\n"
            "  targets with code generation: host, x86-64-v3, x86-64-v3+avxvnni, x86-64-v4, x86-64-v4+avx512vnni");
}

}  // namespace
}  // namespace cupel
