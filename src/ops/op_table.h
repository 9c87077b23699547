// The rows of op_table.def by name: cupel::ops::kConv and so on.
#pragma once

#include "ir/op_def.h"

namespace cupel::ops {

#define CUPEL_OP(name) extern const OpDef k##name;
#include "ops/op_table.def"
#undef CUPEL_OP

}  // namespace cupel::ops
