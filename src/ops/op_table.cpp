#include "ops/op_table.h"

#include <algorithm>
#include <array>

namespace cupel {
namespace {

constexpr auto kTable = std::to_array<const OpDef*>({
#define CUPEL_OP(name) &ops::k##name,
#include "ops/op_table.def"
#undef CUPEL_OP
});

}  // namespace

const OpDef* find_op(std::string_view name) {
  const auto row = std::find_if(kTable.begin(), kTable.end(), [&](const OpDef* op) { return op->name == name; });
  return row == kTable.end() ? nullptr : *row;
}

std::span<const OpDef* const> all_ops() { return kTable; }

}  // namespace cupel
