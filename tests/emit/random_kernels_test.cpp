// Random kernels of every form, compiled for every target this machine runs, against the evaluation without LLVM.
#include <cstdio>
#include <cstdlib>

#include "emit/run_kernel.h"

namespace cupel {
namespace {

int kernels_per_form() {
  const char* count = std::getenv("CUPEL_RANDOM_KERNELS");  // more than the usual, for long runs
  return count == nullptr ? 50 : std::max(1, std::atoi(count) / 4);
}

void compare(const std::string& name, KernelForm form, int count, int level) {
  const EmitTarget target = *find_emit_target(name);
  const RandomOptions options = {.s16_weights = target.byte_product == ByteProduct::two_s16};
  std::vector<RandomKernel> randoms;
  for (int seed = 0; seed < count; ++seed)
    randoms.push_back(make_random_kernel(form, static_cast<uint64_t>(seed), options));
  compare_kernels(randoms, target, level);
}

class RandomKernels : public testing::TestWithParam<std::string> {};

TEST_P(RandomKernels, Contract) { compare(GetParam(), KernelForm::contract, kernels_per_form(), 2); }
TEST_P(RandomKernels, Window) { compare(GetParam(), KernelForm::window, kernels_per_form(), 2); }
TEST_P(RandomKernels, Map) { compare(GetParam(), KernelForm::map, kernels_per_form(), 2); }
TEST_P(RandomKernels, Row) { compare(GetParam(), KernelForm::row, kernels_per_form(), 2); }
TEST_P(RandomKernels, Call) { compare(GetParam(), KernelForm::call, kernels_per_form(), 2); }

INSTANTIATE_TEST_SUITE_P(Targets, RandomKernels, testing::ValuesIn(target_names()), test_name);

// Targets that this machine cannot run: their code is generated, and nothing more can be said here.
TEST(CompileOnly, OtherTargets) {
  const Machine machine = host_machine();
  for (const CpuTargetRow& row : cpu_target_table()) {
    const auto target = find_emit_target(row.name);
    if (!target) {
      EXPECT_NE(row.architecture, Architecture::x86_64) << target.error().message();
      continue;
    }
    if (can_run(machine, *target)) continue;
    const RandomOptions options = {.s16_weights = target->byte_product == ByteProduct::two_s16};
    std::vector<RandomKernel> randoms;
    for (const KernelForm form : kKernelForms)
      for (uint64_t seed = 0; seed < 5; ++seed) randoms.push_back(make_random_kernel(form, seed, options));
    std::vector<const Kernel*> kernels;
    for (const RandomKernel& random : randoms) kernels.push_back(&random.kernel);
    const auto objects = build_objects(kernels, *target, test_pool(), {.cache_folder = {}});
    EXPECT_TRUE(objects) << objects.error().message();
    std::printf("not run: %s: this machine lacks its instructions; %zu kernels compile\n", target->name.c_str(),
                kernels.size());
  }
}

// The level of code generation changes no bit.
TEST(CodeGenerationLevels, Agree) {
  for (const int level : {0, 1, 3})
    for (const KernelForm form : kKernelForms) compare("host", form, 4, level);
}

}  // namespace
}  // namespace cupel
