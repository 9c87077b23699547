#include <gtest/gtest.h>

#include "kernel/chain_kernels.h"

namespace cupel {
namespace {

TEST(Chain, MeansItsPartsInSequence) {
  const Kernel kernel = row_chain();
  ASSERT_TRUE(check_kernel(kernel).has_value()) << check_kernel(kernel).error().message();
  ChainRun run;
  const auto pointers = run.pointers();
  evaluate_kernel(kernel, pointers, run.items);
  EXPECT_EQ(run.difference(), "");
}

TEST(Chain, TextParsesBack) {
  const Kernel kernel = row_chain();
  const std::string text = print_kernel(kernel);
  EXPECT_EQ(text.substr(0, 71), "kernel chain\n  steps 7\n  part units 1 back 0 ahead 2\nkernel map\n  space");
  const auto parsed = parse_kernel(text);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_TRUE(*parsed == kernel);
  EXPECT_EQ(print_kernel(*parsed), text);
  EXPECT_EQ(kernel_name(kernel), "chain_map_u8_u8_window_max_u8_u8_w2n32");
  EXPECT_EQ(units_per_item(kernel), kChainRows - 2);
  EXPECT_EQ(accesses_of(kernel.spec).size(), 4u);
  EXPECT_EQ(first_buffer(std::get<ChainSpec>(kernel.spec), 0), 2u);
}

TEST(Chain, ChainsWithinChainsDoNotParse) {
  std::string text = print_kernel(row_chain());
  text.replace(text.find("kernel map"), 10, "kernel chain");
  const auto parsed = parse_kernel(text);
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().message(), "kernel text:4: a chain within a chain\n  correct the kernel text");
}

TEST(Chain, BrokenChains) {
  const auto message = [](auto&& change) {
    Kernel kernel = row_chain();
    change(std::get<ChainSpec>(kernel.spec));
    const Status status = check_kernel(kernel);
    return status ? std::string() : status.error().cause;
  };
  EXPECT_EQ(message([](ChainSpec& c) { c.parts.pop_back(); }), "a chain has 1 parts, expected 2 to 16");
  EXPECT_EQ(message([](ChainSpec& c) { c.steps = 6; }), "the last part has 7 units, expected 1 for each of 6 steps");
  EXPECT_EQ(message([](ChainSpec& c) { c.parts[0].ahead = 10; }),
            "part 0 has 9 units, and 1 for a step, 0 back and 10 ahead");
  EXPECT_EQ(message([](ChainSpec& c) { std::get<MapSpec>(c.parts[0].kernel.spec).space = {9}; }),
            "part 0: operand 0: has 2 strides for 1 dimensions");
  EXPECT_EQ(message([](ChainSpec& c) { c.parts[0].kernel = row_chain(); }), "part 0 is a chain");
}

}  // namespace
}  // namespace cupel
