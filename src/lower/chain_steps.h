// Chains of steps that hand large values on (kernel.h has what a chain is).
#pragma once

#include "lower/lower.h"

namespace cupel {

// Joins neighbouring steps of the program of `graph` into chains where the values between them take more than
// options.chains_above_bytes. Every candidate that is refused leaves a decision for each of its nodes with a result.
void chain_steps(const Graph& graph, Program& program, const LowerOptions& options,
                 std::vector<FusionDecision>& decisions);

}  // namespace cupel
