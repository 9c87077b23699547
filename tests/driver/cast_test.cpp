// Casts that no number can fail, between all pairs of types, in compiled code: the bits of the reference.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/same_bytes.h"
#include "driver/compile.h"
#include "ir/text.h"
#include "ops/onnx_dtype.h"
#include "reference/interpreter.h"
#include "runtime/convert.h"

namespace cupel {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::u8,  DType::s8,  DType::u16,    DType::s16,
                            DType::u32, DType::s32, DType::u64, DType::s64, DType::boolean};

template <class T>
Tensor numbers_of() {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_floating_point_v<T>)
    return Tensor::of<T>(
        {2, 7}, {T(0), T(-0.0), Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), Limits::denorm_min(),
                 Limits::min(), -Limits::max(), T(1) / 3, T(-2.5), T(1e30), T(16777217), T(1e-39), T(1)});
  else if constexpr (std::is_same_v<T, bool>)
    return Tensor::of<bool>({2, 7},
                            {true, false, true, true, false, false, true, true, true, false, true, false, true, true});
  else  // odd numbers above 2^24 and 2^53 are rounded
    return Tensor::of<T>({2, 7}, {T(0), T(1), T(-1), Limits::min(), Limits::max(), T(Limits::max() - 1),
                                  T(Limits::max() / 2), T(Limits::max() / 3), T(16777217), T(-16777219),
                                  T((int64_t{1} << 53) + 1), T(Limits::max() - 1023), T(0x7fffffbf), T(100)});
}

Tensor numbers_of(DType type) {
  switch (type) {
    case DType::f32: return numbers_of<float>();
    case DType::f64: return numbers_of<double>();
    case DType::u8: return numbers_of<uint8_t>();
    case DType::s8: return numbers_of<int8_t>();
    case DType::u16: return numbers_of<uint16_t>();
    case DType::s16: return numbers_of<int16_t>();
    case DType::u32: return numbers_of<uint32_t>();
    case DType::s32: return numbers_of<int32_t>();
    case DType::u64: return numbers_of<uint64_t>();
    case DType::s64: return numbers_of<int64_t>();
    default: return numbers_of<bool>();
  }
}

TEST(CompiledCast, GivesTheBitsOfTheReference) {
  setenv("CUPEL_EMIT", CUPEL_EMIT_PROGRAM, 1);
  std::string inputs, nodes, outputs;
  std::vector<Tensor> given;
  for (const DType from : kTypes) {
    inputs += fmt::format("  input %{0} : {0}[batch,7]\n", dtype_name(from));
    given.push_back(numbers_of(from));
    for (const DType to : kTypes) {
      if (!always_fits(from, to) || from == to) continue;
      nodes += fmt::format("  %{0}_{1} = Cast(%{0}) {{to={2}}}\n", dtype_name(from), dtype_name(to), onnx_dtype(to));
      outputs += fmt::format("  output %{}_{}\n", dtype_name(from), dtype_name(to));
    }
  }
  const auto graph = parse_graph("graph \"casts\" stage simplified opset 17 {\n" + inputs + nodes + outputs + "}");
  ASSERT_TRUE(graph) << graph.error().message();
  EXPECT_EQ(graph->outputs().size(), 56u);  // 30 to f32, f64 and bool, 8 from bool, 18 between integers
  ThreadPool threads(2);
  auto code = compile_for_host(*graph, "casts", 2);
  ASSERT_TRUE(code) << code.error().message();
  const auto found = code->run(*graph, given, {}), expected = interpret(*graph, given, threads);
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_TRUE(expected) << expected.error().message();
  for (size_t i = 0; i < expected->size(); ++i)
    EXPECT_TRUE(same_bytes((*found)[i], (*expected)[i])) << graph->value(graph->outputs()[i]).name;
}

Result<std::vector<Tensor>> run_compiled(DType from, DType to, const Tensor& x) {
  setenv("CUPEL_EMIT", CUPEL_EMIT_PROGRAM, 1);
  const auto graph =
      parse_graph(fmt::format("graph \"cast\" stage simplified opset 17 {{\n  input %x : {}[batch,2]\n  %y = Cast(%x) "
                              "{{to={}}}\n  output %y\n}}",
                              dtype_name(from), onnx_dtype(to)));
  if (!graph) return std::unexpected(graph.error());
  auto code = CUPEL_TRY(compile_for_host(*graph, "cast", 1));
  const std::vector<Tensor> given = {x};
  return code.run(*graph, given, {});
}

// Through floats of 8 bits and back: the bits of the reference.
TEST(CompiledCast, OfFloatsOf8Bits) {
  setenv("CUPEL_EMIT", CUPEL_EMIT_PROGRAM, 1);
  Tensor bytes(DType::u8, {128, 2});
  for (int64_t i = 0; i < 256; ++i) bytes.mutable_data<uint8_t>()[static_cast<size_t>(i)] = static_cast<uint8_t>(i);
  std::string nodes, outputs, inputs;
  std::vector<Tensor> given;
  for (const DType narrow : {DType::f8e4m3, DType::f8e5m2}) {
    inputs += fmt::format("  input %{0} : {0}[batch,2]\n", dtype_name(narrow));
    given.push_back(bytes.bit_cast_to(narrow));
    for (const DType wide : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::boolean})
      for (const int saturate : {0, 1}) {
        const std::string name = fmt::format("{}_{}_{}", dtype_name(narrow), dtype_name(wide), saturate);
        nodes += fmt::format("  %{0} = Cast(%{1}) {{to={2}}}\n", name, dtype_name(narrow), onnx_dtype(wide));
        nodes += fmt::format("  %{0}_back = Cast(%{0}) {{saturate={1}, to={2}}}\n", name, saturate,
                             onnx_dtype(narrow == DType::f8e4m3 ? DType::f8e5m2 : DType::f8e4m3));
        outputs += fmt::format("  output %{0}\n  output %{0}_back\n", name);
      }
  }
  const auto graph = parse_graph("graph \"casts\" stage simplified opset 19 {\n" + inputs + nodes + outputs + "}");
  ASSERT_TRUE(graph) << graph.error().message();
  ThreadPool threads(1);
  auto code = compile_for_host(*graph, "casts", 1);
  ASSERT_TRUE(code) << code.error().message();
  const auto found = code->run(*graph, given, {}), expected = interpret(*graph, given, threads);
  ASSERT_TRUE(found) << found.error().message();
  ASSERT_TRUE(expected) << expected.error().message();
  for (size_t i = 0; i < expected->size(); ++i)
    EXPECT_TRUE(same_bytes((*found)[i], (*expected)[i])) << graph->value(graph->outputs()[i]).name;
}

// The greatest and the least number that fit, and their neighbours that do not.
TEST(CompiledCast, OfNumbersThatFit) {
  const auto bytes = run_compiled(DType::f32, DType::s8, Tensor::of<float>({1, 2}, {-128.75f, 127.99f}));
  ASSERT_TRUE(bytes) << bytes.error().message();
  EXPECT_TRUE(same_bytes((*bytes)[0], Tensor::of<int8_t>({1, 2}, {-128, 127})));
  const auto wide = run_compiled(DType::f32, DType::s64, Tensor::of<float>({1, 2}, {-0x1p63f, 0x1.fffffep62f}));
  ASSERT_TRUE(wide) << wide.error().message();
  EXPECT_TRUE(same_bytes((*wide)[0], Tensor::of<int64_t>({1, 2}, {INT64_MIN, int64_t{0xffffff} << 39})));
  const auto unsigned_bytes = run_compiled(DType::s64, DType::u8, Tensor::of<int64_t>({1, 2}, {0, 255}));
  ASSERT_TRUE(unsigned_bytes) << unsigned_bytes.error().message();
  EXPECT_TRUE(same_bytes((*unsigned_bytes)[0], Tensor::of<uint8_t>({1, 2}, {0, 255})));
}

TEST(CompiledCast, OfNumbersThatDoNot) {
  const auto expect = [](DType from, DType to, const Tensor& x, const Tensor& y) {
    const auto found = run_compiled(from, to, x);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_TRUE(same_bytes((*found)[0], y)) << dtype_name(from) << " to " << dtype_name(to);
  };
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
  expect(DType::f32, DType::s8, Tensor::of<float>({2, 2}, {128, -129, kNan, kInfinity}),
         Tensor::of<int8_t>({2, 2}, {127, -128, -128, 127}));
  expect(DType::f32, DType::s64, Tensor::of<float>({1, 2}, {-kInfinity, 0x1p63f}),
         Tensor::of<int64_t>({1, 2}, {INT64_MIN, INT64_MAX}));
  expect(DType::f32, DType::u8, Tensor::of<float>({1, 2}, {-0.5f, -1}), Tensor::of<uint8_t>({1, 2}, {0, 0}));
  expect(DType::s64, DType::s32, Tensor::of<int64_t>({1, 2}, {5, int64_t{1} << 31}),
         Tensor::of<int32_t>({1, 2}, {5, INT32_MIN}));
  expect(DType::s32, DType::u8, Tensor::of<int32_t>({1, 2}, {-1, 513}), Tensor::of<uint8_t>({1, 2}, {255, 1}));
}

}  // namespace
}  // namespace cupel
