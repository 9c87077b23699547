// Lowered programs mean what the graph means: every step's result and every output equal the interpreter's, byte for
// byte.
#include "lower/lower.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "base/same_bytes.h"
#include "driver/compile.h"
#include "driver/engine.h"
#include "emit/image_builder.h"
#include "ir/text.h"
#include "kernel/evaluate_program.h"
#include "kernel/memory_plan.h"
#include "lower/node_kernels.h"
#include "quant/network.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

Tensor random_images(int64_t items, unsigned seed) {
  Tensor t(DType::f32, {items, 1, 28, 28});
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  for (float& v : t.mutable_data<float>()) v = normal(engine);
  return t;
}

// Quantized after eight random images, on integers.
Result<Graph> integer_program(const Graph& model, CompileContext& context) {
  int batches = 0;
  const auto calibration = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (batches++ > 0) return std::optional<std::vector<Tensor>>();
    return std::optional(std::vector<Tensor>{random_images(8, 3)});
  };
  const QuantizedGraph quantized = CUPEL_TRY(quantize_graph(model, calibration, context));
  return integerize_graph(quantized.graph, context, nullptr);
}

void expect_same_meaning(const Graph& graph, const Tensor& input, bool byte_dot, LowerOptions options = {}) {
  ThreadPool threads(2);
  const auto lowered = lower_graph(graph, "m", {byte_dot, 32}, options);
  ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
  const bool fused = std::any_of(lowered->decisions.begin(), lowered->decisions.end(),
                                 [](const FusionDecision& decision) { return decision.accepted; });
  EXPECT_EQ(fused, options.fuse);
  std::map<std::string, Tensor> expected;
  const auto reference = interpret(graph, std::span(&input, 1), threads, [&](ValueId id, const Tensor& t) -> Status {
    expected[graph.value(id).name] = t;
    return {};
  });
  ASSERT_TRUE(reference.has_value()) << reference.error().message();
  int taps = 0;
  const auto outputs =
      evaluate_program(lowered->program, std::span(&input, 1), [&](const Step& step, const Tensor& t) -> Status {
        ++taps;
        EXPECT_TRUE(same_bytes(t, expected.at(step.value_name))) << step.name << " " << step.value_name;
        return {};
      });
  ASSERT_TRUE(outputs.has_value()) << outputs.error().message();
  EXPECT_GT(taps, 5);
  for (size_t i = 0; i < outputs->size(); ++i) EXPECT_TRUE(same_bytes((*outputs)[i], (*reference)[i]));
  EXPECT_LE(static_cast<double>(lowered->program.arena_bytes),
            1.15 * static_cast<double>(live_bytes(lowered->program)));
}

// The compiled Image on every x86 target that this machine runs, one and two threads, batches 1 and 3: every step's
// result and every output equal the interpreter's.
void expect_same_bits_compiled(const Graph& graph) {
  ThreadPool threads(2);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  int images = 0;
  for (const EmitTarget& target : runnable_emit_targets()) {
    const auto image = compile_image(graph, "network", target, workers);
    ASSERT_TRUE(image.has_value()) << target.name << ": " << image.error().message();
    ++images;
    for (int thread_count : {1, 2})
      for (int64_t batch : {1, 3}) {
        auto model = CompiledModel::load(*image, "network", thread_count);
        ASSERT_TRUE(model.has_value()) << model.error().message();
        const Tensor input = random_images(batch, static_cast<unsigned>(10 + batch));
        std::map<ValueId, Tensor> expected;
        const auto reference =
            interpret(graph, std::span(&input, 1), threads, [&](ValueId id, const Tensor& t) -> Status {
              expected[id] = t;
              return {};
            });
        ASSERT_TRUE(reference.has_value()) << reference.error().message();
        // What runs, and what it gives, is the same with taps and without.
        std::vector<std::string> steps;
        model->set_timer([&](const CupelImageStep& step, int64_t) { steps.emplace_back(step.name); });
        const auto untapped = model->run(graph, std::span(&input, 1), {});
        ASSERT_TRUE(untapped.has_value()) << untapped.error().message();
        const std::vector<std::string> untapped_steps = std::exchange(steps, {});
        const int64_t untapped_arena_bytes = model->arena_bytes();
        int taps = 0;
        const auto outputs = model->run(graph, std::span(&input, 1), [&](ValueId id, const Tensor& t) -> Status {
          ++taps;
          EXPECT_TRUE(same_bytes(t, expected.at(id))) << target.name << " " << graph.value(id).name;
          return {};
        });
        ASSERT_TRUE(outputs.has_value()) << outputs.error().message();
        EXPECT_GT(taps, 5);
        EXPECT_EQ(steps.size(), static_cast<size_t>(model->image().step_count));
        EXPECT_EQ(steps, untapped_steps);
        EXPECT_EQ(model->arena_bytes(), untapped_arena_bytes);
        EXPECT_EQ(*outputs, *untapped);
        for (size_t i = 0; i < outputs->size(); ++i)
          EXPECT_TRUE(same_bytes((*outputs)[i], (*reference)[i])) << target.name;
      }
  }
  EXPECT_GT(images, 0);
}

class SampleNetwork : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path path() const {
    return std::filesystem::path(CUPEL_SOURCE_DIR) / "models" / (std::string("fashion_") + GetParam() + ".onnx");
  }
};

TEST_P(SampleNetwork, FloatProgramsEqualInterpreter) {
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto model = load_model(path(), context);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  expect_same_meaning(model->program, random_images(1, 1), true);
  expect_same_meaning(model->program, random_images(3, 2), true);
  expect_same_meaning(model->program, random_images(1, 6), true, {.fuse = false});
  expect_same_bits_compiled(model->program);
}

TEST_P(SampleNetwork, IntegerProgramsEqualInterpreter) {
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto model = load_model(path(), context);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  const auto program = integer_program(model->source, context);
  ASSERT_TRUE(program.has_value()) << program.error().message();
  expect_same_meaning(*program, random_images(1, 4), true);
  expect_same_meaning(*program, random_images(1, 4), true, {.fuse = false});
  expect_same_bits_compiled(*program);
  expect_same_meaning(*program, random_images(2, 5), false);
}

INSTANTIATE_TEST_SUITE_P(Networks, SampleNetwork, ::testing::Values("resnet", "mobilenet", "vit"),
                         [](const auto& network) { return std::string(network.param); });

// Products with padding may be left out where padding has the bits 0 and no weight makes them anything but 0.
TEST(Lower, PaddedConvolutionsKnowTheirBorder) {
  const auto rows = [](const std::string& types, const std::string& weights, const std::string& pads) {
    const auto graph =
        parse_graph("graph \"padded\" stage " + types.substr(0, types.find(' ')) +
                    " opset 17 {\n  input %x : " + types.substr(types.find(' ') + 1) + "\n  constant %w : " + weights +
                    "\n  %y = Conv(%x, %w) {pads=" + pads + "}\n  output %y\n}");
    EXPECT_TRUE(graph.has_value()) << graph.error().message();
    const auto lowered = lower_graph(*graph, "padded", {});
    EXPECT_TRUE(lowered.has_value()) << lowered.error().message();
    for (const Step& step : lowered->program.steps)
      if (const auto* contraction = std::get_if<ContractSpec>(&step.kernel.spec)) return contraction->rows;
    ADD_FAILURE() << "no contraction";
    return Border{};
  };
  const std::string real = "simplified f32[batch,1,5,6]", weights = "f32[1,1,3,1] = [1.0, -2.0, 3.0]";
  EXPECT_EQ(rows(real, weights, "[1,0,2,0]"), (Border{3, 1, 1, 1, 5}));
  EXPECT_EQ(rows(real, weights, "[0,0,0,0]"), Border{});
  EXPECT_EQ(rows(real, "f32[1,1,3,1] = [1.0, -2.0, inf]", "[1,0,2,0]"), Border{});
  const std::string codes = "s8[1,1,3,1] quant(scale=[0x1p-6], zero_point=[0]) = [1, -2, 3]";
  EXPECT_EQ(rows("integer u8[batch,1,5,6] quant(scale=[0x1p-6], zero_point=[0])", codes, "[1,0,2,0]"),
            (Border{3, 1, 1, 1, 5}));
  EXPECT_EQ(rows("integer u8[batch,1,5,6] quant(scale=[0x1p-6], zero_point=[7])", codes, "[1,0,2,0]"), Border{});
  EXPECT_EQ(rows("integer s8[batch,1,5,6] quant(scale=[0x1p-6], zero_point=[0])", codes, "[1,0,2,0]"), Border{});
}

// An elementwise kernel that reads its operand for the last time writes in its place.
TEST(Lower, MapsWriteInPlace) {
  const auto graph = parse_graph(R"(graph "places" stage simplified opset 17 {
  input %x : f32[batch,64,64]
  %a = Softmax(%x)
  %b = Softmax(%a)
  %c = Mul(%a, %b)
  %d = Softmax(%c)
  output %d
})");
  ASSERT_TRUE(graph.has_value()) << graph.error().message();
  auto lowered = lower_graph(*graph, "places", {}, {.fuse = false});
  ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
  std::map<std::string, int64_t> offsets;
  for (const Buffer& buffer : lowered->program.buffers)
    if (buffer.place == BufferPlace::arena) offsets[buffer.name] = buffer.offset;
  EXPECT_TRUE(offsets.at("c") == offsets.at("a") || offsets.at("c") == offsets.at("b"));
  EXPECT_NE(offsets.at("b"), offsets.at("a"));
  Tensor input(DType::f32, {2, 64, 64});
  std::mt19937 engine(5);
  std::normal_distribution<float> normal;
  for (float& v : input.mutable_data<float>()) v = normal(engine);
  ThreadPool threads(1);
  const auto expected = interpret(*graph, std::span(&input, 1), threads, {});
  const auto outputs = evaluate_program(lowered->program, std::span(&input, 1), {});
  ASSERT_TRUE(expected.has_value() && outputs.has_value());
  EXPECT_TRUE(same_bytes((*outputs)[0], (*expected)[0]));
}

TEST(Lower, ShapesBeyondTheLimitStopBeforeCodeIsMade) {
  const auto graph = parse_graph(R"(graph "large" stage simplified opset 17 {
  input %x : f32[batch,65536,196608]
  %y = Relu(%x)
  %z = Sigmoid(%y)
  output %z
})");
  ASSERT_TRUE(graph.has_value()) << graph.error().message();
  const auto lowered = lower_graph(*graph, "large", {});
  ASSERT_FALSE(lowered.has_value());
  EXPECT_EQ(lowered.error().exit_code(), 6);
  EXPECT_EQ(lowered.error().message(),
            "value x: it takes 51539607552 bytes for one batch item; the limit of a buffer is 34359738368 bytes\n"
            "  compile a smaller model, or one of smaller inputs");
}

// Attention as torch's MultiheadAttention has it: the batch is the second dimension, is joined with the heads, and
// stands behind the rows of a Gemm.
Graph attention(ThreadPool& threads) {
  Graph imported = networks::network(R"(input %x : f32[batch,1,28,28]
weights %in [28,84] 0.4
weights %bias [84] 0.1
weights %out [28,28] 0.4
weights %outb [28] 0.1
weights %place [28,1,28] 0.5
constant %s3 : s64[3] = [-1, 28, 28]
%items = Reshape(%x, %s3)
%t = Transpose(%items) {perm=[1,0,2]}
%placed = Add(%t, %place)
%m = MatMul(%placed, %in)
%qkv = Add(%m, %bias)
%q, %k, %v = Split(%qkv) {axis=2, num_outputs=3}
constant %heads : s64[3] = [28, -1, 7]
%qh = Reshape(%q, %heads)
%kh = Reshape(%k, %heads)
%vh = Reshape(%v, %heads)
%qt = Transpose(%qh) {perm=[1,0,2]}
%kt = Transpose(%kh) {perm=[1,2,0]}
%vt = Transpose(%vh) {perm=[1,0,2]}
%logits = MatMul(%qt, %kt)
%p = Softmax(%logits)
%o = MatMul(%p, %vt)
%ot = Transpose(%o) {perm=[1,0,2]}
constant %rows : s64[2] = [-1, 28]
%or = Reshape(%ot, %rows)
%g = Gemm(%or, %out, %outb)
constant %apart : s64[3] = [28, -1, 28]
%ga = Reshape(%g, %apart)
%gt = Transpose(%ga) {perm=[1,0,2]}
%y = Add(%gt, %items)
%r = Reshape(%y, %rows)
%last = Relu(%r)
output %y
output %last)",
                                     Stage::imported);
  PassOptions options;
  const std::string_view names[] = {"lead_batch", "drop_identities", "fold_constants", "finish_simplify"};
  auto simplified = run_passes(std::move(imported), names, {threads}, options);
  EXPECT_TRUE(simplified.has_value()) << simplified.error().message();
  return simplified.value_or(Graph());
}

TEST(BatchBehind, FloatProgramEqualsInterpreter) {
  ThreadPool threads(2);
  const Graph graph = attention(threads);
  expect_same_meaning(graph, random_images(1, 1), true);
  expect_same_meaning(graph, random_images(3, 2), true);
  expect_same_bits_compiled(graph);
}

TEST(BatchBehind, IntegerProgramEqualsInterpreter) {
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto program = integer_program(attention(threads), context);
  ASSERT_TRUE(program.has_value()) << program.error().message();
  expect_same_meaning(*program, random_images(1, 4), true);
  expect_same_meaning(*program, random_images(3, 5), true);
  expect_same_bits_compiled(*program);
}

TEST(BatchBehind, TheKernelOfAGemmTakesInWhatFollowsItsRows) {
  ThreadPool threads(1);
  const auto lowered = lower_graph(attention(threads), "m", {true, 32});
  ASSERT_TRUE(lowered.has_value()) << lowered.error().message();
  const auto step = std::find_if(lowered->program.steps.begin(), lowered->program.steps.end(),
                                 [](const Step& s) { return s.value_name == "y"; });
  ASSERT_NE(step, lowered->program.steps.end());
  EXPECT_TRUE(std::holds_alternative<ContractSpec>(step->kernel.spec)) << step->name;
}

// Rows of items go in and come out of an Image as the graph has them.
TEST(BatchBehind, PortsOfSeveralRowsToAnItem) {
  ThreadPool threads(1);
  WorkerPool workers({.program = CUPEL_EMIT_PROGRAM});
  const Graph graph = networks::network(R"(input %x : f32[3*batch,5]
weights %w [5,4] 0.5
%y = Gemm(%x, %w)
output %y)");
  const auto image = compile_image(graph, "network", find_emit_target("host").value(), workers);
  ASSERT_TRUE(image.has_value()) << image.error().message();
  auto model = CompiledModel::load(*image, "network", 1);
  ASSERT_TRUE(model.has_value()) << model.error().message();
  for (int64_t batch : {1, 2}) {
    const Tensor input = samples::make_tensor(graph.type(graph.inputs()[0]), batch, 7, {});
    const auto expected = interpret(graph, std::span(&input, 1), threads);
    const auto found = model->run(std::span(&input, 1));
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_EQ((*found)[0].dims(), (*expected)[0].dims());
    EXPECT_TRUE(same_bytes((*found)[0], (*expected)[0]));
  }
  const Tensor uneven(DType::f32, {4, 5});
  const auto refused = model->run(std::span(&uneven, 1));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message(),
            "input x: found f32[4,5], expected f32[3*batch,5]\n  give data of the model's type and shape");
}

// Attention over positions: reductions along the channels of an image, joined and convolved.
TEST(KernelForms, ReductionsAlongChannelsOfAnImage) {
  const Graph graph = networks::network(R"(input %x : f32[batch,1,28,28]
weights %w1 [20,1,3,3] 0.5
weights %w2 [1,2,5,5] 0.3
weights %w3 [24,10,3,3] 0.2
weights %b3 [24] 0.2
constant %channels : s64[1] = [1]
constant %spatial : s64[2] = [2, 3]
%c1 = Conv(%x, %w1) {pads=[1,1,1,1], strides=[2,2]}
%mean = ReduceMean(%c1, %channels)
%most = ReduceMax(%c1, %channels)
%both = Concat(%mean, %most) {axis=1}
%c2 = Conv(%both, %w2) {pads=[2,2,2,2]}
%gate = Sigmoid(%c2)
%gated = Mul(%c1, %gate)
%c3 = Conv(%gated, %w3, %b3) {group=2, pads=[1,1,1,1]}
%r = Relu(%c3)
%low = ReduceMin(%r, %spatial) {keepdims=0}
%sum = ReduceSum(%r, %spatial) {keepdims=0}
%y = Sub(%sum, %low)
output %y)");
  expect_same_meaning(graph, random_images(3, 2), true);
  expect_same_bits_compiled(graph);
}

// Activations of s8, as some quantizers choose them, in every kind of op that reads or gives codes; the taps see s8.
TEST(KernelForms, ActivationsOfS8) {
  const std::string q = "{dtype=\"s8\", scale=reals [0x1p-5], zero_point=[-11]}",
                    dq = "{scale=reals [0x1p-5], zero_point=[-11]}";
  const auto codes = [&](const std::string& to, const std::string& from) {
    return "%" + to + "q = QuantizeLinear(%" + from + ") " + q + "\n%" + to + " = DequantizeLinear(%" + to + "q) " +
           dq + "\n";
  };
  std::string body =
      "input %x : f32[batch,1,28,28]\nweights %f1 [16,1,3,3] 0.5\nweights %f2 [16,1,3,3] 0.5\n"
      "weights %f3 [10,32] 0.3\n";
  for (const char* w : {"1", "2", "3"})
    body += std::string("%k") + w + " = QuantizeLinear(%f" + w +
            ") {dtype=\"s8\", scale=reals [0x1p-8], zero_point=[0]}\n%w" + w + " = DequantizeLinear(%k" + w +
            ") {scale=reals [0x1p-8], zero_point=[0]}\n";
  body += codes("a", "x") + "%c = Conv(%a, %w1) {pads=[1,1,1,1], strides=[2,2]}\n%rl = Relu(%c)\n" + codes("b", "rl") +
          "%d = Conv(%b, %w2) {group=16, pads=[1,1,1,1]}\n" + codes("e", "d") + "%s = Add(%b, %e)\n" + codes("f", "s") +
          "%p = MaxPool(%f) {kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]}\n" + codes("g", "p") +
          "%av = AveragePool(%f) {kernel_shape=[2,2], strides=[2,2]}\n" + codes("h", "av") +
          "%j = Concat(%g, %h) {axis=1}\n" + codes("l", "j") + "%m = GlobalAveragePool(%l)\n" + codes("n", "m") +
          "%o = Flatten(%n)\n" + codes("oo", "o") + "%y = Gemm(%oo, %w3) {transB=1}\n" + codes("z", "y") +
          "output %z\noutput %lq";
  ThreadPool threads(2);
  CompileContext context{threads, {}};
  const auto program = integerize_graph(networks::network(body, Stage::quantized), context, nullptr);
  ASSERT_TRUE(program.has_value()) << program.error().message();
  for (const Node& node : program->nodes())
    if (node.op->name != "Quantize") {
      EXPECT_TRUE(program->type(node.inputs[0]).quant.has_value()) << node.name;
    }
  expect_same_bits_compiled(*program);
}

}  // namespace
}  // namespace cupel
