// Kernels print and parse back, and say what is wrong with a text.
#include <gtest/gtest.h>

#include <random>

#include "kernel/kernel.h"
#include "kernel/random_kernels.h"

namespace cupel {
namespace {

class EveryForm : public testing::TestWithParam<KernelForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, EveryForm, testing::ValuesIn(kKernelForms),
                         [](const auto& form) { return std::string(kernel_form_name(form.param)); });

TEST_P(EveryForm, RandomKernelsPassTheCheckAndPrintAndParseBack) {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const Kernel kernel = make_random_kernel(GetParam(), seed).kernel;
    const std::string text = print_kernel(kernel);
    const Status status = check_kernel(kernel);
    ASSERT_TRUE(status) << status.error().message() << "\n" << text;
    const auto parsed = parse_kernel(text);
    ASSERT_TRUE(parsed) << parsed.error().message() << "\n" << text;
    ASSERT_TRUE(*parsed == kernel) << text;
    ASSERT_EQ(print_kernel(*parsed), text);
    ASSERT_EQ(kernel_hash(*parsed), kernel_hash(kernel));
    ASSERT_GE(units_per_item(kernel), 1);
  }
}

}  // namespace
}  // namespace cupel
