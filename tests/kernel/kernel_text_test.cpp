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

struct TextError {
  std::string_view from, to, message;
};

constexpr std::string_view kText = R"(kernel row
  space 3 5
  operand f32 offset 0 item 60 strides 20 4

  step sum64
    %0 = operand 0
    %1 = constant_f32 0x1.8p-3
    %2 = mul %0 %1
  out f32 offset 0 item 60 strides 20 4
  value
    %0 = operand 0
  schedule
end
)";

constexpr TextError kTextErrors[] = {
    {"kernel row", "graph", "kernel text:1: found graph, expected kernel"},
    {"kernel row", "kernel rows", "kernel text:1: found rows, expected a form"},
    {"kernel row", "kernel window average", "kernel text:1: found average, expected dot, sum or max"},
    {"kernel row", "kernel row 1", "kernel text:1: found 1, expected the end of the line"},
    {"space 3 5", "space 3 5x", "kernel text:2: found 5x, expected an integer of 64 bits"},
    {"space 3 5", "space 3 9223372036854775808",
     "kernel text:2: found 9223372036854775808, expected an integer of 64 bits"},
    {"f32 offset", "f31 offset", "kernel text:3: found f31, expected an element type"},
    {"item 60", "item", "kernel text:3: found strides, expected an integer of 64 bits"},
    {"offset 0", "0", "kernel text:3: found 0, expected offset"},
    {"sum64", "sum", "kernel text:5: found sum, expected greatest, sum64 or squares64"},
    {"%1 = constant", "%2 = constant", "kernel text:7: found %2, expected %1"},
    {"%1 = constant_f32", "%1 : constant_f32", "kernel text:7: found :, expected ="},
    {"%1 = constant_f32 0x1.8p-3", "%1 = constant_f32 0.1", "kernel text:7: found 0.1, expected a hexadecimal number"},
    {"%1 = constant_f32 0x1.8p-3", "%1 = constant_f32 0x1p+400",
     "kernel text:7: found 0x1p+400, expected a hexadecimal number"},
    {"%1 = constant_f32 0x1.8p-3", "%1 = constant_f32 0x-1",
     "kernel text:7: found 0x-1, expected a hexadecimal number"},
    {"%1 = constant_f32 0x1.8p-3", "%1 = constant_f32 nan(0x7f800000)",
     "kernel text:7: found nan(0x7f800000), expected a number"},
    {"%1 = constant_f32 0x1.8p-3", "%1 = constant_s32 2147483648",
     "kernel text:7: found 2147483648, expected an integer of 32 bits"},
    {"%2 = mul %0 %1", "%2 = times %0 %1", "kernel text:8: found times, expected an operation"},
    {"%2 = mul %0 %1", "%2 = mul %0", "kernel text:8: found the end of the line, expected a node, %0 or a later one"},
    {"%2 = mul %0 %1", "%2 = mul %0 1", "kernel text:8: found 1, expected a node, %0 or a later one"},
    {"%2 = mul %0 %1", "%2 = mul %0 %1 %1", "kernel text:8: found %1, expected the end of the line"},
    {"  out", "  in\x1b", "kernel text:9: found in\\x1b, expected out"},
    {"  schedule\nend\n", "", "kernel text:11: found the end of the text, expected schedule"},
    {"end\n", "end\nend\n", "kernel text:14: text after the kernel"},
};

TEST(KernelText, ErrorsNameTheLine) {
  ASSERT_TRUE(parse_kernel(kText));
  for (const TextError& error : kTextErrors) {
    std::string text(kText);
    const size_t at = text.find(error.from);
    ASSERT_NE(at, std::string::npos) << error.from;
    text.replace(at, error.from.size(), error.to);
    const auto parsed = parse_kernel(text);
    ASSERT_FALSE(parsed) << error.to;
    EXPECT_EQ(parsed.error().kind, ErrorKind::bad_input);
    EXPECT_EQ(parsed.error().message(), std::string(error.message) + "\n  correct the kernel text");
  }
  EXPECT_EQ(parse_kernel("").error().message(),
            "kernel text:0: found the end of the text, expected kernel\n  correct the kernel text");
}

TEST(KernelText, ACallNamesItsRoutine) {
  const std::string text = print_kernel(make_random_kernel(KernelForm::call, 1).kernel);
  EXPECT_TRUE(text.starts_with("kernel call gather\n  space ")) << text;
  EXPECT_EQ(parse_kernel("kernel call scatter\n").error().message(),
            "kernel text:1: found scatter, expected a routine\n  correct the kernel text");
}

TEST(KernelText, EveryNumberPrintsAndParsesBackToItsBits) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    uint32_t bits = static_cast<uint32_t>(random());
    if (i % 8 == 0) bits |= 0x7f800000u;
    if (i % 8 == 1) bits &= 0x807fffffu;
    if (i < 2) bits = 0x7f800000u | static_cast<uint32_t>(i) << 31;
    const Kernel kernel{MapSpec{{1},
                                {},
                                {{{.op = ScalarOp::constant_f32, .value = std::bit_cast<float>(bits)}}},
                                {DType::f32, false, 0, 0, {4}}},
                        MapSchedule()};
    const auto parsed = parse_kernel(print_kernel(kernel));
    ASSERT_TRUE(parsed) << parsed.error().message();
    ASSERT_EQ(std::bit_cast<uint32_t>(std::get<MapSpec>(parsed->spec).value.nodes[0].value), bits)
        << print_kernel(kernel);
  }
}

TEST(KernelText, DifferentKernelsHaveDifferentHashes) {
  const Kernel kernel = make_random_kernel(KernelForm::contract, 1).kernel;
  Kernel other = kernel;
  EXPECT_EQ(kernel_hash(kernel).size(), 64u);
  std::get<ContractSchedule>(other.schedule).unroll += 1;
  EXPECT_NE(kernel_hash(other), kernel_hash(kernel));
  other = kernel;
  std::get<ContractSpec>(other.spec).out.offset += 4;
  EXPECT_NE(kernel_hash(other), kernel_hash(kernel));
}

// Damaged text is an error or a kernel that prints and parses back; the check ends in any case.
TEST(KernelText, DamagedTextNeverDoesHarm) {
  std::mt19937 random(2);
  const auto below = [&](size_t n) { return static_cast<size_t>(random()) % n; };
  constexpr std::string_view kPieces[] = {"0",
                                          "-1",
                                          "9223372036854775807",
                                          "-9223372036854775808",
                                          "99999999999",
                                          "%0",
                                          "%99",
                                          "\n",
                                          " ",
                                          "end",
                                          "operand",
                                          "loop 3 4\n",
                                          "f32",
                                          "u8",
                                          "constant",
                                          "nan(0x7fffffff)",
                                          "select",
                                          "\0"};
  int valid = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    std::string text = print_kernel(make_random_kernel(kKernelForms[seed % std::size(kKernelForms)], seed % 64).kernel);
    for (size_t changes = 1 + below(3); changes > 0; --changes) {
      const size_t at = below(text.size());
      switch (below(4)) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, 1 + below(20)); break;
        case 2: text.insert(at, kPieces[below(std::size(kPieces))]); break;
        default: {  // a whole word
          const size_t begin = text.find(' ', at);
          if (begin == std::string::npos) break;
          const size_t end = text.find_first_of(" \n", begin + 1);
          text.replace(begin + 1, (end == std::string::npos ? text.size() : end) - begin - 1,
                       kPieces[below(std::size(kPieces))]);
        }
      }
      if (text.empty()) text = " ";
    }
    const auto parsed = parse_kernel(text);
    if (!parsed) {
      ASSERT_TRUE(parsed.error().place.starts_with("kernel text:"));
      continue;
    }
    ASSERT_TRUE(*parse_kernel(print_kernel(*parsed)) == *parsed);
    if (!check_kernel(*parsed)) continue;
    ++valid;
    ASSERT_GE(units_per_item(*parsed), 1);
    ASSERT_FALSE(kernel_name(*parsed).empty());
  }
  EXPECT_GT(valid, 50);
}

}  // namespace
}  // namespace cupel
