#include "ops/combine.h"

#include <fmt/format.h>

#include "ops/elementwise.h"
#include "ops/rules.h"

namespace cupel::ops {

bool has_function(DType type, ElementFunction f) {
  switch (type) {
    case DType::f32: return cupel::has_function<float>(f);
    case DType::f64: return cupel::has_function<double>(f);
    case DType::u8:
    case DType::u16:
    case DType::u32:
    case DType::u64: return cupel::has_function<uint64_t>(f);
    case DType::s8:
    case DType::s16:
    case DType::s32:
    case DType::s64: return cupel::has_function<int64_t>(f);
    default: return false;
  }
}

RoutineUse combination(const RoutineContext& c, ElementFunction first, std::span<const ElementFunction> next) {
  RoutineUse use{.name = "combine",
                 .operands = {},
                 .units = std::max<int64_t>(1, element_count(c.outputs[0]->dims)),
                 .grain = kPartOperations};
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    use.operands.push_back(i);
    const ElementFunction f = i == 0 ? first : next[std::min(i, next.size()) - 1];
    use.attributes.push_back(static_cast<int64_t>(f));
  }
  return use;
}

Status expect_function(const InferContext& c, ElementFunction f) {
  const DType type = c.type(0).dtype;
  if (!has_function(type, f))
    return unsupported("", fmt::format("operand 0 is {}, of which it has no meaning here", dtype_name(type)),
                       "convert the operands");
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.has(i)) continue;
    CUPEL_TRY(expect_dtype(c, i, type));
    if (c.type(i).quant)
      return unsupported(
          "", fmt::format("operand {} holds {}, which this op does not take as codes", i, to_text(c.type(i))),
          "keep this op in float");
  }
  return {};
}

}  // namespace cupel::ops
