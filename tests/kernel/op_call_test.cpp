// Calls of routines that define operators: what makes their descriptions unsound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/kernel.h"

namespace cupel {
namespace {

// y[3, 11] = x[5, 7] by tables for both axes.
Kernel pick() {
  auto kernel = parse_kernel(R"(kernel call pick
  space 3 44
  operand f32 offset 0 item 140 strides 0 0
  operand s32 constant offset 0 item 0 strides 0 0
  operand s32 constant offset 0 item 0 strides 0 0
  integers 1 3 4 0 3 0 4 0 1 1 3 11 1 1 1 1 0 4 0 1 1 5 7 1 1 1 1 11 1 0 3 1 1 1 1 1 1 1 11 1 0 11 1 1 1 1 1 1 1 0 0 1 1
  out u8 offset 0 item 192 strides 44 1
  schedule
end
)");
  if (!kernel) ADD_FAILURE() << kernel.error().message();
  return kernel ? std::move(*kernel) : Kernel();
}

std::string finding(void (*plant)(CallSpec&)) {
  Kernel kernel = pick();
  plant(std::get<CallSpec>(kernel.spec));
  const Status status = check_kernel(kernel);
  return status ? "" : status.error().message();
}

TEST(OpCalls, ElementsLieOnTheirBoundaries) {
  EXPECT_EQ(finding([](CallSpec&) {}), "");
  EXPECT_THAT(finding([](CallSpec& s) { s.operands[0].offset = 2; }),
              testing::HasSubstr("operand 0: an offset or stride is no multiple of 4 bytes"));
  EXPECT_THAT(finding([](CallSpec& s) { s.operands[0].item_stride = 141; }),
              testing::HasSubstr("operand 0: an offset or stride is no multiple of 4 bytes"));
  EXPECT_THAT(finding([](CallSpec& s) { s.out.item_stride = 190; }),
              testing::HasSubstr("a result lies off the boundaries"));
}

TEST(OpCalls, DescriptionsFitTheirTensors) {
  EXPECT_THAT(finding([](CallSpec& s) { s.integers.pop_back(); }),
              testing::HasSubstr("integers do not fit their header"));
  EXPECT_THAT(finding([](CallSpec& s) { s.operands.pop_back(); }), testing::HasSubstr("an operand is missing"));
  EXPECT_THAT(finding([](CallSpec& s) { s.operands[1].dtype = DType::u8; }),
              testing::HasSubstr("another type than its description"));
  EXPECT_THAT(finding([](CallSpec& s) { s.space[0] = 4; }), testing::HasSubstr("no division of 132 bytes"));
}

// y = x[indices] of GatherND: x f32[4, 3], indices s64[2, 1], y f32[2, 3].
TEST(OpCalls, DescriptionsOfIndicesAreReadOnlyWhereTheyAreSound) {
  const auto finding_of = [](int64_t shared) {
    auto kernel = parse_kernel(R"(kernel call gather_at
  space 2 12
  operand f32 offset 0 item 48 strides 0 0
  operand s64 offset 0 item 16 strides 0 0
  integers 1 2 2 0 2 0 2 0 2 3 1 1 1 1 1 1 0 2 0 4 3 1 1 1 1 1 1 9 2 0 2 1 1 1 1 1 1 1 1 0
  out u8 offset 0 item 64 strides 12 1
  schedule
end
)");
    EXPECT_TRUE(kernel) << kernel.error().message();
    std::vector<int64_t>& integers = std::get<CallSpec>(kernel->spec).integers;
    integers[27] = static_cast<int64_t>(DType::s64);
    integers.back() = shared;
    const Status status = check_kernel(*kernel);
    return status ? std::string() : status.error().message();
  };
  EXPECT_EQ(finding_of(0), "");
  for (const int64_t hostile : {int64_t{-1}, int64_t{2}, int64_t{1} << 40, INT64_MIN, INT64_MAX})
    EXPECT_THAT(finding_of(hostile), testing::HasSubstr("tuples are longer than the rank")) << hostile;
}

TEST(OpCalls, AbsentTensorsHaveNoRank) {
  EXPECT_THAT(finding([](CallSpec& s) {
                s.integers[16] = -1;
                s.integers[17] = int64_t{1} << 40;
              }),
              testing::HasSubstr("a tensor that is absent has a rank"));
}

}  // namespace
}  // namespace cupel
