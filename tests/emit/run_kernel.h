// Runs kernels compiled for a target beside their evaluation without LLVM.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "emit/image_builder.h"
#include "emit/loaded_library.h"
#include "kernel/random_kernels.h"
#include "runtime/image.h"

namespace cupel {

inline WorkerPool& test_pool() {
  static WorkerPool one({.program = CUPEL_EMIT_PROGRAM});
  return one;
}

// Every target this machine runs, "host" by its own name.
inline std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const EmitTarget& target : runnable_emit_targets()) names.push_back(target.name);
  if (auto host = find_emit_target("host"); host && std::find(names.begin(), names.end(), host->name) == names.end())
    names.push_back(host->name);
  return names;
}
// A target's name as part of a test's.
inline std::string test_name(const testing::TestParamInfo<std::string>& row) {
  std::string name = row.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

// Compiles all kernels in one library and compares each result byte for byte.
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
  auto linked = link_objects(*objects, distinct, test_pool());
  ASSERT_TRUE(linked) << linked.error().message();
  const LoadedLibrary library(*linked);
  for (size_t i = 0; i < randoms.size(); ++i) {
    RandomKernel& random = randoms[i];
    const AlignedBytes expected = expected_result(random);
    const auto run = library.find<CupelKernel>(symbols[i]);
    ASSERT_NE(run, nullptr) << symbols[i];
    std::vector<uint8_t*> buffers;
    for (std::byte* pointer : random.pointers()) buffers.push_back(reinterpret_cast<uint8_t*>(pointer));
    // In three parts, as threads would, the last one first.
    const int64_t units = random.items * units_per_item(random.kernel);
    const int64_t first = units / 3, second = units - units / 4;
    run(buffers.data(), second, units);
    run(buffers.data(), first, second);
    run(buffers.data(), 0, first);
    ASSERT_EQ(compare_results(random, expected, random.buffers[0]), "") << target.name << ", kernel " << i << "\n"
                                                                        << print_kernel(random.kernel);
  }
}

}  // namespace cupel
