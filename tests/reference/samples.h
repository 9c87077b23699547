// The samples of all ops as graphs, and deterministic inputs for them.
#pragma once

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/text.h"
#include "runtime/thread_pool.h"

namespace cupel::samples {

struct Sample {
  const OpDef* op;
  Graph graph;
};

inline std::vector<Sample> all_samples() {
  std::vector<Sample> samples;
  for (const OpDef* op : all_ops())
    for (std::string_view text : op->samples)
      if (auto graph = parse_graph(text)) samples.push_back({op, std::move(*graph)});
  return samples;
}

// Numbers that follow from the seed alone.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1du >> 16;
  }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  float real(float low, float high) { return low + (high - low) * static_cast<float>(next() % 65536) / 65535; }

 private:
  uint64_t state_;
};

// Reals in [low, high]; codes of the whole range; other integers between least and greatest.
struct InputRange {
  float low = -4, high = 4;
  int64_t least = -9, greatest = 9;
  bool subnormal = false;  // some of f32 are
};

// What an op accepts without an error of the data.
inline InputRange range_for(std::string_view op) {
  if (op.starts_with("Gather") || op.starts_with("Scatter")) return {.least = 0, .greatest = 1};  // indices
  if (op == "Cast") return {.low = 0, .high = 4, .least = 0, .greatest = 9};  // fits every integer type
  if (op == "Div" || op == "Pow") return {.low = 0.5f, .least = 1, .greatest = 5};
  if (op == "BatchNormalization" || op == "Log") return {.low = 0.25f};
  return {};
}

inline Tensor make_tensor(const TensorType& type, int64_t symbol, uint64_t seed, const InputRange& range = {}) {
  Tensor t(type.dtype, bind_shape(type.shape, symbol).value());
  Numbers numbers(seed + 17);
  for (int64_t i = 0; i < t.size(); ++i) {
    const auto at = static_cast<size_t>(i);
    const bool code = is_code(type.dtype) && dtype_bits(type.dtype) == 8;
    const int64_t integer = type.dtype == DType::boolean ? numbers.between(0, 1)
                            : code                       ? numbers.between(dtype_min(type.dtype), dtype_max(type.dtype))
                                                         : numbers.between(range.least, range.greatest);
    const float real = range.subnormal && type.dtype == DType::f32 && numbers.between(0, 15) == 0
                           ? std::bit_cast<float>(static_cast<uint32_t>(numbers.next()) & 0x807fffffu)
                           : numbers.real(range.low, range.high);
    const int width = dtype_bits(type.dtype) / 8;
    if (type.dtype == DType::f32) {
      t.mutable_data<float>()[at] = real;
    } else if (type.dtype == DType::f64) {
      t.mutable_data<double>()[at] = real;
    } else if (type.dtype == DType::f16 || type.dtype == DType::bf16) {
      const uint16_t bits = type.dtype == DType::f16 ? f32_to_f16(real) : f32_to_bf16(real);
      std::memcpy(t.mutable_bytes().data() + i * 2, &bits, 2);
    } else if (width >= 1) {
      std::memcpy(t.mutable_bytes().data() + i * width, &integer, static_cast<size_t>(width));
    } else {
      t.mutable_bytes()[at / 2] |= static_cast<std::byte>((integer & 15) << (i % 2 * 4));
    }
  }
  return t;
}

inline std::vector<Tensor> make_inputs(const Graph& graph, int64_t symbol, const InputRange& range = {},
                                       uint64_t seed = 0) {
  std::vector<Tensor> inputs;
  for (ValueId id : graph.inputs())
    inputs.push_back(make_tensor(graph.type(id), symbol, seed + static_cast<uint64_t>(id.index), range));
  return inputs;
}

inline bool has_symbol(const Graph& graph) {
  for (ValueId id : graph.inputs())
    if (!is_static(graph.type(id).shape)) return true;
  return false;
}

}  // namespace cupel::samples
