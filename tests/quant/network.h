// Small networks as graph text, with deterministic weights, for tests of the quantizer.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "ir/text.h"
#include "reference/samples.h"

namespace cupel::networks {

// Parses a body of statements, one a line. "weights %name [dims] amplitude" stands for a constant of random numbers.
inline Graph network(const std::string& body, Stage stage = Stage::simplified) {
  ConstantStore store;
  std::string text = "graph \"network\" stage " + std::string(stage_name(stage)) + " opset 17 {\n";
  uint64_t seed = 1;
  for (size_t begin = 0; begin < body.size();) {
    size_t end = body.find('\n', begin);
    if (end == std::string::npos) end = body.size();
    const std::string line = body.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("weights ")) {
      text += line + "\n";
      continue;
    }
    const size_t bracket = line.find('['), close = line.find(']');
    const std::string name = line.substr(8, bracket - 9);
    Dims dims;
    for (size_t at = bracket + 1; at < close;) {
      size_t used = 0;
      dims.push_back(std::stoll(line.substr(at), &used));
      at += used + 1;
    }
    const float amplitude = std::stof(line.substr(close + 1));
    Graph holder;
    holder.add_output(holder.add_constant(
        name.substr(1),
        samples::make_tensor({DType::f32, to_shape(dims), {}}, 1, ++seed, {.low = -amplitude, .high = amplitude})));
    const std::string printed = print_graph(holder, &store);
    const size_t from = printed.find("  constant"), to = printed.find('\n', from);
    text += printed.substr(from, to - from) + "\n";
  }
  auto graph = parse_graph(text + "}", store);
  EXPECT_TRUE(graph) << graph.error().message() << "\n" << text;
  return graph ? std::move(*graph) : Graph();
}

inline constexpr const char* kResidual = R"(input %x : f32[batch,4,6,6]
weights %w1 [4,4,3,3] 0.3
weights %b1 [4] 0.1
%c1 = Conv(%x, %w1, %b1) {pads=[1,1,1,1]}
%r1 = Relu(%c1)
weights %w2 [4,4,3,3] 0.3
weights %b2 [4] 0.1
%c2 = Conv(%r1, %w2, %b2) {pads=[1,1,1,1]}
%sum = Add(%c2, %r1)
%r2 = Relu(%sum)
%mean = GlobalAveragePool(%r2)
%flat = Flatten(%mean)
weights %w3 [5,4] 0.5
weights %b3 [5] 0.2
%logits = Gemm(%flat, %w3, %b3) {transB=1}
output %logits)";

inline constexpr const char* kSqueezeAndExcitation = R"(input %x : f32[batch,3,6,6]
weights %w1 [4,3,1,1] 0.5
%c1 = Conv(%x, %w1)
%s1 = HardSwish(%c1)
%mean = GlobalAveragePool(%s1)
weights %w2 [2,4,1,1] 0.7
%c2 = Conv(%mean, %w2)
%r2 = Relu(%c2)
weights %w3 [4,2,1,1] 0.7
%c3 = Conv(%r2, %w3)
%gate = HardSigmoid(%c3)
%scaled = Mul(%s1, %gate)
weights %w4 [2,4,1,1] 0.5
%y = Conv(%scaled, %w4)
output %y)";

inline constexpr const char* kBranches = R"(input %x : f32[batch,3,8,8]
weights %w1 [4,3,3,3] 0.3
weights %w2 [2,3,1,1] 0.6
%a = Conv(%x, %w1) {pads=[1,1,1,1]}
%ra = Relu(%a)
%b = Conv(%x, %w2)
%joined = Concat(%ra, %b) {axis=1}
%pooled = MaxPool(%joined) {kernel_shape=[2,2], strides=[2,2]}
%averaged = AveragePool(%pooled) {kernel_shape=[2,2], strides=[2,2]}
weights %w3 [3,6,1,1] 0.5
%y = Conv(%averaged, %w3)
output %y)";

inline constexpr const char* kAttention = R"(input %x : f32[batch,5,8]
weights %scale [8] 1.0
weights %bias [8] 0.1
%norm = LayerNormalization(%x, %scale, %bias)
weights %wq [8,8] 0.4
weights %wk [8,8] 0.4
weights %wv [8,8] 0.4
weights %bq [8] 0.1
%q0 = MatMul(%norm, %wq)
%q = Add(%q0, %bq)
%k = MatMul(%norm, %wk)
%v = MatMul(%norm, %wv)
%kt = Transpose(%k) {perm=[0,2,1]}
%scores = MatMul(%q, %kt)
constant %root : f32[] = [0x1.6a09e6p-2]
%scaled = Mul(%scores, %root)
%weights = Softmax(%scaled) {axis=-1}
%mixed = MatMul(%weights, %v)
weights %wo [8,8] 0.4
%out = MatMul(%mixed, %wo)
%res = Add(%x, %out)
weights %w1 [8,16] 0.4
weights %b1 [16] 0.1
%h0 = MatMul(%res, %w1)
%h1 = Add(%h0, %b1)
%h = Gelu(%h1)
weights %w2 [16,8] 0.4
%y = MatMul(%h, %w2)
output %y)";

}  // namespace cupel::networks
