// Random kernels of every form, compiled for every target this machine runs, against the evaluation without LLVM.
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

INSTANTIATE_TEST_SUITE_P(Targets, RandomKernels, testing::ValuesIn(target_names()), test_name);

// The level of code generation changes no bit.
TEST(CodeGenerationLevels, Agree) {
  for (const int level : {0, 1, 3})
    for (const KernelForm form : kKernelForms) compare("host", form, 4, level);
}

}  // namespace
}  // namespace cupel
