// Arrays cut into batches: a compiled model and its graph cut them alike.
#include "driver/run_array.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "driver/compile.h"
#include "ir/text.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

struct Case {
  const char* name;
  const char* graph;
  std::vector<Dims> rows;  // of each input, without the leading dimension
};

const Case kCases[] = {
    {"open",
     R"(graph "open" stage simplified opset 17 {
  input %x : f32[batch,5]
  %y = Relu(%x)
  output %y
})",
     {{5}}},
    {"rows_of_an_item",
     R"(graph "rows_of_an_item" stage simplified opset 17 {
  input %x : f32[4*batch,5]
  %y = Relu(%x)
  output %y
})",
     {{5}}},
    {"fixed",
     R"(graph "fixed" stage simplified opset 17 {
  input %x : f32[3,5]
  %y = Relu(%x)
  output %y
})",
     {{5}}},
    {"two_fixed",
     R"(graph "two_fixed" stage simplified opset 17 {
  input %x : f32[3,5]
  input %z : f32[3,2,5]
  constant %axes : s64[1] = [1]
  %sum = ReduceSum(%z, %axes) {keepdims=0}
  %y = Add(%x, %sum)
  output %y
})",
     {{5}, {2, 5}}},
};

std::string text_of(const Result<std::vector<Tensor>>& result) {
  if (!result) return result.error().message();
  std::string text;
  for (const Tensor& t : *result) {
    text += to_text(t.dims());
    for (int64_t i = 0; i < t.size(); ++i) text += fmt::format(" {:a}", t.at(i));
  }
  return text;
}

Tensor array(int64_t rows, Dims row, int seed) {
  row.insert(row.begin(), rows);
  Tensor t(DType::f32, std::move(row));
  for (int64_t i = 0; i < t.size(); ++i)
    t.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>((i * 7 + seed) % 11) - 5;
  return t;
}

TEST(RunArray, CompiledModelsCutArraysAsGraphsDo) {
  ThreadPool threads(1);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM, .workers = 1});
  int answered = 0;
  for (const Case& c : kCases) {
    const auto graph = parse_graph(c.graph);
    ASSERT_TRUE(graph) << c.name << ": " << graph.error().message();
    const auto image = compile_image(*graph, c.name, *find_emit_target("host"), workers);
    ASSERT_TRUE(image) << c.name << ": " << image.error().message();
    auto compiled = CompiledModel::load(*image, c.name, 1);
    ASSERT_TRUE(compiled) << c.name << ": " << compiled.error().message();
    const auto shared = std::make_shared<CompiledModel>(std::move(*compiled));
    const ArrayModel by_image = array_model(shared, shared->image());
    const ArrayModel by_graph = array_model(*graph, interpreter(threads));
    ASSERT_EQ(by_image.inputs.size(), by_graph.inputs.size());
    for (size_t i = 0; i < by_image.inputs.size(); ++i)
      EXPECT_EQ(by_image.inputs[i].shape, by_graph.inputs[i].shape) << c.name;
    EXPECT_EQ(by_image.outputs[0].shape, by_graph.outputs[0].shape) << c.name;
    for (int64_t rows : {1, 2, 3, 4, 6, 7, 8, 12})
      for (int64_t batch : {1, 2, 3, 4, 50}) {
        std::vector<Tensor> inputs;
        for (const Dims& row : c.rows) inputs.push_back(array(rows, row, static_cast<int>(inputs.size())));
        const auto expected = run_array(by_graph, inputs, batch, {});
        EXPECT_EQ(text_of(run_array(by_image, inputs, batch, {})), text_of(expected))
            << c.name << ", " << rows << " rows in batches of " << batch;
        answered += expected.has_value();
      }
  }
  EXPECT_EQ(answered, 40 + 15 + 40 + 40);  // 4*batch rows: 4, 8 and 12 alone
}

// What works along the batch sees all rows, however small the batches that were asked for.
TEST(RunArray, RowsOfOtherItemsAreSeenWhereANodeReadsThem) {
  ThreadPool threads(1);
  const RunGraph run = interpreter(threads);
  for (const char* node : {"Softmax(%x) {axis=0}", "Slice(%x, %last, %all, %first, %back)"}) {
    const auto graph = parse_graph(fmt::format(R"(graph "along" stage simplified opset 17 {{
  input %x : f32[batch,5]
  constant %last : s64[1] = [-1]
  constant %all : s64[1] = [-9223372036854775807]
  constant %first : s64[1] = [0]
  constant %back : s64[1] = [-1]
  %y = {}
  output %y
}})",
                                               node));
    ASSERT_TRUE(graph) << node << ": " << graph.error().message();
    const std::vector<Tensor> inputs = {array(11, {5}, 1)};
    const std::string whole = text_of(run(*graph, inputs, {}));
    EXPECT_EQ(text_of(run_array(array_model(*graph, run), inputs, 4, {})), whole) << node;
  }
}

}  // namespace
}  // namespace cupel
