// Runs kernels compiled for a target beside their evaluation without LLVM.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "emit/image_builder.h"
#include "emit/loaded_library.h"
#include "emit/target_names.h"
#include "kernel/random_kernels.h"
#include "runtime/floating_point.h"
#include "runtime/image.h"
#include "runtime/thread_pool.h"

namespace cupel {

inline WorkerPool& test_pool() {
  static WorkerPool one({.program = CUPEL_EMIT_PROGRAM});
  return one;
}

// The kernel's units, all of them once, by as many threads at the same time.
inline void run_units(CupelKernel run, RandomKernel& random, int threads) {
  const NetworkArithmetic arithmetic;  // as sessions set it
  std::vector<uint8_t*> buffers;
  for (std::byte* pointer : random.pointers()) buffers.push_back(reinterpret_cast<uint8_t*>(pointer));
  const int64_t units = random.items * units_per_item(random.kernel);
  if (threads == 1) {  // in three parts, the last one first
    const int64_t first = units / 3, second = units - units / 4;
    run(buffers.data(), second, units);
    run(buffers.data(), first, second);
    run(buffers.data(), 0, first);
    return;
  }
  ThreadPool pool(threads);
  pool.parallel_for(units, 1, [&](int64_t begin, int64_t end) { run(buffers.data(), begin, end); });
}

// Compiles all kernels in one library and compares each result, of one and of two threads, byte for byte.
inline void compare_kernels(std::vector<RandomKernel>& randoms, const EmitTarget& target, int level = 2) {
  std::vector<const Kernel*> kernels;
  std::vector<std::string> symbols, distinct;
  for (const RandomKernel& random : randoms) {
    const auto sound = check_kernel(random.kernel);
    ASSERT_TRUE(sound) << sound.error().message();
    symbols.push_back(kernel_symbol(random.kernel));
    if (std::find(distinct.begin(), distinct.end(), symbols.back()) != distinct.end()) continue;
    distinct.push_back(symbols.back());
    kernels.push_back(&random.kernel);
  }
  auto objects = build_objects(kernels, target, test_pool(), {.cache_folder = {}, .code_generation_level = level});
  ASSERT_TRUE(objects) << objects.error().message();
  auto linked = link_objects(*objects, distinct, test_pool(), true);
  ASSERT_TRUE(linked) << linked.error().message();
  const LoadedLibrary library(*linked);
  for (size_t i = 0; i < randoms.size(); ++i) {
    RandomKernel& random = randoms[i];
    const AlignedBytes expected = expected_result(random);
    const auto run = library.find<CupelKernel>(symbols[i]);
    ASSERT_NE(run, nullptr) << symbols[i];
    for (const int threads : {1, 2}) {
      random.buffers[0] = random.initial;
      run_units(run, random, threads);
      ASSERT_EQ(compare_results(random, expected, random.buffers[0]), "")
          << target.name << ", " << threads << " threads, kernel " << i << "\n"
          << print_kernel(random.kernel);
    }
  }
}

}  // namespace cupel
