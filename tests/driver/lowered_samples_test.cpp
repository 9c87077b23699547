// Every op sample that has a compiled form means the same lowered as interpreted, element by element.
#include <gtest/gtest.h>

#include <random>

#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "kernel/lower.h"
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
        t.mutable_data<float>()[i] = static_cast<float>(static_cast<int>(engine() % 2001) - 1000) / 250.0f;
      if (dtype_bits(t.dtype()) == 8)
        t.mutable_bytes()[i] = static_cast<std::byte>(t.dtype() == DType::boolean ? engine() % 2 : engine());
    }
    inputs.push_back(std::move(t));
  }
  return inputs;
}

TEST(LoweredSamples, MeanTheSameAsInterpreted) {
  ThreadPool threads(1);
  int lowered_count = 0;
  for (const OpDef* op : all_ops())
    for (std::string_view text : op->samples) {
      const auto graph = parse_graph(text);
      ASSERT_TRUE(graph.has_value()) << graph.error().message();
      const auto lowered = lower_graph(*graph, "sample", {true, 32});
      if (!lowered) {
        EXPECT_EQ(lowered.error().kind, ErrorKind::unsupported) << lowered.error().message();
        continue;
      }
      ++lowered_count;
      const auto inputs = random_inputs(*graph);
      const auto expected = interpret(*graph, inputs, threads);
      ASSERT_TRUE(expected.has_value()) << expected.error().message();
      const auto actual = evaluate_program(lowered->program, inputs);
      ASSERT_TRUE(actual.has_value()) << text << actual.error().message();
      for (size_t i = 0; i < expected->size(); ++i) {
        const Tensor &a = (*actual)[i], &b = (*expected)[i];
        ASSERT_EQ(a.size(), b.size()) << text;
        for (int64_t k = 0; k < a.size(); ++k) {
          const double x = a.at(k), y = b.at(k);
          ASSERT_TRUE(x == y || (x != x && y != y)) << text << " element " << k << ": " << x << ", expected " << y;
        }
      }
    }
  EXPECT_GE(lowered_count, 88);  // of the samples; a lowering that is lost shows here
}

}  // namespace
}  // namespace cupel
