// Random layers of networks: a contraction, window or move of odd size with any attributes, and what stands behind it
// in networks. The same seed gives the same layer.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "random_choices.h"

namespace cupel {

class RandomLayer : RandomChoices {
 public:
  RandomLayer(Graph& graph, uint64_t seed)
      : RandomChoices(seed, 3), graph_(graph), prefix_("l" + std::to_string(seed) + "_") {}

  // Adds the layer with inputs of its own and makes its result an output. The error of a node that was refused; then
  // the graph holds a part of the layer.
  Status add() {
    codes_ = chance(0.7);
    ValueId x;
    switch (pick(0, 11)) {
      case 0:
      case 1:
      case 2:
      case 3: x = conv(1); break;
      case 4: x = conv(pick(2, 4)); break;
      case 5:
      case 6: x = conv(0); break;
      case 7: x = matmul(); break;
      case 8: x = gemm(); break;
      case 9: x = product_of_activations(); break;
      default: x = pool(); break;
    }
    for (int64_t left = pick(0, 4); left > 0 && status_; --left) x = behind(x);
    if (!status_) return status_;
    if (chance(0.1) && graph_.type(x).shape.size() == 4)
      x = node("Flatten", {x}, {}, graph_.type(x).quant ? std::optional(graph_.type(x)) : std::nullopt);
    if (status_) graph_.add_output(x);
    return status_;
  }

 private:
  float real(double low, double high) {
    return static_cast<float>(low + (high - low) * (static_cast<double>(rng_() >> 11) * 0x1p-53));
  }
  // A weight or constant, subnormal now and then.
  float number(double low, double high) {
    const float usual = real(low, high);
    return chance(0.05) ? std::bit_cast<float>(static_cast<uint32_t>(rng_()) & 0x807fffffu) : usual;
  }
  std::string fresh(const char* kind) { return prefix_ + kind + std::to_string(count_++); }
  const TensorType& type(ValueId v) const { return graph_.type(v); }
  int64_t extent(ValueId v, size_t d) const { return type(v).shape[d].factor; }

  // Parameters of u8 or s8 codes whose scale is about `scale`.
  TensorType code_type(double scale, bool s8_too = true) {
    const DType dtype = s8_too && chance(0.2) ? DType::s8 : DType::u8;
    const auto low = static_cast<int32_t>(dtype_min(dtype)), high = static_cast<int32_t>(dtype_max(dtype));
    const auto zero = one_of<int32_t>({low, high, static_cast<int32_t>(pick(low, high))});
    return {dtype, {}, QuantParams{{static_cast<float>(scale * std::exp2(real(-2, 2)))}, {zero}, -1}};
  }
  ValueId input(Shape shape) {
    shape.insert(shape.begin(), Dim(1, "batch"));
    TensorType t{DType::f32, {}, {}};
    if (codes_) t = code_type(0.03, chance(0.1));
    t.shape = std::move(shape);
    return graph_.add_input(fresh("x"), t);
  }
  ValueId node(const char* op, std::vector<ValueId> inputs, Attributes attributes,
               std::optional<TensorType> declared = {}) {
    if (!status_) return {};
    std::vector<TensorType> types;
    if (declared) types.push_back({declared->dtype, {}, declared->quant});
    auto made = graph_.add_node(*find_op(op), fresh(op), std::move(inputs), std::move(attributes), {fresh("v")}, {},
                                std::move(types));
    if (made) return graph_.node(*made).outputs[0];
    status_ = std::unexpected(std::move(made).error());
    return {};
  }

  // ---- Weights ----

  // Codes with one scale for each index of `axis`, or one; now and then the greatest or least everywhere.
  ValueId code_weights(Dims dims, int64_t axis) {
    Tensor t(DType::s8, dims);
    const int mode = static_cast<int>(pick(0, 7));
    for (int8_t& w : t.mutable_data<int8_t>())
      w = static_cast<int8_t>(mode == 0   ? -128
                              : mode == 1 ? 127
                              : mode == 2 ? (chance(0.5) ? -128 : 127)
                                          : pick(-127, 127));
    const bool per_channel = chance(0.8);
    const size_t count = per_channel ? static_cast<size_t>(dims[static_cast<size_t>(axis)]) : 1;
    QuantParams q{{}, std::vector<int32_t>(count, 0), per_channel ? axis : -1};
    const bool symmetric = chance(0.8);
    for (size_t i = 0; i < count; ++i) {
      q.scale.push_back(real(0.001, 0.02));
      if (!symmetric) q.zero_point[i] = static_cast<int32_t>(one_of<int64_t>({-128, 127, pick(-128, 127)}));
    }
    return graph_.add_constant(fresh("w"), std::move(t), q);
  }
  ValueId float_weights(Dims dims, double size) {
    Tensor t(DType::f32, std::move(dims));
    for (float& w : t.mutable_data<float>()) w = number(-size, size);
    return graph_.add_constant(fresh("w"), std::move(t));
  }
  ValueId bias(int64_t columns) {
    if (!codes_) return float_weights({columns}, 1);
    Tensor t(DType::s32, {columns});
    const int64_t bound = one_of<int64_t>({0, 1000, 1 << 24});
    for (int32_t& b : t.mutable_data<int32_t>()) b = static_cast<int32_t>(pick(-bound, bound));
    return graph_.add_constant(fresh("b"), std::move(t));
  }
  // A result of about the spread that a sum over `depth` products has; a float one now and then.
  std::optional<TensorType> sum_type(int64_t depth) {
    if (!codes_) return std::nullopt;
    if (chance(0.12)) {
      codes_ = false;
      return std::nullopt;
    }
    return code_type(0.03 * 0.01 * 100 * std::sqrt(static_cast<double>(depth)));
  }

  // ---- What a layer begins with ----

  std::vector<int64_t> pads_or_none() {
    if (chance(0.3)) return {0, 0, 0, 0};
    return {pick(0, 2), pick(0, 2), pick(0, 2), pick(0, 2)};
  }

  // groups 0: depthwise, now and then with several results for each channel.
  ValueId conv(int64_t groups) {
    const int64_t kh = one_of<int64_t>({1, 1, 2, 3, 3, 5}), kw = one_of<int64_t>({1, 1, 3, 3, 5, 7});
    int64_t channels = one_of<int64_t>({1, 3, 4, 8, 16, 17, 33, pick(1, 40)});
    int64_t out = one_of<int64_t>({1, 3, 16, 24, 31, 32, 65, pick(1, 70)});
    if (groups == 0) {
      groups = channels;
      out = channels * (chance(0.1) ? 2 : 1);
    } else if (groups > 1) {
      channels = groups * pick(1, 12);
      out = groups * pick(1, 20);
    }
    const int64_t dilation = chance(0.15) ? 2 : 1;
    Attributes attributes = {
        {"strides", std::vector<int64_t>{one_of<int64_t>({1, 1, 2, 3}), one_of<int64_t>({1, 1, 2})}},
        {"dilations", std::vector<int64_t>{dilation, dilation}},
        {"group", groups}};
    if (chance(0.2)) {
      attributes.emplace("auto_pad", std::string(one_of({"SAME_UPPER", "SAME_LOWER", "VALID"})));
    } else {
      attributes.emplace("pads", pads_or_none());
    }
    const ValueId x = input({channels, (kh - 1) * dilation + pick(1, 9), (kw - 1) * dilation + pick(1, 13)});
    const Dims dims = {out, channels / groups, kh, kw};
    std::vector<ValueId> inputs = {x, codes_ ? code_weights(dims, 0) : float_weights(dims, 0.5)};
    if (chance(0.8)) inputs.push_back(bias(out));
    return node("Conv", std::move(inputs), std::move(attributes), sum_type(channels / groups * kh * kw));
  }
  ValueId matmul() {
    const int64_t depth = one_of<int64_t>({1, 7, 16, 64, 100, pick(1, 300)}),
                  out = one_of<int64_t>({1, 10, 16, 33, 64});
    Shape shape;
    if (chance(0.4)) shape.push_back(pick(1, 3));
    shape.push_back(pick(1, 20));
    shape.push_back(depth);
    const ValueId x = input(shape);
    const ValueId w = codes_ ? code_weights({depth, out}, 1) : float_weights({depth, out}, 0.3);
    return node("MatMul", {x, w}, {}, sum_type(depth));
  }
  ValueId gemm() {
    const int64_t depth = one_of<int64_t>({1, 9, 64, 130, pick(1, 400)}), out = one_of<int64_t>({1, 10, 32, 100});
    const bool transposed = chance(0.6);
    const Dims dims = transposed ? Dims{out, depth} : Dims{depth, out};
    const ValueId x = input({depth});
    const ValueId w = codes_ ? code_weights(dims, transposed ? 0 : 1) : float_weights(dims, 0.3), b = bias(out);
    return node("Gemm", {x, w, b}, {{"transB", int64_t{transposed}}}, sum_type(depth));
  }
  ValueId product_of_activations() {
    const int64_t heads = pick(1, 3), rows = pick(1, 12), depth = pick(1, 40), columns = pick(1, 30);
    const ValueId a = input({heads, rows, depth}), b = input({heads, depth, columns});
    return node("MatMul", {a, b}, {}, sum_type(depth));
  }
  // One axis of a window: dilated, its windows may lie around all that there is.
  struct PoolAxis {
    int64_t extent, kernel, dilation, before, after;
  };
  PoolAxis pool_axis() {
    PoolAxis a{pick(5, 12), pick(1, 4), chance(0.3) ? pick(2, 5) : 1, 0, 0};
    const int64_t span = (a.kernel - 1) * a.dilation + 1;
    a.before = pick(0, span - 1);
    a.after = pick(0, span - 1);
    if (a.dilation > 1) a.extent = pick(1, 12);
    a.extent = std::max(a.extent, span - a.before - a.after);
    return a;
  }
  ValueId pool() {
    const PoolAxis h = pool_axis(), w = pool_axis();
    const ValueId x = input({one_of<int64_t>({1, 5, 16, 17, 40}), h.extent, w.extent});
    const auto same = [&] { return type(x).quant ? std::optional(type(x)) : std::nullopt; };
    const auto other = [&] { return type(x).quant ? std::optional(code_type(0.03)) : std::nullopt; };
    if (chance(0.2)) return node("GlobalAveragePool", {x}, {}, other());
    Attributes attributes = {{"kernel_shape", std::vector<int64_t>{h.kernel, w.kernel}},
                             {"strides", std::vector<int64_t>{pick(1, 3), pick(1, 3)}},
                             {"dilations", std::vector<int64_t>{h.dilation, w.dilation}},
                             {"pads", std::vector<int64_t>{h.before, w.before, h.after, w.after}},
                             {"ceil_mode", int64_t{chance(0.2)}}};
    if (chance(0.5)) return node("MaxPool", {x}, std::move(attributes), same());
    if (chance(0.4)) attributes.emplace("count_include_pad", int64_t{1});
    return node("AveragePool", {x}, std::move(attributes), other());
  }

  // ---- What stands behind it ----

  // An input of the shape of `like` but with 1 where `ones` says so.
  ValueId beside(ValueId like, bool channels_only) {
    Shape shape(type(like).shape.begin() + 1, type(like).shape.end());
    if (channels_only)
      for (size_t d = 1; d < shape.size(); ++d) shape[d] = 1;
    const bool before = std::exchange(codes_, type(like).quant.has_value());
    const ValueId made = input(std::move(shape));
    codes_ = before;
    return made;
  }
  ValueId function(ValueId x) {
    constexpr std::string_view kNames[] = {
#define CUPEL_UNARY(op, ...) #op,
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
        "Gelu", "Clip"};
    const std::string name(kNames[pick(0, static_cast<int64_t>(std::size(kNames)) - 1)]);
    Attributes attributes;
    for (const AttributeSpec& spec : find_op(name)->attributes) {
      if (chance(0.5)) continue;
      if (spec.kind == AttributeKind::real)
        attributes.emplace(spec.name, chance(0.2) ? 1.0f : number(-1, 1));
      else
        attributes.emplace(spec.name, std::string("tanh"));
    }
    std::vector<ValueId> inputs = {x};
    if (name == "Clip") {
      inputs.push_back(chance(0.3) ? ValueId() : graph_.add_constant(fresh("low"), Tensor::scalar(real(-2, 0))));
      if (chance(0.8)) inputs.push_back(graph_.add_constant(fresh("high"), Tensor::scalar(real(0, 6))));
    }
    const bool codes = type(x).quant.has_value();
    return node(name.c_str(), std::move(inputs), std::move(attributes),
                codes ? std::optional(chance(0.2) ? type(x) : code_type(0.03)) : std::nullopt);
  }
  // With an input of the same shape, or with a function of itself.
  ValueId concat(ValueId x) {
    const auto rank = static_cast<int64_t>(type(x).shape.size());
    const ValueId other = chance(0.5) ? beside(x, false) : function(x);
    if (!status_) return {};
    const std::vector<ValueId> parts = chance(0.5) ? std::vector{x, other} : std::vector{other, x};
    const bool codes = type(x).quant.has_value();
    return node("Concat", parts, {{"axis", pick(1, rank - 1)}},
                codes ? std::optional(chance(0.3) ? type(x) : code_type(0.05)) : std::nullopt);
  }
  int64_t axis_of(ValueId x) { return pick(1, static_cast<int64_t>(type(x).shape.size()) - 1); }
  ValueId indices(const char* kind, const std::vector<int64_t>& values) {
    return graph_.add_constant(fresh(kind),
                               Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span(values)));
  }
  ValueId row(ValueId x) {
    const char* op = chance(0.6) ? "Softmax" : "LogSoftmax";
    return node(op, {x}, {{"axis", chance(0.5) ? int64_t{-1} : axis_of(x)}});
  }
  // Of numbers; of codes only the mean.
  ValueId reduction(ValueId x) {
    const bool codes = type(x).quant.has_value();
    const char* op = codes ? "ReduceMean" : one_of({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"});
    return node(op, {x, indices("axes", {axis_of(x)})}, {{"keepdims", int64_t{1}}},
                codes ? std::optional(code_type(0.03)) : std::nullopt);
  }
  ValueId padded(ValueId x) {
    const size_t rank = type(x).shape.size();
    std::vector<int64_t> pads(2 * rank, 0);
    for (size_t d = 1; d < rank; ++d) {
      pads[d] = pick(0, 2);
      pads[rank + d] = pick(0, 2);
    }
    std::vector<ValueId> inputs = {x, indices("pads", pads)};
    if (chance(0.5)) inputs.push_back(graph_.add_constant(fresh("value"), Tensor::scalar(real(-1, 1))));
    return node("Pad", std::move(inputs), {}, type(x).quant ? std::optional(type(x)) : std::nullopt);
  }
  ValueId transposed(ValueId x) {
    std::vector<int64_t> perm(type(x).shape.size());
    std::iota(perm.begin(), perm.end(), 0);
    std::shuffle(perm.begin() + 1, perm.end(), rng_);
    return node("Transpose", {x}, {{"perm", perm}}, type(x).quant ? std::optional(type(x)) : std::nullopt);
  }
  ValueId behind(ValueId x) {
    const bool codes = type(x).quant.has_value();
    const auto result = [&] { return codes ? std::optional(code_type(0.05)) : std::nullopt; };
    switch (pick(0, 10)) {
      case 9: return reduction(x);
      case 10: return padded(x);
      case 7: return concat(x);
      case 8: return transposed(x);
      case 0:
      case 1:
      case 2: return function(x);
      case 3:
        return node("Add", chance(0.5) ? std::vector{x, beside(x, false)} : std::vector{beside(x, false), x}, {},
                    result());
      case 4: return node("Mul", {x, beside(x, chance(0.6))}, {}, result());
      case 5: return codes ? node("Requantize", {x}, {}, code_type(0.05)) : row(x);
      default: return codes ? node("Dequantize", {x}, {}) : node("Quantize", {x}, {}, code_type(0.03));
    }
  }

  Graph& graph_;
  std::string prefix_;
  int count_ = 0;
  bool codes_ = true;  // whether inputs are codes
  Status status_;
};

}  // namespace cupel
