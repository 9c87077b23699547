// Operators whose definition is a routine of the runtime (runtime/op_routines.def): one function for the interpreter
// and for compiled code.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "ir/op_def.h"

namespace cupel::ops {

using RoutineTensors = std::vector<std::optional<RoutineTensor>>;

// The integers of runtime/op_call.h for a use on these operands (those of the node that are data, then the use's own
// constants).
std::vector<int64_t> describe(const RoutineUse& use, const RoutineTensors& results, const RoutineTensors& operands);
// Bytes of the buffer that holds all results, each on a boundary of 64, and the scratch.
int64_t routine_bytes(const std::vector<int64_t>& description);
// Where a result begins in it.
int64_t result_offset(const std::vector<int64_t>& description, size_t result);

// OpDef::reference of every op with a `routine`.
Status evaluate_routine(const EvalContext& context);

// The bits of a binary32 as an attribute.
int64_t real_attribute(float value);

}  // namespace cupel::ops
