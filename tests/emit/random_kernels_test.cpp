// Random kernels of every form, compiled for every target this machine runs, against the evaluation without LLVM.
#include <gtest/gtest.h>

#include <cstdlib>

#include "emit/image_builder.h"
#include "emit/loaded_library.h"
#include "kernel/random_kernels.h"
#include "runtime/image.h"

namespace cupel {
namespace {

WorkerPool& pool() {
  static WorkerPool one({.program = CUPEL_EMIT_PROGRAM});
  return one;
}

int kernels_per_form() {
  const char* count = std::getenv("CUPEL_RANDOM_KERNELS");  // more than the usual, for long runs
  return count == nullptr ? 50 : std::max(1, std::atoi(count) / 4);
}


class RandomKernels : public testing::TestWithParam<std::string> {};

void compare(const EmitTarget& target, KernelForm form, int count, int level) {
  std::vector<RandomKernel> randoms;
  std::vector<const Kernel*> kernels;
  std::vector<std::string> symbols;
  const RandomOptions options = {.s16_weights = target.byte_product == ByteProduct::two_s16};
  for (int seed = 0; seed < count; ++seed) {
    randoms.push_back(make_random_kernel(form, static_cast<uint64_t>(seed), options));
    const auto sound = check_kernel(randoms.back().kernel);
    ASSERT_TRUE(sound) << sound.error().message();
  }
  for (const RandomKernel& random : randoms) {
    kernels.push_back(&random.kernel);
    symbols.push_back(kernel_symbol(random.kernel));
  }
  auto objects = build_objects(kernels, target, pool(), {.cache_folder = {}, .code_generation_level = level});
  ASSERT_TRUE(objects) << objects.error().message();
  // Two seeds may give one kernel.
  std::vector<Bytes> distinct;
  for (size_t i = 0; i < symbols.size(); ++i)
    if (std::find(symbols.begin(), symbols.begin() + static_cast<int64_t>(i), symbols[i]) == symbols.begin() + static_cast<int64_t>(i)) distinct.push_back((*objects)[i]);
  auto linked = link_objects(distinct, symbols, pool());
  ASSERT_TRUE(linked) << linked.error().message();
  const LoadedLibrary library(*linked);
  for (int seed = 0; seed < count; ++seed) {
    RandomKernel& random = randoms[static_cast<size_t>(seed)];
    const AlignedBytes expected = expected_result(random);
    const auto run = library.find<CupelKernel>(symbols[static_cast<size_t>(seed)]);
    ASSERT_NE(run, nullptr) << symbols[static_cast<size_t>(seed)];
    std::vector<uint8_t*> buffers;
    for (std::byte* pointer : random.pointers()) buffers.push_back(reinterpret_cast<uint8_t*>(pointer));
    // In three parts, as threads would, the last one first.
    const int64_t units = random.items * units_per_item(random.kernel);
    const int64_t first = units / 3, second = units - units / 4;
    run(buffers.data(), second, units);
    run(buffers.data(), first, second);
    run(buffers.data(), 0, first);
    ASSERT_EQ(compare_results(random, expected, random.buffers[0]), "")
        << target.name << ", seed " << seed << "\n" << print_kernel(random.kernel);
  }
}

TEST_P(RandomKernels, Contract) { compare(*find_emit_target(GetParam()), KernelForm::contract, kernels_per_form(), 2); }
TEST_P(RandomKernels, Window) { compare(*find_emit_target(GetParam()), KernelForm::window, kernels_per_form(), 2); }
TEST_P(RandomKernels, Map) { compare(*find_emit_target(GetParam()), KernelForm::map, kernels_per_form(), 2); }
TEST_P(RandomKernels, Row) { compare(*find_emit_target(GetParam()), KernelForm::row, kernels_per_form(), 2); }

std::vector<std::string> target_names() {
  std::vector<std::string> names;
  for (const EmitTarget& target : runnable_emit_targets()) names.push_back(target.name);
  if (auto host = find_emit_target("host"); host && std::find(names.begin(), names.end(), host->name) == names.end()) names.push_back(host->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomKernels, testing::ValuesIn(target_names()), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

// The level of code generation changes no bit.
TEST(CodeGenerationLevels, Agree) {
  for (const int level : {0, 1, 3})
    for (const KernelForm form : kKernelForms) compare(*find_emit_target("host"), form, 4, level);
}

}  // namespace
}  // namespace cupel
