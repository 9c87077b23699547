// Chains of steps that hand large values on (kernel.h has what a chain is).
#pragma once

#include "kernel/lower.h"

namespace cupel {

// Joins neighbouring steps of the program into chains where that pays: where the values between them are larger than
// target.chains_above_bytes and each step of the chain leaves them in the cache. Every candidate leaves a decision,
// naming the nodes whose kernels it would join.
void chain_steps(Program& program, const LowerTarget& target, std::vector<FusionDecision>& decisions);

}  // namespace cupel
