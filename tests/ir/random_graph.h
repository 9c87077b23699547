// Random graphs for property tests: weird names, constants of all dtypes, attributes of all kinds, codes, symbolic
// batch.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace cupel::testing_graphs {

class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : random_(seed) {}

  Graph make() {
    graph_ = Graph();
    graph_.name = name();
    graph_.opset = static_cast<int>(below(30));
    const bool symbolic = below(2) == 0;
    const std::string symbol = below(3) == 0 ? name() : "batch";
    Shape shape = {symbolic && !symbol.empty() ? Dim(1 + static_cast<int64_t>(below(3)), symbol) : Dim(2)};
    const size_t rank = below(3);
    for (size_t i = 0; i < rank; ++i) shape.emplace_back(static_cast<int64_t>(below(4)));
    floats_.push_back(graph_.add_input(name(), {DType::f32, shape, {}}));
    floats_.push_back(graph_.add_input(name(), {DType::f32, shape, {}}));
    const size_t nodes = 1 + below(12);
    for (size_t i = 0; i < nodes; ++i) add_node();
    for (ValueId id : extra_outputs_) graph_.add_output(id);
    graph_.add_output(floats_.back());
    return graph_;
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }

  std::string name() {
    static const std::vector<std::string> kWeird = {
        "",  "_",  "//comment", "a b", "\"quoted\"", "line\nbreak", "größe", "\xff\xfe", "back\\slash",
        "#", "@x", "7",         "-",   "input",      "x:0",         "/a//b", "}",        std::string("nul\0l", 5)};
    if (below(2) == 0) return kWeird[below(kWeird.size())];
    std::string plain = "v";
    for (size_t i = below(6); i > 0; --i) plain += static_cast<char>(below(256));
    return plain;
  }

  ValueId operand() { return floats_[below(floats_.size())]; }

  Tensor tensor(DType type, Dims dims) {
    Tensor t(type, std::move(dims));
    for (std::byte& b : t.mutable_bytes()) b = static_cast<std::byte>(below(type == DType::boolean ? 2 : 256));
    if (dtype_bits(type) == 4 && t.size() % 2 == 1) t.mutable_bytes().back() &= std::byte{15};  // the spare nibble is 0
    return t;
  }

  float real() {
    switch (below(6)) {
      case 0: return 0.0f;
      case 1: return -0.0f;
      case 2: return std::bit_cast<float>(static_cast<uint32_t>(random_()));  // NaN, infinity, subnormal
      default: return static_cast<float>(below(2000)) / 64 - 15;
    }
  }

  void add(const char* op, std::vector<ValueId> inputs, Attributes attributes, size_t results = 1,
           std::vector<TensorType> declared = {}) {
    std::vector<std::string> names, origin;
    for (size_t i = 0; i < results; ++i) names.push_back(name());
    for (size_t i = below(3); i > 0; --i) origin.push_back(name());
    const auto added = graph_.add_node(*find_op(op), name(), std::move(inputs), std::move(attributes), names, origin,
                                       std::move(declared));
    if (!added) return;  // a shape that does not fit: the graph stays as it was
    for (ValueId id : graph_.node(*added).outputs) {
      if (graph_.type(id).dtype == DType::f32 && !graph_.type(id).shape.empty()) floats_.push_back(id);
      if (below(3) == 0) extra_outputs_.push_back(id);
    }
  }

  void add_node() {
    const ValueId x = operand();
    switch (below(11)) {
      case 0: return add("Relu", {x}, {});
      case 1: return add("Add", {x, operand()}, {});
      case 2: return add("LeakyRelu", {x}, {{"alpha", real()}});
      case 3: return add("Concat", {x, operand(), x}, {{"axis", int64_t{-1}}});
      case 4: {
        const ValueId sizes = graph_.add_constant(name(), Tensor::of<int64_t>({2}, {0, 2}));
        return add("Split", {x, sizes}, {{"axis", int64_t{0}}}, 2);
      }
      case 5: {
        const float scale = std::ldexp(1.0f + static_cast<float>(below(100)) / 128, -static_cast<int>(below(12)));
        return add("QuantizeLinear", {x},
                   {{"scale", std::vector<float>{scale}},
                    {"zero_point", std::vector<int64_t>{static_cast<int64_t>(below(256))}},
                    {"dtype", std::string("u8")}});
      }
      case 6: {
        const ValueId low = below(2) ? graph_.add_constant(name(), Tensor::scalar(real())) : ValueId{};
        return add("Clip", {x, low, graph_.add_constant(name(), Tensor::scalar(real()))}, {});
      }
      case 7: {
        constexpr std::array kTypes = {DType::f32,    DType::f64, DType::f16, DType::bf16, DType::f8e4m3,
                                       DType::f8e5m2, DType::u8,  DType::s8,  DType::u16,  DType::s16,
                                       DType::u32,    DType::s32, DType::u64, DType::s64,  DType::boolean,
                                       DType::u4,     DType::s4};
        extra_outputs_.push_back(graph_.add_constant(
            name(),
            tensor(kTypes[below(kTypes.size())], {static_cast<int64_t>(below(5)), static_cast<int64_t>(below(8))})));
        return;
      }
      case 8: {
        const auto count = static_cast<int64_t>(below(20));
        switch (below(4)) {
          case 0: return add("Constant", {}, {{"value", tensor(DType::f32, {count})}});
          case 1:
            return add(
                "Constant", {},
                {{"value_ints", std::vector<int64_t>(static_cast<size_t>(count), -static_cast<int64_t>(below(1000)))}});
          case 2:
            return add("Constant", {}, {{"value_floats", std::vector<float>(static_cast<size_t>(count), real())}});
          default: return add("Constant", {}, {{"value_float", real()}});
        }
      }
      case 9: {
        const auto count = static_cast<int64_t>(below(20));
        QuantParams q{{}, std::vector<int32_t>(static_cast<size_t>(count), -3), 0};
        for (int64_t i = 0; i < count; ++i) q.scale.push_back(std::ldexp(1.0f + static_cast<float>(i) / 64, -7));
        if (count == 0) return;
        const ValueId codes = graph_.add_constant(name(), tensor(DType::s8, {count, 2}), q);
        return add("DequantizeLinear", {codes},
                   {{"axis", int64_t{0}},
                    {"scale", q.scale},
                    {"zero_point", std::vector<int64_t>(static_cast<size_t>(count), -3)}});
      }
      default: return add("Transpose", {x}, {});
    }
  }

  std::mt19937_64 random_;
  Graph graph_;
  std::vector<ValueId> floats_, extra_outputs_;
};

}  // namespace cupel::testing_graphs
