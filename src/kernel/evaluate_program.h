// Runs a Program without LLVM: every kernel by its meaning, over real buffers. The oracle of lowering.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/tensor.h"
#include "kernel/program.h"

namespace cupel {

// A step's result in the graph's dimension order, with the batch.
using StepTap = std::function<Status(const Step&, const Tensor&)>;

// Inputs and outputs in the Program's order, dense, with their leading batch. bad_input for a fault of a call.
Result<std::vector<Tensor>> evaluate_program(const Program& program, std::span<const Tensor> inputs,
                                             const StepTap& tap = {});

// The elements of a value in row-major order of the graph's dimensions, read from `buffer` (byte 0 of batch item 0).
Tensor gather_value(const ValueLayout& layout, const std::byte* buffer, int64_t item_bytes, int64_t items);

}  // namespace cupel
