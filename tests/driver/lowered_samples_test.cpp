// Every op sample that has a compiled form means the same lowered as interpreted, element by element; those without one
// are counted by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <random>

#include "base/same_bytes.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "driver/op_support.h"
#include "emit/image_builder.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "kernel/evaluate_program.h"
#include "kernel/program_text.h"
#include "lower/lower.h"
#include "lower/op_lowerings.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

std::vector<Tensor> random_inputs(const Graph& graph) {
  std::mt19937 engine(1);
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs()) {
    Tensor t(graph.type(id).dtype, *bind_shape(graph.type(id).shape, 2));
    for (size_t i = 0; i < static_cast<size_t>(t.size()); ++i) {
      if (t.dtype() == DType::f32)
        t.mutable_data<float>()[i] = engine() % 8 == 0
                                         ? std::bit_cast<float>(static_cast<uint32_t>(engine()) & 0x807fffffu)
                                         : static_cast<float>(static_cast<int>(engine() % 2001) - 1000) / 250.0f;
      if (t.dtype() == DType::s64) t.mutable_data<int64_t>()[i] = static_cast<int64_t>(engine() % 2);
      if (t.dtype() == DType::f64)
        t.mutable_data<double>()[i] = static_cast<double>(static_cast<int>(engine() % 2001) - 1000) / 250.0;
      if (t.dtype() == DType::u64) t.mutable_data<uint64_t>()[i] = uint64_t{engine()} << (engine() % 33);
      if (t.dtype() == DType::u32) t.mutable_data<uint32_t>()[i] = static_cast<uint32_t>(engine());
      if (t.dtype() == DType::u16 || t.dtype() == DType::s16)
        std::memcpy(t.mutable_bytes().data() + 2 * i, std::array{static_cast<uint16_t>(engine())}.data(), 2);
      if (t.dtype() == DType::s32) t.mutable_data<int32_t>()[i] = static_cast<int32_t>(engine() % 2);
      if (dtype_bits(t.dtype()) == 8)
        t.mutable_bytes()[i] = static_cast<std::byte>(t.dtype() == DType::boolean ? engine() % 2 : engine());
    }
    inputs.push_back(std::move(t));
  }
  return inputs;
}

void expect_equal(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected, std::string_view text) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_TRUE(same_bytes(actual[i], expected[i])) << text;
}

// Samples without a compiled form, and why: `sample: cause`, in the order of the table.
const std::vector<std::string>& expected_gaps() {
  static const std::vector<std::string> kGaps = {
      "quantize_linear: QuantizeLinear has no compiled form yet",
      "quantize_linear_axis: QuantizeLinear has no compiled form yet",
      "dequantize_linear: DequantizeLinear has no compiled form yet",
      "dequantize_linear_s32: DequantizeLinear has no compiled form yet",
      "pow_integers: an operand of type s64",
      "max_pool_3d: pooling other than over one or two dimensions has no compiled form yet",
      "average_pool_codes_3d: pooling other than over one or two dimensions has no compiled form yet",
      "concat_batch: a concatenation along the batch",
      "tile_batch: Tile has no compiled form yet",
  };
  return kGaps;
}

// Whether a graph can have the op when it is lowered.
bool is_lowered(const OpDef& op) { return op.reference && !op.removed_by_simplify && !is_linear_conversion(op); }

TEST(LoweredSamples, EveryOpHasARow) {
  for (const OpDef* op : all_ops()) {
    const auto rows = std::count_if(all_lowerings().begin(), all_lowerings().end(),
                                    [&](const OpLowering& row) { return row.op == op; });
    ASSERT_EQ(rows, 1) << op->name;
    const OpLowering& row = lowering_of(*op);
    EXPECT_EQ(row.ways.empty() && row.gap.empty(), !is_lowered(*op)) << op->name;
    EXPECT_TRUE(row.ways.empty() || row.gap.empty()) << op->name;
    const bool by_kernels = std::ranges::any_of(row.ways, [](const Way& way) { return way.lower != lower_routine; });
    EXPECT_EQ(row.expression != nullptr, is_elementwise(*op) && by_kernels) << op->name;
  }
}

TEST(LoweredSamples, OpsWithoutACompiledForm) {
  std::string names;
  for (const OpLowering& row : all_lowerings())
    if (!row.gap.empty()) names += std::string(row.op->name) + " ";
  EXPECT_EQ(names, "InstanceNormalization LRN Tile ");
}

// Both by the meaning of the kernels and as code for this machine.
TEST(LoweredSamples, MeanTheSameAsInterpreted) {
  ThreadPool threads(1);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const EmitTarget host = find_emit_target("host").value();
  std::vector<std::string> gaps;
  for (const OpDef* op : all_ops())
    for (std::string_view text : op->samples) {
      const auto parsed = parse_graph(text);
      ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
      const auto graph = with_constant_operands(*parsed, random_inputs(*parsed));
      ASSERT_TRUE(graph.has_value()) << graph.error().message();
      if (!verify_graph(*graph)) continue;  // simplify leaves none like it
      const auto lowered = lower_graph(*graph, "sample", {true, 32});
      if (!lowered) {
        EXPECT_EQ(lowered.error().kind, ErrorKind::unsupported) << lowered.error().message();
        gaps.push_back(parsed->name + ": " + lowered.error().cause);
        continue;
      }
      ConstantStore store;
      const auto again = parse_program(print_program(lowered->program, &store), store);
      ASSERT_TRUE(again.has_value()) << text << again.error().message();
      EXPECT_EQ(*again, lowered->program) << text;
      const auto inputs = random_inputs(*graph);
      const auto expected = interpret(*graph, inputs, threads);
      ASSERT_TRUE(expected.has_value()) << expected.error().message();
      const auto meant = evaluate_program(lowered->program, inputs);
      ASSERT_TRUE(meant.has_value()) << text << meant.error().message();
      expect_equal(*meant, *expected, text);
      const auto image = compile_image(*graph, "sample", host, workers);
      if (!image) {
        EXPECT_EQ(image.error().kind, ErrorKind::unsupported) << text << image.error().message();
        continue;
      }
      auto model = CompiledModel::load(*image, "sample", 1);
      ASSERT_TRUE(model.has_value()) << model.error().message();
      const auto computed = model->run(inputs);
      ASSERT_TRUE(computed.has_value()) << text << computed.error().message();
      expect_equal(*computed, *expected, text);
    }
  EXPECT_EQ(gaps, expected_gaps());
}

TEST(LoweredSamples, ArgMaxPassesNaNOverUnlessItComesFirst) {
  ThreadPool threads(1);
  for (const char* last : {"0", "1"}) {
    const auto graph = parse_graph(
        "graph \"g\" stage simplified opset 18 {\ninput %x : f32[batch,5]\n"
        "%y = ArgMax(%x) {axis=1, keepdims=0, select_last_index=" +
        std::string(last) + "}\noutput %y\n}");
    ASSERT_TRUE(graph.has_value()) << graph.error().message();
    const auto lowered = lower_graph(*graph, "sample", {true, 32});
    ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
    const float nan = std::numeric_limits<float>::quiet_NaN(), none = -std::numeric_limits<float>::infinity();
    const std::vector<float> rows = {nan, 1, 9, 2, 9, 3, nan, 7, 7, nan, none, none, nan, none, nan, 4, 4, 4, 4, nan};
    const std::vector<Tensor> inputs = {Tensor::of<float>({4, 5}, rows)};
    const auto expected = interpret(*graph, inputs, threads), actual = evaluate_program(lowered->program, inputs);
    ASSERT_TRUE(actual.has_value()) << actual.error().message();
    expect_equal(*actual, *expected, last);
  }
}

}  // namespace
}  // namespace cupel
