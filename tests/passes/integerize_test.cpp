// The integer form: each op against the formulas of docs/quantization.md 3, and against the Graph with Q/DQ nodes that
// it came from, one op at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ir/verifier.h"
#include "passes/pass.h"
#include "quant/network.h"
#include "quant/plan.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using networks::network;

Result<Graph> integer_form(const Graph& g, ThreadPool& threads, std::vector<Remark>* remarks = nullptr) {
  PassOptions options;
  const std::string_view names[] = {"integerize"};
  return run_passes(g, names, {threads, remarks}, options);
}

// ---- single ops

constexpr float kSx = 0x1.234p-5f, kSz = 0x1.9p-6f, kSy = 0x1.7p-5f;
constexpr int32_t kZx = 117, kZz = 3, kZy = 90;

std::string quantized_pair(const std::string& to, const std::string& from, const std::string& scale, int32_t zero) {
  return "%" + to + "q = QuantizeLinear(%" + from + ") {scale=reals [" + scale + "], zero_point=[" +
         std::to_string(zero) + "]}\n%" + to + " = DequantizeLinear(%" + to + "q) {scale=reals [" + scale +
         "], zero_point=[" + std::to_string(zero) + "]}\n";
}

// to_code in double, by the definition.
int code(double v, int32_t zero) {
  if (!(v > -zero)) v = -zero;
  if (!(v < 255 - zero)) v = 255 - zero;
  return static_cast<int>(std::nearbyint(v)) + zero;
}
float narrow(double v) { return static_cast<float>(v); }

struct SingleOp {
  std::vector<int> x, z;  // codes of the operands
  Tensor y;               // codes of the result
};

// Runs "%c = <statement of %xd and %zd>" between codes; `op` must then be one node on codes.
SingleOp run_single(const std::string& statement, const std::string& op, const std::string& shape = "[batch,3,4]") {
  const Graph g = network(
      "input %x : f32" + shape + "\ninput %z : f32" + shape + "\n" + quantized_pair("xd", "x", "0x1.234p-5", kZx) +
          quantized_pair("zd", "z", "0x1.9p-6", kZz) + statement +
          "\n%y = QuantizeLinear(%c) {scale=reals [0x1.7p-5], zero_point=[90]}\noutput %y\noutput %xdq\noutput %zdq",
      Stage::quantized);
  ThreadPool threads(2);
  const auto integer = integer_form(g, threads);
  EXPECT_TRUE(integer) << integer.error().message();
  const Node& node = integer->node(integer->producers()[static_cast<size_t>(integer->outputs()[0].index)]);
  EXPECT_EQ(node.op->name, op);
  EXPECT_TRUE(integer->type(node.inputs[0]).quant);
  const auto out = interpret(*integer, samples::make_inputs(*integer, 50, {.low = -5, .high = 6}), threads);
  EXPECT_TRUE(out) << out.error().message();
  SingleOp s;
  s.y = (*out)[0];
  for (int64_t i = 0; i < (*out)[1].size(); ++i) s.x.push_back(static_cast<int>((*out)[1].int_at(i)));
  for (int64_t i = 0; i < (*out)[2].size(); ++i) s.z.push_back(static_cast<int>((*out)[2].int_at(i)));
  return s;
}

TEST(IntegerOps, Quantize) {
  const Graph g = network(
      "input %x : f32[batch,3]\n%y = QuantizeLinear(%x) {scale=reals [0x1.234p-5], zero_point=[117]}\noutput %y",
      Stage::quantized);
  ThreadPool threads(1);
  const auto inputs = samples::make_inputs(g, 500, {.low = -6, .high = 7});
  const auto out = interpret(integer_form(g, threads).value(), inputs, threads);
  for (int64_t i = 0; i < inputs[0].size(); ++i)
    ASSERT_EQ((*out)[0].int_at(i),
              code(inputs[0].data<float>()[static_cast<size_t>(i)] * narrow(1 / static_cast<double>(kSx)), kZx));
}

TEST(IntegerOps, Add) {
  const SingleOp s = run_single("%c = Add(%xd, %zd)", "Add");
  for (size_t i = 0; i < s.x.size(); ++i) {
    const float t = static_cast<float>(s.x[i] - kZx) * narrow(static_cast<double>(kSx) / kSy);
    ASSERT_EQ(s.y.int_at(static_cast<int64_t>(i)),
              code(std::fma(static_cast<float>(s.z[i] - kZz), narrow(static_cast<double>(kSz) / kSy), t), kZy));
  }
}

TEST(IntegerOps, Mul) {
  const SingleOp s = run_single("%c = Mul(%xd, %zd)", "Mul");
  for (size_t i = 0; i < s.x.size(); ++i)
    ASSERT_EQ(
        s.y.int_at(static_cast<int64_t>(i)),
        code(static_cast<float>((s.x[i] - kZx) * (s.z[i] - kZz)) * narrow(static_cast<double>(kSx) * kSz / kSy), kZy));
}

TEST(IntegerOps, Mean) {
  const SingleOp s = run_single("%c = GlobalAveragePool(%xd)", "GlobalAveragePool");
  for (int64_t row = 0; row < s.y.size(); ++row) {
    int sum = 0;
    for (int i = 0; i < 4; ++i) sum += s.x[static_cast<size_t>(row * 4 + i)] - kZx;
    ASSERT_EQ(s.y.int_at(row),
              code(static_cast<float>(sum) * narrow(static_cast<double>(kSx) / (static_cast<double>(kSy) * 4)), kZy));
  }
}

TEST(IntegerOps, Concat) {
  const SingleOp s = run_single("%c = Concat(%xd, %zd) {axis=2}", "Concat");
  for (int64_t row = 0; row < s.y.size() / 8; ++row)
    for (int64_t i = 0; i < 8; ++i) {
      const auto at = static_cast<size_t>(row * 4 + i % 4);
      const float v = i < 4 ? static_cast<float>(s.x[at] - kZx) * narrow(static_cast<double>(kSx) / kSy)
                            : static_cast<float>(s.z[at] - kZz) * narrow(static_cast<double>(kSz) / kSy);
      ASSERT_EQ(s.y.int_at(row * 8 + i), code(v, kZy));
    }
}

TEST(IntegerOps, Table) {
  const SingleOp s = run_single("%c = LeakyRelu(%xd) {alpha=0.25}", "LeakyRelu");
  for (size_t i = 0; i < s.x.size(); ++i) {
    const float v = static_cast<float>(s.x[i] - kZx) * kSx;
    ASSERT_EQ(s.y.int_at(static_cast<int64_t>(i)),
              code((v < 0 ? 0.25f * v : v) * narrow(1 / static_cast<double>(kSy)), kZy));
  }
}

TEST(IntegerOps, Requantize) {
  const SingleOp s = run_single("constant %shape : s64[3] = [-1, 4, 3]\n%c = Reshape(%xd, %shape)", "Requantize");
  for (size_t i = 0; i < s.x.size(); ++i)
    ASSERT_EQ(s.y.int_at(static_cast<int64_t>(i)),
              code(static_cast<float>(s.x[i] - kZx) * narrow(static_cast<double>(kSx) / kSy), kZy));
}

TEST(IntegerOps, ProductOfActivations) {
  const SingleOp s = run_single("%t = Transpose(%zd) {perm=[0,2,1]}\n%c = MatMul(%xd, %t)", "MatMul");
  const float m = narrow(static_cast<double>(kSx) * kSz / kSy);
  for (size_t n = 0; n < 50; ++n)
    for (size_t r = 0; r < 3; ++r)
      for (size_t c = 0; c < 3; ++c) {
        int acc = 0;
        for (size_t k = 0; k < 4; ++k) acc += (s.x[(n * 3 + r) * 4 + k] - kZx) * (s.z[(n * 3 + c) * 4 + k] - kZz);
        ASSERT_EQ(s.y.int_at(static_cast<int64_t>((n * 3 + r) * 3 + c)), code(static_cast<float>(acc) * m, kZy));
      }
}

TEST(IntegerOps, ReluBetweenSymmetricCodesIsAClamp) {
  const Graph g = network(R"(input %x : f32[batch,8]
%xq = QuantizeLinear(%x) {scale=reals [0x1.1p-6], zero_point=[0], dtype="s8"}
%xd = DequantizeLinear(%xq) {scale=reals [0x1.1p-6], zero_point=[0]}
constant %w : s8[2,8] quant(axis=0, scale=[0x1.2p-7, 0x1.3p-7], zero_point=[0, 0]) = [1, -2, 3, 127, 5, -6, 77, -88, 9, 10, -11, 12, -13, 14, 15, -127]
%wd = DequantizeLinear(%w) {axis=0, scale=reals [0x1.2p-7, 0x1.3p-7], zero_point=[0, 0]}
%c = Gemm(%xd, %wd) {transB=1}
%r = Relu(%c)
%y = QuantizeLinear(%r) {scale=reals [0x1.4p-6], zero_point=[0], dtype="s8"}
output %y
output %xq)",
                          Stage::quantized);
  ThreadPool threads(1);
  const Graph integer = integer_form(g, threads).value();
  const auto out = interpret(integer, samples::make_inputs(integer, 100, {.low = -2, .high = 2}), threads);
  ASSERT_TRUE(out);
  const int w[2][8] = {{1, -2, 3, 127, 5, -6, 77, -88}, {9, 10, -11, 12, -13, 14, 15, -127}};
  const float sw[2] = {0x1.2p-7f, 0x1.3p-7f};
  int zeros = 0;
  for (int64_t n = 0; n < 100; ++n)
    for (int64_t c = 0; c < 2; ++c) {
      int acc = 0;
      for (int64_t k = 0; k < 8; ++k) acc += static_cast<int>((*out)[1].int_at(n * 8 + k)) * w[c][k];
      const float v = static_cast<float>(acc) * narrow(static_cast<double>(0x1.1p-6f) * sw[c] / 0x1.4p-6f);
      const int expected = std::max(0, static_cast<int>(std::nearbyint(std::clamp(v, -128.0f, 127.0f))));
      zeros += expected == 0;
      ASSERT_EQ((*out)[0].int_at(n * 2 + c), expected);
    }
  EXPECT_GT(zeros, 20);
}

// ---- the bound on sums

// Gemm with K weights of 127 for one channel; x in u8 with zero point 0.
std::string outcome_for(int64_t depth, int32_t bias, bool vector_weights = false) {
  Graph g;
  g.stage = Stage::quantized;
  const auto linear = [](float scale, std::vector<int64_t> zero) {
    return Attributes{{"scale", std::vector<float>(zero.size(), scale)}, {"zero_point", zero}};
  };
  const auto add = [&](const char* op, std::vector<ValueId> inputs, Attributes a) {
    return g.node(g.add_node(*find_op(op), op, std::move(inputs), std::move(a), {""}).value()).outputs[0];
  };
  const ValueId x = g.add_input("x", {DType::u8, {Dim(1, "batch"), depth}, QuantParams{{1.0f}, {0}, -1}});
  Tensor w(DType::s8, vector_weights ? Dims{depth} : Dims{depth, 1});
  for (int8_t& v : w.mutable_data<int8_t>()) v = 127;
  const ValueId wd = add("DequantizeLinear", {g.add_constant("w", w, QuantParams{{1.0f}, {0}, -1})}, linear(1, {0}));
  const ValueId b = g.add_constant("b", Tensor::of<int32_t>({1}, {bias}), QuantParams{{1.0f}, {0}, -1});
  const ValueId xd = add("DequantizeLinear", {x}, linear(1, {0}));
  const ValueId y = vector_weights ? add("MatMul", {xd, wd}, {})
                                   : add("Gemm", {xd, wd, add("DequantizeLinear", {b}, linear(1, {0}))}, {});
  g.add_output(y);
  ThreadPool threads(1);
  std::vector<Remark> remarks;
  const auto integer = integer_form(g, threads, &remarks);
  EXPECT_TRUE(integer) << integer.error().message();
  if (!remarks.empty()) return remarks[0].node + ": " + remarks[0].reason;
  Tensor ones(DType::u8, {1, depth});
  for (uint8_t& v : ones.mutable_data<uint8_t>()) v = 255;
  const auto out = interpret(*integer, std::vector<Tensor>{ones}, threads);
  EXPECT_EQ((*out)[0].data<float>()[0], static_cast<float>(depth * 255 * 127 + (vector_weights ? 0 : bias)));
  return "integer";
}

TEST(SumsThatCouldPassThirtyTwoBits, StayInFloat) {
  const std::string refusal = ": its integer sum could pass 32 bits";
  EXPECT_EQ(outcome_for(66311, 0), "integer");  // 66311 · 255 · 127 = 2,147,481,735
  EXPECT_EQ(outcome_for(66312, 0), "Gemm" + refusal);
  EXPECT_EQ(outcome_for(66311, 1912), "integer");
  EXPECT_EQ(outcome_for(66311, 1913), "Gemm" + refusal) << "the sum reaches 2^31";
  EXPECT_EQ(outcome_for(66311, -1913), "Gemm" + refusal);
  EXPECT_EQ(outcome_for(66311, 0, true), "integer");
  EXPECT_EQ(outcome_for(66312, 0, true), "MatMul" + refusal);
}

// ---- whole networks

// Random stacks of convolutions, pools, residual additions, gates and branches, ending in a product.
std::string random_network(uint64_t seed) {
  samples::Numbers n(seed + 1000);
  int64_t channels = n.between(1, 4), size = n.between(4, 9);
  std::string body = "input %x : f32[batch," + std::to_string(channels) + "," + std::to_string(size) + "," +
                     std::to_string(size) + "]\n",
              current = "x";
  int made = 0;
  const auto name = [&] { return "v" + std::to_string(++made); };
  const auto convolution = [&](const std::string& from, int64_t out, int64_t kernel) {
    const std::string w = name(), b = name(), y = name();
    const bool bias = n.between(0, 1) == 1;
    body += "weights %" + w + " [" + std::to_string(out) + "," + std::to_string(channels) + "," +
            std::to_string(kernel) + "," + std::to_string(kernel) + "] 0.5\n";
    if (bias) body += "weights %" + b + " [" + std::to_string(out) + "] 0.3\n";
    const std::string pad = std::to_string(kernel / 2);
    body += "%" + y + " = Conv(%" + from + ", %" + w + (bias ? ", %" + b : "") + ") {pads=[" + pad + "," + pad + "," +
            pad + "," + pad + "]}\n";
    return y;
  };
  const auto unary = [&](const std::string& op, const std::string& from, const std::string& attributes = "") {
    const std::string y = name();
    body += "%" + y + " = " + op + "(%" + from + ")" + attributes + "\n";
    return y;
  };
  const auto binary = [&](const std::string& op, const std::string& a, const std::string& b,
                          const std::string& attributes = "") {
    const std::string y = name();
    body += "%" + y + " = " + op + "(%" + a + ", %" + b + ")" + attributes + "\n";
    return y;
  };
  for (int64_t layers = n.between(1, 5); layers > 0; --layers) {
    switch (n.between(0, 7)) {
      case 0: {
        const int64_t out = n.between(1, 5);
        current = convolution(current, out, 3);
        channels = out;
        break;
      }
      case 1: current = unary("Relu", convolution(current, channels, 1)); break;
      case 2: current = unary("Relu", binary("Add", current, convolution(current, channels, 3))); break;
      case 3:
        if (size >= 2) {
          current = unary(n.between(0, 1) ? "MaxPool" : "AveragePool", current, " {kernel_shape=[2,2], strides=[2,2]}");
          size /= 2;
        }
        break;
      case 4: {
        const int64_t out = n.between(1, 3);
        const std::string other = convolution(current, out, 1);
        current = binary("Concat", current, other, " {axis=1}");
        channels += out;
        break;
      }
      case 5:
        current =
            binary("Mul", current, unary("Sigmoid", convolution(unary("GlobalAveragePool", current), channels, 1)));
        break;
      case 6: current = unary("HardSwish", convolution(current, channels, 1)); break;
      default: current = unary("Transpose", current, " {perm=[0,1,3,2]}");
    }
  }
  const std::string flat = unary("Flatten", unary("GlobalAveragePool", current)), w = name(), b = name();
  body += "weights %" + w + " [" + std::to_string(channels) + ",3] 0.7\nweights %" + b + " [3] 0.1\n%y = Gemm(%" +
          flat + ", %" + w + ", %" + b + ")\noutput %y";
  return body;
}

Result<Graph> quantize(const Graph& g, const std::vector<Tensor>& inputs, ThreadPool& threads) {
  const Selection s = select_values(g);
  bool given = false;
  const BatchSource once = [&]() -> Result<std::optional<std::vector<Tensor>>> {
    if (given) return std::optional<std::vector<Tensor>>();
    given = true;
    return std::optional(inputs);
  };
  const Calibration calibrated =
      CUPEL_TRY(calibrate_min_max(g, s.activations, once, observed(g, interpreter(threads)), threads));
  Graph q = CUPEL_TRY(apply_plan(g, CUPEL_TRY(choose_parameters(g, s, calibrated.ranges))));
  PassOptions options;
  const std::string_view names[] = {"drop_redundant_clamps"};
  return run_passes(std::move(q), names, {threads}, options);
}

// Evaluates every integer node on the codes that the Q/DQ graph computed, and compares its result with theirs.
void compare_node_by_node(const std::string& body, uint64_t seed) {
  ThreadPool threads(2);
  const Graph g = network(body);
  const auto inputs = samples::make_inputs(g, 5, {.low = -2, .high = 2}, seed);
  const auto q = quantize(g, inputs, threads);
  ASSERT_TRUE(q) << q.error().message() << "\n" << body;
  std::vector<Remark> remarks;
  const auto integer = integer_form(*q, threads, &remarks);
  ASSERT_TRUE(integer) << integer.error().message() << "\n" << body;
  ConstantStore store;
  const std::string text = print_graph(*integer, &store);
  ASSERT_TRUE(parse_graph(text, store).value() == *integer);

  std::map<std::string, Tensor> expected;
  const Tap tap = [&](ValueId id, const Tensor& t) -> Status {
    expected[q->value(id).name] = t;
    return {};
  };
  ASSERT_TRUE(interpret(*q, inputs, threads, tap));
  std::map<std::string, Tensor> known;
  for (ValueId id : integer->inputs()) known[integer->value(id).name] = expected.at(integer->value(id).name);
  int compared = 0;
  for (const Node& node : integer->nodes()) {
    std::vector<const Tensor*> operands;
    for (ValueId id : node.inputs) {
      const Value* v = id.valid() ? &integer->value(id) : nullptr;
      operands.push_back(!v ? nullptr : v->constant ? &*v->constant : &known.at(v->name));
    }
    const auto results = interpret_node(*integer, node, operands, threads, 5);
    ASSERT_TRUE(results) << results.error().message();
    const Value& result = integer->value(node.outputs[0]);
    known[result.name] = (*results)[0];
    const auto theirs = expected.find(result.name);
    if (theirs == expected.end() || theirs->second.dtype() != result.type.dtype ||
        theirs->second.dims() != (*results)[0].dims())
      continue;
    ++compared;
    double largest = 0;
    for (int64_t i = 0; i < theirs->second.size(); ++i) largest = std::max(largest, std::abs(theirs->second.at(i)));
    const double allowed = result.type.quant ? 1 : 1e-5 * largest;
    for (int64_t i = 0; i < theirs->second.size(); ++i)
      ASSERT_LE(std::abs(theirs->second.at(i) - (*results)[0].at(i)), allowed)
          << node_place(node) << " element " << i << "\n"
          << text;
    known[result.name] = theirs->second;
  }
  EXPECT_GE(compared, 2) << text;
  for (const Node& node : integer->nodes())
    if (node.op->quant_rule == QuantRule::contraction) {
      EXPECT_TRUE(integer->type(node.inputs[0]).quant) << "every contraction is integer\n" << text;
    }
}

TEST(IntegerNetworks, DifferByOneStepPerOpFromQdq) {
  for (const char* body :
       {networks::kResidual, networks::kSqueezeAndExcitation, networks::kBranches, networks::kAttention})
    for (uint64_t seed : {1, 2}) compare_node_by_node(body, seed);
}

TEST(IntegerNetworks, RandomOnesDifferByOneStepPerOpFromQdq) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    compare_node_by_node(random_network(seed), seed);
    ASSERT_FALSE(HasFatalFailure()) << seed << "\n" << random_network(seed);
  }
}

TEST(IntegerNetworks, ThreadsAndBatchSplitChangeNoBit) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    ThreadPool one(1), three(3);
    const Graph g = network(random_network(seed));
    const auto inputs = samples::make_inputs(g, 6, {.low = -2, .high = 2}, seed);
    const Graph integer = integer_form(quantize(g, inputs, one).value(), one).value();
    const Tensor whole = interpret(integer, inputs, one).value()[0];
    ASSERT_TRUE(whole == interpret(integer, inputs, three).value()[0]);
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 2}, {2, 4}}) {
      const std::vector<Tensor> part = {inputs[0].rows(begin, count)};
      ASSERT_TRUE(whole.rows(begin, count) == interpret(integer, part, three).value()[0]);
    }
  }
}

}  // namespace
}  // namespace cupel
