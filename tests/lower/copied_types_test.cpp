// Elements of types that kernels do not compute with are copied byte by byte; those smaller than a byte are refused.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

Result<Graph> graph_of(std::string_view node, DType type) {
  return parse_graph(fmt::format("graph \"copied\" stage simplified opset 21 {{\n  input %x : {}[batch,3,2]\n{}}}",
                                 dtype_name(type), node));
}

constexpr std::string_view kTransposed = "  %y = Transpose(%x) {perm=[0,2,1]}\n  output %y\n";
constexpr std::string_view kFlat = "  %y = Flatten(%x)\n  output %y\n  output %x\n";

TEST(CopiedTypes, KeepEveryBit) {
  ThreadPool threads(1);
  for (const DType type : {DType::u8, DType::s8, DType::u16, DType::s16, DType::u32, DType::s32, DType::u64, DType::s64,
                           DType::f64, DType::bf16, DType::f8e4m3, DType::f8e5m2})
    for (const std::string_view node : {kTransposed, kFlat}) {
      const auto graph = graph_of(node, type);
      ASSERT_TRUE(graph) << graph.error().message();
      const auto lowered = lower_graph(*graph, "copied", {});
      ASSERT_TRUE(lowered) << lowered.error().message();
      Tensor x(type, {2, 3, 2});
      uint8_t byte = 0x7d;  // every type gets NaN patterns, infinities and subnormal numbers among others
      for (std::byte& b : x.mutable_bytes()) b = std::byte{byte = static_cast<uint8_t>(byte * 7 + 3)};
      const auto expected = interpret(*graph, std::span(&x, 1), threads);
      const auto actual = evaluate_program(lowered->program, std::span(&x, 1));
      ASSERT_TRUE(expected) << expected.error().message();
      ASSERT_TRUE(actual) << actual.error().message();
      EXPECT_EQ(*expected, *actual) << dtype_name(type) << node;
    }
}

TEST(CopiedTypes, PartsOfABytesAreRefused) {
  for (const DType type : {DType::u4, DType::s4}) {
    const auto graph = graph_of(kFlat, type);
    ASSERT_TRUE(graph) << graph.error().message();
    const auto lowered = lower_graph(*graph, "copied", {});
    ASSERT_FALSE(lowered);
    EXPECT_EQ(lowered.error().kind, ErrorKind::unsupported);
    EXPECT_EQ(lowered.error().message(), fmt::format("value x: elements of type {} have no compiled form\n  run the "
                                                     "model with --engine reference",
                                                     dtype_name(type)));
  }
}

}  // namespace
}  // namespace cupel
