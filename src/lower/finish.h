// Kernels whose own expression is written become steps: what they absorb, where their result lies, their buffers.
#pragma once

#include <array>
#include <vector>

#include "lower/lowering.h"

namespace cupel {

// A contract kernel. `nodes`: what absorption.behind gave; `x`: the value before these. `operand_buffers`: of a, b and
// start.
Status finish_contract(Lowering& l, NodeId id, ContractSpec spec, const Walk& walk, Draft& draft, Scalar x,
                       const Absorbed& nodes, std::array<int64_t, 3> operand_buffers);
// A window kernel, whose value before absorbed nodes is `value`. `operand_buffers`: of a, and of weights and start
// where its kind has them.
Status finish_window(Lowering& l, NodeId id, WindowSpec spec, Draft& draft, Scalar value, Walk walk,
                     std::vector<int64_t> operand_buffers);
// A map kernel that gives `result`, the value behind what it absorbed.
Status finish_map(Lowering& l, Draft& draft, Scalar value, ValueId result, const Walk& walk);
// The map kernel that gives its one operand unchanged: `read` and `write` over `space`. Its result is that of node `id`
// where `place` is not null.
void add_copy(Lowering& l, const Node& node, Dims space, Access read, Access write, std::array<int64_t, 2> buffers,
              const Placed* place);

}  // namespace cupel
