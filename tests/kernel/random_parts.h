// What random kernels are made of: numbers, layouts and expressions.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernel/kernel.h"
#include "lower/builder.h"
#include "random_choices.h"

namespace cupel {

class RandomParts : protected RandomChoices {
 protected:
  explicit RandomParts(uint64_t seed) : RandomChoices(seed, 1) {
    specials_ = chance(0.1);
    subnormals_ = chance(0.3);
  }

  float real(double magnitude) {
    if (specials_ && chance(0.02)) {
      constexpr float kInfinity = std::numeric_limits<float>::infinity();
      return one_of({kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 0.0f, -0.0f, 0x1p-140f, 0x1p127f});
    }
    if (subnormals_ && chance(0.1)) {
      const auto bits = static_cast<uint32_t>(rng_());
      return std::bit_cast<float>(bits & 0x807fffffu);
    }
    const double u = static_cast<double>(rng_() >> 11) * 0x1p-52 - 1;
    return static_cast<float>(u * magnitude);
  }
  static int64_t size_of(DType type) { return dtype_bits(type) / 8; }

  // ---- Layouts ----

  // Strides that keep all elements apart, dimensions nested in `order` (innermost first); `last`: room in the last one.
  Access apart(DType type, const Dims& dims, const std::vector<size_t>& order, int64_t last, bool constant = false) {
    Access access{.dtype = type,
                  .constant = constant,
                  .offset = pick(0, 3) * std::max(size_of(type), one_of<int64_t>({4, 16, 64})),
                  .strides = Dims(dims.size())};
    const int64_t size = size_of(type);
    int64_t inner = size;
    for (const size_t d : order) {
      access.strides[d] = inner;
      const int64_t extent = d + 1 == dims.size() ? last : dims[d];
      inner = inner * (extent - 1) + inner;
      if (d != dims.size() - 1 || order.size() > 1) inner += chance(0.3) ? pick(0, 3) * size : 0;
    }
    if (!constant) access.item_stride = chance(0.5) ? (inner + 63) / 64 * 64 : inner + pick(0, 2) * 4 * size;
    return access;
  }
  static std::vector<size_t> nested(size_t rank) {
    std::vector<size_t> order(rank);
    for (size_t d = 0; d < rank; ++d) order[d] = rank - 1 - d;
    return order;
  }
  // Last dimension innermost with room for `last` elements.
  Access dense(DType type, const Dims& dims, int64_t last, bool constant = false) {
    Access access = apart(type, dims, nested(dims.size()), last, constant);
    access.strides.back() = size_of(type);
    return access;
  }
  // Some dimensions of stride 0.
  void broadcast(Access& access, double p, size_t keep_last) {
    for (size_t d = 0; d + keep_last < access.strides.size(); ++d)
      if (chance(p)) access.strides[d] = 0;
  }
  // One value for each column.
  Access per_column(DType type, const Dims& dims, bool constant) {
    Access access = dense(type, dims, (dims.back() + 15) / 16 * 16, constant);
    for (size_t d = 0; d + 1 < dims.size(); ++d) {
      if (d + 3 >= dims.size()) access.strides[d] = 0;
    }
    return access;
  }
  static Access table_access(size_t rank) { return {.dtype = DType::u8, .constant = true, .strides = Dims(rank, 0)}; }

  // ---- Epilogues of contract and window ----

  // Any function of one element, with any attributes; half of the time one that networks have.
  Scalar activation(Scalar x) {
    constexpr std::string_view kNames[] = {
#define CUPEL_UNARY(op, ...) #op,
#include "ops/unary_functions.def"
#undef CUPEL_UNARY
        "Gelu"};
    constexpr std::string_view kFrequent[] = {"Relu", "LeakyRelu", "HardSwish", "Sigmoid", "Silu", "Gelu", "Tanh"};
    if (chance(0.15)) return x;
    if (chance(0.15)) return clip(x, 0.0f, 6.0f);
    Attributes attributes;
    if (chance(0.3)) attributes = {{"alpha", real(1)}, {"beta", real(1)}, {"approximate", std::string("tanh")}};
    const bool frequent = chance(0.5);
    const auto count = static_cast<int64_t>(frequent ? std::size(kFrequent) : std::size(kNames));
    const auto at = static_cast<size_t>(pick(0, count - 1));
    return *unary_expression(frequent ? kFrequent[at] : kNames[at], attributes, x);
  }
  Scalar as_real(Scalar x) { return x.type() == ScalarType::f32 ? x : to_f32(x); }
  // A code for the result's type, or the number itself.
  Scalar to_result(Scalar v, DType type, size_t rank, std::vector<Access>& operands, ExprBuilder& b) {
    if (is_float(type)) return v;
    if (type == DType::s32) return round_s32(less(greater(v, -1000000.0f), 1000000.0f));
    const auto zero = static_cast<int32_t>(type == DType::u8 ? pick(0, 255) : pick(-128, 127));
    constexpr double kNear = 1000000;
    const Scalar near = less(greater(v, static_cast<float>(-kNear)), static_cast<float>(kNear));
    const Scalar code = chance(0.4) ? to_code_within(kNear, near, type, zero) : to_code(v, type, zero);
    if (!chance(0.15)) return code;
    operands.push_back(table_access(rank));
    return b.table(static_cast<int32_t>(operands.size()) - 1, code);
  }
  ScalarExpr epilogue(const Dims& space, ScalarType accumulator, double sum_size, DType type,
                      std::vector<Access>& operands) {
    ExprBuilder b;
    start_size_ = std::min(sum_size, 0x1p20);
    const int64_t room = (space.back() + 15) / 16 * 16;
    const Scalar acc = b.accumulator(0, accumulator);
    if (type == DType::s32 && accumulator == ScalarType::s32)
      return b.finish(chance(0.5) ? acc : acc + static_cast<int32_t>(pick(-9, 9)));
    const auto operand = [&](Access access) {
      operands.push_back(std::move(access));
      return b.operand(static_cast<int32_t>(operands.size()) - 1, operands.back().dtype);
    };
    Scalar v = as_real(acc);
    if (accumulator == ScalarType::s32 || chance(0.3)) {
      const auto m = static_cast<float>((is_float(type) ? 4.0 : 100.0) / sum_size);
      if (chance(0.7)) {
        v = v * operand(per_column(DType::f32, space, true));
        multipliers_.push_back(operands.size() - 1);
        multiplier_sizes_.push_back(m);
      } else {
        v = v * m;
      }
    }
    if (chance(0.4)) v = v + operand(per_column(DType::f32, space, true));
    if (chance(0.4)) {  // a residual with its own scale
      const DType other = one_of({DType::u8, DType::s8, DType::f32, DType::f16});
      Access access = dense(other, space, room);
      if (is_float(other)) {
        v = v + operand(access);
      } else {
        v = fma(to_f32(operand(access) - static_cast<int32_t>(pick(0, 100))), real_scale(), v);
      }
    }
    if (chance(0.7)) v = activation(v);
    if (chance(0.2)) {  // a factor for each channel or pixel of the item
      Access access = dense(DType::f32, space, room);
      broadcast(access, 0.6, 0);
      v = v * operand(access);
    }
    return b.finish(to_result(v, type, space.size(), operands, b));
  }
  float real_scale() { return static_cast<float>(pick(1, 400)) / 256.0f; }

  Access result_access(DType type, const Dims& space) {
    Access out = dense(type, space, (space.back() + 15) / 16 * 16);
    if (chance(0.5)) {  // pixels at multiples of 16 elements, as padded channels lie
      out.offset = out.offset / 64 * 64;
      int64_t inner = (space.back() + 15) / 16 * 16 * size_of(type);
      for (size_t d = space.size() - 1; d-- > 0;) {
        out.strides[d] = inner;
        inner *= space[d];
      }
      out.item_stride = (inner + 63) / 64 * 64;
    }
    return out;
  }

  // The expression of accumulator 0 + 0.
  static ScalarExpr with_positive_zero(const ScalarExpr& expr) {
    ScalarExpr changed;
    changed.nodes = {{.op = ScalarOp::accumulator, .index = 0},
                     {.op = ScalarOp::constant_f32, .value = 0.0f},
                     {.op = ScalarOp::add, .arguments = {0, 1, -1}}};
    for (ScalarNode node : expr.nodes) {
      for (int32_t& argument : node.arguments)
        if (argument >= 0)
          argument = expr.nodes[static_cast<size_t>(argument)].op == ScalarOp::accumulator ? 2 : argument + 3;
      changed.nodes.push_back(node);
    }
    if (expr.nodes.back().op == ScalarOp::accumulator) changed.nodes.resize(3);
    return changed;
  }

  // ---- Expressions of map and row ----

  std::vector<size_t> shuffled(size_t rank) {
    std::vector<size_t> order = nested(rank);
    if (chance(0.4)) std::shuffle(order.begin(), order.end(), rng_);
    return order;
  }
  Access map_operand(const Dims& space) {
    const DType type = one_of({DType::u8, DType::u8, DType::s8, DType::s32, DType::f16, DType::f32});
    Access access = apart(type, space, shuffled(space.size()), space.back(), chance(0.15));
    if (chance(0.3)) broadcast(access, 0.5, 0);
    if (chance(0.1) && !access.constant && access.strides.back() != 0) {  // walked backwards
      access.offset += access.strides.back() * (space.back() - 1);
      access.strides.back() = -access.strides.back();
    }
    return access;
  }
  static Scalar in_range(Scalar x, float bound) { return less(greater(x, -bound), bound); }

  // A random value over the pools; both pools grow.
  void grow(std::vector<Scalar>& reals, std::vector<Scalar>& wholes) {
    const auto r = [&] { return reals[static_cast<size_t>(pick(0, static_cast<int64_t>(reals.size()) - 1))]; };
    const auto i = [&] { return wholes[static_cast<size_t>(pick(0, static_cast<int64_t>(wholes.size()) - 1))]; };
    switch (pick(0, 29)) {
      case 0: return reals.push_back(r() + r());
      case 1: return reals.push_back(r() - r());
      case 2: return reals.push_back(r() * r());
      case 3: return reals.push_back(r() / r());
      case 4: return reals.push_back(fma(r(), r(), r()));
      case 5: return reals.push_back(sqrt(abs(r())));
      case 6: return reals.push_back(-r());
      case 7: return reals.push_back(floor(r()));
      case 8: return reals.push_back(ceil(r()));
      case 9: return reals.push_back(greater(r(), r()));
      case 10: return reals.push_back(less(r(), r()));
      case 11: return reals.push_back(select(r() > r(), r(), r()));
      case 12: return reals.push_back(select(r() == r(), r(), r()));
      case 13: return reals.push_back(activation(r()));
      case 14: return reals.push_back(exp(r()));
      case 15: return reals.push_back(log(r()));
      case 16: return reals.push_back(*unary_expression("Erf", {}, r()));
      case 17: return reals.push_back(to_f32(i()));
      case 18: return wholes.push_back(i() + i());
      case 19: return wholes.push_back(i() - i());
      case 20: return wholes.push_back(i() * i());
      case 21: return wholes.push_back((i() & i()) | (i() ^ i()));
      case 22: return wholes.push_back(i() << static_cast<int>(pick(0, 31)));
      case 23: return wholes.push_back(i() >> static_cast<int>(pick(0, 31)));
      case 24: return wholes.push_back(i() > i());
      case 25: return wholes.push_back(select(r() < r(), i(), i()));
      case 26: return wholes.push_back(round_s32(in_range(r(), 4000000.0f)));
      case 27: return wholes.push_back(truncate_s32(in_range(r(), 2147483520.0f)));
      case 28: return wholes.push_back(select(i() == i(), i(), i()));
      default: {
        const Scalar x = r();  // bits of a number, never of a NaN
        return wholes.push_back(bits_s32(select(x == x, x, 1.5f)));
      }
    }
  }

  bool specials_ = false, subnormals_ = false;
  double start_size_ = 1;  // of s32 starts
  int64_t items_ = 1;
  std::vector<size_t> multipliers_;  // operands that scale an accumulator
  std::vector<double> multiplier_sizes_;
};

}  // namespace cupel
