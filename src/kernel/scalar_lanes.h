// Expressions evaluated on up to kScalarLanes elements at once: the meaning of ScalarOp, without LLVM.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernel/scalar.h"

namespace cupel {

inline constexpr int kScalarLanes = 64;
// Bit patterns of f32 or s32, as the node's type says.
using Lanes = std::array<uint32_t, kScalarLanes>;

// One operation other than a source or a table; constants are sources here. Lanes from `count` on are left alone.
// round_s32 and truncate_s32 of a number outside their ranges give INT32_MIN.
// The caller sets NetworkArithmetic, as evaluate_kernel does.
void compute_lanes(ScalarOp op, const Lanes& a, const Lanes& b, const Lanes& c, int count, Lanes& result);

// The same for bit patterns known before anything runs, under NetworkArithmetic.
uint32_t compute_constant(ScalarOp op, uint32_t a, uint32_t b, uint32_t c);

class LaneEvaluator {
 public:
  // `expr` must have passed scalar_types and outlive the evaluator.
  explicit LaneEvaluator(const ScalarExpr& expr) : expr_(expr), values_(expr.nodes.size()) {
    for (size_t i = 0; i < values_.size(); ++i) {
      const ScalarNode& node = expr.nodes[i];
      if (node.op == ScalarOp::constant_f32) values_[i].fill(__builtin_bit_cast(uint32_t, node.value));
      if (node.op == ScalarOp::constant_s32) values_[i].fill(static_cast<uint32_t>(node.index));
    }
  }

  // read(node, lanes) fills `count` lanes of an operand or accumulator node; table(node) is the table's first byte.
  template <class Read, class Table>
  const Lanes& run(int count, Read&& read, Table&& table) {
    for (size_t i = 0; i < values_.size(); ++i) {
      const ScalarNode& node = expr_.nodes[i];
      switch (node.op) {
        case ScalarOp::constant_f32:
        case ScalarOp::constant_s32: break;
        case ScalarOp::operand:
        case ScalarOp::accumulator: read(node, values_[i]); break;
        case ScalarOp::table: {
          const uint8_t* entries = table(node);
          const Lanes& codes = argument(node, 0);
          for (int j = 0; j < count; ++j)
            values_[i][static_cast<size_t>(j)] = entries[codes[static_cast<size_t>(j)] & 255];
          break;
        }
        default: compute_lanes(node.op, argument(node, 0), argument(node, 1), argument(node, 2), count, values_[i]);
      }
    }
    return values_.back();
  }

 private:
  const Lanes& argument(const ScalarNode& node, size_t i) const {
    return values_[node.arguments[i] < 0 ? 0 : static_cast<size_t>(node.arguments[i])];
  }

  const ScalarExpr& expr_;
  std::vector<Lanes> values_;
};

}  // namespace cupel
