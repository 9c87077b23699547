// Conv, MatMul and Gemm against naive evaluations: the written chain of fused multiply-adds bit by bit, double within
// 2K·2⁻²⁴·Σ|x·w|, and integer sums exactly followed by the formulas of docs/quantization.md 3.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "reference/interpreter.h"
#include "reference/samples.h"

namespace cupel {
namespace {

// One output element: its products in the order of the chain (index −1: a padded x), its channel and its start.
struct Sum {
  std::vector<std::pair<int64_t, int64_t>> products;  // flat indices into x and w
  int64_t channel = 0;
  int64_t start = -1;  // flat index into the bias or C; −1: none
};

std::vector<Sum> conv_sums(const Node& node, const Dims& x, const Dims& w, bool bias, const Dims& out) {
  const size_t spatial = x.size() - 2;
  const auto at = [&](const char* name, size_t i, int64_t fallback) {
    const auto list = attr_ints(node.attributes, name);
    return list.empty() ? fallback : list[i];
  };
  // One spatial dimension is treated as two with a trivial first.
  const auto size_of = [&](const Dims& dims, size_t i) { return spatial == 1 ? (i == 0 ? 1 : dims[2]) : dims[2 + i]; };
  int64_t stride[2] = {1, 1}, dilation[2] = {1, 1}, pad[2] = {0, 0};
  for (size_t i = 0; i < spatial; ++i) {
    const size_t to = spatial == 1 ? 1 : i;
    stride[to] = at("strides", i, 1);
    dilation[to] = at("dilations", i, 1);
    pad[to] = at("pads", i, 0);
    if (attr_text(node.attributes, "auto_pad", "NOTSET") == "SAME_UPPER")
      pad[to] = std::max<int64_t>(0, (out[2 + i] - 1) * stride[to] + (w[2 + i] - 1) * dilation[to] + 1 - x[2 + i]) / 2;
  }
  const int64_t groups = attr_int(node.attributes, "group", 1), channels = w[0] / groups, depth = w[1];
  std::vector<Sum> sums;
  for (int64_t n = 0; n < out[0]; ++n)
    for (int64_t c = 0; c < w[0]; ++c)
      for (int64_t oy = 0; oy < size_of(out, 0); ++oy)
        for (int64_t ox = 0; ox < size_of(out, 1); ++ox) {
          Sum s{{}, c, bias ? c : -1};
          for (int64_t ky = 0; ky < size_of(w, 0); ++ky)
            for (int64_t kx = 0; kx < size_of(w, 1); ++kx)
              for (int64_t i = 0; i < depth; ++i) {
                const int64_t y = oy * stride[0] - pad[0] + ky * dilation[0],
                              xx = ox * stride[1] - pad[1] + kx * dilation[1];
                const bool inside = y >= 0 && y < size_of(x, 0) && xx >= 0 && xx < size_of(x, 1);
                const int64_t channel = c / channels * depth + i;
                s.products.emplace_back(inside ? ((n * x[1] + channel) * size_of(x, 0) + y) * size_of(x, 1) + xx : -1,
                                        ((c * depth + i) * size_of(w, 0) + ky) * size_of(w, 1) + kx);
              }
          sums.push_back(std::move(s));
        }
  return sums;
}

// Flat index of an operand for the leading (broadcast) index of the result, both right-aligned.
int64_t lead_index(const Dims& dims, size_t own, const Dims& out, size_t out_lead, int64_t flat) {
  int64_t index = 0, step = 1;
  for (size_t i = 0; i < out_lead; ++i) {
    const size_t d = out_lead - 1 - i;
    const int64_t position = flat % out[d];
    flat /= out[d];
    if (i >= own) continue;
    const int64_t size = dims[own - 1 - i];
    index += (size == 1 ? 0 : position) * step;
    step *= size;
  }
  return index;
}

std::vector<Sum> matmul_sums(Dims a, Dims b, Dims out) {
  if (a.size() == 1) a.insert(a.begin(), 1), out.insert(out.end() - (b.size() == 1 ? 0 : 1), 1);
  if (b.size() == 1) b.push_back(1), out.push_back(1);
  const int64_t rows = a[a.size() - 2], depth = a.back(), columns = b.back();
  const size_t lead = out.size() - 2;
  int64_t batches = 1;
  for (size_t i = 0; i < lead; ++i) batches *= out[i];
  std::vector<Sum> sums;
  for (int64_t i = 0; i < batches; ++i) {
    const int64_t ai = lead_index(a, a.size() - 2, out, lead, i) * rows * depth,
                  bi = lead_index(b, b.size() - 2, out, lead, i) * depth * columns;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) {
        Sum s{{}, c, -1};
        for (int64_t k = 0; k < depth; ++k) s.products.emplace_back(ai + r * depth + k, bi + k * columns + c);
        sums.push_back(std::move(s));
      }
  }
  return sums;
}

std::vector<Sum> gemm_sums(const Node& node, const Dims& a, const Dims& b, const Tensor* c_operand) {
  const bool ta = attr_int(node.attributes, "transA", 0) != 0, tb = attr_int(node.attributes, "transB", 0) != 0;
  const int64_t rows = a[ta ? 1 : 0], depth = a[ta ? 0 : 1], columns = b[tb ? 0 : 1];
  std::vector<Sum> sums;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) {
      Sum s{{}, c, -1};
      for (int64_t k = 0; k < depth; ++k)
        s.products.emplace_back(ta ? k * rows + r : r * depth + k, tb ? c * depth + k : k * columns + c);
      if (c_operand) {
        const Dims& d = c_operand->dims();
        const int64_t width = d.empty() ? 1 : d.back(), height = d.size() < 2 ? 1 : d[0];
        s.start = (height == 1 ? 0 : r) * width + (width == 1 ? 0 : c);
      }
      sums.push_back(std::move(s));
    }
  return sums;
}

int64_t code_of(double v, DType type, int32_t zero) {
  const double low = static_cast<double>(dtype_min(type)) - zero, high = static_cast<double>(dtype_max(type)) - zero;
  v = v > low ? v : low;
  v = v < high ? v : high;
  return static_cast<int64_t>(std::nearbyint(v)) + zero;
}

void check(const Graph& g, int64_t symbol, uint64_t seed) {
  ASSERT_EQ(g.nodes().size(), 1u);
  const Node& node = g.nodes()[0];
  const auto inputs = samples::make_inputs(g, symbol, {.least = -1000, .greatest = 1000}, seed);
  ThreadPool threads(2);
  const auto result = interpret(g, inputs, threads);
  ASSERT_TRUE(result) << result.error().message();
  const Tensor &x = inputs[0], &w = inputs[1], &out = (*result)[0];
  const Tensor* start = inputs.size() > 2 ? &inputs[2] : nullptr;
  const auto sums = node.op->name == "Conv"     ? conv_sums(node, x.dims(), w.dims(), start != nullptr, out.dims())
                    : node.op->name == "MatMul" ? matmul_sums(x.dims(), w.dims(), out.dims())
                                                : gemm_sums(node, x.dims(), w.dims(), start);
  ASSERT_EQ(static_cast<int64_t>(sums.size()), out.size()) << g.name;
  const TensorType &tx = g.type(node.inputs[0]), &tw = g.type(node.inputs[1]), &ty = g.type(node.outputs[0]);
  const float alpha = attr_real(node.attributes, "alpha", 1), beta = attr_real(node.attributes, "beta", 1);
  for (size_t i = 0; i < sums.size(); ++i) {
    const Sum& s = sums[i];
    const auto at = static_cast<int64_t>(i);
    if (tx.quant) {
      int64_t acc = s.start < 0 ? 0 : start->int_at(s.start);
      for (const auto& [xi, wi] : s.products)
        if (xi >= 0)
          acc += (x.int_at(xi) - tx.quant->zero_point[0]) * (w.int_at(wi) - tw.quant->zero_point_at(s.channel));
      const double product =
          static_cast<double>(tx.quant->scale[0]) * static_cast<double>(tw.quant->scale_at(s.channel));
      if (ty.quant) {
        const float m = static_cast<float>(product / static_cast<double>(ty.quant->scale[0]));
        ASSERT_EQ(out.int_at(at), code_of(static_cast<float>(acc) * m, ty.dtype, ty.quant->zero_point[0]))
            << g.name << " element " << i;
      } else {
        ASSERT_EQ(out.data<float>()[i], static_cast<float>(acc) * static_cast<float>(product))
            << g.name << " element " << i;
      }
      continue;
    }
    const bool simple = alpha == 1 && beta == 1;
    const float c = s.start < 0 ? 0.0f : start->data<float>()[static_cast<size_t>(s.start)];
    float chain = simple ? c : 0.0f;
    double exact = simple ? c : 0.0, magnitude = std::abs(c);
    for (const auto& [xi, wi] : s.products) {
      const float a = xi < 0 ? 0.0f : x.data<float>()[static_cast<size_t>(xi)],
                  b = w.data<float>()[static_cast<size_t>(wi)];
      chain = std::fma(a, b, chain);
      exact += static_cast<double>(a) * b;
      magnitude += std::abs(static_cast<double>(a) * b);
    }
    if (!simple) {
      chain = alpha * chain;
      if (s.start >= 0) chain = std::fma(beta, c, chain);
      exact = alpha * exact + static_cast<double>(beta) * c;
      magnitude *= std::abs(alpha) + std::abs(beta);
    }
    const float found = out.data<float>()[i];
    ASSERT_EQ(std::bit_cast<uint32_t>(found), std::bit_cast<uint32_t>(chain)) << g.name << " element " << i;
    const double k = static_cast<double>(s.products.size() + (simple ? 0 : 2));
    ASSERT_LE(std::abs(found - exact), 2 * k * 0x1p-24 * magnitude) << g.name << " element " << i;
  }
}

TEST(Contractions, SamplesMeetNaiveEvaluations) {
  int checked = 0;
  for (const auto& s : samples::all_samples()) {
    if (s.op->quant_rule != QuantRule::contraction) continue;
    for (uint64_t seed : {1, 2, 3}) check(s.graph, 2, seed);
    ++checked;
  }
  EXPECT_GE(checked, 14);
}

Graph one_node(const std::string& body) {
  auto g = parse_graph("graph \"" + body.substr(0, 60) + "\" stage imported opset 17 {\n" + body + "\noutput %y\n}");
  EXPECT_TRUE(g) << g.error().message();
  return g ? std::move(*g) : Graph();
}

TEST(Contractions, LargerAndOdderOnesMeetNaiveEvaluations) {
  for (const std::string body :
       {"input %x : f32[batch,5,9,8]\ninput %w : f32[10,5,5,4]\ninput %b : f32[10]\n%y = Conv(%x, %w, %b) "
        "{pads=[4,3,2,1], strides=[2,3], dilations=[1,2]}",
        "input %x : f32[batch,8,7,300]\ninput %w : f32[16,2,1,3]\n%y = Conv(%x, %w) {group=4, pads=[0,1,0,1]}",
        "input %x : f32[batch,3,1,1]\ninput %w : f32[2,3,3,3]\n%y = Conv(%x, %w) {pads=[1,1,1,1]}",
        "input %x : u8[batch,6,9,11] quant(scale=[0x1.234p-6], zero_point=[255])\ninput %w : u8[9,2,3,2] quant(axis=0, "
        "scale=[0x1p-7, 0x1.8p-7, 0x1.4p-6, 0x1p-7, 0x1.8p-7, 0x1.4p-6, 0x1p-7, 0x1.8p-7, 0x1.4p-6], zero_point=[0, 1, "
        "2, 3, 100, 200, 255, 128, 7])\ninput %b : s32[9]\n"
        "%y = Conv(%x, %w, %b) {group=3, pads=[2,1,0,3], strides=[2,1]} : s8[batch,9,5,14] quant(scale=[0x1.1p-3], "
        "zero_point=[-128])",
        "input %x : s8[batch,2,33] quant(scale=[0x1.234p-6], zero_point=[-128])\ninput %w : s8[3,2,5] "
        "quant(scale=[0x1p-7], zero_point=[127])\n%y = Conv(%x, %w) {pads=[2,2], dilations=[2]}",
        "input %x : f32[2,1,batch,37]\ninput %w : f32[5,37,261]\n%y = MatMul(%x, %w)",
        "input %x : f32[3,41]\ninput %w : f32[41]\n%y = MatMul(%x, %w)",
        "input %x : f32[41]\ninput %w : f32[41]\n%y = MatMul(%x, %w)",
        "input %x : u8[batch,3,300] quant(scale=[0x1.234p-6], zero_point=[3])\ninput %w : s8[300,5] quant(axis=1, "
        "scale=[0x1p-7, 0x1.8p-7, 0x1.4p-6, 0x1p-7, 0x1p-3], zero_point=[0, -1, 2, 3, 127])\n%y = MatMul(%x, %w) : "
        "u8[batch,3,5] quant(scale=[0x1p-2], zero_point=[0])",
        "input %x : f32[batch,65]\ninput %w : f32[65,300]\ninput %b : f32[1,300]\n%y = Gemm(%x, %w, %b) {alpha=0.7, "
        "beta=-1.3}",
        "input %x : f32[33,batch]\ninput %w : f32[7,33]\ninput %b : f32[]\n%y = Gemm(%x, %w, %b) {transA=1, transB=1}",
        "input %x : u8[70,batch] quant(scale=[0x1.234p-6], zero_point=[3])\ninput %w : u8[70,5] quant(scale=[0x1p-7], "
        "zero_point=[99])\ninput %b : s32[1,5]\n%y = Gemm(%x, %w, %b) {transA=1}"})
    for (uint64_t seed : {1, 2})
      for (int64_t batch : {1, 3, 40}) check(one_node(body), batch, seed);
}

}  // namespace
}  // namespace cupel
