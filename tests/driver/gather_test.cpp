// Gather by indices that are known at run time, compiled for every target this machine runs, beside the interpreter;
// and what becomes of indices that are out of range.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/same_bytes.h"
#include "cupel/cupel.h"
#include "driver/bench.h"
#include "driver/compile.h"
#include "driver/shared_library.h"
#include "emit/image_builder.h"
#include "emit/target_names.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "kernel/evaluate_program.h"
#include "lower/lower.h"
#include "lower/node_kernels.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using testing::HasSubstr;

const Dim kBatch(1, "batch");

Tensor random_reals(Dims dims, unsigned seed) {
  Tensor t(DType::f32, std::move(dims));
  std::mt19937 engine(seed);
  for (float& v : t.mutable_data<float>()) v = static_cast<float>(static_cast<int>(engine() % 2001) - 1000) / 500.0f;
  return t;
}

// Indices of [-extent, extent).
Tensor random_indices(DType type, Dims dims, int64_t extent, unsigned seed) {
  Tensor t(type, std::move(dims));
  std::mt19937 engine(seed);
  for (int64_t i = 0; i < t.size(); ++i) {
    const int64_t index = static_cast<int64_t>(engine() % static_cast<uint64_t>(2 * extent)) - extent;
    std::memcpy(t.mutable_bytes().data() + i * dtype_bits(type) / 8, &index, static_cast<size_t>(dtype_bits(type) / 8));
  }
  return t;
}

class Builder {
 public:
  explicit Builder(Stage stage) { graph.stage = stage; }
  ValueId add(const char* op, std::vector<ValueId> inputs, Attributes attributes = {},
              std::vector<TensorType> types = {}) {
    const auto made = graph.add_node(*find_op(op), op, std::move(inputs), std::move(attributes),
                                     {"v" + std::to_string(graph.values().size())}, {}, std::move(types));
    if (!made) {
      ADD_FAILURE() << made.error().message();
      std::abort();
    }
    return graph.node(*made).outputs[0];
  }
  Graph graph;
};

constexpr int64_t kWords = 50, kTokens = 7, kWidth = 24;

// ids -> embedding + positions -> LayerNormalization -> MatMul -> Softmax, as the beginning of BERT.
Graph embedding_network(DType ids_type) {
  Builder b(Stage::simplified);
  const ValueId ids = b.graph.add_input("ids", {ids_type, {kBatch, kTokens}, {}});
  const ValueId words = b.graph.add_constant("words", random_reals({kWords, kWidth}, 1));
  const ValueId gathered = b.add("Gather", {words, ids});
  const ValueId sum =
      b.add("Add", {gathered, b.graph.add_constant("positions", random_reals({1, kTokens, kWidth}, 2))});
  const ValueId normal = b.add("LayerNormalization", {sum, b.graph.add_constant("scale", random_reals({kWidth}, 3)),
                                                      b.graph.add_constant("bias", random_reals({kWidth}, 4))});
  const ValueId y = b.add("MatMul", {normal, b.graph.add_constant("matrix", random_reals({kWidth, 10}, 5))});
  b.graph.add_output(b.add("Softmax", {y}));
  return std::move(b.graph);
}

// Codes looked up, added to codes, and multiplied by weights.
Graph embedding_of_codes() {
  Builder b(Stage::integer);
  const QuantParams words{{0.02f}, {-7}, -1}, sums{{0.03f}, {120}, -1}, product{{0.2f}, {128}, -1};
  const ValueId ids = b.graph.add_input("ids", {DType::s64, {kBatch, kTokens}, {}});
  const auto codes = [](DType type, Dims dims, unsigned seed) {
    Tensor t(type, std::move(dims));
    std::mt19937 engine(seed);
    for (std::byte& c : t.mutable_bytes()) c = static_cast<std::byte>(engine());
    return t;
  };
  const ValueId gathered =
      b.add("Gather", {b.graph.add_constant("words", codes(DType::s8, {kWords, kWidth}, 1), words), ids});
  const ValueId u8 = b.add("Requantize", {gathered}, {}, {{DType::u8, {}, sums}});
  const ValueId y = b.add(
      "MatMul", {u8, b.graph.add_constant("matrix", codes(DType::s8, {kWidth, 20}, 2), QuantParams{{0.01f}, {0}, -1})},
      {}, {{DType::u8, {}, product}});
  b.graph.add_output(gathered);
  b.graph.add_output(y);
  return std::move(b.graph);
}

void expect_same(const Graph& graph, const EmitTarget& target, const std::vector<std::vector<Tensor>>& runs) {
  const auto sound = verify_graph(graph);
  ASSERT_TRUE(sound) << sound.error().message();
  ThreadPool pool(2);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const auto lowered = lower_graph(graph, "m", lower_target(target));
  ASSERT_TRUE(lowered) << lowered.error().message();
  const auto image = compile_image(graph, "m", target, workers, {.build = {.cache_folder = {}}});
  ASSERT_TRUE(image) << image.error().message();
  for (const int threads : {1, 2}) {
    auto model = CompiledModel::load(*image, "m", threads);
    ASSERT_TRUE(model) << model.error().message();
    for (const std::vector<Tensor>& inputs : runs) {
      const auto expected = interpret(graph, inputs, pool);
      const auto meant = evaluate_program(lowered->program, inputs);
      const auto found = model->run(inputs);
      ASSERT_TRUE(expected) << expected.error().message();
      ASSERT_TRUE(meant) << meant.error().message();
      ASSERT_TRUE(found) << found.error().message();
      for (size_t i = 0; i < expected->size(); ++i) {
        EXPECT_TRUE(same_bytes((*meant)[i], (*expected)[i])) << target.name << ", meaning of output " << i;
        EXPECT_TRUE(same_bytes((*found)[i], (*expected)[i]))
            << target.name << ", " << threads << " threads, output " << i;
      }
    }
  }
}

class RunTimeGather : public testing::TestWithParam<std::string> {};

TEST_P(RunTimeGather, EmbeddingsEqualTheInterpreter) {
  const EmitTarget target = *find_emit_target(GetParam());
  for (const DType type : {DType::s64, DType::s32}) {
    std::vector<std::vector<Tensor>> runs;
    for (const int64_t batch : {1, 3, 200})
      runs.push_back({random_indices(type, {batch, kTokens}, kWords, static_cast<unsigned>(batch))});
    expect_same(embedding_network(type), target, runs);
  }
}

TEST_P(RunTimeGather, EmbeddingsOfCodesEqualTheInterpreter) {
  const EmitTarget target = *find_emit_target(GetParam());
  std::vector<std::vector<Tensor>> runs;
  for (const int64_t batch : {1, 3})
    runs.push_back({random_indices(DType::s64, {batch, kTokens}, kWords, static_cast<unsigned>(batch))});
  expect_same(embedding_of_codes(), target, runs);
}

INSTANTIATE_TEST_SUITE_P(Targets, RunTimeGather, testing::ValuesIn(target_names()), test_name);

Graph parsed(std::string_view text) {
  auto graph = parse_graph(text);
  if (!graph) {
    ADD_FAILURE() << graph.error().message();
    std::abort();
  }
  return std::move(*graph);
}

EmitTarget host() { return *find_emit_target("host"); }

// Of a batch that is fixed: every item's data by the indices of all items.
TEST(RunTimeGather, DataOfItemsOfAFixedBatch) {
  for (const char* axis : {"1", "2", "-1"}) {
    const Graph graph = parsed(std::string(R"(graph "g" stage simplified opset 17 {
  input %x : f32[2,5,6]
  input %ids : s64[2,4]
  %twice = Add(%x, %x)
  %y = Gather(%twice, %ids) {axis=)") +
                               axis + R"(}
  output %y
})");
    const int64_t extent = axis[0] == '1' ? 5 : 6;
    expect_same(graph, host(), {{random_reals({2, 5, 6}, 1), random_indices(DType::s64, {2, 4}, extent, 2)}});
  }
}

TEST(RunTimeGather, IndicesOfEveryRankAndLayout) {
  // Rows of each item; indices that were moved, as a slice of the input and as its transpose.
  const Graph graph = parsed(R"(graph "g" stage simplified opset 17 {
  input %ids : s64[batch,6]
  constant %table : f32[4,3] = [0x1p+0, 0x1p+1, -0x1p+0, 0x1.8p+1, 0x0p+0, 0x1p-1, 0x1.4p+2, -0x1p+3, 0x1p+2, 0x1p+3, 0x1p+4, 0x1p+5]
  constant %all : s64[1] = [-1]
  constant %grid : s64[3] = [-1, 3, 2]
  constant %starts : s64[1] = [1]
  constant %ends : s64[1] = [6]
  constant %axes : s64[1] = [1]
  constant %steps : s64[1] = [2]
  %rows = Reshape(%ids, %all)
  %a = Gather(%table, %rows)
  %square = Reshape(%ids, %grid)
  %turned = Transpose(%square) {perm=[0,2,1]}
  %b = Gather(%table, %turned)
  %odd = Slice(%ids, %starts, %ends, %axes, %steps)
  %c = Gather(%table, %odd)
  %flat = Reshape(%turned, %all)
  %d = Gather(%table, %flat)
  output %a
  output %b
  output %c
  output %d
})");
  expect_same(graph, host(), {{random_indices(DType::s64, {1, 6}, 4, 1)}, {random_indices(DType::s64, {5, 6}, 4, 2)}});
}

TEST(RunTimeGather, ReadsThroughCastsOfIndices) {
  const Graph graph = parsed(R"(graph "g" stage simplified opset 17 {
  input %ids : s64[batch,3]
  input %words : s32[batch,2]
  constant %table : f32[4,2] = [0x1p+0, 0x1p+1, -0x1p+0, 0x1.8p+1, 0x0p+0, 0x1p-1, 0x1.4p+2, -0x1p+3]
  %narrow = Cast(%ids) {to=6}
  %a = Gather(%table, %narrow)
  %wide = Cast(%words) {to=7}
  %b = Gather(%table, %wide)
  output %a
  output %b
})");
  const Tensor ids = random_indices(DType::s64, {3, 3}, 4, 1), words = random_indices(DType::s32, {3, 2}, 4, 2);
  expect_same(graph, host(), {{ids, words}});
  // The Cast keeps the low bits.
  Tensor large = ids;
  large.mutable_data<int64_t>()[4] += int64_t{1} << 32;
  expect_same(graph, host(), {{large, words}});
}

TEST(RunTimeGather, ManyConstantIndicesWithoutOrder) {
  Builder b(Stage::simplified);
  const ValueId x = b.graph.add_input("x", {DType::f32, {kBatch, 40, 3}, {}});
  const ValueId indices = b.graph.add_constant("i", random_indices(DType::s64, {30, 20}, 40, 3));
  b.graph.add_output(b.add("Gather", {x, indices}, {{"axis", int64_t{1}}}));
  expect_same(b.graph, host(), {{random_reals({1, 40, 3}, 1)}, {random_reals({3, 40, 3}, 2)}});
}

TEST(RunTimeGather, WhatHasNoCompiledForm) {
  const auto cause = [](std::string_view text) {
    const auto lowered = lower_graph(parsed(text), "m", {});
    EXPECT_FALSE(lowered);
    return lowered ? std::string() : lowered.error().cause;
  };
  EXPECT_EQ(cause(R"(graph "g" stage simplified opset 17 {
  input %x : f32[batch,5]
  input %ids : s64[batch,4]
  %y = Gather(%x, %ids) {axis=0}
  output %y
})"),
            "a Gather from the batch has no compiled form");
  EXPECT_EQ(cause(R"(graph "g" stage simplified opset 17 {
  input %x : f32[batch,5]
  input %ids : s64[batch,4]
  %y = Gather(%x, %ids) {axis=1}
  output %y
})"),
            "dimension 1 of [batch,batch,4] is symbolic; only the leading one may be");
}

TEST(RunTimeGather, FunctionsBehindItAreKernelsOfTheirOwn) {
  const Graph graph = embedding_network(DType::s64);
  const auto lowered = lower_graph(graph, "m", {});
  ASSERT_TRUE(lowered) << lowered.error().message();
  const auto rows = node_kernels(graph, *lowered);
  EXPECT_EQ(rows[0].step, "0_call_gather_f32_s64_f32");
  EXPECT_EQ(rows[1].step, "1_map_f32_f32");
  ASSERT_EQ(rows[1].refused.size(), 1u);
  EXPECT_EQ(rows[1].refused[0].reason, "a call of the runtime computes no further function");
}

// One index out of range, at `item` and `token`.
Tensor wrong_ids(int64_t batch, int64_t item, int64_t token, int64_t index) {
  Tensor ids = random_indices(DType::s64, {batch, kTokens}, kWords, 9);
  ids.mutable_data<int64_t>()[static_cast<size_t>(item * kTokens + token)] = index;
  return ids;
}

TEST(IndicesOutOfRange, AreBadInputOfEveryEngine) {
  const Graph graph = embedding_network(DType::s64);
  ThreadPool pool(2);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const auto image = compile_image(graph, "m", host(), workers, {.build = {.cache_folder = {}}});
  ASSERT_TRUE(image) << image.error().message();
  const auto lowered = lower_graph(graph, "m", lower_target(host()));
  ASSERT_TRUE(lowered);
  for (const int threads : {1, 2, 4}) {
    auto model = CompiledModel::load(*image, "m", threads);
    ASSERT_TRUE(model) << model.error().message();
    for (const int64_t index : {kWords, -kWords - 1, INT64_MAX, INT64_MIN, int64_t{1} << 32}) {
      // The first of two counts, whichever thread finds it.
      Tensor ids = wrong_ids(300, 3, 2, index);
      ids.mutable_data<int64_t>()[299 * kTokens] = 12345;
      const std::vector<Tensor> inputs = {ids};
      const auto expected = interpret(graph, inputs, pool);
      ASSERT_FALSE(expected);
      EXPECT_EQ(expected.error().kind, ErrorKind::bad_input);
      EXPECT_EQ(expected.error().cause,
                "index " + std::to_string(index) + " (element 23 of the indices) is outside dimension 0 of size 50");
      const std::string found = "index " + std::to_string(index) + " in item 3 of the batch is outside [-50, 50)";
      const auto meant = evaluate_program(lowered->program, inputs);
      ASSERT_FALSE(meant);
      EXPECT_EQ(meant.error().message(), "step 0_call_gather_f32_s64_f32: " + found + "\n  correct the data");
      const auto computed = model->run(inputs);
      ASSERT_FALSE(computed);
      EXPECT_EQ(computed.error().kind, ErrorKind::bad_input);
      EXPECT_EQ(computed.error().message(),
                "m: value " + graph.value(graph.node({0}).outputs[0]).name + ": " + found + "\n  correct the data");
      // The session stays usable.
      const std::vector<Tensor> sound = {random_indices(DType::s64, {3, kTokens}, kWords, 4)};
      const auto again = model->run(sound), wanted = interpret(graph, sound, pool);
      ASSERT_TRUE(again && wanted);
      EXPECT_EQ(*again, *wanted);
    }
  }
}

TEST(IndicesOutOfRange, AreAnErrorOfTheCInterface) {
  const Graph graph = embedding_network(DType::s32);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const auto image = compile_image(graph, "m", host(), workers, {.build = {.cache_folder = {}}});
  ASSERT_TRUE(image) << image.error().message();
  const auto library = SharedLibrary::load(*image, "m");
  ASSERT_TRUE(library) << library.error().message();
  using Create = int (*)(int threads, CupelSession** session);
  using RunModel = int (*)(CupelSession*, int64_t batch, const void* const* inputs, void* const* outputs);
  using Free = void (*)(CupelSession*);
  using ErrorText = const char* (*)();
  using Metadata = const CupelModel* (*)();
  const auto create = reinterpret_cast<Create>(library->find("cupel_m_create"));
  const auto run = reinterpret_cast<RunModel>(library->find("cupel_m_run"));
  const auto free = reinterpret_cast<Free>(library->find("cupel_m_free"));
  const auto error = reinterpret_cast<ErrorText>(library->find("cupel_m_error"));
  const auto metadata = reinterpret_cast<Metadata>(library->find("cupel_m_metadata"));
  EXPECT_EQ(metadata()->inputs[0].dtype, kCupelS32);
  CupelSession* session = nullptr;
  ASSERT_EQ(create(2, &session), kCupelOk);
  Tensor ids(DType::s32, {3, kTokens}), y(DType::f32, {3, kTokens, 10});
  const void* inputs[] = {ids.bytes().data()};
  void* outputs[] = {y.mutable_bytes().data()};
  EXPECT_EQ(run(session, 3, inputs, outputs), kCupelOk);
  const Tensor before = y;
  ids.mutable_data<int32_t>()[kTokens] = 50;
  inputs[0] = ids.bytes().data();
  EXPECT_EQ(run(session, 3, inputs, outputs), kCupelBadData);
  EXPECT_THAT(error(), HasSubstr("index 50 in item 1 of the batch is outside [-50, 50)"));
  ids.mutable_data<int32_t>()[kTokens] = 0;
  inputs[0] = ids.bytes().data();
  EXPECT_EQ(run(session, 3, inputs, outputs), kCupelOk);
  EXPECT_TRUE(same_bytes(y, before));
  free(session);
}

TEST(IndicesOutOfRange, BenchGivesNone) {
  const Graph graph = embedding_network(DType::s64);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const auto image = compile_image(graph, "m", host(), workers);
  ASSERT_TRUE(image) << image.error().message();
  auto model = CompiledModel::load(*image, "m", 1);
  ASSERT_TRUE(model);
  const auto inputs = bench_inputs(model->image(), 4, {});
  ASSERT_TRUE(inputs);
  EXPECT_EQ((*inputs)[0], Tensor(DType::s64, {4, kTokens}));
  EXPECT_TRUE(model->run(*inputs));
}

}  // namespace
}  // namespace cupel
