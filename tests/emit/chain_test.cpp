// Compiled chains: any split of their steps gives what the parts mean in sequence.
#include "emit/run_kernel.h"
#include "kernel/chain_kernels.h"

namespace cupel {
namespace {

class Chains : public testing::TestWithParam<std::string> {};

TEST_P(Chains, AnySplitGivesTheSame) {
  const EmitTarget target = *find_emit_target(GetParam());
  const Kernel kernel = row_chain();
  const std::vector<const Kernel*> kernels = {&kernel};
  auto objects = build_objects(kernels, target, test_pool(), {.cache_folder = {}});
  ASSERT_TRUE(objects) << objects.error().message();
  auto linked = link_objects(*objects, {kernel_symbol(kernel)}, test_pool());
  ASSERT_TRUE(linked) << linked.error().message();
  const LoadedLibrary library(*linked);
  const auto compiled = library.find<CupelKernel>(kernel_symbol(kernel));
  ASSERT_NE(compiled, nullptr);
  for (int64_t split = 0; split <= 14; ++split) {
    ChainRun run;
    std::vector<uint8_t*> buffers;
    for (std::byte* pointer : run.pointers()) buffers.push_back(reinterpret_cast<uint8_t*>(pointer));
    const int64_t units = run.items * units_per_item(kernel);
    compiled(buffers.data(), split, units);
    compiled(buffers.data(), 0, split);
    EXPECT_EQ(run.difference(), "") << "split at " << split;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Chains, testing::ValuesIn(target_names()), test_name);

}  // namespace
}  // namespace cupel
